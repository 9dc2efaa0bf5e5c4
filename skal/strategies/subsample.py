"""A strategy that sees a random part of the pool."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import torch

from skal.reading.pool import Pool
from skal.selection import Picks
from skal.strategies.base import QueryStrategy
from skal.strategies.wrapping import WrappingStrategy, pick_among

__all__ = ["Subsample"]


class Subsample(WrappingStrategy):
    r"""Let a strategy pick from a random part of the pool.

    Parameters
    ----------
    strategy : QueryStrategy, optional
        Picks; by default `Margin` for classifiers, `GreedySampling` for regressors.
    max_rows : int or float
        How many rows it sees, or which share of the pool, above 0 and up to 1.  At
        least as many as are picked, at most all.
    random_state : int, RandomState, Generator or None
        Draws the rows, and for the strategy if it has no `random_state` of its own.

    Notes
    -----
    The rows are drawn uniformly, without replacement, anew at each query, and keep the
    order of the pool.  All else is that of the strategy: what it reads, which learners
    it is for, its scores.  What it costs follows `max_rows` in place of the pool, so
    that a method of many passes does for a pool of any size.  The part that is seen is
    copied; of a memmap or a dask array, nothing else is read.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import Entropy, Subsample
    >>> X = np.linspace(-1, 1, 100)[:, None]
    >>> model = LogisticRegression().fit(X[::10], X[::10, 0] > 0)
    >>> strategy = Subsample(Entropy(), max_rows=20, random_state=0)
    >>> strategy.select(model, X, 3).indices.shape
    (3,)
    """

    def __init__(
        self,
        strategy: QueryStrategy | None = None,
        max_rows: int | float = 10_000,
        random_state: Any = None,
    ) -> None:
        self.strategy = strategy
        self.max_rows = max_rows
        self.random_state = random_state

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        m = len(pool)
        size = min(m, max(n, _count(self.max_rows, m)))
        drawn = torch.randperm(m, generator=rng)[:size].sort().values
        return pick_among(self._held("strategy", pool), pool, drawn, n, rng)


def _count(max_rows: Any, m: int) -> int:
    """Turn an int or a share into a number of the `m` rows."""
    whole = isinstance(max_rows, Integral) and not isinstance(max_rows, bool)
    if whole and int(max_rows) >= 1:
        return int(max_rows)
    share = isinstance(max_rows, Real) and not isinstance(max_rows, Integral)
    if not share or not 0 < max_rows <= 1:
        raise ValueError(
            "max_rows must be an int of at least 1, or a float above 0 and up to 1 for "
            f"a share of the pool, got {max_rows!r}."
        )
    return max(1, round(float(max_rows) * m))
