"""Random sampling: the baseline of every other strategy."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from skal.reading.pool import Pool
from skal.selection import Picks, top_k
from skal.strategies.base import ScoreStrategy
from skal.strategies.drawing import WeightedStrategy

__all__ = ["Random"]


class Random(WeightedStrategy, ScoreStrategy):
    """Rows drawn uniformly at random, without replacement.

    Parameters
    ----------
    random_state : int, RandomState, Generator or None
        Used to draw the rows; with an int, the same rows of the same pool are picked in
        each query.

    Notes
    -----
    Suits every learner.  The model is not used and need not be fitted; the rows are
    read once to check that the model can accept them.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from skal.strategies import Random
    >>> X = np.arange(10.0)[:, None]
    >>> Random(random_state=0).select(LinearRegression(), X, 3).indices.shape
    (3,)
    """

    def __init__(self, random_state: Any = None) -> None:
        self.random_state = random_state

    def _score(self, pool: Pool, rng: torch.Generator) -> Tensor:
        pool.check_finite()
        return torch.rand(len(pool), generator=rng, dtype=torch.float64)

    def _weighted(
        self, pool: Pool, n: int, rng: torch.Generator
    ) -> tuple[Picks, Tensor]:
        picks = top_k(self._checked_scores(pool, rng), n, rng)
        return picks, torch.zeros(len(pool), dtype=torch.float64)
