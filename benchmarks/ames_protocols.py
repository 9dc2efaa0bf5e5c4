"""How campaigns on the Ames house prices are played, by two protocols.

``program``: the protocol of the noise-stability authors' program.  Kaggle's 1460
sales, columns without missing values, one-hot: 215 features; the first 730 rows are
the pool, the last 730 the test; features and prices unscaled; a net 128-64-32-1 with
ReLU after the first two linear layers, Adam 1e-3, squared error, batch 64, 500 epochs
with the learning rate at a tenth from epoch 160; 20 labels, then 10 times 20 more out
of 200 rows drawn from the pool; the test in batches of 64.

``honest``: De Cock's 2930 sales in random splits, 70 % pool and 30 % test; what is
missing, levels and scales learned from the labeled rows alone, inside the pipeline;
log price, scaled; 50 labels, then 12 times 25 more out of all of the pool.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import LRScheduler
from torch import nn

from skal.datasets import load_ames, load_house_prices, make_tabular_preprocessor
from skal.nets import NetRegressor
from skal.simulation import ActiveLearningSimulation
from skal.strategies import CoreSet, NoiseStability, Random

STRATEGIES: dict[str, Any] = {
    "Random": Random(),
    "NoiseStability": NoiseStability(),
    "NoiseStability(outputs='predictions')": NoiseStability(outputs="predictions"),
    "CoreSet": CoreSet(),
}
TEST_BATCH = 64


class ProgramNet(nn.Module):
    """The program's net: its third linear layer has no activation."""

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features, 128),
            nn.ReLU(),
            nn.Linear(128, 64),
            nn.ReLU(),
            nn.Linear(64, 32),
            nn.Linear(32, 1),
        )

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.layers(X)


@dataclass
class Protocol:
    """How a trial is made, and what is reported of it."""

    name: str
    split: Callable[[int], tuple[Any, Any, Any, Any]]
    estimator: Callable[[], Any]
    settings: dict[str, Any]
    budgets: list[int]
    unit: str
    digits: int
    n_trials: int


@cache
def _program_table() -> tuple[np.ndarray, np.ndarray]:
    raw, y = load_house_prices(clean=False)
    X = pd.get_dummies(raw.loc[:, raw.notna().all()]).to_numpy(np.float32)
    if X.shape != (1460, 215):
        raise ValueError(
            f"The program's table has 1460 rows and 215 features, this one {X.shape}. "
            "Use Kaggle's train.csv (SKAL_DATA, or OpenML 42165)."
        )
    return X, y.to_numpy(np.float32)


def _program_split(trial: int) -> tuple[Any, Any, Any, Any]:
    X, y = _program_table()
    return X[:730], X[730:], y[:730], y[730:]


def _program_net() -> NetRegressor:
    schedule = LRScheduler("MultiStepLR", milestones=[160], gamma=0.1)
    return NetRegressor(
        ProgramNet,
        lr=1e-3,
        max_epochs=500,
        batch_size=64,
        callbacks=[("schedule", schedule)],
        optimizer__fused=True,  # the same steps, a quarter faster
    )


@cache
def _ames() -> tuple[pd.DataFrame, pd.Series]:
    X, y = load_ames()
    return X, np.log(y)


def _honest_split(trial: int) -> tuple[Any, Any, Any, Any]:
    X, y = _ames()
    split: tuple[Any, Any, Any, Any] = tuple(
        train_test_split(X, y, test_size=0.3, random_state=trial)
    )
    return split


def _honest_net() -> TransformedTargetRegressor:
    return TransformedTargetRegressor(
        make_pipeline(
            make_tabular_preprocessor(),
            NetRegressor(lr=1e-3, batch_size=32, max_epochs=50),
        ),
        transformer=StandardScaler(),
        check_inverse=False,
    )


PROTOCOLS = {
    "program": Protocol(
        "program",
        _program_split,
        _program_net,
        {"n_initial": 20, "n_instances": 20, "n_queries": 10, "n_candidates": 200},
        budgets=[20, 60, 100, 140, 180, 220],
        unit="USD",
        digits=0,
        n_trials=100,
    ),
    "honest": Protocol(
        "honest",
        _honest_split,
        _honest_net,
        {"n_initial": 50, "n_instances": 25, "n_queries": 12},
        budgets=[50, 100, 150, 200, 250, 300, 350],
        unit="log USD",
        digits=4,
        n_trials=10,
    ),
}


def rmse(estimator: Any, X: Any, y: Any) -> float:
    """Root mean squared error, negative as scikit-learn's scores are."""
    error = np.ravel(estimator.predict(X)) - np.ravel(y)
    return -float(np.sqrt(np.mean(np.square(error, dtype=float))))


def printed_metric(estimator: Any, X: Any, y: Any) -> float:
    """Sum the test batches' RMSE and divide by the rows, as the program prints it."""
    error = np.ravel(estimator.predict(X)) - np.ravel(y)
    batches = np.split(error, range(TEST_BATCH, len(error), TEST_BATCH))
    return float(
        sum(np.sqrt(np.mean(np.square(b, dtype=float))) for b in batches)
    ) / len(error)


def play(protocol: str, strategy: str, trial: int) -> pd.DataFrame:
    """Play one campaign; a row a step."""
    torch.set_num_threads(1)
    how = PROTOCOLS[protocol]
    X_pool, X_test, y_pool, y_test = how.split(trial)
    simulation = ActiveLearningSimulation(
        how.estimator(),
        STRATEGIES[strategy],
        scoring=rmse,
        random_state=trial,
        **how.settings,
    ).fit(X_pool, y_pool)
    return pd.DataFrame(
        {
            "strategy": strategy,
            "fold": trial,
            "repeat": 0,
            "seed": trial,
            "step": np.arange(len(simulation.n_labeled_)),
            "n_labeled": simulation.n_labeled_,
            "score": simulation.learning_curve(X_test, y_test),
            "printed": [
                printed_metric(e, X_test, y_test) for e in simulation.estimators_
            ],
            "query_time": np.concatenate([[np.nan], simulation.query_times_]),
            "fit_time": simulation.fit_times_,
        }
    )
