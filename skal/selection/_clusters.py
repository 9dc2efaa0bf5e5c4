"""Batches from clusters: their most typical rows, or those nearest to their centers."""

from __future__ import annotations

import heapq

import torch
from torch import Tensor
from torch.nn import functional as F

from skal._numerics.products import block_size, blocks
from skal.selection._greedy import Picks, best_of, check_n, in_any_order

__all__ = ["representatives", "round_robin", "typi_clust", "typicality"]

#: Most rows of a small cluster, which comes last.
_SMALL = 5


def typicality(features: Tensor, n_neighbors: int) -> Tensor:
    r"""Density around each row: the inverse mean distance to its nearest neighbors.

    Parameters
    ----------
    features : Tensor of shape (m, d)
    n_neighbors : int
        At least 1; at most m - 1 neighbors are used.

    Returns
    -------
    scores : Tensor of shape (m,), float64
        :math:`\left(\frac1k \sum_j \lVert z - z_j \rVert\right)^{-1}` over the k
        nearest others; infinity if all are duplicates, 0 if there is no other row.

    Raises
    ------
    ValueError
        If `n_neighbors` is less than 1.

    Notes
    -----
    The nearest rows are found by matrix products in blocks, in float64: m²·d
    multiply-adds, and nothing of size m × m is kept.  The distances to these rows are
    norms of differences, in the precision of `features`.

    Examples
    --------
    >>> import torch
    >>> from skal.selection._clusters import typicality
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
        The rows of a cluster come first; those after them get -1.
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
        shifted = rows.double()  # near the origin less is lost to rounding
        shifted -= shifted.sum(dim=1, keepdim=True) / sizes[:, None, None]
        half_sq = (shifted.square().sum(dim=2) / 2).masked_fill_(outside, torch.inf)
        first = s * torch.arange(c, device=features.device)[:, None, None]
        too_far = place[:most] >= k[:, None, None]
        for part in blocks(s, c * max(s, most * d)):
            values = torch.baddbmm(
                half_sq[:, None], shifted[:, part], shifted.mT, alpha=-1
            )
            # A row is not a neighbor of itself.
            values.diagonal(part.start, 1, 2).fill_(torch.inf)
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
    n_neighbors : int, default=20
        Neighbors that make a row typical; at most half the rows of the cluster.
    n_labeled : Tensor of shape (C,), int64, optional
        Labeled rows of each cluster, in addition to `features`; by default none.

    Returns
    -------
    picks : Picks
        Scores are the typicality among the rows of the cluster that may be picked.

    Raises
    ------
    ValueError
        If `n` or `n_neighbors` is out of range.

    Notes
    -----
    Each pick is the most typical row left in the cluster with the fewest labeled or
    picked rows, and in the largest of several such clusters.  Clusters of five rows or
    fewer, including the labeled, follow when all other clusters are exhausted.  Ties
    are broken in the order of clusters and rows.

    Takes m_c²·d multiply-adds for each cluster, of m_c rows, that is picked from.

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
        # The largest clusters come together, padded to the size of the first.
        size = int(n_open[left[0]])
        width = size * max(size, min(n_neighbors, size) * features.shape[1])
        few, left = left.tensor_split([block_size(width)])
        sizes = n_open[few]
        place = torch.arange(size, device=few.device)
        inside = place < sizes[:, None]
        place = first[few, None] + place
        rows = ranked[place.clamp(max=len(ranked) - 1)]
        neighbors = (sizes // 2).clamp(1, n_neighbors).minimum(sizes - 1)
        own = _typicality(F.embedding(rows, features), sizes, neighbors)
        # In float32, so that duplicates, which may differ by rounding, tie.
        order = own.float().sort(dim=1, descending=True, stable=True).indices
        ranked[place[inside]] = rows.gather(1, order)[inside]
        scores[place[inside]] = own.gather(1, order)[inside]
    by_cluster = turns.sort(stable=True).indices
    place = torch.empty_like(turns)
    place[by_cluster] = torch.arange(n, device=turns.device)
    place += (first - n_picks.cumsum(0) + n_picks)[turns]
    return Picks(ranked[place], scores[place])


def _turns(n_open: Tensor, taken: Tensor, n: int) -> Tensor:
    """Cluster of each pick, by the rows of each cluster that are open and taken."""
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


def representatives(
    features: Tensor, clusters: Tensor, centers: Tensor, scores: Tensor, n: int
) -> Picks:
    """Pick the row of each cluster that is nearest to its center.

    Parameters
    ----------
    features : Tensor of shape (m, d)
    clusters : Tensor of shape (m,), int64
        Cluster of each row, from 0 to C - 1.
    centers : Tensor of shape (C, d)
    scores : Tensor of shape (m,)
        Of equally near rows, the one with the highest score is picked, or any of
        several.
    n : int
        From 0 to m.

    Returns
    -------
    picks : Picks
        By score, highest first.  With more clusters than `n`, the rows with the highest
        scores are picked; with fewer, the remaining rows with the highest scores
        follow.

    Raises
    ------
    ValueError
        If `n` is out of range.

    Notes
    -----
    One pass over the rows.  Distances that differ by rounding alone count as equal, as
    those of the two rows of a cluster of two.

    Examples
    --------
    >>> import torch
    >>> from skal.selection import representatives
    >>> rows = torch.tensor([[0.0], [1.0], [3.0], [9.0]])
    >>> centers, clusters = torch.tensor([[1.3], [9.0]]), torch.tensor([0, 0, 0, 1])
    >>> representatives(rows, clusters, centers, torch.ones(4), 2).indices
    tensor([1, 3])
    """
    check_n(n, len(features))
    distance = features.new_empty(len(features))
    for part in blocks(*features.shape):
        apart = features[part] - centers[clusters[part]]
        distance[part] = torch.linalg.vector_norm(apart, dim=1)
    least = distance.new_full((len(centers),), torch.inf)
    least.scatter_reduce_(0, clusters, distance, "amin")
    rounding = 8 * torch.finfo(features.dtype).eps * features.abs().max()
    rounding = rounding * features.shape[1] ** 0.5
    near = torch.nonzero(distance <= least[clusters] + rounding)[:, 0]
    near = in_any_order(near)
    near = near[scores[near].sort(descending=True, stable=True).indices]
    # The first of each cluster, still by score.
    place = torch.arange(len(near), device=near.device)
    first = torch.full_like(least, len(near), dtype=torch.long)
    first.scatter_reduce_(0, clusters[near], place, "amin")
    picked = near[first[first < len(near)].sort().values][:n]
    left = torch.ones_like(clusters, dtype=torch.bool)
    left[picked] = False
    indices = torch.cat([picked, best_of(left, scores, n - len(picked))])
    return Picks(indices, scores[indices])


def round_robin(
    clusters: Tensor, scores: Tensor, n: int, rng: torch.Generator | None = None
) -> Picks:
    """Pick a row of each cluster in turn, from the smallest to the largest [1]_.

    Parameters
    ----------
    clusters : Tensor of shape (m,), int64
        Cluster of each row, from 0.
    scores : Tensor of shape (m,)
        Not read; returned with the picks.
    n : int
        From 0 to m.
    rng : torch.Generator, optional
        On the CPU.  Draws the row of a cluster, and the order of clusters of equal
        size; by default both are in the order of the rows.

    Returns
    -------
    picks : Picks
        In the order picked.

    Raises
    ------
    ValueError
        If `n` is out of range.

    Notes
    -----
    After the largest cluster, the turn is that of the smallest cluster of which a row
    is left.  Cost of sorting.

    References
    ----------
    .. [1] Citovsky, DeSalvo, Gentile, Karydas, Rajagopalan, Rostamizadeh and Kumar,
       "Batch active learning at scale", NeurIPS 2021. https://arxiv.org/abs/2107.14263

    Examples
    --------
    >>> import torch
    >>> from skal.selection import round_robin
    >>> round_robin(torch.tensor([0, 0, 1, 0, 2, 2]), torch.zeros(6), 4).indices
    tensor([2, 4, 0, 5])
    """
    m = len(clusters)
    check_n(n, m)
    order = torch.arange(m) if rng is None else torch.randperm(m, generator=rng)
    order = order.to(clusters.device)
    numbers = clusters[order]
    sizes = numbers.bincount()
    # The place of each row among those of its cluster, in this order.
    sorted_ = numbers.sort(stable=True)
    place = torch.empty_like(numbers)
    first = sizes.cumsum(0) - sizes
    place[sorted_.indices] = torch.arange(m).to(place) - first[sorted_.values]
    # Clusters of equal size follow each other as their first rows do.
    begins = torch.full_like(sizes, m)
    begins.scatter_reduce_(0, numbers, torch.arange(m).to(numbers), "amin")
    by_size = (sizes * (m + 1) + begins).argsort()
    rank = torch.empty_like(by_size)
    rank[by_size] = torch.arange(len(sizes)).to(rank)
    turn = place * len(sizes) + rank[numbers]
    indices = order[turn.argsort()[:n]]
    return Picks(indices, scores[indices])
