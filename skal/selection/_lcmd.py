"""LCMD: the farthest row of the cluster with the most to cover."""

from __future__ import annotations

import heapq

import torch
from torch import Tensor

from skal.selection._greedy import Greedy, Picks
from skal.selection._nearest_centers import NearestCenters
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
        self.weights = self.clusters.weights()
        has_centers = len(self.weights) > 0
        self.value = self.clusters.sq_dist if has_centers else embedding.sq_norm()
        self.share = 1.0

    def choose(self) -> tuple[int, Tensor] | None:
        if not len(self.weights):
            return super().choose()
        heaviest = int(self.weights.argmax())
        if self.weights[heaviest] == 0:  # every row left coincides with a center
            return None
        rows = torch.nonzero(self.clusters.center == heaviest)[:, 0]
        i = int(rows[self.open[rows].argmax()])
        return i, self.open[i]

    def update(self, i: int) -> None:
        if self.clusters.lacks(i):
            rows = [i, *self._forecast(self.clusters.n_ahead)]
            self.clusters.compare(self.clusters.center.new_tensor(rows))
        before, cluster = self.weights, int(self.clusters.center[i])
        self.clusters.add(i)
        self.value, self.weights = self.clusters.sq_dist, self.clusters.weights()
        if len(before):  # only for the forecast
            taken = float(before[cluster] - self.weights[cluster]) / float(self.open[i])
            self.share = (self.share + taken) / 2

    def _forecast(self, n: int) -> list[int]:
        """List the next rows if each took the average share, and no row moved.

        The share is that of a squared distance in the weight that its pick takes from
        the cluster.  The forecast changes the speed and nothing else.
        """
        heavy = self.weights.topk(min(n, len(self.weights)))
        queue = list(zip((-heavy.values).tolist(), heavy.indices.tolist(), strict=True))
        farthest: dict[int, list[int]] = {}
        picks: list[int] = []
        while queue and len(picks) < n:
            weight, cluster = queue[0]
            if cluster not in farthest:
                is_open = (self.clusters.center == cluster) & (self.open > 0)
                rows = torch.nonzero(is_open)[:, 0]
                far = self.open[rows].topk(min(n, len(rows))).indices
                farthest[cluster] = rows[far].tolist()[::-1]
            if farthest[cluster]:
                picks.append(farthest[cluster].pop())
                drop = max(self.share, 0.0) * float(self.open[picks[-1]])
                heapq.heapreplace(queue, (weight + drop, cluster))
            else:
                heapq.heappop(queue)
        return picks
