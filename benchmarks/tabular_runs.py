"""Campaigns of regression, played side by side, each kept in a file as it ends."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from skal import ActiveLearner

METRICS = ("mae", "rmse", "q95", "q99", "maxe")
KEYS = ["set", "split", "strategy"]
Task = tuple[str, int, str]


class Split(NamedTuple):
    """Rows and targets of what may be labeled, of the test, and of the validation.

    The first rows of ``X`` are those that are labeled at the start.
    """

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    X_valid: np.ndarray
    y_valid: np.ndarray


def errors(predicted: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Mean, root mean square, quantiles and maximum of the absolute errors."""
    error = np.sort(np.abs(np.ravel(predicted) - np.ravel(y).astype(float)))
    n = len(error)
    return {
        "mae": error.mean(),
        "rmse": np.sqrt(np.mean(error**2)),
        "q95": error[int(0.95 * n)],
        "q99": error[int(0.99 * n)],
        "maxe": error[-1],
    }


def campaign(
    data: Split,
    estimator: Any,
    strategy: Any,
    seed: int,
    sizes: tuple[int, int, int],
    note: Callable[[Any], dict[str, Any]] = lambda estimator: {},
) -> pd.DataFrame:
    """Play one campaign; a row a step.

    Parameters
    ----------
    data : Split
    estimator, strategy : objects
        Both are the campaign's own.
    seed : int
        Each training and each query has a seed of its own that follows from it, so
        that all strategies train nets from the same weights.
    sizes : tuple of int
        Labels at the start, labels of a query, queries.
    note : callable
        What is noted of each fitted estimator beside its errors.
    """
    n_initial, n_instances, n_queries = sizes
    seeds = np.random.SeedSequence(seed).generate_state(2 * (n_queries + 1))
    net_seeds, query_seeds = seeds.reshape(2, -1)
    unlabeled = np.arange(n_initial, len(data.X))
    learner = ActiveLearner(estimator, strategy)
    X, y = data.X[:n_initial], data.y[:n_initial]
    steps: list[dict[str, Any]] = []
    query_time = np.nan
    for step in range(n_queries + 1):
        _seed(learner.estimator, int(net_seeds[step]))
        start = perf_counter()
        learner.teach(X, y)
        fit_time = perf_counter() - start
        predicted = learner.estimator.predict(data.X_test)
        steps.append(
            {
                "step": step,
                "n_labeled": len(learner.X_training),
                **errors(predicted, data.y_test),
                "query_time": query_time,
                "fit_time": fit_time,
                **note(learner.estimator),
            }
        )
        if step == n_queries:
            break
        _seed(strategy, int(query_seeds[step]))
        start = perf_counter()
        picked, _ = learner.query(data.X[unlabeled], n_instances=n_instances)
        query_time = perf_counter() - start
        X, y = data.X[unlabeled[picked]], data.y[unlabeled[picked]]
        unlabeled = np.delete(unlabeled, picked)
    return pd.DataFrame(steps)


def _seed(model: Any, seed: int) -> None:
    """Seed all that is named ``random_state``, at any depth."""
    names = [n for n in model.get_params() if n.split("__")[-1] == "random_state"]
    model.set_params(**dict.fromkeys(names, seed))


def kept(file: Path) -> pd.DataFrame:
    """Read the campaigns that the file holds; none if there is no file."""
    return pd.read_csv(file) if file.exists() else pd.DataFrame(columns=KEYS)


def collect(
    play: Callable[[str, int, str], pd.DataFrame],
    tasks: Sequence[Task],
    n_jobs: int,
    file: Path,
) -> int:
    """Play what the file lacks; the number of campaigns that failed.

    One that fails is told of, and the others go on.
    """
    done = set(kept(file)[KEYS].itertuples(index=False, name=None))
    todo = [task for task in tasks if task not in done]
    file.parent.mkdir(parents=True, exist_ok=True)
    parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    results = parallel(delayed(_attempt)(play, task) for task in todo)
    failed = 0
    for result in tqdm(results, total=len(todo), desc="campaigns"):
        if isinstance(result, str):
            failed += 1
            print(result, file=sys.stderr, flush=True)
        else:
            result.to_csv(file, mode="a", header=not file.exists(), index=False)
    return failed


def _attempt(play: Callable[..., Any], task: Task) -> pd.DataFrame | str:
    try:
        table: pd.DataFrame = play(*task)
        for place, (key, value) in enumerate(zip(KEYS, task, strict=True)):
            table.insert(place, key, value)
        return table
    except Exception:
        return f"{task} failed:\n{traceback.format_exc()}"
