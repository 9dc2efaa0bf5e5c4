"""The model of a campaign, and the rows that its strategy picks, from seeds alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import clone

from skal.learners import ActiveLearner
from skal.rng import preserve_global_rng, resolve_rng
from skal.rows import take_rows
from skal.simulation.loop import global_rng_lock, set_random_states
from skal.strategies import QueryStrategy
from skal.strategies.drawing import DrawingStrategy

__all__ = ["Picked", "Picker"]

#: Purposes of seeds.
_FIT, _PICK = 0, 1


@dataclass
class Picked:
    """Rows that were picked.

    Attributes
    ----------
    positions : ndarray of shape (n,)
        In the pool, in the order picked.
    scores : ndarray of shape (n,)
    by : str
        "initial" or "strategy".
    candidates : ndarray of shape (c,)
        Positions of the rows that they were picked from.
    probabilities : ndarray of shape (n,) or None
        With which each was drawn next among those that were left; None if the strategy
        does not tell, or gave some rows no chance.
    """

    positions: np.ndarray
    scores: np.ndarray
    by: str
    candidates: np.ndarray
    probabilities: np.ndarray | None = None


@dataclass
class Picker:
    """Fits a copy of the model and lets a copy of the strategy pick.

    Parameters
    ----------
    model : estimator
    strategy, initial : query strategies
        `initial` picks while there are fewer than `n_initial` labels, or labels of a
        single class.
    n_initial : int
    seed : int
        Sets every ``random_state`` that is not an int. Fits and picks depend on the
        seed, the labels and the number of events so far, not on what was done before in
        the process.
    classifies : bool
    """

    model: Any
    strategy: Any
    initial: Any
    n_initial: int
    seed: int
    classifies: bool
    _fitted: dict[int, ActiveLearner] = field(default_factory=dict)

    def suffices(self, y: np.ndarray) -> bool:
        """Whether there are enough labels to fit the model on and to pick by it."""
        many = len(y) >= self.n_initial
        return many and not (self.classifies and len(np.unique(y)) < 2)

    def fit(self, X: Any, y: np.ndarray, key: int) -> ActiveLearner:
        """Fit a copy of the model; of the same labels (`key`) only once."""
        if key not in self._fitted:
            learner = self._learner(_FIT, key)
            with self._seeded(_FIT, key):
                learner.fit(X, y)
            self._fitted = {key: learner}
        return self._fitted[key]

    def pick(
        self,
        X: Any,
        labeled: np.ndarray,
        y: np.ndarray,
        candidates: np.ndarray,
        n: int,
        key: int,
        as_of: int,
    ) -> Picked:
        """Pick rows.

        Parameters
        ----------
        X : rows of shape (m, ...)
        labeled : ndarray of shape (L,)
            Positions.
        y : ndarray of shape (L,)
        candidates : ndarray of shape (c,)
            Positions of the rows to pick from.
        n : int
            Up to c.
        key, as_of : int
            State of the labels, and of the campaign, from which seeds are drawn.
        """
        enough = self.suffices(y)
        if enough:
            learner, strategy = self.fit(take_rows(X, labeled), y, key), self.strategy
        else:
            learner, strategy = self._learner(_FIT, key), self.initial
        strategy = clone(strategy, safe=False)
        set_random_states(strategy, self._rng(_PICK, as_of), keep_ints=True)
        learner.query_strategy = strategy
        pool = take_rows(X, candidates)
        probabilities = None
        with self._seeded(_PICK, as_of):
            if isinstance(strategy, DrawingStrategy):
                (found, scores, drawn), lowest = strategy._drawn(learner, pool, n)
                probabilities = drawn if lowest > 0 else None
            elif isinstance(strategy, QueryStrategy):
                found, scores = strategy.select(learner, pool, n)
            else:
                found, _, scores = learner.query(
                    pool, n_instances=n, return_metrics=True
                )
        if len(found) != n:
            raise ValueError(
                f"The strategy was asked for {n} rows but returned {len(found)}."
            )
        scores = np.full(n, np.nan) if scores is None else np.asarray(scores)
        by = "strategy" if enough else "initial"
        return Picked(candidates[found], scores, by, candidates, probabilities)

    def _learner(self, purpose: int, key: int) -> ActiveLearner:
        model = clone(self.model)
        set_random_states(model, self._rng(purpose, key), keep_ints=True)
        return model if isinstance(model, ActiveLearner) else ActiveLearner(model)

    def _rng(self, purpose: int, key: int) -> Any:
        return resolve_rng(self._seed(purpose, key))

    def _seed(self, purpose: int, key: int) -> int:
        sequence = np.random.SeedSequence([self.seed, purpose, key])
        return int(sequence.generate_state(1)[0])

    @contextmanager
    def _seeded(self, purpose: int, key: int) -> Iterator[None]:
        """Hold the global generators, seeded, and restore them afterwards."""
        with global_rng_lock, preserve_global_rng(self._seed(purpose, key)):
            yield
