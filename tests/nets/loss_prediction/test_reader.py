"""What is read of blocks while their module runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from skal.nets import MLP
from skal.nets.loss_prediction.blocks import Block, find_blocks, read_blocks
from tests.nets.loss_prediction.test_blocks import Shared


def read(module: nn.Module, X: Tensor, names: list[str]) -> list[Tensor]:
    blocks = find_blocks(module, lambda: module(X), names)
    with read_blocks(module, blocks) as reader:
        module(X)
    return reader.get()


def test_vectors_are_what_the_parts_give() -> None:
    module, X = MLP(4, 3, hidden_sizes=(8, 6)), torch.randn(5, 4)
    first, second = read(module, X, ["body.1", "body.2"])
    assert torch.equal(first, module.body[1](module.body[0](X)))
    assert torch.equal(second, module.body[2](first))


def test_maps_are_averaged_over_places_and_words_over_a_sentence() -> None:
    image = torch.randn(2, 3, 5, 7)
    conv = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    (output,) = read(conv, image, ["1"])
    np.testing.assert_allclose(
        output.detach(), conv(image).detach().numpy().mean((2, 3)), atol=1e-6
    )
    words = torch.randn(2, 6, 3)
    linear = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    (output,) = read(linear, words, ["1"])
    np.testing.assert_allclose(
        output.detach(), linear(words).detach().numpy().mean(1), atol=1e-6
    )


def test_each_run_of_a_shared_part_is_read() -> None:
    module, X = Shared(), torch.randn(5, 4)
    blocks = find_blocks(module, lambda: module(X))
    for _ in range(2):  # runs are counted anew
        with read_blocks(module, blocks) as reader:
            module(X)
        hidden = module.first(X).relu()
        for output in reader.get():
            assert torch.equal(output, hidden)
            hidden = module.again(hidden).relu()


class InPlace(nn.Module):
    """Writes over what a block has given."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, X: Tensor) -> Tensor:
        hidden = self.hidden(X)
        hidden += 100
        return self.head(hidden)


def test_later_writes_in_place_are_not_seen_nor_do_they_break_gradients() -> None:
    module, X = InPlace(), torch.randn(5, 4)
    (output,) = read(module, X, ["hidden"])
    assert torch.equal(output, module.hidden(X))
    (output.square().sum() + module(X).sum()).backward()
    assert module.hidden.weight.grad is not None


def test_hooks_are_gone_afterwards_also_after_an_error() -> None:
    module, X = MLP(4, 3), torch.randn(5, 4)
    blocks = find_blocks(module, lambda: module(X))
    with pytest.raises(RuntimeError), read_blocks(module, blocks):
        module(torch.zeros(5, 9))
    with read_blocks(module, blocks):
        assert sum(len(part._forward_hooks) for part in module.modules()) == 2
    assert not any(part._forward_hooks for part in module.modules())


def test_a_block_that_is_not_there_or_does_not_run() -> None:
    module = MLP(4, 3)
    with (
        pytest.raises(ValueError, match=r"MLP has no parts \['trunk.body.1'\]"),
        read_blocks(module, [Block("trunk.body.1", 0, -1, 128)]),
    ):
        pass
    blocks = [Block("body.1", k, -1, 128) for k in range(2)]
    with read_blocks(module, blocks) as reader:
        module(torch.zeros(5, 4))
    with pytest.raises(ValueError, match=r"did not run \['body.1'\]"):
        reader.get()
