"""Batches of two strategies, by chance or by turns."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from skal.reading.pool import Pool
from skal.rng import seed_from
from skal.rows import n_rows
from skal.selection import Picks, interleave
from skal.strategies.base import QueryStrategy
from skal.strategies.random import Random
from skal.strategies.wrapping import WrappingStrategy
from skal.validation import check_int, check_share

__all__ = ["Alternate", "Mixture"]


class _OfTwo(WrappingStrategy):
    """Asks the strategy whose turn it is for each row of the batch."""

    _holds: ClassVar[Mapping[str, type[Any]]] = {
        "strategy": QueryStrategy,
        "other": QueryStrategy,
    }

    def _default(self, name: str, pool: Pool) -> QueryStrategy:
        return Random() if name == "other" else super()._default(name, pool)

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        # Seeded before what depends on n is drawn: the first rows are then the same
        # however many are picked.
        seeds = [seed_from(rng) for _ in self._holds]
        turns = self._turns(pool, n, rng)
        batches = []
        for turn, name in enumerate(self._holds):
            if not bool((turns == turn).any()):
                batches.append(Picks(torch.empty(0), torch.empty(0)))
                continue
            own = torch.Generator().manual_seed(seeds[turn])
            picks = self._held(name, pool)._query(pool, n, own)
            batches.append(Picks(*map(torch.as_tensor, picks)))
        return interleave(batches, turns)

    @abstractmethod
    def _turns(self, pool: Pool, n: int, rng: torch.Generator) -> Tensor:
        """Whose turn it is, ``(n,)``: 0 for `strategy`, 1 for `other`."""


class Mixture(_OfTwo):
    r"""Pick each row by one of two strategies, drawn by chance.

    Parameters
    ----------
    strategy : QueryStrategy, optional
        By default `Margin` for classifiers, `GreedySampling` for regressors.
    other : QueryStrategy, optional
        By default `Random`.
    share : float
        Probability, from 0 to 1, that a row is picked by `other`.
    random_state : int, RandomState, Generator or None
        Draws who picks, and for the two strategies where they have no `random_state` of
        their own.

    Notes
    -----
    With `Random` for the other, this is :math:`\epsilon`-greedy sampling [1]_: some
    rows that a model would never ask for are labeled, and its mistakes in regions
    that it takes for certain come to light.

    Each strategy picks a batch of its own, of the full size and without sight of the
    other's.  Row for row, the one drawn gives its best row that is not yet in the
    batch.  A row's score is that of the strategy that gave it; the two need not be
    comparable.  Costs what both cost.  Mixtures of more strategies nest.

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


class Alternate(_OfTwo):
    r"""Pick rows by two strategies in turn.

    Parameters
    ----------
    strategy : QueryStrategy, optional
        By default `Margin` for classifiers, `GreedySampling` for regressors.
    other : QueryStrategy, optional
        By default `Random`.
    every : int
        `other` picks every so many-th row, 2 or more; `strategy` picks the rest.
    random_state : int, RandomState, Generator or None
        Draws for the two strategies, where they have no `random_state` of their own.

    Notes
    -----
    Rows are counted from the first label on: with L labeled rows, row k = 1, 2, ... of
    the batch is for the `other` where L + k is a multiple of `every`.  So turns go on
    from query to query, even for batches of one row, and the strategy keeps no memory.
    A bare estimator, which holds no labeled rows, is taken to have none.

    Each strategy picks a batch of its own, of the full size and without sight of the
    other's; whose turn it is gives its best row that is not yet in the batch.  A row's
    score is that of the strategy that gave it; the two need not be comparable.  Costs
    what both cost.

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
