"""Strategies that draw rows, with the probability of each."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from skal.reading.pool import Pool
from skal.selection import Picks, draw_probabilities
from skal.strategies.base import QueryStrategy

__all__ = ["DrawingStrategy", "DrawnSelection", "WeightedStrategy", "lowest_share"]


class DrawnSelection(NamedTuple):
    """Rows drawn by a strategy, in the order drawn.

    Attributes
    ----------
    indices : ndarray of shape (n,), int64
        Positions in the pool.
    scores : ndarray of shape (n,)
        As in `Selection`.
    probabilities : ndarray of shape (n,)
        Probability that the row was drawn next, given those before it.
    """

    indices: np.ndarray
    scores: np.ndarray
    probabilities: np.ndarray


class DrawingStrategy(QueryStrategy):
    """Base class of strategies that know the probability of each pick.

    A subclass implements `_draw_rows`.
    """

    def draw(self, learner: Any, X_pool: Any, n_instances: int = 1) -> DrawnSelection:
        """Pick the rows of `select`, and return their probabilities as well.

        Parameters
        ----------
        learner, X_pool, n_instances
            As in `select`.

        Returns
        -------
        draws : DrawnSelection
            With them, `skal.evaluation.lure` estimates the mean loss over the pool from
            the rows picked, without bias.

        Raises
        ------
        ValueError
            If some rows could not be drawn at all, so that nothing is learned about
            them; otherwise as in `select`.

        Notes
        -----
        The first of the rows is drawn from all rows of the pool, the k-th from those
        that are left.  Over several queries, pass the pool without the rows picked
        before, and join the probabilities in order.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.linear_model import LinearRegression
        >>> from skal.strategies import Random
        >>> X = np.arange(4.0)[:, None]
        >>> Random(random_state=0).draw(LinearRegression(), X, 3).probabilities
        array([0.25      , 0.33333333, 0.5       ])
        """
        drawn, lowest = self._drawn(learner, X_pool, n_instances)
        if not lowest > 0:
            raise ValueError(
                f"{type(self).__name__} gives some rows of the pool no chance to be "
                "drawn, so that nothing is learned about their losses. Mix it with "
                "Random: Mixture(strategy, share=0.1)."
            )
        return drawn

    def _drawn(
        self, learner: Any, X_pool: Any, n_instances: int
    ) -> tuple[DrawnSelection, float]:
        """Do as `draw` does; return 0 as well if some rows could not be drawn."""
        with (
            self._asked(learner, X_pool, n_instances) as (pool, n),
            self._drawing(None) as rng,
        ):
            picks, probabilities, lowest = self._draw_rows(pool, n, rng)
            picks = self._check_picks(picks, n, len(pool))
        drawn = DrawnSelection(
            picks.indices.numpy(),
            picks.scores.numpy(),
            probabilities.cpu().double().numpy(),
        )
        return drawn, lowest

    @abstractmethod
    def _draw_rows(
        self, pool: Pool, n: int, rng: torch.Generator
    ) -> tuple[Picks, Tensor, float]:
        """Pick the rows of `_select`, and find their probabilities.

        Returns
        -------
        picks : Picks
        probabilities : Tensor of shape (n,)
        lowest : float
            0 if some row of the pool could not be drawn, otherwise positive.
        """


class WeightedStrategy(DrawingStrategy):
    """Base class of strategies that draw rows one by one in proportion to weights.

    A subclass implements `_weighted`.
    """

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        return self._weighted(pool, n, rng)[0]

    def _draw_rows(
        self, pool: Pool, n: int, rng: torch.Generator
    ) -> tuple[Picks, Tensor, float]:
        picks, logs = self._weighted(pool, n, rng)
        return picks, draw_probabilities(logs, picks.indices), lowest_share(logs)

    def query_weighted(
        self, pool: Pool, n: int, outer: torch.Generator
    ) -> tuple[Picks, Tensor]:
        """Pick rows as `_query` does; return the logarithms of the weights as well."""
        with self._drawing(outer) as rng:
            picks, logs = self._weighted(pool, n, rng)
            return self._check_picks(picks, n, len(pool)), logs.cpu()

    @abstractmethod
    def _weighted(
        self, pool: Pool, n: int, rng: torch.Generator
    ) -> tuple[Picks, Tensor]:
        """Pick rows; return the logarithms of the weights of all rows as well."""


def lowest_share(log_weights: Tensor) -> float:
    """Ratio of the lowest weight to the highest; only ratios of weights matter."""
    return float((log_weights.min() - log_weights.max()).exp())
