"""LCMD: the farthest row of the cluster with the most to cover."""

from __future__ import annotations

import heapq

import torch
from torch import Tensor

from skal._numerics.nearest import NearestCenters
from skal.selection._picks import Picks, check_n
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
    >>> from skal.spaces.dense import Dense
    >>> from skal.selection._lcmd import lcmd
    >>> rows = torch.tensor([[1.0, 0.0]] * 20 + [[2.0, 0.0], [9.0, 4.6]])
    >>> centers = torch.tensor([[0.0, 0.0], [9.0, 0.0]])
    >>> lcmd(Dense(rows), 2, Dense(centers)).indices
    tensor([20, 21])
    """
    check_n(n, len(embedding))
    clusters = NearestCenters(embedding, centers, n_more=n - 1)
    scores = clusters.sq_dist.new_empty(n)
    indices = torch.empty(n, dtype=torch.long, device=scores.device)
    left = torch.ones(len(embedding), dtype=torch.bool, device=scores.device)
    heaviest, weight, shares = -1, 0.0, 1.0
    for k in range(n):
        if clusters.n_centers == 0:
            value = embedding.sq_norm()
            i = int(value.argmax())
        else:
            value = torch.where(left, clusters.sq_dist, -torch.inf)
            weights = clusters.weights()
            if heaviest >= 0:
                # How much a pick takes from its cluster, in its own squared distance.
                last = max(float(scores[k - 1]), torch.finfo(scores.dtype).tiny)
                shares = (shares + (weight - float(weights[heaviest])) / last) / 2
            heaviest = int(weights.argmax())
            weight = float(weights[heaviest])
            if weight > 0:
                i = _top_rows(value, clusters.center, heaviest, 1)[0]
                if not clusters.knows(i):
                    guesses = {i, *_guesses(value, clusters, weights, shares)}
                    clusters.guess(torch.tensor(sorted(guesses), device=value.device))
            else:  # every row left lies on a center
                i = int(value.argmax())
        indices[k], scores[k], left[i] = i, value[i], False
        if k < n - 1:
            clusters.add(i)
    return Picks(indices, scores)


def _top_rows(value: Tensor, center: Tensor, cluster: int, n: int) -> list[int]:
    """Farthest rows of a cluster, some; the first of equally far ones comes first."""
    rows = torch.nonzero(center == cluster)[:, 0]
    far = value[rows]
    if n == 1:
        return [int(rows[far.argmax()])]
    return rows[far.topk(min(n, len(far))).indices].tolist()


def _guesses(
    value: Tensor, clusters: NearestCenters, weights: Tensor, shares: float
) -> list[int]:
    """Rows that are picked next if each pick takes as much from its cluster."""
    n = clusters.n_guesses
    heavy = weights.topk(min(n, len(weights)))
    heap = [
        (-weight, cluster)
        for weight, cluster in zip(
            heavy.values.tolist(), heavy.indices.tolist(), strict=True
        )
    ]
    rows: dict[int, list[int]] = {}
    guesses: list[int] = []
    while heap and len(guesses) < n:
        weight, cluster = heap[0]
        if cluster not in rows:
            top = _top_rows(value, clusters.center, cluster, n)
            rows[cluster] = top[::-1]
        if rows[cluster]:
            guesses.append(rows[cluster].pop())
            drop = max(shares, 0.0) * float(value[guesses[-1]])
            heapq.heapreplace(heap, (weight + drop, cluster))
        else:
            heapq.heappop(heap)
    return guesses
