"""Typical rows of clusters: from the largest of those with the fewest labels."""

from __future__ import annotations

import torch
from torch import Tensor

from skal.selection.base import Picks, check_n

__all__ = ["typi_clust", "typicality"]

#: Numbers that are worked on together.
_BLOCK = 2**21
#: Clusters of at most so many rows come last.
_SMALL = 5


def typicality(features: Tensor, k: int) -> Tensor:
    r"""Density around each row: how near its nearest neighbors are.

    Parameters
    ----------
    features : Tensor of shape (m, d)
    k : int
        Neighbors, 1 or more; at most the m - 1 others are taken.

    Returns
    -------
    scores : Tensor of shape (m,), float64
        :math:`\left(\frac1k \sum_j \lVert z - z_j \rVert\right)^{-1}` over the k
        nearest others; infinity where all are duplicates, 0 where there is none.

    Raises
    ------
    ValueError
        If `k` is less than 1.

    Notes
    -----
    Costs m²·d multiply-adds, by matrix products in blocks, in float64: nothing of size
    m × m is kept.  Which rows are the nearest is known up to rounding, their distances
    exactly.

    Examples
    --------
    >>> import torch
    >>> from skal.selection.typi_clust import typicality
    >>> typicality(torch.tensor([[0.0], [1.0], [3.0], [7.0]]), 2).tolist()
    [0.5, 0.6666666666666666, 0.4, 0.2]
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}.")
    m, d = features.shape
    k = min(k, m - 1)
    scores = torch.zeros(m, dtype=torch.float64, device=features.device)
    if k < 1:
        return scores
    rows = features.double()
    shifted = rows - rows.mean(dim=0)  # near the origin less is lost to rounding
    half_sq = shifted.square().sum(dim=1) / 2
    step = max(1, _BLOCK // max(m, k * d))
    for start in range(0, m, step):
        block = shifted[start : start + step]
        values = torch.addmm(half_sq, block, shifted.T, alpha=-1)
        values.diagonal(start).fill_(torch.inf)  # a row is no neighbor of its own
        near = values.topk(k, dim=1, largest=False).indices
        differences = rows[near] - rows[start : start + step, None]
        distances = torch.linalg.vector_norm(differences, dim=2)
        scores[start : start + step] = 1 / distances.mean(dim=1)
    return scores


def typi_clust(
    features: Tensor,
    clusters: Tensor,
    n: int,
    k: int = 20,
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
    k : int
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
        If `n` or `k` is out of range.

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
    >>> typi_clust(rows, torch.tensor([0, 0, 0, 1, 0, 0, 0]), 2, k=2).indices
    tensor([1, 2])
    """
    check_n(n, len(features))
    n_open = clusters.bincount(minlength=0 if n_labeled is None else len(n_labeled))
    taken = torch.zeros_like(n_open) if n_labeled is None else n_labeled.clone()
    turns = _turns(n_open, taken, n)
    indices = torch.empty_like(turns)
    scores = torch.empty_like(turns, dtype=torch.float64)
    of_cluster = clusters.sort(stable=True).indices.split(n_open.tolist())
    n_turns = turns.bincount(minlength=len(n_open)).tolist()
    turns_of_cluster = turns.sort(stable=True).indices.split(n_turns)
    for rows, turn in zip(of_cluster, turns_of_cluster, strict=True):
        if len(turn) == 0:
            continue
        own = typicality(features[rows], min(k, max(1, len(rows) // 2)))
        # Duplicates may differ by the rounding of a mean.
        best = own.float().sort(descending=True, stable=True).indices[: len(turn)]
        indices[turn], scores[turn] = rows[best], own[best]
    return Picks(indices, scores)


def _turns(n_open: Tensor, taken: Tensor, n: int) -> Tensor:
    """Cluster of each pick, of clusters with so many rows open and taken."""
    size = n_open + taken
    order = size.sort(descending=True, stable=True).indices
    n_open, taken = n_open[order].clone(), taken[order].clone()
    taken[size[order] <= _SMALL] += int(taken.max()) + n  # after all others
    turns = torch.empty(n, dtype=torch.long, device=n_open.device)
    never = torch.iinfo(taken.dtype).max
    taken[n_open == 0] = never
    for pick in range(n):
        first = int(taken.argmin())
        turns[pick] = order[first]
        taken[first] += 1
        n_open[first] -= 1
        if n_open[first] == 0:
            taken[first] = never
    return turns
