from __future__ import annotations

import pytest
import torch
from torch import nn

from skal.exceptions import UnsuitableLearnerError
from skal.nets.bayesian import BayesLinear
from skal.nets.heads import find_head

X = torch.ones(4, 3)


class Module(nn.Module):
    """Runs its last layer first, one of them twice, and leaves one out."""

    def __init__(self) -> None:
        super().__init__()
        self.last = BayesLinear(3, 2)
        self.twice = nn.Linear(3, 3)
        self.unused = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.twice(self.twice(x).tanh()))


@pytest.mark.parametrize(
    ("name", "found", "n_runs"), [(None, "last", 1), ("twice", "twice", 2)]
)
def test_the_last_run_of_the_head_is_seen(name, found, n_runs):
    module = Module().eval()
    head = find_head(module, lambda: module(X), name)
    assert (head.name, head.layer, head.n_runs) == (
        found,
        getattr(module, found),
        n_runs,
    )
    assert torch.equal(head.layer(head.inputs), head.outputs)
    hidden = module.twice(X).tanh()
    expected = hidden if name else module.twice(hidden)
    assert torch.equal(head.inputs, expected)


def test_a_linear_module_is_its_own_head():
    module = nn.Linear(3, 2)
    head = find_head(module, lambda: module(X))
    assert (head.name, head.layer, head.inputs) == ("", module, X)


@pytest.mark.parametrize(
    ("module", "name", "message"),
    [
        (nn.Sequential(nn.ReLU()), None, r"no torch.nn.Linear .* one of \['0'\]"),
        (Module(), "head", r"no module named 'head'.*\['last', 'twice', 'unused'\]"),
        (Module(), "unused", r"runs none of \['unused'\]"),
    ],
)
def test_what_is_missing_is_named(module, name, message):
    with pytest.raises(UnsuitableLearnerError, match=message):
        find_head(module, lambda: module(X), name)


class TwoHeads(nn.Module):
    """A second head runs after the first; each may be frozen, or used in place."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3, 3)
        self.main, self.other = nn.Linear(3, 2), nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.body(x).relu_()
        return self.main(hidden).mul_(2), self.other(hidden)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_head_is_on_the_way_to_the_first_output(frozen, mode):
    module = TwoHeads().requires_grad_(not frozen)
    with mode():
        head = find_head(module, lambda: module(X))
    assert head.name == "main"
    assert torch.equal(head.outputs, 2 * module.main(head.inputs))  # it is in place


def test_without_a_graph_the_head_is_the_last_to_run():
    module = TwoHeads()

    def run() -> torch.Tensor:
        with torch.no_grad():
            return module(X)

    assert find_head(module, run).name == "other"
