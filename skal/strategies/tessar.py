"""TESSAR: rows near the boundaries of the Voronoi cells of labeled rows."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from skal.reading.pool import Pool
from skal.selection import Picks, tessar
from skal.strategies.base import QueryStrategy
from skal.strategies.space import ReadsSpace
from skal.validation import check_int

__all__ = ["TESSAR"]


class TESSAR(ReadsSpace, QueryStrategy):
    r"""TESSAR [1]_: rows between labeled rows, far from them, in large Voronoi cells.

    Parameters
    ----------
    space : str, Posterior or callable, default="auto"
        Space in which rows are compared, as in `LCMD`; ``"auto"``: the penultimate
        features of nets, as in the paper, otherwise as in `LCMD`.
    n_components : int or None, default=512
        Number of components to which ``"gradients"`` are projected; None is not allowed
        for them.
    sigmas : array-like, optional
        Scales of the noise on labeled rows, relative to the median distance of the rows
        of the pool to their nearest labeled row (rows that coincide with a labeled row
        are left out); by default :math:`10^{-3.6 + 0.4 k}` for :math:`k = 0, \dots, 9`.
    n_copies : int, default=5
        Number of noisy copies of all labeled rows for each scale.
    n_reference : int, default=2000
        Number of rows, drawn from the pool, on which the effect of a copy is measured.
    rank : int, optional
        Rank among the smallest metrics, counted from 1, of :math:`L_q` below; by
        default the number of rows to pick, as in the paper.
    head : str, optional
        Name of the module whose inputs are the features; by default the last Linear
        on the way to the outputs.
    random_state : int, RandomState, Generator or None
        Used to draw the noise, the reference rows and the projection.

    Notes
    -----
    A row belongs to the Voronoi cell of the nearest labeled row.  The Voronoi-based
    least disagree metric :math:`L_x` is the smallest share of rows that change cells
    when the labeled rows are moved such that x does: it is small near the faces of
    cells.  With the distance :math:`D_x` to the nearest labeled row, the next pick has
    the largest :math:`\gamma_x D_x \sum_u D_u^2` over the rows u of its cell, which is
    its score, with :math:`\gamma_x = \exp(-\max(L_x - L_q, 0) / L_q)`, where
    :math:`L_q` is the n-th smallest metric if n rows are picked.  Even the first pick
    therefore depends on n, unless `rank` is set.  A pick then counts as a labeled row,
    and everything is updated before the next.  If the learner holds no labeled rows,
    the first pick has the largest norm.  `skal.selection.tessar` lists details that the
    paper leaves open.

    The cost is one forward pass over the pool and the labeled rows, and then N · m · (L
    + n) · d multiply-adds for N copies; m × (d + N) elements are kept.  The vectors of
    several models are concatenated.

    References
    ----------
    .. [1] "TESSAR: geometry-aware active regression via dynamic Voronoi tessellation",
       ICLR 2026. https://openreview.net/forum?id=mhfbu9von5

    Examples
    --------
    >>> import numpy as np
    >>> from skal import ActiveLearner, NetRegressor
    >>> from skal.strategies import TESSAR
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> net = NetRegressor(max_epochs=5, random_state=0)
    >>> learner = ActiveLearner(net, X_training=X[[0, 19]], y_training=[1.0, 1.0])
    >>> TESSAR(space="inputs", random_state=0).select(learner, X, 1).indices
    array([10])
    """

    _task: ClassVar[str] = "regression"
    _any_of_equal: ClassVar[bool] = True

    def __init__(
        self,
        space: Any = "auto",
        n_components: int | None = 512,
        sigmas: Any = None,
        n_copies: int = 5,
        n_reference: int = 2000,
        rank: int | None = None,
        head: str | None = None,
        random_state: Any = None,
    ) -> None:
        self.space = space
        self.n_components = n_components
        self.sigmas = sigmas
        self.n_copies = n_copies
        self.n_reference = n_reference
        self.rank = rank
        self.head = head
        self.random_state = random_state

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        check_int("n_copies", self.n_copies)
        check_int("n_reference", self.n_reference)
        if self.rank is not None:
            check_int("rank", self.rank)
        space = self._read_space(pool, rng)
        # Squared distances of leaves are multiples of 1 / T, which float32 tells apart.
        rows, labeled = space.vectors(torch.float32)
        return tessar(
            rows,
            n,
            rng,
            labeled if len(labeled) else None,
            sigmas=self.sigmas,
            n_copies=self.n_copies,
            n_reference=self.n_reference,
            rank=self.rank,
        )
