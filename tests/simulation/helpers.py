"""Quick strategies, simulations and comparisons."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold

from skal.simulation import (
    ActiveLearningSimulation,
    StrategyComparison,
    compare_strategies,
)

Data = tuple[np.ndarray, np.ndarray]


class Shuffled(BaseEstimator):
    """Random rows, drawn with numpy."""

    def __init__(self, random_state: Any = None) -> None:
        self.random_state = random_state

    def __call__(self, learner: Any, X_pool: Any, n_instances: int = 1) -> Any:
        rng = np.random.default_rng(self.random_state)
        return rng.permutation(len(X_pool))[:n_instances]


class FirstColumn(BaseEstimator):
    """Rows whose first column differs most from a value."""

    def __init__(self, value: float = 0.0) -> None:
        self.value = value

    def __call__(self, learner: Any, X_pool: Any, n_instances: int = 1) -> Any:
        distance = np.abs(np.asarray(X_pool)[:, 0] - self.value)
        return np.argsort(-distance, kind="stable")[:n_instances]


class Untouchable(Ridge):
    """Fails the test if it is fitted."""

    def fit(self, X: Any, y: Any) -> Any:
        raise AssertionError("fitted although the settings are wrong")


def simulation(
    estimator: Any = None, query_strategy: Any = None, **kwargs: Any
) -> ActiveLearningSimulation:
    settings = {"n_initial": 10, "n_instances": 4, "n_queries": 3, "random_state": 0}
    return ActiveLearningSimulation(
        Ridge() if estimator is None else estimator,
        Shuffled() if query_strategy is None else query_strategy,
        **{**settings, **kwargs},
    )


def compare(data: Data, **kwargs: Any) -> StrategyComparison:
    settings: dict[str, Any] = {
        "estimator": Ridge(),
        "strategies": {"Random": Shuffled(), "Extremes": FirstColumn()},
        "cv": KFold(4),
        "n_initial": 8,
        "n_instances": 5,
        "n_queries": 3,
        "random_state": 0,
    }
    settings.update(kwargs)
    return compare_strategies(X=data[0], y=data[1], **settings)
