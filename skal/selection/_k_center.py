"""Greedy k-center: always the row farthest from every center."""

from __future__ import annotations

import torch
from torch import Tensor

from skal._numerics.nearest import NearestCenters
from skal.selection._picks import Picks, check_n
from skal.spaces.dense import Embedding

__all__ = ["k_center"]


def k_center(embedding: Embedding, n: int, min_sq_dist: Tensor | None = None) -> Picks:
    r"""Pick farthest-first [1]_, within twice the optimal covering radius.

    Parameters
    ----------
    embedding : Embedding of m rows
    n : int
        From 0 to m.
    min_sq_dist : Tensor of shape (m,), optional
        Squared distance of each row to the nearest center there is; not changed.  If
        there is none, the first pick is the row of the largest norm.

    Returns
    -------
    picks : Picks
        Scores are squared distances to the nearest center when picked (the squared
        norm for a first pick without centers).  Equal distances go in pool order.

    Raises
    ------
    ValueError
        If `n` is out of range.

    Notes
    -----
    Takes n passes over the embedding.

    References
    ----------
    .. [1] Gonzalez, "Clustering to minimize the maximum intercluster distance",
       Theoretical Computer Science 1985.
       https://doi.org/10.1016/0304-3975(85)90224-5
    """
    check_n(n, len(embedding))
    centers = NearestCenters(embedding, sq_dist=min_sq_dist, n_more=n - 1)
    value = embedding.sq_norm() if min_sq_dist is None else min_sq_dist
    left = torch.ones_like(value, dtype=torch.bool)
    indices = torch.empty(n, dtype=torch.long, device=value.device)
    scores = value.new_empty(n)
    for k in range(n):
        open_ = torch.where(left, value, -torch.inf)
        i = int(open_.argmax())
        if k and not centers.knows(i):
            far = open_.topk(min(centers.n_guesses, len(open_))).indices
            centers.guess(torch.cat([far, indices.new_tensor([i])]).unique())
        indices[k], scores[k], left[i] = i, value[i], False
        if k < n - 1:
            centers.add(i)
            value = centers.sq_dist
    return Picks(indices, scores)
