"""Picks without duplicates of rows that are already picked or labeled."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from skal._equal_rows import row_codes, without_order
from skal._stacking import stack_rows
from skal.reading.pool import Pool
from skal.selection import Picks
from skal.strategies.base import QueryStrategy
from skal.strategies.wrapping import WrappingStrategy

__all__ = ["Distinct"]


class Distinct(WrappingStrategy):
    """Picks of a strategy without duplicates of picked or labeled rows.

    Parameters
    ----------
    strategy : QueryStrategy, optional
        Picks the rows; by default `Margin` for classifiers, `GreedySampling` for
        regressors.
    random_state : int, RandomState, Generator or None
        Used by the strategy if its own `random_state` is None.

    Notes
    -----
    Equal rows have equal scores, so a batch of the highest scores may consist of
    duplicates, although one label is informative for all of them.  The strategy sees
    only one of several equal rows, and no row that equals a labeled row.  This one is
    drawn at random, and is the same in each query.  Duplicates are picked only after
    all other rows have been picked: the strategy then makes another query.

    Rows are compared as they are stored, before any transformer.  If the labels of
    equal rows differ, their spread cannot be learned from one row of each kind.
    Strategies that compare the rows of a batch, such as `LCMD`, do not pick duplicates
    in any case.  The cost is that of sorting the rows; the rows that the strategy sees
    are copied.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import Distinct, Entropy
    >>> X = np.linspace(-1, 1, 11)[:, None]
    >>> model = LogisticRegression().fit(X, X[:, 0] > 0.1)
    >>> pool = np.repeat(X, 10, axis=0)
    >>> picked = Distinct(Entropy()).select(model, pool, 3).indices
    >>> len(np.unique(pool[picked]))
    3
    """

    def __init__(
        self, strategy: QueryStrategy | None = None, random_state: Any = None
    ) -> None:
        self.strategy = strategy
        self.random_state = random_state

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        strategy = self._wrapped("strategy", pool)
        codes, known = _codes(pool)
        left = np.arange(len(pool))
        parts: list[Picks] = []
        while n > 0:
            fresh = left[~np.isin(codes[left], known)]
            if not len(fresh):  # copies alone are left
                fresh, known = left, known[:0]
            kinds = codes[fresh]
            first = np.unique(kinds, return_index=True)[1]
            rows = torch.from_numpy(np.sort(fresh[without_order(first, kinds)]))
            seen = pool if len(rows) == len(pool) else pool.take(rows)
            picks = strategy._query(seen, min(n, len(rows)), rng)
            parts.append(Picks(rows[picks.indices], picks.scores))
            left = np.setdiff1d(left, parts[-1].indices.numpy())
            n -= len(picks.indices)
        return Picks(*(torch.cat(list(found)) for found in zip(*parts, strict=True)))


def _codes(pool: Pool) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the rows of the pool, and those among them that are labeled."""
    labeled = [X for X, _ in pool.labeled]
    try:
        together = pool.X
        for X in labeled:
            together = stack_rows(together, X)
        codes = row_codes(together)
    except (TypeError, ValueError):  # rows of other shapes equal none
        codes = row_codes(pool.X)
    m = len(pool)
    return codes[:m], np.unique(codes[m:])
