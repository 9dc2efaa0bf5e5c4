"""LCMD: the farthest row of the cluster with the most to cover."""

from __future__ import annotations

import torch

from skal.embeddings import Embedding
from skal.selection.base import Picks
from skal.selection.nearest import NearestCenters

__all__ = ["lcmd"]


def lcmd(embedding: Embedding, n: int, centers: Embedding | None = None) -> Picks:
    r"""Pick by largest cluster, maximum distance [1]_.

    Parameters
    ----------
    embedding : Embedding of m rows
    n : int
        From 0 to m.
    centers : Embedding, optional
        Labeled rows in the same space, the centers of the first clusters (mode TP).
        Without them the first pick is the row of the largest norm (mode P).

    Returns
    -------
    picks : Picks
        Scores are squared distances to the nearest center when picked (the squared
        norm for a first pick without centers).

    Notes
    -----
    Every row belongs to its nearest center, labeled or picked; of equally near ones
    the older.  A cluster C of center c weighs :math:`\sum_{x \in C} d(x, c)^2`.  The
    next pick is the farthest row of the heaviest cluster.  Ties go to the older
    cluster and in pool order; rows that lie on a center come last, in pool order.

    Takes at most n passes over the embedding, and far fewer for `Dense`: see
    `NearestCenters`.

    References
    ----------
    .. [1] Holzmüller, Zaverkin, Kästner and Steinwart, "A framework and benchmark for
       deep batch active learning for regression", JMLR 2023.
       https://arxiv.org/abs/2203.09410

    Examples
    --------
    Twenty rows near a center outweigh a single one that is farther away:

    >>> import torch
    >>> from skal.embeddings import Dense
    >>> from skal.selection.lcmd import lcmd
    >>> rows = torch.tensor([[1.0, 0.0]] * 20 + [[2.0, 0.0], [9.0, 3.0]])
    >>> centers = torch.tensor([[0.0, 0.0], [9.0, 0.0]])
    >>> lcmd(Dense(rows), 2, Dense(centers)).indices
    tensor([20, 21])
    """
    clusters = NearestCenters(embedding, centers)
    scores = clusters.sq_dist.new_empty(n)
    indices = torch.empty(n, dtype=torch.long, device=scores.device)
    left = torch.ones(len(embedding), dtype=torch.bool, device=scores.device)
    for k in range(n):
        if clusters.n_centers == 0:
            value = embedding.sq_norm()
        else:
            weights = torch.zeros(
                clusters.n_centers, dtype=torch.float64, device=scores.device
            ).index_add_(0, clusters.center, clusters.sq_dist.double())
            heaviest = clusters.center == weights.argmax()
            value = torch.where(heaviest, clusters.sq_dist, -torch.inf)
            if not weights.any():  # every row lies on a center
                value = clusters.sq_dist
        i = int(torch.where(left, value, -torch.inf).argmax())
        indices[k], scores[k], left[i] = i, value[i], False
        if k < n - 1:
            clusters.add(i)
    return Picks(indices, scores)
