"""The door: what every query strategy does before and after its own few lines."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from skal.exceptions import UnsuitableLearnerError
from skal.reading.pool import Pool
from skal.rng import preserve_global_rng, resolve_rng, seed_from
from skal.selection import Picks, top_k
from skal.validation import check_option

__all__ = ["QueryStrategy", "ScoreStrategy", "Selection", "all_strategies"]


class Selection(NamedTuple):
    """Rows that a strategy wants labels for, in the order picked.

    Attributes
    ----------
    indices : ndarray of shape (n,), int64
        Positions in the pool.
    scores : ndarray of shape (n,)
        What the strategy gave each of them; higher is more wanted.
    """

    indices: np.ndarray
    scores: np.ndarray


#: What a strategy may read of the learner.
_READS = ("nothing", "inputs", "predictions", "proba", "posterior", "net")


class QueryStrategy(BaseEstimator, ABC):
    """Base of all query strategies.

    A strategy is called as modAL does, ``strategy(learner, X_pool, n_instances)``, or
    by `select`, and is a scikit-learn object: its constructor stores parameters, it
    can be cloned, printed, pickled and searched over.

    Notes
    -----
    A new strategy writes `_select(pool, n, rng)`, or inherits from `ScoreStrategy` and
    writes `_score(pool, rng)`, and says what it is for in two class attributes:

    ``_task``
        ``"any"``, ``"classification"`` or ``"regression"``.
    ``_reads``
        ``"nothing"``, ``"inputs"`` (rows as the model sees them), ``"predictions"``,
        ``"proba"``, ``"posterior"`` or ``"net"``.

    One that cannot do without the learner's labeled rows says ``_needs_labeled = True``
    as well.

    A ``random_state`` parameter, where there is one, is resolved here.
    """

    _task: ClassVar[str] = "any"
    _reads: ClassVar[str] = "nothing"
    _needs_labeled: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Check what a new strategy says that it is for."""
        super().__init_subclass__(**kwargs)
        check_option("_task", cls._task, ["any", "classification", "regression"])
        check_option("_reads", cls._reads, list(_READS))

    def __call__(
        self, learner: Any, X_pool: Any, n_instances: int = 1
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Query as modAL does.

        Parameters
        ----------
        learner : ActiveLearner, Committee or estimator
            Who asks.
        X_pool : array-like of shape (m, ...)
            Unlabeled rows.
        n_instances : int
            How many rows to pick.

        Returns
        -------
        indices : ndarray of shape (n_instances,)
            Or ``(indices, scores)`` where the learner's `query` takes
            ``return_metrics``, as modAL 0.4.2's and skal's do: a bare array of two
            indices would be unpacked there.
        """
        indices, scores = self.select(learner, X_pool, n_instances)
        query = getattr(learner, "query", None)
        if query and "return_metrics" in inspect.signature(query).parameters:
            return indices, scores
        return indices

    def select(self, learner: Any, X_pool: Any, n_instances: int = 1) -> Selection:
        """Pick rows of the pool, with their scores.

        Parameters
        ----------
        learner : ActiveLearner, Committee or estimator
            Fitted; pipelines, target transformers and searches are seen through.
        X_pool : array-like of shape (m, ...)
            Unlabeled rows: ndarray, memmap, sparse matrix, DataFrame, tensor, list,
            dict, Dataset or dask array.
        n_instances : int
            How many rows to pick, from 1 to m.

        Returns
        -------
        selection : Selection
            Distinct indices in the order picked, and their scores.

        Raises
        ------
        ValueError
            If `n_instances` is no number from 1 to m, the pool is empty, has NaN or
            infinity, or lacks columns.
        UnsuitableLearnerError
            If the learner does not give what the strategy reads.
        sklearn.exceptions.NotFittedError
            If the strategy reads the model and it is not fitted.
        """
        pool = Pool(learner, X_pool)
        n = _check_n_instances(n_instances, len(pool))
        self._check_learner(pool)
        return self._query(pool, n)

    def _query(
        self, pool: Pool, n: int, outer: torch.Generator | None = None
    ) -> Selection:
        """Pick rows of a pool whose learner was checked; see `_drawing`."""
        with self._drawing(outer) as rng:
            picks = self._select(pool, n, rng)
        return self._check_picks(picks, n, len(pool))

    @contextmanager
    def _drawing(self, outer: torch.Generator | None) -> Iterator[torch.Generator]:
        """Give what to draw from: a `random_state` of one's own, or else `outer`."""
        own = getattr(self, "random_state", None)
        rng = resolve_rng(outer if own is None else own)
        # A DataLoader draws from the global generators at each pass: the seed makes
        # such draws repeatable, and later training does not notice the query.
        with preserve_global_rng(seed_from(rng)):
            yield rng

    @abstractmethod
    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        """Pick `n` distinct rows of the pool."""

    def _check_learner(self, pool: Pool) -> None:
        """Raise, naming strategies that fit, if this one does not."""
        task = pool.task
        if "unknown" != task != self._task != "any":
            learner = "classifier" if task == "classification" else "regressor"
            raise UnsuitableLearnerError(
                f"{type(self).__name__} is for {self._task}, and the learner is a "
                f"{learner}. Strategies for it: "
                f"{_names(lambda cls: cls._task in ('any', task))}."
            )
        tasks = ("any", task, self._task)
        if self._needs_labeled and not pool.labeled:
            without = _names(lambda cls: cls._task in tasks and not cls._needs_labeled)
            raise UnsuitableLearnerError(
                f"{type(self).__name__} reads labeled rows, and the learner holds "
                "none. Query an ActiveLearner or a Committee that was fitted or "
                f"taught. Strategies that do without: {without}."
            )
        less = {
            "net": ("nothing", "inputs", "proba", "posterior"),
            "proba": ("nothing", "inputs"),
        }.get(self._reads, ())
        pool.check_gives(
            self._reads,
            type(self).__name__,
            lambda: _names(lambda cls: cls._task in tasks and cls._reads in less),
        )

    def _check_picks(self, picks: Picks, n: int, m: int) -> Selection:
        if not isinstance(picks, tuple) or len(picks) != 2:
            raise TypeError(
                f"{type(self).__name__}._select must return Picks(indices, scores), "
                f"got {type(picks).__name__}."
            )
        indices = np.asarray(torch.as_tensor(picks[0]).cpu(), dtype=np.int64)
        scores = torch.as_tensor(picks[1]).cpu().numpy()
        if np.isnan(scores).any():
            raise ValueError(
                f"{type(self).__name__} gave NaN as a score: the outputs of the model "
                "are not finite. Did its training diverge?"
            )
        flat = indices.shape == scores.shape == (n,)
        distinct = flat and len(np.unique(indices)) == n
        if not distinct or indices.min() < 0 or indices.max() >= m:
            raise RuntimeError(
                f"{type(self).__name__} was to pick {n} distinct rows of {m} with a "
                f"score each, and picked {indices.tolist()[:20]} with {len(scores)} "
                "scores. This is a fault of the strategy."
            )
        return Selection(indices, scores)


class ScoreStrategy(QueryStrategy):
    """Base of the strategies that take the rows of the highest scores."""

    def score_samples(self, learner: Any, X_pool: Any) -> np.ndarray:
        """Score every row of the pool; higher is more wanted.

        Parameters
        ----------
        learner, X_pool
            As in `select`.

        Returns
        -------
        scores : ndarray of shape (m,)
            In pool order.
        """
        pool = Pool(learner, X_pool)
        self._check_learner(pool)
        return self._scores(pool).cpu().numpy()

    def _scores(self, pool: Pool, outer: torch.Generator | None = None) -> Tensor:
        """Score a pool whose learner was checked; see `_drawing`."""
        with self._drawing(outer) as rng:
            return self._checked_scores(pool, rng)

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        return top_k(self._checked_scores(pool, rng), n)

    def _checked_scores(self, pool: Pool, rng: torch.Generator) -> Tensor:
        scores = torch.as_tensor(self._score(pool, rng))
        if scores.shape != (len(pool),):
            raise RuntimeError(
                f"{type(self).__name__}._score must give one score for each of the "
                f"{len(pool)} rows, got shape {tuple(scores.shape)}. This is a fault "
                "of the strategy."
            )
        n_nan = int(scores.isnan().sum())
        if n_nan:
            raise ValueError(
                f"{type(self).__name__} gave NaN for {n_nan} of {len(pool)} rows: the "
                "outputs of the model are not finite. Did its training diverge?"
            )
        return scores

    @abstractmethod
    def _score(self, pool: Pool, rng: torch.Generator) -> Tensor:
        """Score the rows, ``(m,)``; higher is more wanted."""


def all_strategies() -> list[type[QueryStrategy]]:
    """List skal's public strategies by name.

    Examples
    --------
    >>> from skal.strategies import all_strategies
    >>> found = all_strategies()
    >>> [cls.__name__ for cls in found if cls.__name__.startswith("Ran")]
    ['Random']
    """

    def walk(cls: type) -> Iterator[type[QueryStrategy]]:
        subclasses: list[type[QueryStrategy]] = cls.__subclasses__()
        for sub in subclasses:
            yield sub
            yield from walk(sub)

    found = {
        cls
        for cls in walk(QueryStrategy)
        if cls.__module__.startswith("skal.")
        and not cls.__name__.startswith("_")
        and not inspect.isabstract(cls)
    }
    return sorted(found, key=lambda cls: cls.__name__)


def _names(kind: Callable[[type[QueryStrategy]], bool]) -> str:
    """Name the strategies of a kind, for an error: it takes as long as a query."""
    return ", ".join(cls.__name__ for cls in all_strategies() if kind(cls))


def _check_n_instances(n_instances: Any, m: int) -> int:
    if isinstance(n_instances, bool) or not isinstance(n_instances, Integral):
        raise ValueError(f"n_instances must be an int, got {n_instances!r}.")
    n = int(n_instances)
    if not 1 <= n <= m:
        raise ValueError(
            f"n_instances must be from 1 to the {m} rows of the pool, got {n}."
        )
    return n
