"""Each row's nearest points."""

from __future__ import annotations

import torch
from torch import Tensor

from skal.selection.nearest import slack, sum_of_squares
from skal.selection.smallest import BLUR, smallest

__all__ = ["k_nearest"]

#: Numbers that are worked on together.
_BLOCK = 2**21
#: Numbers that stay in cache while a row is subtracted and squared.
_CACHE = 2**18


def k_nearest(features: Tensor, points: Tensor, k: int) -> Tensor:
    """Find the nearest points of each row, by Euclid.

    Parameters
    ----------
    features : Tensor of shape (m, d)
    points : Tensor of shape (L, d)
    k : int
        From 1 to L.

    Returns
    -------
    neighbors : Tensor of shape (m, k), int64
        Positions among the points, in their order; of equally near ones the first.

    Raises
    ------
    ValueError
        If `k` is out of range, the widths differ, or a number or its square is not
        finite.

    Notes
    -----
    Points are compared by matrix products in blocks, m·L·d multiply-adds, and sorted
    by their leading digits; the error of both is bounded, and where it leaves open
    which are the nearest, the distances are computed exactly.  So a row's neighbors do
    not depend on the rows beside it, and nothing of size m × L is kept.

    Examples
    --------
    >>> import torch
    >>> from skal.selection import k_nearest
    >>> points = torch.tensor([[0.0], [1.0], [3.0]])
    >>> k_nearest(torch.tensor([[2.0], [-1.0]]), points, 2)
    tensor([[1, 2],
            [0, 1]])
    """
    if features.ndim != 2 or points.ndim != 2 or features.shape[1] != points.shape[1]:
        raise ValueError(
            "features and points must have the shapes (m, d) and (L, d), got "
            f"{tuple(features.shape)} and {tuple(points.shape)}."
        )
    if not 1 <= k <= len(points):
        raise ValueError(f"k must be from 1 to the {len(points)} points, got {k}.")
    origin = points.mean(dim=0)  # near the origin less is lost to rounding
    shifted = points - origin
    half_sq = shifted.square().sum(dim=1) / 2
    neighbors = torch.empty(len(features), k, dtype=torch.long, device=features.device)
    step = max(1, _BLOCK // max(points.shape))
    for start in range(0, len(features), step):
        block = features[start : start + step]
        own = block - origin
        values = torch.addmm(half_sq, own, shifted.T, alpha=-1)
        rounding = torch.linalg.vector_norm(own, dim=1).square_() + 2 * half_sq.max()
        if not rounding.isfinite().all():
            raise ValueError("features and points must be finite, and their squares.")
        rounding *= slack(block)
        near, point = smallest(values, min(k + 1, len(points)))
        found = neighbors[start : start + step]
        torch.sort(point[:, :k], dim=1, out=(found, torch.empty_like(found)))
        rounding += BLUR * near[:, k - 1 :].abs().sum(dim=1)
        open_ = near[:, k:] - near[:, k - 1 : k] <= 4 * rounding[:, None]
        rows = torch.nonzero(open_)[:, 0]
        limit = near[rows, k - 1] + 2 * rounding[rows]
        row, point = torch.nonzero(values[rows] <= limit[:, None]).T
        distances = _sq_distances(block[rows], points, row, point)
        found[rows] = _first_of_each(row, point, distances, k)
    return neighbors


def _sq_distances(rows: Tensor, points: Tensor, row: Tensor, point: Tensor) -> Tensor:
    """Squared distances pair by pair, each independent of the others."""
    size = max(1, _CACHE // rows.shape[1])
    pairs = zip(row.split(size), point.split(size), strict=True)
    return torch.cat([sum_of_squares(rows[i] - points[j]) for i, j in pairs])


def _first_of_each(row: Tensor, point: Tensor, distances: Tensor, k: int) -> Tensor:
    """Give the k points of least distance of each row, of pairs in their order."""
    order = distances.argsort(stable=True)
    order = order[row[order].argsort(stable=True)]
    counts = row.bincount()
    rank = torch.arange(len(row), device=row.device)
    rank -= (counts.cumsum(0) - counts).repeat_interleave(counts)
    return point[order][rank < k].reshape(-1, k).sort(dim=1).values
