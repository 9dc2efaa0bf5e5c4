"""Strategies with nothing to wait for."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator


class Shuffled(BaseEstimator):
    """Random rows, by a generator of numpy."""

    def __init__(self, random_state: Any = None) -> None:
        self.random_state = random_state

    def __call__(self, learner: Any, X_pool: Any, n_instances: int = 1) -> Any:
        rng = np.random.default_rng(self.random_state)
        return rng.permutation(len(X_pool))[:n_instances]


class FirstColumn(BaseEstimator):
    """The rows whose first column is farthest from a value."""

    def __init__(self, value: float = 0.0) -> None:
        self.value = value

    def __call__(self, learner: Any, X_pool: Any, n_instances: int = 1) -> Any:
        distance = np.abs(np.asarray(X_pool)[:, 0] - self.value)
        return np.argsort(-distance, kind="stable")[:n_instances]
