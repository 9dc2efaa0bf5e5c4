"""Each row's nearest centers."""

from __future__ import annotations

import torch
from torch import Tensor

from skal._numerics.distances import sum_of_squares
from skal._numerics.products import ApproximateDistances
from skal._numerics.smallest import smallest

__all__ = ["KNearest", "k_nearest"]

#: Numbers that are worked on together.
_BLOCK = 2**21
#: Numbers that stay in cache while a row is subtracted and squared.
_CACHE = 2**18
#: Rows that are shorter do not get the length 1.
_SHORTEST = 1e-12


def k_nearest(
    features: Tensor, centers: Tensor, n_neighbors: int, metric: str = "euclidean"
) -> Tensor:
    """Find the nearest centers of each row.

    Parameters
    ----------
    features : Tensor of shape (m, d)
    centers : Tensor of shape (L, d)
    n_neighbors : int
        From 1 to L.
    metric : {"euclidean", "cosine"}
        The distance of rows and centers, or of both divided by their lengths.

    Returns
    -------
    neighbors : Tensor of shape (m, n_neighbors), int64
        Positions among the centers, in their order; of equally near ones the first.

    Raises
    ------
    ValueError
        If `n_neighbors` is out of range, the widths differ, an element or its square
        is not finite, or `metric` is not one of the two.

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
    >>> centers = torch.tensor([[0.0], [1.0], [3.0]])
    >>> k_nearest(torch.tensor([[2.0], [-1.0]]), centers, 2)
    tensor([[1, 2],
            [0, 1]])
    """
    return KNearest(centers, n_neighbors, metric)(features)


class KNearest:
    """Search for the nearest of some centers, for rows that come in several parts.

    Parameters
    ----------
    centers : Tensor of shape (L, d)
    n_neighbors : int
        From 1 to L.
    metric : {"euclidean", "cosine"}

    Raises
    ------
    ValueError
        If `n_neighbors` is out of range, `centers` is not a matrix, or `metric` is not
        one of the two.

    Notes
    -----
    Called with rows it gives what `k_nearest` does.  What is computed of the centers,
    and memory for rows that are moved, serve all parts.

    Examples
    --------
    >>> import torch
    >>> from skal.selection import KNearest
    >>> search = KNearest(torch.tensor([[0.0], [1.0], [3.0]]), n_neighbors=2)
    >>> search(torch.tensor([[2.0]])), search(torch.tensor([[-1.0]]))
    (tensor([[1, 2]]), tensor([[0, 1]]))
    """

    def __init__(
        self, centers: Tensor, n_neighbors: int, metric: str = "euclidean"
    ) -> None:
        if centers.ndim != 2:
            raise ValueError(
                f"centers must have the shape (L, d), got {tuple(centers.shape)}."
            )
        if not 1 <= n_neighbors <= len(centers):
            raise ValueError(
                f"n_neighbors must be from 1 to the {len(centers)} centers, "
                f"got {n_neighbors}."
            )
        if metric not in ("euclidean", "cosine"):
            raise ValueError(f"metric must be 'euclidean' or 'cosine', got {metric!r}.")
        self.n_neighbors, self.metric = n_neighbors, metric
        self.centers = centers / _lengths(centers) if metric == "cosine" else centers
        self._approximate = ApproximateDistances(self.centers)

    def __call__(self, features: Tensor) -> Tensor:
        """Return the nearest centers of each row, ``(m, n_neighbors)``, ascending."""
        centers = self.centers
        if features.ndim != 2 or features.shape[1] != centers.shape[1]:
            raise ValueError(
                "features and centers must have the shapes (m, d) and (L, d), got "
                f"{tuple(features.shape)} and {tuple(centers.shape)}."
            )
        m, step = len(features), max(1, _BLOCK // max(centers.shape))
        neighbors = torch.empty(
            m, self.n_neighbors, dtype=torch.long, device=centers.device
        )
        for start in range(0, m, step):
            part = slice(start, start + step)
            neighbors[part] = self._search(features[part])
        if neighbors.device.type != "cpu":
            return neighbors.sort(dim=1).values
        neighbors.numpy().sort(axis=1)  # in half the time
        return neighbors

    def _search(self, rows: Tensor) -> Tensor:
        """Give the nearest centers of some rows, in any order."""
        k = self.n_neighbors
        lengths = _lengths(rows) if self.metric == "cosine" else None
        values, errors = self._approximate(rows, lengths)
        _check_finite(errors)
        near, found, blur = smallest(values, min(k + 1, len(self.centers)))
        found, last = found[:, :k], near[:, k - 1]
        errors += blur * (last.abs() + near[:, -1].abs())
        open_ = near[:, k:] - last[:, None] <= 4 * errors[:, None]
        for some in torch.nonzero(open_)[:, 0].split(max(1, len(rows) // 8)):
            limit = last[some] + 2 * errors[some]
            row, point = torch.nonzero(values[some] <= limit[:, None]).T
            exact = rows[some] if lengths is None else rows[some] / lengths[some]
            distances = _sq_distances(exact, self.centers, row, point)
            found[some] = _first_of_each(row, point, distances, k)
        return found


def _lengths(rows: Tensor) -> Tensor:
    """Lengths of rows, ``(b, 1)``, above 0 so that one can divide by them."""
    lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    _check_finite(lengths)
    return lengths.clamp_min_(_SHORTEST)


def _check_finite(values: Tensor) -> None:
    if not values.isfinite().all():
        raise ValueError("features and centers must be finite, and their squares.")


def _sq_distances(rows: Tensor, centers: Tensor, row: Tensor, point: Tensor) -> Tensor:
    """Squared distances pair by pair, each independent of the others."""
    size = max(1, _CACHE // rows.shape[1])
    pairs = zip(row.split(size), point.split(size), strict=True)
    return torch.cat(
        [
            sum_of_squares(rows.index_select(0, i) - centers.index_select(0, j))
            for i, j in pairs
        ]
    )


def _first_of_each(row: Tensor, point: Tensor, distances: Tensor, k: int) -> Tensor:
    """Give the k centers of least distance of each row, of pairs in their order."""
    order = distances.argsort(stable=True)
    order = order[row[order].argsort(stable=True)]
    counts = row.bincount()
    first = counts.cumsum(0) - counts
    return point[order[first[:, None] + torch.arange(k, device=row.device)]]
