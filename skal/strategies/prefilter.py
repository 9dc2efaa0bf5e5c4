"""A strategy that sees the rows that another scores highest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any, ClassVar

import torch

from skal.exceptions import UnsuitableLearnerError
from skal.reading.pool import Pool
from skal.selection import Picks, top_k
from skal.strategies.base import QueryStrategy, ScoreStrategy
from skal.strategies.random import Random
from skal.strategies.wrapping import WrappingStrategy, pick_among

__all__ = ["Prefilter", "n_kept"]


class Prefilter(WrappingStrategy):
    r"""Let a strategy pick among the rows that another one scores highest [1]_.

    Parameters
    ----------
    strategy : QueryStrategy, optional
        Picks, mostly for diversity, as `CoreSet` does; by default `Random`.
    by : ScoreStrategy, optional
        Scores, mostly uncertainty; by default `Margin` for classifiers, and for
        regressors `PredictiveVariance`, which needs several plausible models:
        dropout, a committee, or another posterior.
    factor : float
        How many rows are kept for each that is picked, 1 or more: factor × n of the
        pool, rounded up, or all of it.  1 leaves no choice but in which order.
    random_state : int, RandomState, Generator or None
        Draws for the two strategies, where they have no `random_state` of their own.

    Notes
    -----
    Uncertain rows are often alike, and diverse rows often certain.  The filter gives
    up what is least uncertain, the strategy what is alike.  Rows of equal score are
    kept in pool order, and the strategy sees what is kept in the order of the pool.
    The scores of the picks are those of `strategy`.

    Costs what `by` costs on the pool, and what `strategy` costs on factor × n rows,
    which are copied.

    References
    ----------
    .. [1] Zhdanov, "Diverse mini-batch active learning", 2019.
       https://arxiv.org/abs/1901.05954

    Examples
    --------
    >>> import numpy as np
    >>> from skal import NetClassifier
    >>> from skal.strategies import CoreSet, Entropy, Prefilter
    >>> X = np.linspace(-1, 1, 100)[:, None]
    >>> net = NetClassifier(max_epochs=5, random_state=0).fit(X[::10], X[::10, 0] > 0)
    >>> strategy = Prefilter(CoreSet(), by=Entropy(), factor=5)
    >>> strategy.select(net, X, 3).indices.shape
    (3,)
    """

    _holds: ClassVar[Mapping[str, type[Any]]] = {
        "strategy": QueryStrategy,
        "by": ScoreStrategy,
    }

    def __init__(
        self,
        strategy: QueryStrategy | None = None,
        by: ScoreStrategy | None = None,
        factor: float = 10,
        random_state: Any = None,
    ) -> None:
        self.strategy = strategy
        self.by = by
        self.factor = factor
        self.random_state = random_state

    def _default(self, name: str, pool: Pool) -> QueryStrategy:
        return Random() if name == "strategy" else super()._default(name, pool)

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        size = n_kept(self.factor, n, len(pool))
        by = self._held_scores("by", pool)
        try:
            scores = by._scores(pool, rng)
        except UnsuitableLearnerError as error:
            if self.by is not None:
                raise
            raise UnsuitableLearnerError(
                f"{error} Or name what rows are scored by, Prefilter(by=...): None "
                f"takes {type(by).__name__}."
            ) from error
        kept = top_k(scores, size).indices.cpu().sort().values
        return pick_among(self._held("strategy", pool), pool, kept, n, rng)


def n_kept(factor: Any, n: int, m: int) -> int:
    """Give factor × n, rounded up, at most m.

    Raises
    ------
    ValueError
        If `factor` is no number of at least 1.
    """
    number = isinstance(factor, Real) and not isinstance(factor, bool)
    if not number or not 1 <= factor < math.inf:
        raise ValueError(
            "factor must be a number of at least 1, of the rows kept for each that is "
            f"picked, got {factor!r}."
        )
    if factor >= m:
        return m
    # A product such as 1.1 * 10 lies a little above its whole number.
    return min(m, math.ceil(round(float(factor) * n, 9)))
