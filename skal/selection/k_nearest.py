"""Each row's nearest points."""

from __future__ import annotations

import torch
from torch import Tensor

from skal.selection.nearest import sum_of_squares
from skal.selection.products import Products
from skal.selection.smallest import smallest

__all__ = ["KNearest", "k_nearest"]

#: Numbers that are worked on together.
_BLOCK = 2**20
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
    return KNearest(points, k)(features)


class KNearest:
    """Search for the nearest of some points, for rows that come in several parts.

    Parameters
    ----------
    points : Tensor of shape (L, d)
    k : int
        From 1 to L.

    Raises
    ------
    ValueError
        If `k` is out of range, or `points` are not a matrix.

    Notes
    -----
    Called with rows it gives what `k_nearest` does.  Memory for products is taken once
    for all parts.

    Examples
    --------
    >>> import torch
    >>> from skal.selection import KNearest
    >>> search = KNearest(torch.tensor([[0.0], [1.0], [3.0]]), k=2)
    >>> search(torch.tensor([[2.0]])), search(torch.tensor([[-1.0]]))
    (tensor([[1, 2]]), tensor([[0, 1]]))
    """

    def __init__(self, points: Tensor, k: int) -> None:
        if points.ndim != 2:
            raise ValueError(
                f"points must have the shape (L, d), got {tuple(points.shape)}."
            )
        if not 1 <= k <= len(points):
            raise ValueError(f"k must be from 1 to the {len(points)} points, got {k}.")
        self.points, self.k = points, k
        self._products = Products(points)

    def __call__(self, features: Tensor) -> Tensor:
        """Give the positions of each row's nearest points, ``(m, k)``, in order."""
        points, k = self.points, self.k
        if features.ndim != 2 or features.shape[1] != points.shape[1]:
            raise ValueError(
                "features and points must have the shapes (m, d) and (L, d), got "
                f"{tuple(features.shape)} and {tuple(points.shape)}."
            )
        m, step = len(features), max(1, _BLOCK // max(points.shape))
        width = min(k + 1, len(points))
        near = points.new_empty(m, width, dtype=torch.double)
        point = points.new_empty(m, width, dtype=torch.long)
        rounding = points.new_empty(m)
        blur = 0.0
        for start in range(0, m, step):
            part = slice(start, start + step)
            values, rounding[part] = self._products(features[part])
            near[part], point[part], blur = smallest(values, width)
        if not rounding.isfinite().all():
            raise ValueError("features and points must be finite, and their squares.")
        rounding += blur * near[:, k - 1 :].abs().sum(dim=1)
        neighbors = point[:, :k].contiguous()
        open_ = near[:, k:] - near[:, k - 1 : k] <= 4 * rounding[:, None]
        for some in torch.nonzero(open_)[:, 0].split(step):
            values, _ = self._products(features[some])
            limit = near[some, k - 1] + 2 * rounding[some]
            row, candidate = torch.nonzero(values <= limit[:, None]).T
            distances = _sq_distances(features[some], points, row, candidate)
            neighbors[some] = _first_of_each(row, candidate, distances, k)
        return neighbors.sort(dim=1).values


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
    return point[order][rank < k].reshape(-1, k)
