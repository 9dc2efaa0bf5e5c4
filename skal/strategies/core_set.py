"""Core-set: cover the pool with labeled rows in the space of the features."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from skal.embeddings import Dense
from skal.pool import Pool
from skal.selection import Picks, k_center
from skal.strategies.base import QueryStrategy

__all__ = ["CoreSet"]


class CoreSet(QueryStrategy):
    r"""Core-set by greedy k-center [1]_: the row farthest from every labeled one.

    Parameters
    ----------
    head : str, optional
        Name of the module whose input are the features; the last Linear by default.

    Notes
    -----
    With penultimate features z, labeled rows L and picks S, the next pick is
    :math:`\arg\max_x \min_{c \in L \cup S} \lVert z_x - z_c \rVert`, which covers the
    pool within twice the optimal radius.  Where the learner holds no labeled rows, as
    a bare estimator, the first pick is the row of the largest norm.  A pick's score is
    its distance to the nearest center when picked (its norm, if there is none).

    Reads the features of pool and labeled rows, in one forward pass, and keeps them:
    m × d numbers.  Then one pass over them a pick, and a matrix product with the
    labeled rows.  The nets of a committee are read side by side.

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

    _reads: ClassVar[str] = "net"

    def __init__(self, head: str | None = None) -> None:
        self.head = head

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        features: list[Tensor] = []
        labeled: list[Tensor] = []
        for member, access in pool.nets(self.head):
            features.append(access.features(member.rows))
            if member.labeled is not None:
                labeled.append(access.features(member.labeled))
        embedding = Dense(torch.cat(features, dim=1))
        nearest = None
        if labeled:
            nearest = embedding.min_sq_dist(Dense(torch.cat(labeled, dim=1)))
        picks = k_center(embedding, n, min_sq_dist=nearest)
        return Picks(picks.indices, picks.scores.clamp(min=0).sqrt())
