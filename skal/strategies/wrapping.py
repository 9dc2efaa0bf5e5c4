"""What strategies that hold another strategy share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from skal.exceptions import UnsuitableLearnerError
from skal.reading.pool import Pool
from skal.selection import Picks
from skal.strategies.base import QueryStrategy, ScoreStrategy
from skal.strategies.greedy_sampling import GreedySampling
from skal.strategies.uncertainty import Margin
from skal.strategies.variance import PredictiveVariance

__all__ = ["WrappingStrategy", "pick_among"]


class WrappingStrategy(QueryStrategy):
    """Base of strategies that hold others as parameters.

    Notes
    -----
    A subclass names these parameters in ``_holds``, each with the class it must be of.
    What a held strategy asks of a learner is asked at the door, and ``_default`` stands
    for None.  `_held` gives a strategy, whose ``_query(pool, n, rng)`` picks, and whose
    ``_scores(pool, rng)`` scores if it is a `ScoreStrategy`.

    A held strategy draws from its own ``random_state`` if that is set, from the
    wrapper's if not.  Its parameters are nested, ``strategy__n_draws``.
    """

    _task: ClassVar[str] = "any"
    _reads: ClassVar[str] = "predictions"  # at least; the held ones may read more
    _holds: ClassVar[Mapping[str, type[Any]]] = {"strategy": QueryStrategy}

    def _check_learner(self, pool: Pool) -> None:
        """Raise if this strategy or one that it holds does not fit."""
        super()._check_learner(pool)
        for name in self._holds:
            self._held(name, pool)._check_learner(pool)

    def _held(self, name: str, pool: Pool) -> QueryStrategy:
        """Give the strategy that a parameter holds.

        Raises
        ------
        TypeError
            If it is none, or of another kind.
        UnsuitableLearnerError
            If it is None, and the learner's task is not known.
        """
        strategy, kind = getattr(self, name), self._holds[name]
        if strategy is None:
            return self._default(name, pool)
        if isinstance(strategy, kind):
            return strategy
        wanted = "a query strategy"
        if kind is ScoreStrategy:
            wanted = "a strategy that scores every row (a ScoreStrategy)"
        hint = ""
        if isinstance(strategy, type):
            hint = f" Construct it: {strategy.__name__}()."
        raise TypeError(
            f"{name} of {type(self).__name__} must be {wanted}, such as Margin(), got "
            f"{strategy!r}.{hint}"
        )

    def _held_scores(self, name: str, pool: Pool) -> ScoreStrategy:
        """Give the strategy of a parameter that must score every row."""
        return cast("ScoreStrategy", self._held(name, pool))

    def _default(self, name: str, pool: Pool) -> QueryStrategy:
        """Give what stands for None.

        `Margin` for classifiers; for regressors `PredictiveVariance` where rows must be
        scored, else `GreedySampling`.
        """
        if pool.task == "classification":
            return Margin()
        if pool.task == "regression":
            scores = self._holds[name] is ScoreStrategy
            return PredictiveVariance() if scores else GreedySampling()
        raise UnsuitableLearnerError(
            f"{type(pool.learner).__name__} does not tell whether it is a classifier "
            f"or a regressor. Name a strategy: {type(self).__name__}({name}=...)."
        )


def pick_among(
    strategy: QueryStrategy, pool: Pool, rows: Tensor, n: int, rng: Any
) -> Picks:
    """Let a strategy see only some rows of the pool.

    Parameters
    ----------
    strategy : QueryStrategy
        Fits the learner.
    pool : Pool
    rows : Tensor of shape (r,), int64
        Positions in the pool, in rising order.
    n : int
        How many of them to pick.
    rng : torch.Generator
        Drawn from if the strategy has no `random_state` of its own.

    Returns
    -------
    picks : Picks
        Positions in the whole pool.
    """
    part = pool if len(rows) == len(pool) else pool.take(rows)
    picks = strategy._query(part, n, rng)
    return Picks(rows[torch.from_numpy(picks.indices)], torch.as_tensor(picks.scores))
