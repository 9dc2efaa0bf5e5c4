"""Nets and checks that the tests of several posteriors use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from skorch import NeuralNetClassifier, NeuralNetRegressor
from torch import Tensor, nn

from skal.posteriors import Draws, Posterior
from skal.reading.pool import Pool

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5)).astype(np.float32)
Y = np.digitize(X[:, 0] + 0.3 * X[:, 1], [-0.5, 0.5])
TARGET = (X[:, :1] ** 2).astype(np.float32)


class Dropped(nn.Module):
    """Linear, BatchNorm, dropout, Linear."""

    def __init__(self, n_outputs: int = 3, p: float = 0.5) -> None:
        super().__init__()
        self.hidden = nn.Linear(5, 16)
        self.norm = nn.BatchNorm1d(16)
        self.drop = nn.Dropout(p)
        self.head = nn.Linear(16, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.drop(self.norm(self.hidden(x)).relu()))


def fit(module: Any = None, X: Any = X, y: Any = Y, **parameters: Any) -> Any:
    """Fit skorch's own net, of the kind that the target asks for, in a blink."""
    torch.manual_seed(0)
    settings: dict[str, Any] = {
        "max_epochs": 3,
        "lr": 0.1,
        "batch_size": 16,
        "verbose": 0,
        "train_split": None,
    }
    y = np.asarray(y)
    cls = NeuralNetRegressor if y.dtype.kind == "f" else NeuralNetClassifier
    if cls is NeuralNetClassifier:
        settings["criterion"] = nn.CrossEntropyLoss
    module = (
        Dropped(3 if cls is NeuralNetClassifier else 1) if module is None else module
    )
    return cls(module, **{**settings, **parameters}).fit(X, y)


def draw(posterior: Posterior, learner: Any, pool: Any = X, seed: int = 0) -> Draws:
    """Draw from a learner with a seed."""
    return posterior.draw(Pool(learner, pool), torch.Generator().manual_seed(seed))


def collect(posterior: Posterior, learner: Any, pool: Any = X, seed: int = 0) -> Tensor:
    """All outputs of a posterior, (K, m, C)."""
    return draw(posterior, learner, pool, seed).collect()


@contextmanager
def unchanged(net: Any) -> Iterator[None]:
    """Check that a net and the global generators are the same afterwards."""
    module = net.module_
    module.train()
    next(module.children()).eval()  # so that modes are not all alike
    modes = [m.training for m in module.modules()]
    state = {name: t.clone() for name, t in module.state_dict().items()}
    grads = {name: p.grad for name, p in module.named_parameters()}
    random, legacy = torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
    yield
    assert [m.training for m in module.modules()] == modes
    assert all(torch.equal(t, state[name]) for name, t in module.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())
    assert torch.equal(torch.get_rng_state(), random)
    assert np.array_equal(np.random.get_state()[1], legacy)  # noqa: NPY002
    assert all(p.grad is grads[name] for name, p in module.named_parameters())
