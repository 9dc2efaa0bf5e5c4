"""Strategies that wrap other strategies: part of the pool, or batches of two."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from skal.exceptions import UnsuitableLearnerError
from skal.reading.pool import Pool
from skal.rng import seed_from
from skal.rows import n_rows
from skal.selection import Picks, draw_probabilities, interleave, top_k
from skal.strategies.base import QueryStrategy, ScoreStrategy
from skal.strategies.disagreement import PredictiveVariance
from skal.strategies.drawing import DrawingStrategy, WeightedStrategy, lowest_share
from skal.strategies.greedy_sampling import GreedySampling
from skal.strategies.random import Random
from skal.strategies.uncertainty import Margin
from skal.validation import check_int, check_share

__all__ = [
    "Alternate",
    "Mixture",
    "Prefilter",
    "Subsample",
    "WrappingStrategy",
    "n_candidates",
]


class WrappingStrategy(QueryStrategy):
    """Base class of strategies that have other strategies as parameters.

    Notes
    -----
    A subclass names these parameters in ``_wraps``, each with the class of which it
    must be an instance.  Before a query, the learner is checked for each of the wrapped
    strategies.  ``_wrapped(name, pool)`` returns the strategy of a parameter, whose
    ``_query(pool, n, rng)`` picks rows; ``_wrapped_scores(name, pool, rng)`` returns
    the scores of a `ScoreStrategy`.  ``_default`` replaces None.

    A wrapped strategy draws from its own ``random_state`` if it is set, otherwise from
    that of the wrapper.  Its parameters are nested: ``strategy__n_draws``.
    """

    _wraps: ClassVar[Mapping[str, type[Any]]] = {"strategy": QueryStrategy}
    _alike_at_zero: ClassVar[bool] = False  # the wrapped strategies tell

    def _check_learner(self, pool: Pool) -> None:
        """Raise if the learner does not suit this strategy or one that it wraps."""
        super()._check_learner(pool)
        for name in self._wraps:
            self._wrapped(name, pool)._check_learner(pool)

    def _wrapped(self, name: str, pool: Pool) -> QueryStrategy:
        """Return the strategy of a parameter.

        Raises
        ------
        TypeError
            If it is not a strategy of the right kind.
        UnsuitableLearnerError
            If it is None and the task of the learner is unknown.
        """
        strategy, kind = getattr(self, name), self._wraps[name]
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

    def _wrapped_scores(self, name: str, pool: Pool, rng: torch.Generator) -> Tensor:
        """Return the scores ``(m,)`` by the `ScoreStrategy` of a parameter."""
        return cast("ScoreStrategy", self._wrapped(name, pool))._scores(pool, rng)

    def _default(self, name: str, pool: Pool) -> QueryStrategy:
        """Return the strategy that replaces None.

        `Margin` for classifiers.  For regressors, `PredictiveVariance` where rows must
        be scored, otherwise `GreedySampling`.
        """
        if pool.task == "classification":
            return Margin()
        if pool.task == "regression":
            scores = self._wraps[name] is ScoreStrategy
            return PredictiveVariance() if scores else GreedySampling()
        raise UnsuitableLearnerError(
            f"{type(pool.learner).__name__} does not tell whether it is a classifier "
            f"or a regressor. Name a strategy: {type(self).__name__}({name}=...)."
        )


def _pick_among(
    strategy: QueryStrategy, pool: Pool, rows: Tensor, n: int, rng: torch.Generator
) -> Picks:
    """Let a strategy pick from some rows of the pool, in rising order."""
    part = pool if len(rows) == len(pool) else pool.take(rows)
    picks = strategy._query(part, n, rng)
    return Picks(rows[picks.indices], picks.scores)


# -- part of the pool ---------------------------------------------------------------


class Subsample(WrappingStrategy):
    r"""Picks of a strategy from a random part of the pool.

    Parameters
    ----------
    strategy : QueryStrategy, optional
        Picks the rows; by default `Margin` for classifiers, `GreedySampling` for
        regressors.
    max_rows : int or float, default=10000
        Number of rows to draw, or the share of the pool, above 0 and up to 1.  The
        number is at least that of the rows to pick, and at most that of the pool.
    random_state : int, RandomState, Generator or None
        Used to draw the rows, and by the strategy if its own `random_state` is None.

    Notes
    -----
    The rows are drawn uniformly, without replacement, anew at each query, and keep the
    order of the pool.  The suitable learners and the scores are those of the strategy.
    Its cost grows with `max_rows` instead of the size of the pool, so a method of many
    passes can be used on any pool.  The rows drawn are copied; of a memmap or a dask
    array, no other rows are read.

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
        return _pick_among(self._wrapped("strategy", pool), pool, drawn, n, rng)


def _count(max_rows: Any, m: int) -> int:
    """Resolve a number or a share of `m` rows."""
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


class Prefilter(WrappingStrategy):
    r"""Picks of a strategy from the rows that another one scores highest [1]_.

    Parameters
    ----------
    strategy : QueryStrategy, optional
        Picks the rows, usually for diversity, as `CoreSet` does; by default `Random`.
    by : ScoreStrategy, optional
        Scores the rows, usually by uncertainty.  By default `Margin` for classifiers
        and `PredictiveVariance` for regressors, which needs several plausible models:
        dropout, a committee, or another posterior.
    factor : float, default=10
        Number of candidates for each row picked, at least 1: the factor × n rows of the
        highest scores (rounded up, at most the pool) are kept.  With 1 the strategy
        only chooses the order.
    random_state : int, RandomState, Generator or None
        Used by the two strategies if their own `random_state` is None.

    Notes
    -----
    Uncertain rows are often similar to each other, and diverse rows are often certain.
    The filter discards the rows that are least uncertain, and the strategy discards
    similar rows.  Of rows with equal scores, random ones are kept, and the strategy
    sees the candidates in pool order.  The scores of the picks are those of `strategy`.

    The cost is that of `by` on the pool and of `strategy` on factor × n rows, which are
    copied.

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

    _wraps: ClassVar[Mapping[str, type[Any]]] = {
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
        size = n_candidates(self.factor, n, len(pool))
        try:
            scores = self._wrapped_scores("by", pool, rng)
        except UnsuitableLearnerError as error:
            if self.by is not None:
                raise
            raise UnsuitableLearnerError(
                f"{error} Or name the strategy that scores the rows, "
                "Prefilter(by=...): the default is "
                f"{type(self._default('by', pool)).__name__}."
            ) from error
        kept = top_k(scores, size, rng).indices.cpu().sort().values
        return _pick_among(self._wrapped("strategy", pool), pool, kept, n, rng)


def n_candidates(factor: Any, n: int, m: int) -> int:
    """Return factor × n, rounded up, at most m.

    Raises
    ------
    ValueError
        If `factor` is not a number of at least 1.
    """
    number = isinstance(factor, Real) and not isinstance(factor, bool)
    if not number or not 1 <= factor < math.inf:
        raise ValueError(
            "factor must be a number of at least 1 (candidates for each row picked), "
            f"got {factor!r}."
        )
    if factor >= m:
        return m
    # A product such as 1.1 * 10 lies slightly above the integer.
    return min(m, math.ceil(round(float(factor) * n, 9)))


# -- two strategies -----------------------------------------------------------------


class _OfTwo(WrappingStrategy):
    """Assigns each row of the batch to one of two strategies."""

    _wraps: ClassVar[Mapping[str, type[Any]]] = {
        "strategy": QueryStrategy,
        "other": QueryStrategy,
    }

    def _default(self, name: str, pool: Pool) -> QueryStrategy:
        return Random() if name == "other" else super()._default(name, pool)

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        # Seeded before anything of size n is drawn, so that the first rows do not
        # depend on the size of the batch.
        seeds = [seed_from(rng) for _ in self._wraps]
        turns = self._turns(pool, n, rng)
        batches = [Picks(torch.empty(0), torch.empty(0)) for _ in self._wraps]
        for turn, name in enumerate(self._wraps):
            if bool((turns == turn).any()):
                own = torch.Generator().manual_seed(seeds[turn])
                batches[turn] = self._wrapped(name, pool)._query(pool, n, own)
        return interleave(batches, turns)

    @abstractmethod
    def _turns(self, pool: Pool, n: int, rng: torch.Generator) -> Tensor:
        """Which strategy picks each row, ``(n,)``: 0 `strategy`, 1 `other`."""


class Mixture(DrawingStrategy, _OfTwo):
    r"""Picks of two strategies, mixed at random.

    Parameters
    ----------
    strategy : QueryStrategy, optional
        By default `Margin` for classifiers, `GreedySampling` for regressors.
    other : QueryStrategy, optional
        By default `Random`.
    share : float, default=0.1
        Probability, from 0 to 1, that a row is picked by `other`.
    random_state : int, RandomState, Generator or None
        Used to draw which strategy picks each row, and by the strategies if their own
        `random_state` is None.

    Notes
    -----
    With `Random` as `other`, this is :math:`\epsilon`-greedy sampling [1]_: some
    labeled rows are not those that the strategy would pick, which reveals mistakes in
    regions where the model is certain.

    Each strategy picks a batch of the full size, independently of the other.  For each
    row in turn, the strategy drawn contributes its best row that is not yet in the
    batch.  The score of a row is that of its strategy; the scores of the two need not
    be comparable.  The cost is that of both strategies.  Mixtures can be nested.

    `draw` returns the probability of each pick, if one of the two gives every row a
    chance, such as `Random`: the sum over both of the probability of its turn and, if
    it draws by weights, of the row in this turn; of another strategy the next row is
    certain, given its own random draws.

    References
    ----------
    .. [1] Sutton and Barto, "Reinforcement learning: an introduction", 2nd edition,
       2018. http://incompleteideas.net/book/the-book-2nd.html

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import Entropy, Mixture
    >>> X = np.linspace(-1, 1, 100)[:, None]
    >>> model = LogisticRegression().fit(X[::10], X[::10, 0] > 0)
    >>> strategy = Mixture(Entropy(), share=0.2, random_state=0)
    >>> strategy.select(model, X, 3).indices.shape
    (3,)
    """

    def __init__(
        self,
        strategy: QueryStrategy | None = None,
        other: QueryStrategy | None = None,
        share: float = 0.1,
        random_state: Any = None,
    ) -> None:
        self.strategy = strategy
        self.other = other
        self.share = share
        self.random_state = random_state

    def _turns(self, pool: Pool, n: int, rng: torch.Generator) -> Tensor:
        check_share("share", self.share)
        drawn = torch.rand(n, generator=rng, dtype=torch.float64)
        return (drawn < float(self.share)).long()

    def _draw_rows(
        self, pool: Pool, n: int, rng: torch.Generator
    ) -> tuple[Picks, Tensor, float]:
        seeds = [seed_from(rng) for _ in self._wraps]
        turns = self._turns(pool, n, rng)
        batches: list[Picks] = []
        weights: list[Tensor | None] = []
        for seed, name in zip(seeds, self._wraps, strict=True):
            part, own = self._wrapped(name, pool), torch.Generator().manual_seed(seed)
            if isinstance(part, WeightedStrategy):
                batch, logs = part.query_weighted(pool, n, own)
            else:
                batch, logs = part._query(pool, n, own), None
            batches.append(batch)
            weights.append(logs)
        picks = interleave(batches, turns)
        probabilities = torch.zeros(n, dtype=torch.float64)
        lowest = 0.0
        shares = 1 - float(self.share), float(self.share)
        for share, batch, logs in zip(shares, batches, weights, strict=True):
            if logs is not None:
                probabilities += share * draw_probabilities(logs, picks.indices)
                lowest = max(lowest, share * lowest_share(logs))
            else:
                probabilities += share * _is_next(batch.indices, picks.indices)
        return picks, probabilities, lowest


def _is_next(order: Tensor, picked: Tensor) -> Tensor:
    """Whether each row picked was the first of an order that was not picked before."""
    waiting = order.tolist()
    taken: set[int] = set()
    found = []
    first = 0
    for row in picked.tolist():
        while first < len(waiting) and waiting[first] in taken:
            first += 1
        found.append(first < len(waiting) and waiting[first] == row)
        taken.add(row)
    return torch.tensor(found, dtype=torch.float64)


class Alternate(_OfTwo):
    r"""Picks of two strategies, in turn.

    Parameters
    ----------
    strategy : QueryStrategy, optional
        By default `Margin` for classifiers, `GreedySampling` for regressors.
    other : QueryStrategy, optional
        By default `Random`.
    every : int, default=2
        One row in `every` (at least 2) is picked by `other`, the rest by `strategy`.
    random_state : int, RandomState, Generator or None
        Used by the two strategies if their own `random_state` is None.

    Notes
    -----
    Rows are counted from the first label: with L labeled rows, row k = 1, 2, ... of the
    batch is picked by `other` if L + k is a multiple of `every`.  The turns therefore
    continue from query to query, even for batches of one row, although the strategy
    keeps no state.  An estimator in place of a learner counts as having no labeled
    rows.

    Each strategy picks a batch of the full size, independently of the other, and
    contributes in its turn its best row that is not yet in the batch.  The score of a
    row is that of its strategy; the scores of the two need not be comparable.  The cost
    is that of both strategies.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import Alternate, Entropy
    >>> X = np.linspace(-1, 1, 100)[:, None]
    >>> model = LogisticRegression().fit(X[::10], X[::10, 0] > 0)
    >>> strategy = Alternate(Entropy(), every=3, random_state=0)
    >>> strategy.select(model, X, 3).indices.shape
    (3,)
    """

    def __init__(
        self,
        strategy: QueryStrategy | None = None,
        other: QueryStrategy | None = None,
        every: int = 2,
        random_state: Any = None,
    ) -> None:
        self.strategy = strategy
        self.other = other
        self.every = every
        self.random_state = random_state

    def _turns(self, pool: Pool, n: int, rng: torch.Generator) -> Tensor:
        check_int("every", self.every, minimum=2)
        first = 1 + sum(n_rows(X) for X, _ in pool.labeled)
        return (torch.arange(first, first + n) % self.every == 0).long()
