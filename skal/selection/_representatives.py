"""One row for each cluster: the nearest to its center."""

from __future__ import annotations

import torch
from torch import Tensor

from skal.selection._picks import Picks, check_n
from skal.selection._top_k import top_k

__all__ = ["representatives"]

#: Numbers that are worked on together.
_BLOCK = 2**20


def representatives(
    features: Tensor, clusters: Tensor, centers: Tensor, scores: Tensor, n: int
) -> Picks:
    """Pick, in each cluster, the row nearest to its center.

    Parameters
    ----------
    features : Tensor of shape (m, d)
    clusters : Tensor of shape (m,), int64
        Cluster of each row, from 0 to C - 1.
    centers : Tensor of shape (C, d)
    scores : Tensor of shape (m,)
        Of rows equally near, the highest is picked, then the first.
    n : int
        From 0 to m.

    Returns
    -------
    picks : Picks
        By their scores, highest first; so too if there are more clusters than picks.
        Where there are fewer, the highest scores of all rows left come behind them.

    Raises
    ------
    ValueError
        If `n` is out of range.

    Notes
    -----
    One pass over the rows.  Distances that differ by rounding alone count as equal: the
    two rows of a cluster of two lie as far from its center.

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
    size = max(1, _BLOCK // features.shape[1])
    parts = zip(features.split(size), clusters.split(size), strict=True)
    distance = torch.cat(
        [torch.linalg.vector_norm(part - centers[own], dim=1) for part, own in parts]
    )
    least = distance.new_full((len(centers),), torch.inf)
    least.scatter_reduce_(0, clusters, distance, "amin")
    rounding = 8 * torch.finfo(features.dtype).eps * features.abs().max()
    rounding = rounding * features.shape[1] ** 0.5
    near = torch.nonzero(distance <= least[clusters] + rounding)[:, 0]
    near = near[scores[near].sort(descending=True, stable=True).indices]
    # The first of each cluster, still by score.
    place = torch.arange(len(near), device=near.device)
    first = torch.full_like(least, len(near), dtype=torch.long)
    first.scatter_reduce_(0, clusters[near], place, "amin")
    picked = near[first[first < len(near)].sort().values][:n]
    left = torch.ones_like(clusters, dtype=torch.bool)
    left[picked] = False
    rest = torch.nonzero(left)[:, 0]
    more = rest[top_k(scores[rest], n - len(picked)).indices]
    indices = torch.cat([picked, more])
    return Picks(indices, scores[indices])
