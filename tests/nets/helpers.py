"""Data and modules for the tests of nets."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn


def blobs(
    n_rows: int = 60, n_classes: int = 3, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of well-separated classes, and their codes."""
    rng = np.random.default_rng(seed)
    codes = np.arange(n_rows) % n_classes
    centers = 4 * np.eye(n_classes, 4)
    return (centers[codes] + rng.normal(size=(n_rows, 4))).astype(np.float32), codes


def line(n_rows: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A linear function without noise."""
    X = np.random.default_rng(seed).normal(size=(n_rows, 4)).astype(np.float32)
    return X, X @ np.array([1.0, -1.0, 0.5, 0.0], dtype=np.float32)


class WithBatchNorm(nn.Module):
    """BatchNorm behind the first layer."""

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features, 8),
            nn.BatchNorm1d(8),
            nn.ReLU(),
            nn.Linear(8, n_outputs),
        )

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.layers(X)


class Unsized(nn.Module):
    """Has fixed sizes and does not ask for any."""

    def __init__(self, width: int = 8, outputs: int = 3) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(4, width), nn.ReLU(), nn.Linear(width, outputs)
        )

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.layers(X)


class TwoInputs(nn.Module):
    """Takes a dict of features and of indices of an embedding."""

    def __init__(self, n_outputs: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.head = nn.Linear(7, n_outputs)

    def forward(self, numbers: torch.Tensor, kind: torch.Tensor) -> torch.Tensor:
        return self.head(torch.cat([numbers, self.embedding(kind)], 1))


class Conv(nn.Module):
    """Takes images."""

    def __init__(self, n_outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        self.head = nn.Linear(4, n_outputs)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.head(self.conv(X).mean((2, 3)))


class Softmax(nn.Module):
    """Returns probabilities, as skorch expects for NLLLoss."""

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(n_features, n_outputs)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.layer(X).softmax(1)


def states_equal(a: nn.Module, b: nn.Module) -> bool:
    """Whether two modules have the same parameters and buffers."""
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(
        torch.equal(first[k], second[k]) for k in first
    )
