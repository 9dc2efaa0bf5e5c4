from __future__ import annotations

import pytest
import torch
from torch import nn

from skal.hooks import evaluating, hooked, input_of


def test_the_mode_of_each_part_is_restored():
    module = nn.Sequential(nn.Linear(3, 3), nn.Dropout())
    module[1].eval()
    with evaluating(module):
        assert not any(part.training for part in module.modules())
        assert not module(torch.ones(2, 3)).requires_grad
    with pytest.raises(RuntimeError), evaluating(module):
        module(torch.ones(2, 9))
    assert [part.training for part in module.modules()] == [True, True, False]


class Named(nn.Module):
    """Passes its input by name."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(input=x)


@pytest.mark.parametrize("module", [nn.Sequential(nn.Linear(3, 2)), Named()])
def test_hooks_see_inputs_and_outputs_by_name_and_are_removed(module):
    parts = dict(module.named_modules())
    X, seen = torch.ones(4, 3), {}

    def before(name, part, args, kwargs):
        assert part is parts[name]
        seen[name, "input"] = input_of(args, kwargs)

    def after(name, part, args, kwargs, output):
        assert input_of(args, kwargs) is seen[name, "input"]
        seen[name, "output"] = output
        return 2 * output if name else None

    with hooked(parts, before, before=True), hooked(parts, after):
        doubled = module(X)
    assert torch.equal(doubled, 2 * module(X))
    assert set(seen) == {(name, end) for name in parts for end in ("input", "output")}
    assert all(seen[name, "input"] is X for name in parts)
    with pytest.raises(RuntimeError), hooked(parts, after):
        module(X[:, :1])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())


def test_a_call_without_arguments_has_no_input():
    assert input_of((), {}) is None
