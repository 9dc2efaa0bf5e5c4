"""Campaigns of `benchmarks.ldm_worth`: pools, strategies, and how they are played."""

from __future__ import annotations

import warnings
from functools import cache
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler

from benchmarks.campaigns import ByEnsemble
from benchmarks.sets import load_classes
from benchmarks.tabular_runs import seed_all
from skal import ActiveLearner
from skal.nets import MLP, DeepEnsembleClassifier, NetClassifier
from skal.posteriors import MCDropout, Members
from skal.strategies import (
    BADGE,
    BALD,
    LDM,
    BatchBALD,
    CoreSet,
    Entropy,
    LDMSeeding,
    Margin,
    Random,
    VariationRatio,
)

KEYS = ["pool", "batch", "set", "strategy", "seed"]
#: Distinct rows of each set.
N_ROWS = {"letter": 18668, "optdigits": 5620, "digits": 1797, "mnist": 60000}
SETS = tuple(N_ROWS)
POOL, TEST = 1000, 1000
#: Labels at the start, and queries, by batch.
SIZES = {1: (20, 20), 20: (20, 10), 100: (100, 4)}
CLEAN, CLASSES, ROWS = "clean", "foreign classes", "foreign rows"
WRONG = {"10 % wrong": 0.1, "30 % wrong": 0.3}
#: Batch and sets of each pool.
PLAYED: dict[str, dict[int, tuple[str, ...]]] = {
    CLEAN: {20: SETS, 100: SETS, 1: SETS},
    **{name: {20: SETS[:2]} for name in (*WRONG, CLASSES, ROWS)},
}
#: Only played with a clean pool: nearly as another, or slow.
ONLY_CLEAN = ("LDM", "BatchBALD")
NET: dict[str, Any] = {
    "module": MLP,
    "optimizer": torch.optim.Adam,
    "module__hidden_sizes": (64,),
    "module__dropout": 0.2,
    "lr": 1e-2,
    "max_epochs": 60,
    "batch_size": 64,
    "optimizer__fused": True,
}
ENSEMBLE, OWN = "VariationRatio, ensemble", "LDMSeeding"


class Problem(NamedTuple):
    """A pool, the labels that are given, which rows have one, and a test."""

    X: np.ndarray
    y: np.ndarray
    wanted: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


@cache
def load(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Load a set; raise OSError if it is missing."""
    if name != "digits":
        return load_classes(name)
    X, y = load_digits(return_X_y=True)
    return X.astype(np.float32), y.astype(str)


def problem(name: str, pool: str, seed: int) -> Problem:
    """Draw a pool and a test, scaled by the pool's rows, and spoil the pool."""
    X, y = load(name)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(X))[: POOL + TEST]
    chosen, held_out = rows[:POOL], rows[POOL:]
    if name == "mnist":  # one scale for all pixels: rarely used ones would explode
        mean, std = X[chosen].mean(), X[chosen].std()
        X_pool, X_test = (X[chosen] - mean) / std, (X[held_out] - mean) / std
    else:
        scaler = StandardScaler().fit(X[chosen])
        X_pool, X_test = scaler.transform(X[chosen]), scaler.transform(X[held_out])
    labels, y_test = y[chosen], y[held_out]
    wanted = np.ones(len(chosen), dtype=bool)
    classes = np.unique(y)
    if pool in WRONG:
        spoiled = rng.permutation(len(chosen))[: round(WRONG[pool] * len(chosen))]
        shift = rng.integers(1, len(classes), len(spoiled))
        places = np.searchsorted(classes, labels[spoiled]) + shift
        labels[spoiled] = classes[places % len(classes)]
    elif pool == CLASSES:
        foreign = classes[-(len(classes) // 5) :]
        wanted = ~np.isin(labels, foreign)
        known = ~np.isin(y_test, foreign)
        X_test, y_test = X_test[known], y_test[known]
    elif pool == ROWS:
        wanted[-(len(chosen) // 5) :] = False
        X_pool[~wanted] = rng.permuted(X_pool, axis=0)[~wanted]
    return Problem(X_pool, labels, wanted, X_test, y_test)


def first_rows(y: np.ndarray, wanted: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Draw a wanted row of each class, and others up to n."""
    order = np.random.default_rng(seed).permutation(np.flatnonzero(wanted))
    _, first = np.unique(y[order], return_index=True)
    others = np.delete(order, first)
    return np.concatenate([order[first], others[: max(0, n - len(first))]])


def strategies(batch: int) -> dict[str, Any]:
    """Make the strategies that are played, "Random" first."""
    dropout = MCDropout(20)
    ensemble = DeepEnsembleClassifier(NetClassifier(**NET), 5)
    found = {
        "Random": Random(),
        "Entropy": Entropy(),
        "Margin": Margin(),
        "CoreSet": CoreSet(),
        "BADGE": BADGE(),
        "BALD": BALD(dropout),
        "BatchBALD": BatchBALD(dropout, n_configurations=1000),
        ENSEMBLE: ByEnsemble(VariationRatio(Members()), ensemble),
        "LDM": LDM(),
        "LDMSeeding": LDMSeeding(),
    }
    if batch == 1:
        del found["BatchBALD"], found["LDM"]
    return found


def names_of(pool: str, batch: int) -> list[str]:
    """List the strategies that are played with a pool and a batch."""
    left_out = () if pool == CLEAN else ONLY_CLEAN
    return [name for name in strategies(batch) if name not in left_out]


def play(
    pool: str, batch: int, name: str, strategy: str, seed: int, most: int = 999
) -> pd.DataFrame:
    """Play one campaign with at most so many queries; a row per step."""
    data = problem(name, pool, seed)
    n_initial, n_queries = SIZES[batch]
    model = NetClassifier(**NET, classes=np.unique(data.y[data.wanted]))
    sizes = n_initial, batch, min(most, n_queries)
    with warnings.catch_warnings():
        # A start with nearly as many classes as rows.
        warnings.filterwarnings("ignore", "The number of unique classes")
        return campaign(data, model, strategies(batch)[strategy], seed, sizes)


def campaign(
    data: Problem,
    model: Any,
    strategy: Any,
    seed: int,
    sizes: tuple[int, int, int],
) -> pd.DataFrame:
    """Play one campaign, in which rows that are not wanted get no label.

    Parameters
    ----------
    data : Problem
    model, strategy : objects
        Used by this campaign only.
    seed : int
        Determines a separate seed for each training and each query, so that all
        strategies train nets from the same weights.
    sizes : tuple of int
        Labels at the start, labels of a query, queries.
    """
    torch.set_num_threads(1)
    n_initial, batch, n_queries = sizes
    seeds = np.random.SeedSequence(seed).generate_state(2 * (n_queries + 1))
    net_seeds, query_seeds = (part.tolist() for part in seeds.reshape(2, -1))
    asked = first_rows(data.y, data.wanted, n_initial, seed)
    unlabeled = np.setdiff1d(np.arange(len(data.X)), asked)
    learner = ActiveLearner(model, strategy)
    steps: list[dict[str, Any]] = []
    n_asked, n_rejected, query_time = len(asked), 0, np.nan
    for step in range(n_queries + 1):
        taught = asked[data.wanted[asked]]
        n_rejected += len(asked) - len(taught)
        if len(taught):
            seed_all(learner.estimator, net_seeds[step])
            learner.teach(data.X[taught], data.y[taught])
        steps.append(
            {
                "step": step,
                "n_labeled": n_asked,
                "score": learner.estimator.score(data.X_test, data.y_test),
                "rejected": n_rejected,
                "query_time": query_time,
            }
        )
        if step == n_queries:
            break
        seed_all(strategy, query_seeds[step])
        start = perf_counter()
        picked, _ = learner.query(data.X[unlabeled], n_instances=batch)
        query_time = perf_counter() - start
        asked = unlabeled[picked]
        n_asked += len(asked)
        unlabeled = np.delete(unlabeled, picked)
    return pd.DataFrame(steps)
