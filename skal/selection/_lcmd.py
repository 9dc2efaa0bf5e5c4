"""LCMD: the farthest row of the cluster with the most to cover."""

from __future__ import annotations

import heapq

import torch
from torch import Tensor

from skal.selection._greedy import Greedy
from skal.selection._nearest_centers import NearestCenters
from skal.selection._picks import Picks
from skal.spaces.dense import Embedding

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

    Raises
    ------
    ValueError
        If `n` is out of range.

    Notes
    -----
    Every row belongs to its nearest center, labeled or picked; of equally near centers
    to the oldest.  A cluster C with center c weighs :math:`\sum_{x \in C} d(x, c)^2`.
    The next pick is the farthest row of the heaviest cluster.  Ties go to the older
    cluster and in pool order; rows that coincide with a center come last, in pool
    order.

    Takes at most n passes over the embedding, and far fewer where several rows are
    compared at once.

    References
    ----------
    .. [1] Holzmüller, Zaverkin, Kästner and Steinwart, "A framework and benchmark for
       deep batch active learning for regression", JMLR 2023.
       https://arxiv.org/abs/2203.09410

    Examples
    --------
    Twenty rows near a center outweigh a single one that is farther away:

    >>> import torch
    >>> from skal.selection import lcmd
    >>> from skal.spaces import Dense
    >>> rows = torch.tensor([[1.0, 0.0]] * 20 + [[2.0, 0.0], [9.0, 4.6]])
    >>> centers = torch.tensor([[0.0, 0.0], [9.0, 0.0]])
    >>> lcmd(Dense(rows), 2, Dense(centers)).indices
    tensor([20, 21])
    """
    return _Clusters(embedding, n, centers).pick(n)


class _Clusters(Greedy):
    """Rows by their squared distance to the nearest center, cluster by cluster."""

    def __init__(self, embedding: Embedding, n: int, centers: Embedding | None) -> None:
        self.clusters = NearestCenters(embedding, centers, n_more=n - 1)
        if self.clusters.n_centers:
            self.value, self.weights = self.clusters.sq_dist, self.clusters.weights()
        else:
            self.value = embedding.sq_norm()
            self.weights = self.value[:0]
        self.share = 1.0

    def choose(self, value: Tensor) -> tuple[int, Tensor] | None:
        self.open = value
        if not len(self.weights):
            i = int(value.argmax())
            return i, value[i]
        heaviest = int(self.weights.argmax())
        if self.weights[heaviest] == 0:  # every row left coincides with a center
            return None
        (i,) = self._farthest(heaviest, 1)
        return i, value[i]

    def update(self, i: int) -> None:
        if self.clusters.lacks(i):
            rows = torch.tensor(sorted({i, *self._forecast()}), device=self.open.device)
            self.clusters.compare(rows)
        cluster = int(self.clusters.center[i])
        self.clusters.add(i)
        self.value, before = self.clusters.sq_dist, self.weights
        self.weights = self.clusters.weights()
        if len(before):
            self._learn(before[cluster] - self.weights[cluster], self.open[i])

    def _farthest(self, cluster: int, n: int) -> list[int]:
        """Farthest rows of a cluster; for n = 1, the first of equally far ones."""
        rows = torch.nonzero(self.clusters.center == cluster)[:, 0]
        far = self.open[rows]
        if n == 1:
            return [int(rows[far.argmax()])]
        return rows[far.topk(min(n, len(far))).indices].tolist()

    # Only the speed depends on what follows: which rows are compared ahead.

    def _learn(self, drop: Tensor, sq_dist: Tensor) -> None:
        """Average what a pick takes from its cluster's weight, per squared distance."""
        tiny = torch.finfo(sq_dist.dtype).tiny
        self.share = (self.share + float(drop) / max(float(sq_dist), tiny)) / 2

    def _forecast(self) -> list[int]:
        """Pick the next rows as if each took the average share, and no row moved."""
        n = self.clusters.n_ahead
        heavy = self.weights.topk(min(n, len(self.weights)))
        queue = list(zip((-heavy.values).tolist(), heavy.indices.tolist(), strict=True))
        farthest: dict[int, list[int]] = {}
        rows: list[int] = []
        while queue and len(rows) < n:
            weight, cluster = queue[0]
            if cluster not in farthest:
                farthest[cluster] = self._farthest(cluster, n)[::-1]
            if farthest[cluster]:
                rows.append(farthest[cluster].pop())
                drop = max(self.share, 0.0) * float(self.open[rows[-1]])
                heapq.heapreplace(queue, (weight + drop, cluster))
            else:
                heapq.heappop(queue)
        return rows
