"""A campaign of regression, its errors, and strategies, for studies on tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from skal import ActiveLearner
from skal.posteriors import MCDropout, Posterior
from skal.simulation.statistics import mean_interval
from skal.strategies import (
    QueryStrategy,
    VariationOfPrediction,
    WrappingStrategy,
    all_strategies,
)

METRICS = ("mae", "rmse", "q95", "q99", "maxe")
KEYS = ["set", "split", "strategy"]


class Split(NamedTuple):
    """Rows and targets of the pool, of the test, and of the validation.

    The first rows of ``X`` are labeled at the start.
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
    """Play one campaign; a row per step.

    Parameters
    ----------
    data : Split
    estimator, strategy : objects
        Used by this campaign only.
    seed : int
        Determines a separate seed for each training and each query, so that all
        strategies train nets from the same weights.
    sizes : tuple of int
        Labels at the start, labels of a query, queries.
    note : callable
        Returns further columns for each fitted estimator.
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
        seed_all(learner.estimator, int(net_seeds[step]))
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
        seed_all(strategy, int(query_seeds[step]))
        start = perf_counter()
        picked, _ = learner.query(data.X[unlabeled], n_instances=n_instances)
        query_time = perf_counter() - start
        X, y = data.X[unlabeled[picked]], data.y[unlabeled[picked]]
        unlabeled = np.delete(unlabeled, picked)
    return pd.DataFrame(steps)


def seed_all(model: Any, seed: int) -> None:
    """Set every parameter named ``random_state``, at any depth."""
    names = [n for n in model.get_params() if n.split("__")[-1] == "random_state"]
    model.set_params(**dict.fromkeys(names, seed))


#: What strategies that read several models of a net read in the studies of tables.
DROPOUT = MCDropout(20)


def strategies_for(
    task: str,
    *,
    left_out: Sequence[str] = (),
    posterior: Posterior | None = DROPOUT,
    nets: bool = True,
) -> dict[str, Any]:
    """All of skal's strategies for a task that do not wrap others, "Random" first.

    Those that read several models read `posterior`, if they take any and it is not
    None, and those that need a net are left out where `nets` is False.
    """
    found = {
        cls.__name__: _make(cls, posterior)
        for cls in all_strategies()
        if cls._task in ("any", task)
        and not issubclass(cls, WrappingStrategy)
        and cls.__name__ not in left_out
        and (nets or cls._requires != "net")
    }
    return {"Random": found.pop("Random"), **found}


def _make(cls: type[QueryStrategy], posterior: Posterior | None) -> Any:
    strategy: Any = cls()
    of_epochs = isinstance(strategy, VariationOfPrediction)
    takes_any = cls._requires is None and hasattr(strategy, "posterior")
    if posterior is not None and takes_any and not of_epochs:
        strategy.set_params(posterior=posterior)
    return strategy


def ordered(
    data: pd.DataFrame, sets: Sequence[str], names: Sequence[str]
) -> pd.DataFrame:
    """Sort campaigns by set, split and strategy, as these are named."""
    data = data.assign(
        set=pd.Categorical(data["set"], [s for s in sets if s in set(data["set"])]),
        strategy=pd.Categorical(
            data["strategy"], [s for s in names if s in set(data["strategy"])]
        ),
    )
    return data.dropna(subset=KEYS).sort_values([*KEYS, "step"], ignore_index=True)


def mean_logs(data: pd.DataFrame) -> pd.DataFrame:
    """Mean of the log errors over the steps after the first, a row a campaign."""
    later = data[data["step"] > 0]
    logs = later[list(METRICS)].apply(np.log).join(later[KEYS])
    return logs.groupby(KEYS, observed=True)[list(METRICS)].mean()


def interval(gains: pd.Series, digits: int = 3) -> str:
    """Write the 95 % interval of a mean; nothing for a single value."""
    if len(gains) < 2:
        return ""
    _, low, high = mean_interval(gains.to_numpy())
    return f"{low:+.{digits}f} to {high:+.{digits}f}"


def error(values: pd.Series) -> str:
    """Write the standard error of a mean; nothing for a single value."""
    return f"{values.sem():.3f}" if len(values) > 1 else ""


def as_table(lines: dict[Any, dict[str, Any]]) -> pd.DataFrame:
    """Make a table of text of its lines, blank where one has no such column."""
    table = pd.DataFrame.from_dict(lines, orient="index").fillna("")
    return table.rename_axis("strategy")
