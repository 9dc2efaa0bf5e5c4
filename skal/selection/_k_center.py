"""Greedy k-center: always the row farthest from every center."""

from __future__ import annotations

import torch
from torch import Tensor

from skal.selection._greedy import Greedy, Picks
from skal.selection._nearest_centers import NearestCenters
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
        Squared distance of each row to its nearest center so far; not changed.  If
        omitted, there is no center, and the first pick is the row of the largest norm.

    Returns
    -------
    picks : Picks
        Scores are squared distances to the nearest center when picked (the squared norm
        for a first pick without centers).  Ties are broken in pool order.

    Raises
    ------
    ValueError
        If `n` is out of range.

    Notes
    -----
    Takes at most n passes over the embedding, and far fewer where several rows are
    compared at once.

    References
    ----------
    .. [1] Gonzalez, "Clustering to minimize the maximum intercluster distance",
       Theoretical Computer Science 1985.
       https://doi.org/10.1016/0304-3975(85)90224-5
    """
    return _Farthest(embedding, n, min_sq_dist).pick(n)


class _Farthest(Greedy):
    """Rows by their squared distance to the nearest center."""

    def __init__(
        self, embedding: Embedding, n: int, min_sq_dist: Tensor | None
    ) -> None:
        self.centers = NearestCenters(embedding, sq_dist=min_sq_dist, n_more=n - 1)
        self.value = embedding.sq_norm() if min_sq_dist is None else min_sq_dist

    def update(self, i: int) -> None:
        if self.centers.lacks(i):  # the farthest rows are likely to be next
            far = self.open.topk(min(self.centers.n_ahead, len(self.open))).indices
            self.centers.compare(torch.cat([far, far.new_tensor([i])]))
        self.centers.add(i)
        self.value = self.centers.sq_dist
