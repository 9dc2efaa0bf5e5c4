"""Core-set: cover the pool by labeled rows in a space of the learner."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from skal.reading.pool import Pool
from skal.selection import Picks
from skal.strategies.base import QueryStrategy
from skal.strategies.centers import farthest_first
from skal.strategies.space import ReadsSpace

__all__ = ["CoreSet"]


class CoreSet(ReadsSpace, QueryStrategy):
    r"""Core-set by greedy k-center [1]_: the row farthest from every labeled row.

    Parameters
    ----------
    head : str, optional
        Name of the module whose inputs are the features; by default the last Linear
        on the way to the outputs.
    space : str, Posterior or callable, default="auto"
        Space that is covered, as in `LCMD`; ``"auto"``: the penultimate features of
        nets, otherwise as in `LCMD`.
    n_components : int or None, default=512
        Number of components to which ``"gradients"`` are projected; None uses exact
        gradients, stored as factors.  For ``"kernel"``, the largest length of vectors.
    random_state : int, RandomState, Generator or None
        Used to draw the projection, for ``"gradients"`` only.

    Notes
    -----
    With rows z in the space, labeled rows L and picks S, the next pick is
    :math:`\arg\max_x \min_{c \in L \cup S} \lVert z_x - z_c \rVert`, which covers the
    pool within twice the optimal radius.  If there are no labeled rows, as with an
    estimator in place of a learner, the first pick is the row with the largest norm.
    The score of a pick is its distance to the nearest center when it was picked (its
    norm, if there was none).

    The cost is one forward pass over the pool and the labeled rows.  The features are
    kept, m × d elements.  Each pick then takes a pass over them, and the labeled rows
    take a matrix product.  The cost of ``"gradients"`` is that of `LCMD`.  The vectors
    of several models are concatenated.

    References
    ----------
    .. [1] Sener and Savarese, "Active learning for convolutional neural networks: a
       core-set approach", ICLR 2018. https://arxiv.org/abs/1708.00489

    Examples
    --------
    >>> import numpy as np
    >>> from skal import NetRegressor
    >>> from skal.strategies import CoreSet
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> net = NetRegressor(max_epochs=5, random_state=0).fit(X[5:15], X[5:15, 0] ** 2)
    >>> sorted(CoreSet().select(net, X, 2).indices.tolist())
    [0, 19]
    """

    _any_of_equal: ClassVar[bool] = True

    def __init__(
        self,
        head: str | None = None,
        space: Any = "auto",
        n_components: int | None = 512,
        random_state: Any = None,
    ) -> None:
        self.head = head
        self.space = space
        self.n_components = n_components
        self.random_state = random_state

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        rows, labeled = self._read_space(pool, rng)
        picks = farthest_first(rows, n, labeled)
        return Picks(picks.indices, picks.scores.clamp(min=0).sqrt())
