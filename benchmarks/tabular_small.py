"""How a campaign of the study on small tables is played.

A random 80 % of a table, at most 2000 rows, is the pool, and at most 2000 of the others
are the test.  Numbers are standardized by the pool, then 5 tanh(x / 5), levels are
one-hot; the target is standardized by the labeled rows alone.  There are 20 labels at
the start, then 15 times 20 more, or until three quarters of the pool are labeled
(yacht: 8 times).

One net is scored whatever picks for it: an MLP of two hidden layers of 64 units with
dropout 0.05, Adam at 0.01, 60 epochs in batches of 64, chosen by Random's log RMSE on
one seed of some of the sets, where other settings changed it by up to 0.04 (yacht).
Strategies that ask several models ask 20 dropout masks, VariationOfPrediction the
epochs of the second half, QBCVariance 5 nets that are trained on the same labels at
each query, only to pick; LossPrediction trains the same net with a loss module beside
it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.preprocessing import StandardScaler

from benchmarks.tabular_runs import Split, campaign
from benchmarks.tabular_sets import load_small
from skal.datasets import make_tabular_preprocessor
from skal.nets import (
    DeepEnsembleRegressor,
    LossPredictionRegressor,
    NetRegressor,
    WeightSnapshots,
)
from skal.posteriors import MCDropout, Members
from skal.strategies import QBCVariance, QueryStrategy, all_strategies
from skal.strategies.wrapping import WrappingStrategy

N_INITIAL = N_INSTANCES = 20
N_QUERIES = 15
MOST_ROWS = 2000
EPOCHS = 60
NET: dict[str, Any] = {
    "module__hidden_sizes": (64, 64),
    "module__dropout": 0.05,
    "lr": 1e-2,
    "max_epochs": EPOCHS,
    "batch_size": 64,
    "optimizer__fused": True,
}
# For a regressor BALD orders rows as PredictiveVariance does.
LEFT_OUT = ("BALD",)
#: Trains nets of its own on the pool, a minute a campaign: played if it is named.
SLOW = ("VAAL",)


class ByEnsemble(BaseEstimator):
    """Ask a strategy of an ensemble that is trained on the learner's labels."""

    def __init__(self, strategy: Any, ensemble: Any) -> None:
        self.strategy = strategy
        self.ensemble = ensemble

    def __call__(self, learner: Any, X_pool: Any, n_instances: int = 1) -> Any:
        """Pick rows of the pool."""
        ensemble = clone(self.ensemble).fit(learner.X_training, learner.y_training)
        picked = self.strategy.select(ensemble, X_pool, n_instances)
        return picked.indices, picked.scores


def regressor(net: Any) -> TransformedTargetRegressor:
    """Scale the target by the labeled rows."""
    return TransformedTargetRegressor(
        net, transformer=StandardScaler(), check_inverse=False
    )


def strategies() -> dict[str, Any]:
    """All of skal's strategies for regressors that hold no other, by name."""
    found = {
        cls.__name__: _make(cls)
        for cls in all_strategies()
        if cls._task in ("any", "regression")
        and not issubclass(cls, WrappingStrategy)
        and cls.__name__ not in LEFT_OUT
    }
    return {"Random": found.pop("Random"), **found}


def _make(cls: type[QueryStrategy]) -> Any:
    if cls is QBCVariance:
        ensemble = DeepEnsembleRegressor(NetRegressor(**NET), 5)
        return ByEnsemble(cls(Members()), regressor(ensemble))
    if cls._reads == "posterior" and cls.__name__ != "VariationOfPrediction":
        return cls(posterior=MCDropout(20))
    return cls()


def make_net(strategy: str) -> TransformedTargetRegressor:
    """Make the net that is scored, so that the strategy can read it."""
    if strategy == "LossPrediction":  # detached: the net is the one of the others
        return regressor(LossPredictionRegressor(**NET, detach_after=0))
    if strategy == "VariationOfPrediction":
        snapshots = WeightSnapshots(every=3, warmup=EPOCHS // 2)
        return regressor(NetRegressor(**NET, callbacks=[("snapshots", snapshots)]))
    return regressor(NetRegressor(**NET))


def split(name: str, seed: int) -> Split:
    """Draw pool and test of a table."""
    X, y = load_small(name)
    order = np.random.default_rng(seed).permutation(len(X))
    pool, test = np.split(order, [int(0.8 * len(X))])
    pool, test = pool[:MOST_ROWS], test[:MOST_ROWS]
    prepare = make_tabular_preprocessor().fit(X.iloc[pool])
    parts = (np.asarray(prepare.transform(X.iloc[p]), np.float32) for p in (pool, test))
    X_pool, X_test = parts
    y = y.astype(np.float32)
    return Split(X_pool, y[pool], X_test, y[test], X_test[:0], y[:0])


def n_queries(n_rows: int) -> int:
    """Count the queries until three quarters of the pool are labeled, at most 15."""
    return min(N_QUERIES, (3 * n_rows // 4 - N_INITIAL) // N_INSTANCES)


def play(name: str, seed: int, strategy: str) -> pd.DataFrame:
    """Play one campaign, by the names of its parts."""
    torch.set_num_threads(1)
    data = split(name, seed)
    sizes = (N_INITIAL, N_INSTANCES, n_queries(len(data.X)))
    return campaign(data, make_net(strategy), strategies()[strategy], seed, sizes)
