"""Base classes of query strategies, and all checks that a query needs."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from torch import Tensor

from skal._equal_rows import any_of_equal
from skal._tables import naming_cells
from skal.contexts import own_modes
from skal.exceptions import UnsuitableLearnerError
from skal.reading.decisions import decides
from skal.reading.pool import Pool
from skal.rng import preserve_global_rng, resolve_rng, seed_from
from skal.selection import Picks, top_k
from skal.strategies.alike import tell_nothing_apart, warn_if_alike
from skal.strategies.returned import as_positions, as_scores, check_not_nan
from skal.validation import check_option

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["QueryStrategy", "ScoreStrategy", "Selection", "all_strategies"]


class Selection(NamedTuple):
    """Rows picked by a strategy, in the order picked.

    Attributes
    ----------
    indices : ndarray of shape (n,), int64
        Positions in the pool.
    scores : ndarray of shape (n,)
        Score of each row; higher scores are more valuable.
    """

    indices: np.ndarray
    scores: np.ndarray


#: What a strategy may require of every model: in words, and how a member shows it.
_REQUIREMENTS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "net": (
        "the net of a skorch estimator, such as skal.NetClassifier or "
        "skal.NetRegressor (also in a Pipeline, a Committee, or an ensemble such as "
        "bagging, voting or those of skal)",
        lambda member: bool(member.nets()),
    ),
    "proba": (
        "predict_proba",
        lambda member: hasattr(member.estimator, "predict_proba"),
    ),
    "decision": (
        "predict_proba, or decision_function and classes_",
        lambda member: (
            hasattr(member.estimator, "predict_proba") or decides(member.estimator)
        ),
    ),
}


class QueryStrategy(BaseEstimator, ABC):
    """Base class of all query strategies.

    A strategy is called as in modAL, ``strategy(learner, X_pool, n_instances)``, or by
    `select`.  It is a scikit-learn object: its constructor stores the parameters, and
    it can be cloned, printed, pickled and used in a search.

    Notes
    -----
    A new strategy implements ``_select(pool, n, rng)``, or derives from `ScoreStrategy`
    and implements ``_score(pool, rng)``.  These names, and those of the class
    attributes below, are the stable interface of subclasses, in spite of the
    underscore.  Three class attributes state what the strategy needs from a learner,
    which is checked before each query:

    ``_task``
        ``"any"``, ``"classification"`` or ``"regression"``.
    ``_requires``
        ``"net"`` if every model must be a skorch net or an ensemble of nets,
        ``"proba"`` if every model must have `predict_proba`, ``"decision"`` if it must
        have this or `decision_function`, None otherwise.
    ``_requires_labeled``
        Whether the learner must hold labeled rows.

    A parameter ``random_state`` is resolved here.  All strategies of skal have one, so
    that loops over strategies can set it.  Strategies that draw nothing else use it
    only to order rows with equal scores (``_draws_only_ties``); if it is None, the
    order is the same in each query, as it is for a strategy without the parameter.
    """

    _task: ClassVar[str] = "any"
    _requires: ClassVar[str | None] = None
    _requires_labeled: ClassVar[bool] = False
    #: Whether equal scores of all picks, 0 or inf, mean that no row differs.
    _alike_at_zero: ClassVar[bool] = True
    #: What equal scores of 0 mean, if it is not that no row differs.
    _at_zero: ClassVar[str | None] = None
    _draws_only_ties: ClassVar[bool] = False
    #: Whether equal rows are worth the same, so that any of them may be picked.
    _any_of_equal: ClassVar[bool] = False
    #: Why `skal.recommended_strategy` chose this object, if it did; not a parameter.
    reason: str

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Check the class attributes of a new strategy."""
        super().__init_subclass__(**kwargs)
        check_option("_task", cls._task, ["any", "classification", "regression"])
        if cls._requires is not None:
            check_option("_requires", cls._requires, list(_REQUIREMENTS))

    def __call__(
        self, learner: Any, X_pool: Any, n_instances: int = 1
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Pick rows of the pool, called as in modAL.

        Parameters
        ----------
        learner : ActiveLearner, Committee or estimator
            The learner that queries.
        X_pool : array-like of shape (m, ...)
            Unlabeled rows.
        n_instances : int
            Number of rows to pick.

        Returns
        -------
        indices : ndarray of shape (n_instances,)
            Or ``(indices, scores)`` if the learner's `query` has a parameter
            ``return_metrics``, as in modAL 0.4.2 and skal, which would unpack a bare
            array of two indices.
        """
        indices, scores = self.select(learner, X_pool, n_instances)
        query = getattr(learner, "query", None)
        if query and "return_metrics" in inspect.signature(query).parameters:
            return indices, scores
        return indices

    def select(self, learner: Any, X_pool: Any, n_instances: int = 1) -> Selection:
        """Pick rows of the pool, and return them with their scores.

        Parameters
        ----------
        learner : ActiveLearner, Committee or estimator
            Fitted.  Pipelines, target transformers and searches are unwrapped.
        X_pool : array-like of shape (m, ...)
            Unlabeled rows: ndarray, memmap, sparse matrix, DataFrame, tensor, list,
            dict, Dataset or dask array.
        n_instances : int, default=1
            Number of rows to pick, from 1 to m.

        Returns
        -------
        selection : Selection
            Distinct indices in the order picked, and their scores.

        Raises
        ------
        ValueError
            If `n_instances` is not an int from 1 to m, or the pool is empty, contains
            NaN or infinity, or lacks columns.
        UnsuitableLearnerError
            If the learner does not provide what the strategy needs.
        sklearn.exceptions.NotFittedError
            If the strategy reads the model and the model is not fitted.
        """
        with self._asked(learner, X_pool, n_instances) as (pool, n):
            picks = self._query(pool, n)
        return Selection(picks.indices.numpy(), picks.scores.numpy())

    def explain(self, learner: Any, X_pool: Any, n_instances: int = 1) -> pd.DataFrame:
        """Pick rows of the pool, and tabulate why they were picked.

        Parameters
        ----------
        learner, X_pool, n_instances
            As in `select`.

        Returns
        -------
        table : DataFrame, one line for each pick
            By the index of a DataFrame, otherwise by position.

            ``rank``, ``position``, ``score``
                What `select` returns, in the order picked.
            ``prediction``
                Of the learner, if it is fitted.
            ``uncertainty``
                One minus the largest probability of a class (the mean over outputs, if
                there are several), or the standard deviation of the prediction (of
                dropout, members, or the learner's own).  Missing if the learner gives
                neither.
            ``distance``, ``nearest_labeled``
                To the nearest labeled row, in the space of the strategy or, if it has
                none, in that which ``space="auto"`` stands for; and which row that is,
                by index or position.  Missing if no labeled rows are held.

        Notes
        -----
        ``table.attrs["space"]`` names the space.  Without a `random_state`, gradients
        are projected anew, so that distances are approximate.  The cost is that of a
        query, one more reading of the pool, and the distances from all its rows to all
        labeled rows.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.linear_model import LogisticRegression
        >>> from skal import ActiveLearner
        >>> from skal.strategies import Margin
        >>> X, y = load_iris(return_X_y=True, as_frame=True)
        >>> model = LogisticRegression(max_iter=1000)
        >>> learner = ActiveLearner(model, Margin(), X[::10], y[::10])
        >>> table = Margin().explain(learner, X.drop(X.index[::10]), 3)
        >>> list(table.columns)[:5]
        ['rank', 'position', 'score', 'prediction', 'uncertainty']
        """
        from skal.strategies.explaining import explain  # which imports this module

        return explain(self, learner, X_pool, n_instances)

    @contextmanager
    def _asked(
        self, learner: Any, X_pool: Any, n_instances: Any
    ) -> Iterator[tuple[Pool, int]]:
        """Check what is asked of the strategy, and yield the pool and the number."""
        with own_modes(), naming_cells(X_pool, "the pool"), _naming_first():
            pool = Pool(learner, X_pool)
            n = _check_n_instances(n_instances, len(pool))
            self._admit(pool)
            yield pool, n

    def _query(self, pool: Pool, n: int, outer: torch.Generator | None = None) -> Picks:
        """Pick rows for a learner that has been checked.

        A strategy that wraps others calls this method of the wrapped strategies.

        Parameters
        ----------
        pool : Pool
        n : int
            From 1 to ``len(pool)``.
        outer : torch.Generator, optional
            Used if the `random_state` of the strategy is not set.

        Returns
        -------
        picks : Picks
            On the CPU.
        """
        with self._drawing(outer) as rng:
            picks = self._check_picks(self._select(pool, n, rng), n, len(pool))
            scores = picks.scores
            # If all rows are picked, none is preferred to another.
            if self._alike_at_zero and n < len(pool) and tell_nothing_apart(scores):
                cause = self._at_zero if float(scores[-1]) == 0 else None
                warn_if_alike(type(self).__name__, scores[-1:], pool, cause)
            if self._any_of_equal:
                equal = any_of_equal(picks.indices.numpy(), pool.X)
                picks = Picks(torch.from_numpy(equal), picks.scores)
            return picks

    @contextmanager
    def _drawing(self, outer: torch.Generator | None) -> Iterator[torch.Generator]:
        """Yield the generator to draw from: of `random_state` if set, else `outer`."""
        own = getattr(self, "random_state", None)
        ties = self._draws_only_ties or not hasattr(self, "random_state")
        if own is None and outer is None and ties:
            own = 0  # the same order at each query
        rng = resolve_rng(outer if own is None else own)
        # The strategies of skal draw from `rng` alone.  The seed makes repeatable what
        # draws from the global generators nonetheless: a module in eval mode, the
        # training of a proxy, a strategy of the user's own.
        with preserve_global_rng(seed_from(rng), if_alone=True):
            yield rng

    @abstractmethod
    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        """Pick `n` distinct rows of the pool."""

    def _admit(self, pool: Pool) -> None:
        """Raise if the learner is unsuitable, and name strategies that suit it."""
        try:
            self._check_learner(pool)
        except UnsuitableLearnerError as error:
            from skal.strategies.suitable import suggestion  # which imports this module

            raise UnsuitableLearnerError(f"{error}{suggestion(pool)}") from None

    def _check_learner(self, pool: Pool) -> None:
        """Raise if the learner lacks what this strategy needs."""
        name, task = type(self).__name__, pool.task
        if "unknown" != task != self._task != "any":
            learner = "classifier" if task == "classification" else "regressor"
            raise UnsuitableLearnerError(
                f"{name} is for {self._task}, and the learner is a {learner}."
            )
        if self._requires_labeled and not pool.labeled:
            raise UnsuitableLearnerError(
                f"{name} needs labeled rows, and the learner holds none. Query an "
                "ActiveLearner or a Committee that was fitted or taught."
            )
        if self._requires is None:
            return
        what, has = _REQUIREMENTS[self._requires]
        for member in pool.members:
            if not has(member):
                hint = ""
                if self._requires == "proba" and decides(member.estimator):
                    hint = " Margin and LeastConfident read its decision_function."
                raise UnsuitableLearnerError(
                    f"{name} needs {what}, and {type(member.estimator).__name__} does "
                    f"not have it.{hint}"
                )

    def _check_picks(self, picks: Picks, n: int, m: int) -> Picks:
        """Move the picks to the CPU, once they are `n` distinct rows of `m`."""
        name = type(self).__name__
        if not isinstance(picks, tuple) or len(picks) != 2:
            raise TypeError(
                f"{name}._select must return Picks(indices, scores), got "
                f"{type(picks).__name__}."
            )
        indices = as_positions(picks[0], name)
        scores = as_scores(picks[1], name).cpu()
        check_not_nan(scores, type(self))
        right_shape = indices.shape == scores.shape == (n,)
        distinct = right_shape and len(indices.unique()) == n
        if not distinct or int(indices.min()) < 0 or int(indices.max()) >= m:
            raise RuntimeError(
                f"{name} had to pick {n} distinct rows of {m} with a score for each, "
                f"and picked {indices.tolist()[:20]} with {scores.numel()} scores. "
                "This is a bug in the strategy."
            )
        return Picks(indices, scores)


class ScoreStrategy(QueryStrategy):
    """Base class of strategies that pick the rows with the highest scores.

    Rows with equal scores are picked in random order.
    """

    _alike_at_zero: ClassVar[bool] = False  # all rows are looked at

    def score_samples(self, learner: Any, X_pool: Any) -> np.ndarray:
        """Score every row of the pool; higher scores are more valuable.

        Parameters
        ----------
        learner, X_pool
            As in `select`.

        Returns
        -------
        scores : ndarray of shape (m,)
            In pool order.
        """
        with own_modes(), naming_cells(X_pool, "the pool"), _naming_first():
            pool = Pool(learner, X_pool)
            self._admit(pool)
            return self._scores(pool).cpu().numpy()

    def _scores(self, pool: Pool, outer: torch.Generator | None = None) -> Tensor:
        """Score a pool for a learner that was checked; parameters as in `_query`."""
        with self._drawing(outer) as rng:
            return self._checked_scores(pool, rng)

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        return top_k(self._checked_scores(pool, rng), n, rng)

    def _checked_scores(self, pool: Pool, rng: torch.Generator) -> Tensor:
        name = type(self).__name__
        scores = as_scores(self._score(pool, rng), name)
        if scores.shape != (len(pool),):
            raise RuntimeError(
                f"{name}._score must return one score for each of the {len(pool)} "
                f"rows, got shape {tuple(scores.shape)}. This is a bug in the "
                "strategy."
            )
        check_not_nan(scores, type(self))
        if len(pool) > 1:
            warn_if_alike(name, scores, pool)
        return scores

    @abstractmethod
    def _score(self, pool: Pool, rng: torch.Generator) -> Tensor:
        """Score the rows, ``(m,)``; higher scores are more valuable."""


def all_strategies() -> list[type[QueryStrategy]]:
    """List the public strategies of skal by name.

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


@contextmanager
def _naming_first() -> Iterator[None]:
    """Name the strategies that do without a fitted model, if it is not fitted."""
    try:
        yield
    except NotFittedError as error:
        raise NotFittedError(
            f"{error} Before the first label, these strategies pick by the inputs "
            "alone: TypiClust(), ProbCover(), MaxHerding(), KMedoids(), LCMD(), "
            "KMeansPP(), MaxDist() and CoreSet(); for regression also BAIT(), "
            "FrankWolfe(), MaxDet(), MaxDiag(), TESSAR() and "
            'GreedySampling(criterion="inputs"). Random() needs no model at all.'
        ) from error


def _check_n_instances(n_instances: Any, m: int) -> int:
    if isinstance(n_instances, bool) or not isinstance(n_instances, Integral):
        raise ValueError(f"n_instances must be an int, got {n_instances!r}.")
    n = int(n_instances)
    if not 1 <= n <= m:
        raise ValueError(
            f"n_instances must be from 1 to the {m} rows of the pool, got {n}."
        )
    return n
