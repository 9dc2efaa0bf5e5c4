"""Gradients of single layers other than linear ones, against autograd."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from skal.nets import FoldEnsembleRegressor, NetRegressor, TabularMLP
from skal.nets.modules import ColumnScale, PeriodicEmbedding
from skal.reading.access import NetAccess
from skal.reading.gradients import GradientReader, per_row_gradients
from skal.rows import Rows
from skal.spaces import Factors

RNG = np.random.default_rng(0)
X = RNG.normal(size=(19, 6)).astype(np.float32)
Y = np.stack([X[:, 0], X[:, 1] ** 2], 1)


class Around(nn.Module):
    """Some layer between two linear ones, in a given use."""

    def __init__(self, layer: nn.Module, n_outputs: int = 2, use: str = "once") -> None:
        super().__init__()
        self.first = nn.Linear(6, 4)
        self.layer = layer
        self.head = nn.Linear(4, n_outputs)
        self.use = use
        if use == "shared":
            self.other = type(layer)(4)
            self.other.weight = layer.weight

    def forward(self, X: Tensor) -> Tensor:
        hidden = self.first(X)
        if self.use == "image":
            hidden = self.layer(hidden.reshape(-1, 1, 2, 2)).flatten(2).mean(2)
        elif self.use == "keyword":
            hidden = self.layer(scaled=hidden)
        elif self.use == "tuple":
            hidden = self.layer(hidden)[0]
        elif self.use == "index":
            hidden = hidden + self.layer((X[:, 0] > 0).long() + (X[:, 1] > 0).long())
        else:
            hidden = self.layer(hidden)
        if self.use == "twice":
            hidden = self.layer(hidden.tanh())
        elif self.use == "shared":
            hidden = self.other(hidden.tanh())
        return self.head(hidden.tanh())


class Keyword(nn.Module):
    """Takes its input by name only."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(0.5, 2, 4))

    def forward(self, *, scaled: Tensor) -> Tensor:
        return scaled * self.weight


class Pair(Keyword):
    """Returns a tuple."""

    def forward(self, X: Tensor) -> tuple[Tensor, Tensor]:
        return X * self.weight, X


class Codes(nn.Module):
    """Has parameters, but returns integers."""

    def __init__(self) -> None:
        super().__init__()
        self.centers = nn.Parameter(torch.randn(3, 4))

    def forward(self, X: Tensor) -> Tensor:
        return torch.cdist(X, self.centers).argmin(1)


class Quantized(nn.Module):
    def __init__(self, n_outputs: int = 2) -> None:
        super().__init__()
        self.first = nn.Linear(6, 4)
        self.codes = Codes()
        self.head = nn.Linear(4, n_outputs)

    def forward(self, X: Tensor) -> Tensor:
        hidden = self.first(X)
        return self.head(hidden * (1 + self.codes(hidden))[:, None])


class MixesRows(Keyword):
    """Centers each column over the rows of a batch of several."""

    def forward(self, X: Tensor) -> Tensor:
        return (X - X.mean(0, keepdim=True)) * self.weight + X


def access_of(module: nn.Module) -> NetAccess:
    torch.manual_seed(0)
    net = NetRegressor(lambda: module, max_epochs=0, random_state=0).fit(X, Y)
    with torch.no_grad():
        for p in net.module_.parameters():
            p.add_(0.3 * torch.randn(p.shape))
    return NetAccess(net)


def by_autograd(module: nn.Module, rows: np.ndarray, V: Tensor) -> Tensor:
    """Gradients (m, K * numbers) by the trainable parameters, each row alone."""
    module.eval()
    parameters = [p for p in module.parameters() if p.requires_grad]
    found = []
    for x, v in zip(torch.as_tensor(rows), V, strict=True):
        out = module(x[None])[0]
        for k in range(v.shape[1]):
            gradients = torch.autograd.grad(
                out @ v[:, k], parameters, retain_graph=True, allow_unused=True
            )
            found += [
                (torch.zeros_like(p) if g is None else g).flatten()
                for p, g in zip(parameters, gradients, strict=True)
            ]
    return torch.cat(found).reshape(len(rows), -1)


def check_gradients(access: NetAccess, directions: Any = None) -> set[str]:
    """Compare the kernel with that of autograd; return the layers read by hooks."""
    n_outputs = access.outputs(Rows(X)).shape[1]
    vectors = torch.eye(n_outputs).expand(len(X), n_outputs, n_outputs)
    if directions is not None:
        vectors = directions(access.outputs(Rows(X)))
    flat = by_autograd(access.module, X, vectors)
    factors = per_row_gradients(access, Rows(X), directions=directions)
    expected = flat @ flat.T
    atol = 1e-5 * float(expected.abs().max())
    torch.testing.assert_close(gram(factors), expected, rtol=1e-4, atol=atol)
    reader = GradientReader(access)
    reader(torch.as_tensor(X))
    return set(reader._chosen[0])


def gram(factors: list[Factors]) -> Tensor:
    return sum((a @ a.T) * (g @ g.T) for a, g in factors)


def three_directions(outputs: Tensor) -> Tensor:
    return torch.stack([outputs.cos(), outputs.sin(), outputs**2], 2)


LOCAL = {
    "norm": (lambda: nn.LayerNorm(4), "once"),
    "norm twice": (lambda: nn.LayerNorm(4), "twice"),
    "batch norm": (lambda: nn.BatchNorm1d(4), "once"),
    "scale": (lambda: ColumnScale(4), "once"),
    "periodic": (
        lambda: nn.Sequential(PeriodicEmbedding(4, [1, 3]), nn.Linear(10, 4)),
        "once",
    ),
    "images": (lambda: nn.Conv2d(1, 4, 2, padding=1), "image"),
    "prelu": (lambda: nn.PReLU(4), "once"),
    "integers": (lambda: nn.Embedding(3, 4, padding_idx=0), "index"),
}


@pytest.mark.on_cpu
@pytest.mark.parametrize("directions", [None, three_directions])
@pytest.mark.parametrize("kind", LOCAL)
def test_layers_differentiated_alone_equal_autograd(kind: str, directions) -> None:
    make, use = LOCAL[kind]
    hooked = check_gradients(access_of(Around(make(), use=use)), directions)
    inner = "layer.0" if kind == "periodic" else "layer"
    assert {"first", inner, "head"} <= hooked


@pytest.mark.on_cpu
@pytest.mark.parametrize("frozen", ["weight", "bias"])
def test_frozen_parameters_of_a_layer(frozen: str) -> None:
    access = access_of(Around(nn.LayerNorm(4)))
    getattr(access.module.layer, frozen).requires_grad_(False)
    assert "layer" in check_gradients(access)


WHOLE = {
    "keyword": (Keyword, "keyword"),
    "tuple": (Pair, "tuple"),
    "shared": (lambda: nn.LayerNorm(4), "shared"),
}


@pytest.mark.on_cpu
@pytest.mark.parametrize("directions", [None, three_directions])
@pytest.mark.parametrize("kind", WHOLE)
def test_layers_that_cannot_run_alone_are_read_with_the_module(
    kind: str, directions
) -> None:
    make, use = WHOLE[kind]
    torch.manual_seed(0)
    hooked = check_gradients(access_of(Around(make(), use=use)), directions)
    assert "layer" not in hooked
    assert "head" in hooked


@pytest.mark.on_cpu
def test_a_layer_with_integers_as_outputs() -> None:
    torch.manual_seed(0)
    assert "codes" not in check_gradients(access_of(Quantized()))


@pytest.mark.on_cpu
@pytest.mark.filterwarnings("ignore:The outputs of Around")
def test_a_layer_that_mixes_rows_is_not_read_alone() -> None:
    reader = GradientReader(access_of(Around(MixesRows())))
    reader(torch.as_tensor(X))
    assert "layer" not in reader._chosen[0]


@pytest.mark.on_cpu
@pytest.mark.parametrize("periodic", [None, [0, 2, 5]])
@pytest.mark.parametrize("directions", [None, three_directions])
def test_a_module_of_tables_equals_autograd(periodic, directions) -> None:
    access = access_of(TabularMLP(6, 2, (7, 5), periodic=periodic))
    hooked = check_gradients(access, directions)
    assert hooked == {
        name
        for name, part in access.module.named_modules()
        if isinstance(part, (nn.Linear, ColumnScale, PeriodicEmbedding))
    }


@pytest.mark.on_cpu
def test_members_of_a_fold_ensemble_equal_autograd() -> None:
    ensemble = FoldEnsembleRegressor(
        2, hidden_sizes=(7, 5), max_steps=20, others=None, random_state=0
    ).fit(X, 10 * Y + 3)
    for net in ensemble.estimators_:
        check_gradients(NetAccess(net))
