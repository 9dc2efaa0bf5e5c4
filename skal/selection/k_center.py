"""Greedy k-center: always the row farthest from every center."""

from __future__ import annotations

import torch
from torch import Tensor

from skal.embeddings import Embedding
from skal.selection.base import Picks, check_n

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
    nearest = embedding.sq_norm() if min_sq_dist is None else min_sq_dist.clone()
    no_center = min_sq_dist is None
    indices = torch.empty(n, dtype=torch.long, device=nearest.device)
    scores = nearest.new_empty(n)
    for k in range(n):
        i = int(nearest.argmax())
        indices[k], scores[k] = i, nearest[i]
        distances = embedding.sq_dist(i)
        nearest = distances if no_center else torch.minimum(nearest, distances)
        no_center = False
        nearest[indices[: k + 1]] = -torch.inf  # never again
    return Picks(indices, scores)
