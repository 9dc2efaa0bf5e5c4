"""The nearest centers of each row."""

from __future__ import annotations

import torch
from torch import Tensor

from skal._numerics.nearest import ApproximateDistances, sq_dist_of_pairs
from skal._numerics.products import blocks

__all__ = ["KNearest", "k_nearest", "smallest"]

#: Norms below this are not scaled to 1.
_SHORTEST = 1e-12
#: Rows with fewer elements than this for each one wanted are sorted whole.
_SHORT = 8
#: Bits of a float32 that a position may take, of the 23 of the significand.
_SPARE_BITS = 9


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
    metric : {"euclidean", "cosine"}, default="euclidean"
        Distance of rows and centers as they are, or divided by their norms.

    Returns
    -------
    neighbors : Tensor of shape (m, n_neighbors), int64
        Numbers of the nearest centers, in ascending order; of equally near centers the
        first.

    Raises
    ------
    ValueError
        If `n_neighbors` is out of range, the widths differ, an element or its square
        is not finite, or `metric` is neither of the two.

    Notes
    -----
    Rows and centers are compared by matrix products in blocks, m·L·d multiply-adds, and
    sorted by their leading digits.  The error of both is bounded.  Where it leaves open
    which centers are the nearest, their distances are computed exactly.  So the
    neighbors of a row do not depend on the rows beside it, and nothing of size m × L is
    kept.

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
    """Search for nearest centers, for rows that come in several parts.

    Parameters
    ----------
    centers : Tensor of shape (L, d)
    n_neighbors : int
        From 1 to L.
    metric : {"euclidean", "cosine"}, default="euclidean"

    Raises
    ------
    ValueError
        If `n_neighbors` is out of range, `centers` is not a matrix, or `metric` is
        neither of the two.

    Notes
    -----
    Calling it with rows returns what `k_nearest` does.  What depends on the centers
    alone is computed once.

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
        self._has_direction = (self.centers != 0).any(dim=1)
        self._approximate = ApproximateDistances(self.centers)

    def __call__(self, features: Tensor) -> Tensor:
        """Return the nearest centers of each row, ``(m, n_neighbors)``, ascending."""
        centers = self.centers
        if features.ndim != 2 or features.shape[1] != centers.shape[1]:
            raise ValueError(
                "features and centers must have the shapes (m, d) and (L, d), got "
                f"{tuple(features.shape)} and {tuple(centers.shape)}."
            )
        shape = len(features), self.n_neighbors
        neighbors = torch.empty(shape, dtype=torch.long, device=centers.device)
        for part in blocks(len(features), max(centers.shape)):
            neighbors[part] = self._search(features[part])
        if neighbors.device.type != "cpu":
            return neighbors.sort(dim=1).values
        neighbors.numpy().sort(axis=1)  # takes half the time of torch's sort
        return neighbors

    def _search(self, rows: Tensor) -> Tensor:
        """Find the nearest centers of some rows, in any order."""
        k = self.n_neighbors
        lengths = _lengths(rows) if self.metric == "cosine" else None
        values, errors = self._approximate(rows, lengths)
        _check_finite(errors)
        near, found, blur = smallest(values, min(k + 1, len(self.centers)))
        found, last = found[:, :k], near[:, k - 1]
        errors += blur * (last.abs() + near[:, -1].abs())
        # The next center may be among the nearest where it is within the errors.
        is_open = near[:, k:] - last[:, None] <= 4 * errors[:, None]
        for some in torch.nonzero(is_open)[:, 0].split(max(1, len(rows) // 8)):
            limit = last[some] + 2 * errors[some]
            row, center = torch.nonzero(values[some] <= limit[:, None]).T
            exact = rows[some] if lengths is None else rows[some] / lengths[some]
            distances = sq_dist_of_pairs(exact, self.centers, row, center)
            if lengths is not None:
                # A row without direction is equally near to all centers with one.
                no_direction = lengths[some, 0] <= _SHORTEST
                distances[no_direction[row] & self._has_direction[center]] = 1.0
            found[some] = _first_of_each(row, center, distances, k)
        return found


def _lengths(rows: Tensor) -> Tensor:
    """Norms of rows, ``(b, 1)``, above 0 so that rows can be divided by them."""
    lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    _check_finite(lengths)
    return lengths.clamp_min_(_SHORTEST)


def _check_finite(values: Tensor) -> None:
    if not values.isfinite().all():
        raise ValueError("features and centers must be finite, and their squares.")


def _first_of_each(row: Tensor, center: Tensor, distances: Tensor, k: int) -> Tensor:
    """Keep the k nearest centers of each row, of pairs sorted by row and center."""
    order = distances.argsort(stable=True)
    order = order[row[order].argsort(stable=True)]
    counts = row.bincount()
    first = counts.cumsum(0) - counts
    return center[order[first[:, None] + torch.arange(k, device=row.device)]]


def smallest(values: Tensor, k: int) -> tuple[Tensor, Tensor, float]:
    """Find the k smallest elements of each row, in order, by their leading digits.

    Parameters
    ----------
    values : Tensor of shape (b, L)
        Finite elements.
    k : int
        From 1 to L.

    Returns
    -------
    smallest : Tensor of shape (b, k)
        Ascending, up to the blur.
    positions : Tensor of shape (b, k), int64
        Where they are in the row.  Of elements within the blur of each other, any may
        come first, and any may be left out.
    blur : float
        Bound on the relative errors.

    Notes
    -----
    Long rows are cut into groups: the k smallest elements are in the k groups with the
    smallest minima.  On the CPU the last bits of an element give way to its position,
    so that the vectorised sort of numpy moves both at once, in less time than
    `torch.topk` takes.

    Examples
    --------
    >>> import torch
    >>> from skal._numerics.neighbors import smallest
    >>> smallest(torch.tensor([[3.0, 1.0, 2.0]]), 2)[1]
    tensor([[1, 2]])
    """
    b, n = values.shape
    if values.device.type != "cpu":
        found = values.topk(k, dim=1, largest=False)
        return found.values, found.indices, 0.0
    if n < _SHORT * k:
        return _sort_packed(values.clone(), torch.arange(n), k)
    size = max(2, round((n / k / 2) ** 0.5))  # balances the two sorts and the gather
    n_groups, left = divmod(n, size)  # the first `left` groups have one element more
    grouped = values[:, : n - left].view(b, size, n_groups)
    minima = grouped.amin(dim=1)
    if left:
        rest = values.new_full((b, n_groups), torch.finfo(values.dtype).max)
        rest[:, :left] = values[:, n - left :]
        torch.minimum(minima, rest, out=minima)
    _, groups, blur = _sort_packed(minima, torch.arange(n_groups), k)
    inside = grouped.gather(2, groups[:, None].expand(-1, size, -1)).flatten(1)
    if left:
        inside = torch.cat([inside, rest.gather(1, groups)], dim=1)
        size += 1
    shift = (k - 1).bit_length()
    codes = torch.arange(size << shift).view(size, -1)[:, :k].flatten()
    elements, code, more_blur = _sort_packed(inside, codes, k)
    group = groups.gather(1, code & ((1 << shift) - 1))
    positions = (code >> shift).mul_(n_groups).add_(group)
    return elements, positions, max(blur, more_blur)


def _sort_packed(values: Tensor, codes: Tensor, k: int) -> tuple[Tensor, Tensor, float]:
    """Sort elements, in place, with ascending codes of their columns as last bits."""
    bits = int(codes[-1]).bit_length()
    if bits > _SPARE_BITS or values.dtype.itemsize < 4:
        values = values.double()
    whole = torch.int32 if values.dtype == torch.float32 else torch.int64
    packed = values.view(whole)
    packed &= -(1 << bits)
    packed |= codes.to(whole)
    values.numpy().sort(axis=1)
    front = packed[:, :k].contiguous()
    blur = 2.0**bits * torch.finfo(values.dtype).eps
    return front.view(values.dtype), (front & ((1 << bits) - 1)).long(), blur
