"""Which parts of a module are its blocks, and reading their outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skal.nets import MLP
from skal.nets.bayesian import BayesianMLP
from skal.nets.loss_prediction.blocks import Block, find_blocks, read_blocks

# -- finding ------------------------------------------------------------------------


def found(module: nn.Module, X: Tensor, names: Any = "auto") -> list[tuple[Any, ...]]:
    """Names, runs, axes and widths of the blocks."""
    module.eval()
    return [tuple(block) for block in find_blocks(module, lambda: module(X), names)]


ROWS, IMAGES = torch.zeros(2, 4), torch.zeros(2, 3, 8, 8)


@pytest.mark.parametrize("kind", [MLP, BayesianMLP])
def test_hidden_layers_with_their_activations(kind: Any) -> None:
    module = kind(4, 3, hidden_sizes=(8, 6))
    assert found(module, ROWS) == [("body.1", 0, -1, 8), ("body.3", 0, -1, 6)]


def test_normalization_and_activation_belong_to_the_block_and_dropout_does_not() -> (
    None
):
    module = nn.Sequential(
        *(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(inplace=True), nn.Dropout()),
        *(nn.Linear(8, 5), nn.Dropout(), nn.Tanh()),
        *(nn.Linear(5, 3), nn.Softmax(1)),
    )
    assert found(module, ROWS) == [("2", 0, -1, 8), ("4", 0, -1, 5)]


def test_maps_end_before_what_pools_them() -> None:
    module = nn.Sequential(
        *(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(5, 6, 2), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.Linear(6, 3),
    )
    assert found(module, IMAGES) == [("2", 0, 1, 5), ("5", 0, 1, 6)]


def test_a_net_without_a_linear_layer_has_its_last_convolution_for_a_head() -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 2, 6), nn.Flatten()
    )
    assert found(module, IMAGES) == [("1", 0, 1, 5)]


class Functional(nn.Module):
    """Activations that are not modules, and layers built in another order."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.second, self.first = (
            nn.Linear(5, 3),
            nn.Linear(8, 5),
            nn.Linear(4, 8),
        )
        self.unused = nn.Linear(4, 4)

    def forward(self, X: Tensor) -> Tensor:
        return self.head(F.relu(self.second(F.relu(self.first(X)))))


def test_layers_come_in_the_order_in_which_they_run() -> None:
    assert found(Functional(), ROWS) == [("first", 0, -1, 8), ("second", 0, -1, 5)]


class Shared(nn.Module):
    """One ReLU and one layer that run again."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again, self.head = (
            nn.Linear(4, 6),
            nn.Linear(6, 6),
            nn.Linear(6, 3),
        )
        self.relu = nn.ReLU()

    def forward(self, X: Tensor) -> Tensor:
        hidden = self.relu(self.first(X))
        for _ in range(2):
            hidden = self.relu(self.again(hidden))
        return self.head(hidden)


def test_each_run_of_a_shared_part_is_a_block() -> None:
    assert found(Shared(), ROWS) == [("relu", k, -1, 6) for k in range(3)]
    assert found(Shared(), ROWS, ["relu"]) == [("relu", 2, -1, 6)]


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.stage = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4))
        self.relu, self.head = nn.ReLU(), nn.Linear(4, 2)

    def forward(self, X: Tensor) -> Tensor:
        X = self.relu(self.stem(X))
        return self.head(self.relu(X + self.stage(X)).mean((2, 3)))


def test_a_block_ends_where_a_shortcut_joins() -> None:
    expected = [("relu", 0, 1, 4), ("stage.1", 0, 1, 4)]
    assert found(Residual(), IMAGES) == expected
    # A part may be named that holds others; the order is that of the pass.
    expected = [("stem", 0, 1, 4), ("stage", 0, 1, 4)]
    assert found(Residual(), IMAGES, ["stage", "stem"]) == expected


class Sequence(nn.Module):
    """Has its channels last, and a recurrent part that gives a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.relu = nn.Linear(3, 5), nn.ReLU()
        self.recur = nn.LSTM(5, 7, batch_first=True)
        self.conv = nn.Conv1d(7, 4, 1)
        self.flat = nn.Linear(4, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, X: Tensor) -> Tensor:
        hidden = self.recur(self.relu(self.embed(X)))[0]
        hidden = self.conv(hidden.transpose(1, 2))
        flat = self.flat(hidden.transpose(1, 2).flatten(0, 1))  # rows are mixed
        return self.head(flat.unflatten(0, (len(X), -1)).mean(1))


def test_channels_are_where_the_last_layer_put_them() -> None:
    X = torch.zeros(2, 6, 3)
    assert found(Sequence(), X) == [("relu", 0, -1, 5), ("conv", 0, 1, 4)]
    assert found(Sequence(), X, ["recur"]) == [("recur", 0, -1, 7)]
    with pytest.raises(ValueError, match=r"'flat' of Sequence.*vector or a map"):
        found(Sequence(), X, ["flat"])


def test_a_transformer_is_read_in_its_feed_forward_part() -> None:
    layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    module = nn.Sequential(layer, nn.Flatten(), nn.Linear(20, 3))
    with torch.no_grad():
        blocks = found(module, torch.zeros(2, 5, 4))
        assert found(module, torch.zeros(2, 5, 4), ["0"]) == [("0", 0, -1, 4)]
    assert [block[3] for block in blocks] == [8, 4]


def test_hooks_are_removed() -> None:
    module = MLP(4, 3)
    find_blocks(module, lambda: module(ROWS))
    with pytest.raises(RuntimeError):
        find_blocks(module, lambda: module(IMAGES))
    assert not any(part._forward_hooks for part in module.modules())


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["body", "nowhere", "nor here"],
            r"MLP has no parts \['nowhere', 'nor here'\]",
        ),
        ("body", "blocks must be 'auto' or a list"),
        ([], "blocks must be 'auto' or a list"),
        (["body", "body"], "distinct names"),
        ([0], "blocks must be 'auto' or a list"),
        (None, "blocks must be 'auto' or a list"),
    ],
)
def test_bad_names(names: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        found(MLP(4, 3), ROWS, names)


def test_a_part_that_does_not_run() -> None:
    with pytest.raises(ValueError, match="does not run 'unused'"):
        found(Functional(), ROWS, ["unused"])


@pytest.mark.parametrize(
    "module", [MLP(4, 3, hidden_sizes=()), nn.Linear(4, 3), nn.Flatten()]
)
def test_a_module_without_blocks(module: nn.Module) -> None:
    with pytest.raises(ValueError, match="no linear or convolutional layer before"):
        found(module, ROWS)


# -- reading --------------------------------------------------------------------------


def read(module: nn.Module, X: Tensor, names: list[str]) -> list[Tensor]:
    blocks = find_blocks(module, lambda: module(X), names)
    with read_blocks(module, blocks) as outputs:
        module(X)
    return outputs.get()


def test_vectors_are_the_outputs_of_the_parts() -> None:
    module, X = MLP(4, 3, hidden_sizes=(8, 6)), torch.randn(5, 4)
    first, second = read(module, X, ["body.1", "body.2"])
    assert torch.equal(first, module.body[1](module.body[0](X)))
    assert torch.equal(second, module.body[2](first))


def test_maps_are_averaged_over_positions() -> None:
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
    for _ in range(2):  # runs are counted from 0
        with read_blocks(module, blocks) as outputs:
            module(X)
        hidden = module.first(X).relu()
        for output in outputs.get():
            assert torch.equal(output, hidden)
            hidden = module.again(hidden).relu()


class InPlace(nn.Module):
    """Overwrites the output of a block."""

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


def test_hooks_of_a_reading_are_removed_even_after_an_error() -> None:
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
    with read_blocks(module, blocks) as outputs:
        module(torch.zeros(5, 4))
    with pytest.raises(ValueError, match=r"did not run \['body.1'\]"):
        outputs.get()
