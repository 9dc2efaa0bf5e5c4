"""Typical rows of clusters: from the largest of those with the fewest labels."""

from __future__ import annotations

import heapq

import torch
from torch import Tensor
from torch.nn import functional as F

from skal.selection._picks import Picks, check_n

__all__ = ["typi_clust", "typicality"]

#: Numbers that are worked on together.
_BLOCK = 2**21
#: Clusters of at most so many rows come last.
_SMALL = 5


def typicality(features: Tensor, n_neighbors: int) -> Tensor:
    r"""Density around each row: how near its nearest neighbors are.

    Parameters
    ----------
    features : Tensor of shape (m, d)
    n_neighbors : int
        Neighbors, 1 or more; at most the m - 1 others are taken.

    Returns
    -------
    scores : Tensor of shape (m,), float64
        :math:`\left(\frac1k \sum_j \lVert z - z_j \rVert\right)^{-1}` over the k
        nearest others; infinity where all are duplicates, 0 where there is none.

    Raises
    ------
    ValueError
        If `n_neighbors` is less than 1.

    Notes
    -----
    Costs m²·d multiply-adds, by matrix products in blocks, in float64: nothing of size
    m × m is kept.  They tell which rows are the nearest, up to rounding; the distances
    to these are those of the differences, in the precision of `features`.

    Examples
    --------
    >>> import torch
    >>> from skal.selection._typi_clust import typicality
    >>> typicality(torch.tensor([[0.0], [1.0], [3.0], [7.0]]), 2).tolist()
    [0.5, 0.6666666666666666, 0.4, 0.2]
    """
    _check_n_neighbors(n_neighbors)
    sizes = torch.tensor([len(features)], device=features.device)
    return _typicality(features[None], sizes, (sizes - 1).clamp(max=n_neighbors))[0]


def _check_n_neighbors(n_neighbors: int) -> None:
    if n_neighbors < 1:
        raise ValueError(f"n_neighbors must be at least 1, got {n_neighbors}.")


def _typicality(features: Tensor, sizes: Tensor, k: Tensor) -> Tensor:
    """Typicality of the rows of several clusters, ``(c, s)``.

    Parameters
    ----------
    features : Tensor of shape (c, s, d)
        A cluster's rows come first; those behind them get -1.
    sizes : Tensor of shape (c,)
    k : Tensor of shape (c,)
        Neighbors, fewer than the cluster's rows.
    """
    c, s, d = features.shape
    place = torch.arange(s, device=features.device)
    outside = place >= sizes[:, None]
    scores = torch.zeros(c, s, dtype=torch.float64, device=features.device)
    most = int(k.max())
    if most > 0:
        rows = features.masked_fill(outside[:, :, None], 0.0)
        shifted = rows.double()  # and near the origin less is lost to rounding
        shifted -= shifted.sum(dim=1, keepdim=True) / sizes[:, None, None]
        half_sq = (shifted.square().sum(dim=2) / 2).masked_fill_(outside, torch.inf)
        first = s * torch.arange(c, device=features.device)[:, None, None]
        too_far = place[:most] >= k[:, None, None]
        step = max(1, _BLOCK // (c * max(s, most * d)))
        for start in range(0, s, step):
            part = slice(start, start + step)
            values = torch.baddbmm(
                half_sq[:, None], shifted[:, part], shifted.mT, alpha=-1
            )
            # a row is no neighbor of its own
            values.diagonal(start, 1, 2).fill_(torch.inf)
            near = values.topk(most, dim=2, largest=False).indices
            differences = F.embedding(near + first, rows.flatten(0, 1))
            differences -= rows[:, part, None]
            distances = torch.linalg.vector_norm(differences, dim=3)
            distances.masked_fill_(too_far, 0.0)
            scores[:, part] = k[:, None] / distances.sum(dim=2, dtype=torch.float64)
    scores[k == 0] = 0.0
    return scores.masked_fill_(outside, -1.0)


def typi_clust(
    features: Tensor,
    clusters: Tensor,
    n: int,
    n_neighbors: int = 20,
    n_labeled: Tensor | None = None,
) -> Picks:
    r"""Pick the most typical rows, cluster by cluster [1]_.

    Parameters
    ----------
    features : Tensor of shape (m, d)
        Rows that may be picked.
    clusters : Tensor of shape (m,), int64
        Cluster of each, from 0 to C - 1.
    n : int
        From 0 to m.
    n_neighbors : int
        Neighbors by which a row is typical; half the cluster's rows if that is less.
    n_labeled : Tensor of shape (C,), int64, optional
        Labeled rows of each cluster beside those of `features`; by default none.

    Returns
    -------
    picks : Picks
        Scores are the typicality among the cluster's rows that may be picked.

    Raises
    ------
    ValueError
        If `n` or `n_neighbors` is out of range.

    Notes
    -----
    Each pick comes from the cluster with the fewest rows labeled or picked, of several
    from the largest: it is the most typical row that is left there.  Clusters of five
    rows or fewer, labeled ones included, come when the others are used up.  Ties go in
    the order of clusters and rows.

    Costs m_c²·d multiply-adds for each cluster that is picked from, of m_c rows.

    References
    ----------
    .. [1] Hacohen, Dekel and Weinshall, "Active learning on a budget: opposite
       strategies suit high and low budgets", ICML 2022.
       https://arxiv.org/abs/2202.02794

    Examples
    --------
    >>> import torch
    >>> from skal.selection import typi_clust
    >>> rows = torch.tensor([0.0, 1.0, 2.0, 9.0, 3.0, 4.0, 5.0])[:, None]
    >>> typi_clust(rows, torch.tensor([0, 0, 0, 1, 0, 0, 0]), 2, n_neighbors=2).indices
    tensor([1, 2])
    """
    check_n(n, len(features))
    _check_n_neighbors(n_neighbors)
    n_open = clusters.bincount(minlength=0 if n_labeled is None else len(n_labeled))
    taken = torch.zeros_like(n_open) if n_labeled is None else n_labeled
    turns = _turns(n_open, taken, n)
    n_picks = turns.bincount(minlength=len(n_open))
    first = n_open.cumsum(0) - n_open
    ranked = clusters.sort(stable=True).indices  # each cluster's rows, best first
    scores = torch.empty(len(ranked), dtype=torch.float64, device=ranked.device)
    left = n_open.sort(descending=True).indices
    left = left[n_picks[left] > 0]
    while len(left) > 0:
        # The largest come together, padded to the size of the first.
        size = int(n_open[left[0]])
        numbers = size * max(size, min(n_neighbors, size) * features.shape[1])
        few, left = left.tensor_split([max(1, _BLOCK // numbers)])
        sizes = n_open[few]
        place = torch.arange(size, device=few.device)
        inside = place < sizes[:, None]
        place = first[few, None] + place
        rows = ranked[place.clamp(max=len(ranked) - 1)]
        neighbors = (sizes // 2).clamp(1, n_neighbors).minimum(sizes - 1)
        own = _typicality(F.embedding(rows, features), sizes, neighbors)
        # Duplicates may differ by the rounding of a sum.
        order = own.float().sort(dim=1, descending=True, stable=True).indices
        ranked[place[inside]] = rows.gather(1, order)[inside]
        scores[place[inside]] = own.gather(1, order)[inside]
    by_cluster = turns.sort(stable=True).indices
    place = torch.empty_like(turns)
    place[by_cluster] = torch.arange(n, device=turns.device)
    place += (first - n_picks.cumsum(0) + n_picks)[turns]
    return Picks(ranked[place], scores[place])


def _turns(n_open: Tensor, taken: Tensor, n: int) -> Tensor:
    """Cluster of each pick, of clusters with so many rows open and taken."""
    size = n_open + taken
    last = size <= _SMALL  # after all others
    taken = taken + last * (int(taken.max()) + n)
    order = size.sort(descending=True, stable=True).indices
    pairs = zip(taken[order].tolist(), order.tolist(), strict=True)
    left = n_open.tolist()
    queue = [(t, rank, c) for rank, (t, c) in enumerate(pairs) if left[c] > 0]
    heapq.heapify(queue)
    turns = []
    for _ in range(n):
        t, rank, cluster = queue[0]
        turns.append(cluster)
        left[cluster] -= 1
        if left[cluster] > 0:
            heapq.heapreplace(queue, (t + 1, rank, cluster))
        else:
            heapq.heappop(queue)
    return torch.tensor(turns, dtype=torch.long, device=n_open.device)
