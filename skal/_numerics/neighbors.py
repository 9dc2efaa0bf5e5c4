"""Each row's nearest points."""

from __future__ import annotations

import torch
from torch import Tensor

from skal._numerics.distances import sum_of_squares
from skal._numerics.products import Products
from skal._numerics.smallest import smallest

__all__ = ["KNearest", "k_nearest"]

#: Numbers that are worked on together.
_BLOCK = 2**21
#: Numbers that stay in cache while a row is subtracted and squared.
_CACHE = 2**18
#: Rows that are shorter do not get the length 1.
_SHORTEST = 1e-12


def k_nearest(
    features: Tensor, points: Tensor, k: int, metric: str = "euclidean"
) -> Tensor:
    """Find the nearest points of each row.

    Parameters
    ----------
    features : Tensor of shape (m, d)
    points : Tensor of shape (L, d)
    k : int
        From 1 to L.
    metric : {"euclidean", "cosine"}
        The distance of rows and points, or of both divided by their lengths.

    Returns
    -------
    neighbors : Tensor of shape (m, k), int64
        Positions among the points, in their order; of equally near ones the first.

    Raises
    ------
    ValueError
        If `k` is out of range, the widths differ, a number or its square is not
        finite, or the metric is another.

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
    return KNearest(points, k, metric)(features)


class KNearest:
    """Search for the nearest of some points, for rows that come in several parts.

    Parameters
    ----------
    points : Tensor of shape (L, d)
    k : int
        From 1 to L.
    metric : {"euclidean", "cosine"}

    Raises
    ------
    ValueError
        If `k` is out of range, `points` are not a matrix, or the metric is another.

    Notes
    -----
    Called with rows it gives what `k_nearest` does.  What is computed of the points,
    and memory for rows that are moved, serve all parts.

    Examples
    --------
    >>> import torch
    >>> from skal.selection import KNearest
    >>> search = KNearest(torch.tensor([[0.0], [1.0], [3.0]]), k=2)
    >>> search(torch.tensor([[2.0]])), search(torch.tensor([[-1.0]]))
    (tensor([[1, 2]]), tensor([[0, 1]]))
    """

    def __init__(self, points: Tensor, k: int, metric: str = "euclidean") -> None:
        if points.ndim != 2:
            raise ValueError(
                f"points must have the shape (L, d), got {tuple(points.shape)}."
            )
        if not 1 <= k <= len(points):
            raise ValueError(f"k must be from 1 to the {len(points)} points, got {k}.")
        if metric not in ("euclidean", "cosine"):
            raise ValueError(f"metric must be 'euclidean' or 'cosine', got {metric!r}.")
        self.k, self.metric = k, metric
        self.points = points / _lengths(points) if metric == "cosine" else points
        self._products = Products(self.points)

    def __call__(self, features: Tensor) -> Tensor:
        """Give the positions of each row's nearest points, ``(m, k)``, in order."""
        points = self.points
        if features.ndim != 2 or features.shape[1] != points.shape[1]:
            raise ValueError(
                "features and points must have the shapes (m, d) and (L, d), got "
                f"{tuple(features.shape)} and {tuple(points.shape)}."
            )
        m, step = len(features), max(1, _BLOCK // max(points.shape))
        neighbors = torch.empty(m, self.k, dtype=torch.long, device=points.device)
        for start in range(0, m, step):
            part = slice(start, start + step)
            neighbors[part] = self._search(features[part])
        if neighbors.device.type != "cpu":
            return neighbors.sort(dim=1).values
        neighbors.numpy().sort(axis=1)  # in half the time
        return neighbors

    def _search(self, rows: Tensor) -> Tensor:
        """Give the nearest points of some rows, in any order."""
        k = self.k
        lengths = _lengths(rows) if self.metric == "cosine" else None
        values, errors = self._products(rows, lengths)
        _check_finite(errors)
        near, found, blur = smallest(values, min(k + 1, len(self.points)))
        found, last = found[:, :k], near[:, k - 1]
        errors += blur * (last.abs() + near[:, -1].abs())
        open_ = near[:, k:] - last[:, None] <= 4 * errors[:, None]
        for some in torch.nonzero(open_)[:, 0].split(max(1, len(rows) // 8)):
            limit = last[some] + 2 * errors[some]
            row, point = torch.nonzero(values[some] <= limit[:, None]).T
            exact = rows[some] if lengths is None else rows[some] / lengths[some]
            distances = _sq_distances(exact, self.points, row, point)
            found[some] = _first_of_each(row, point, distances, k)
        return found


def _lengths(rows: Tensor) -> Tensor:
    """Lengths of rows, ``(b, 1)``, above 0 so that one can divide by them."""
    lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    _check_finite(lengths)
    return lengths.clamp_min_(_SHORTEST)


def _check_finite(values: Tensor) -> None:
    if not values.isfinite().all():
        raise ValueError("features and points must be finite, and their squares.")


def _sq_distances(rows: Tensor, points: Tensor, row: Tensor, point: Tensor) -> Tensor:
    """Squared distances pair by pair, each independent of the others."""
    size = max(1, _CACHE // rows.shape[1])
    pairs = zip(row.split(size), point.split(size), strict=True)
    return torch.cat(
        [
            sum_of_squares(rows.index_select(0, i) - points.index_select(0, j))
            for i, j in pairs
        ]
    )


def _first_of_each(row: Tensor, point: Tensor, distances: Tensor, k: int) -> Tensor:
    """Give the k points of least distance of each row, of pairs in their order."""
    order = distances.argsort(stable=True)
    order = order[row[order].argsort(stable=True)]
    counts = row.bincount()
    first = counts.cumsum(0) - counts
    return point[order[first[:, None] + torch.arange(k, device=row.device)]]
