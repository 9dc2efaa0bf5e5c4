"""Why a strategy picks its rows: a table for people."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from skal.contexts import own_modes
from skal.exceptions import UnsuitableLearnerError
from skal.posteriors.auto import predictive_std
from skal.reading.pool import Pool
from skal.rng import preserve_global_rng, resolve_rng, seed_from
from skal.rows import copied_rows, take_rows
from skal.strategies.space import ReadsSpace, read_space

if TYPE_CHECKING:
    import pandas as pd

    from skal.strategies.base import QueryStrategy

__all__ = ["explain", "explain_rows"]


def explain(
    strategy: QueryStrategy, learner: Any, X_pool: Any, n_instances: int
) -> pd.DataFrame:
    """Make the table of `QueryStrategy.explain`."""
    import pandas as pd

    picked, scores = strategy.select(learner, X_pool, n_instances)
    columns, name = explain_rows(strategy, learner, X_pool, picked)
    if "nearest_labeled" in columns:
        nearest = columns["nearest_labeled"]
        columns["nearest_labeled"] = _ids(Pool(learner, X_pool), nearest)
    ranks = np.arange(1, len(picked) + 1)
    columns = {"rank": ranks, "position": picked, "score": scores, **columns}
    index = getattr(X_pool, "index", None)
    ids = picked if index is None or callable(index) else index[picked]
    table = pd.DataFrame(columns, index=pd.Index(ids, name=getattr(ids, "name", None)))
    table.attrs["space"] = name
    return table


def explain_rows(
    strategy: Any, learner: Any, X_pool: Any, picked: np.ndarray
) -> tuple[dict[str, Any], str]:
    """Find what tells some rows of the pool from others.

    Returns
    -------
    columns : dict of str to ndarray of shape (n,)
        As of `QueryStrategy.explain`, but ``nearest_labeled`` holds positions.
    space : str
        In which distances are measured.
    """
    rows = take_rows(X_pool, picked)
    columns: dict[str, Any] = {}
    with own_modes():
        pool = Pool(learner, X_pool)
        if pool.is_fitted:
            # A committee of classifiers predicts by the mean of probabilities, of one
            # output.
            if (
                len(pool.members) == 1
                or pool.task != "classification"
                or (_has_proba(pool) and len(Pool(learner, rows).proba()) == 1)
            ):
                found = np.asarray(learner.predict(copied_rows(rows)))
                columns["prediction"] = list(found) if found.ndim > 1 else found
            uncertainty = _uncertainty(learner, rows)
            if uncertainty is not None:
                columns["uncertainty"] = uncertainty
        seed = getattr(strategy, "random_state", None)
        # As in the query, but for generators, which have gone on since.
        rng = resolve_rng(seed if isinstance(seed, Integral) else 0)
        with preserve_global_rng(seed_from(rng), if_alone=True):
            if isinstance(strategy, ReadsSpace):
                space, name = strategy._read_space(pool, rng), strategy.space_
            else:
                space, name = read_space(pool, "auto", rng=rng), "auto"
        if space.labeled is not None:
            sq_dist, center = space.pool.nearest(space.labeled)
            columns["distance"] = sq_dist[picked].clamp(min=0).sqrt().cpu().numpy()
            columns["nearest_labeled"] = center[picked].cpu().numpy()
    return columns, name if isinstance(name, str) else repr(name)


def _uncertainty(learner: Any, rows: Any) -> np.ndarray | None:
    """One minus the largest probability, or the standard deviation; None if neither."""
    pool = Pool(learner, rows)
    if pool.task == "classification":
        if not _has_proba(pool):
            return None
        largest = [proba.amax(dim=1) for proba in pool.proba()]
        return np.asarray(1 - torch.stack(largest).mean(dim=0).cpu().numpy())
    try:
        std = predictive_std(learner, rows, random_state=0)
    except UnsuitableLearnerError:
        return None
    return np.asarray(std.mean(dim=1).cpu().numpy())


def _has_proba(pool: Pool) -> bool:
    return all(hasattr(member.estimator, "predict_proba") for member in pool.members)


def _ids(pool: Pool, positions: np.ndarray) -> Any:
    """Index labels of labeled rows, or their positions."""
    held = pool.labeled
    index = getattr(held[0][0], "index", None) if len(held) == 1 else None
    return (
        positions if index is None or callable(index) else np.asarray(index)[positions]
    )
