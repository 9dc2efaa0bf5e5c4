"""A Gaussian process of GPyTorch by skorch, for the matrix of learners."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # deprecated functions of torch, used by GPyTorch
    gpytorch = pytest.importorskip("gpytorch")
    probabilistic = pytest.importorskip("skorch.probabilistic")

__all__ = ["GPyTorchRegressor"]


class _Model(gpytorch.models.ExactGP):
    def __init__(self, likelihood: Any, X: Any = None, y: Any = None) -> None:
        super().__init__(X, y, likelihood)
        self.mean = gpytorch.means.ConstantMean()
        self.kernel = gpytorch.kernels.ScaleKernel(gpytorch.kernels.RBFKernel())

    def forward(self, X: torch.Tensor) -> Any:
        return gpytorch.distributions.MultivariateNormal(self.mean(X), self.kernel(X))


def GPyTorchRegressor(**parameters: Any) -> Any:
    """Construct the regressor; named as the classes of the matrix are."""
    return probabilistic.ExactGPRegressor(_Model, **parameters)
