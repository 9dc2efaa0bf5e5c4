"""Squared distances: exact for pairs of rows, bounded by matrix products for many.

Matrix products compare all rows with all centers fast, but lose small distances, and
ties, to rounding.  So they only rule out what their rounding bound rules out; what is
left open is computed by differences, and depends on nothing but the pair of rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from skal._numerics.products import blocks, linear, rounding_bound

__all__ = [
    "ApproximateDistances",
    "LowerBounds",
    "first_of_copies",
    "nearest",
    "nearest_of_pairs",
    "sq_dist_of_pairs",
    "sq_dist_to",
]


def nearest(features: Tensor, centers: Tensor) -> tuple[Tensor, Tensor]:
    """Find the nearest center of each row.

    Parameters
    ----------
    features : Tensor of shape (m, d)
    centers : Tensor of shape (L, d)
        At least one.

    Returns
    -------
    sq_dist : Tensor of shape (m,)
        Squared distance of each row to its nearest center.
    center : Tensor of shape (m,), int64
        Number of that center; the first of equally near ones.

    Notes
    -----
    m·L·d multiply-adds; nothing of size m × L is kept.

    Examples
    --------
    >>> import torch
    >>> from skal._numerics.nearest import nearest
    >>> nearest(torch.tensor([[0.0], [5.0]]), torch.tensor([[4.0], [1.0], [-1.0]]))
    (tensor([1., 1.]), tensor([1, 0]))
    """
    kept = first_of_copies(centers)
    if len(kept) < len(centers):  # copies are equally near: all of them would be open
        sq_dist, center = nearest(features, centers[kept])
        return sq_dist, kept[center]
    approximate = ApproximateDistances(centers)
    sq_dist = features.new_empty(len(features))
    center = torch.empty(len(features), dtype=torch.long, device=features.device)
    for part in blocks(len(features), max(centers.shape)):
        rows = features[part]
        values, errors = approximate(rows)
        limit = values.amin(dim=1).add_(errors, alpha=2)
        row, candidate = torch.nonzero(values <= limit[:, None]).T
        each_once = len(row) == len(rows)  # then the pairs are all rows in order
        distances = sq_dist_of_pairs(
            rows, centers, None if each_once else row, candidate
        )
        sq_dist[part], center[part] = nearest_of_pairs(
            row, candidate, distances, len(rows)
        )
    return sq_dist, center


def first_of_copies(rows: Tensor, order: Tensor | None = None) -> Tensor:
    """Numbers of the rows that equal no row before them, ascending.

    Parameters
    ----------
    rows : Tensor of shape (m, d)
    order : Tensor of shape (m,), int64, optional
        Distinct keys by which a row is before another; by default their numbers.
    """
    everything = torch.arange(len(rows), device=rows.device)
    order = everything if order is None else order
    norms = torch.linalg.vector_norm(rows, dim=1)
    _, norm, counts = norms.unique(return_inverse=True, return_counts=True)
    alike = torch.nonzero(counts[norm] > 1)[:, 0]  # others equal no row
    kind = rows[alike].unique(dim=0, return_inverse=True)[1] if len(alike) else alike
    first = torch.full_like(kind, torch.iinfo(torch.long).max)
    first.scatter_reduce_(0, kind, order[alike], "amin")
    is_first = torch.ones_like(everything, dtype=torch.bool)
    is_first[alike] = order[alike] == first[kind]
    return everything[is_first]


def sq_dist_to(features: Tensor, center: Tensor, rows: Tensor | None = None) -> Tensor:
    """Squared distances of all rows, or those numbered `rows`, to a center ``(d,)``.

    By differences: the expansion of the square would lose small distances to rounding,
    and the square of a root would lose ties.  A float64 center makes them float64.
    """
    n_rows = len(features) if rows is None else len(rows)
    result = center.new_empty(n_rows)
    for part in blocks(n_rows, features.shape[1], in_cache=True):
        block = features[part] if rows is None else features[rows[part]]
        result[part] = (block - center).square_().sum(dim=1)
    return result


def sq_dist_of_pairs(
    features: Tensor, centers: Tensor, row: Tensor | None, center: Tensor
) -> Tensor:
    """Squared distances of rows to centers, pair by pair.

    Parameters
    ----------
    features : Tensor of shape (m, d)
    centers : Tensor of shape (L, d)
    row : Tensor of shape (p,), int64, or None
        Row of each pair; None for row k in pair k.
    center : Tensor of shape (p,), int64
        Center of each pair.
    """
    result = centers.new_empty(len(center))
    memory = centers.new_empty(0)
    for part in blocks(len(center), centers.shape[1], in_cache=True):
        size = part.stop - part.start
        if part.start == 0:  # taken once: new memory costs as much as the work in it
            memory = centers.new_empty(size, centers.shape[1])
        apart = torch.index_select(centers, 0, center[part], out=memory[:size])
        apart -= features[part] if row is None else features.index_select(0, row[part])
        result[part] = apart.square_().sum(dim=1)
    return result


def nearest_of_pairs(
    row: Tensor, center: Tensor, distances: Tensor, n_rows: int
) -> tuple[Tensor, Tensor]:
    """Smallest distance of each row among its pairs, and the first center at it."""
    sq_dist = distances.new_full((n_rows,), torch.inf)
    sq_dist.scatter_reduce_(0, row, distances, "amin")
    best = distances == sq_dist[row]
    first = torch.full_like(sq_dist, torch.iinfo(torch.long).max, dtype=torch.long)
    return sq_dist, first.scatter_reduce_(0, row[best], center[best], "amin")


class ApproximateDistances:
    """Half the squared row-to-center distances, minus a constant of each row.

    This is enough to rank the centers of a row.

    Parameters
    ----------
    centers : Tensor of shape (L, d)
    """

    def __init__(self, centers: Tensor) -> None:
        self._origin = centers.mean(dim=0)  # near the origin less is lost to rounding
        shifted = centers - self._origin
        self._half_sq = shifted.square().sum(dim=1) / 2
        self._minus_centers = -shifted
        self._largest_sq = 2 * self._half_sq.max()
        self._rounding_bound = rounding_bound(centers)
        self._memory = centers.new_empty(0, centers.shape[1])

    def __call__(
        self, features: Tensor, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compare rows with all centers.

        Parameters
        ----------
        features : Tensor of shape (b, d)
        lengths : Tensor of shape (b, 1), optional
            Divisors of the rows.

        Returns
        -------
        values : Tensor of shape (b, L)
        errors : Tensor of shape (b,)
            Bound on the error of the values of each row.
        """
        if len(features) > len(self._memory):
            self._memory = self._memory.new_empty(features.shape)
        rows = self._memory[: len(features)]
        if lengths is None:
            torch.sub(features, self._origin, out=rows)
        else:
            torch.div(features, lengths, out=rows).sub_(self._origin)
        # Half of |c|² - 2 r·c.
        values = linear(rows, self._minus_centers, self._half_sq)
        errors = torch.linalg.vector_norm(rows, dim=1).square_()
        return values, errors.add_(self._largest_sq).mul_(self._rounding_bound)


class LowerBounds:
    """Lower bounds on the squared distances of all rows to any centers.

    Parameters
    ----------
    features : Tensor of shape (m, d)
    """

    def __init__(self, features: Tensor) -> None:
        self._features = features
        # Near the origin less is lost to rounding; a sample is enough to find it.
        self._origin = features[:: max(1, len(features) // 1024)].mean(dim=0)
        self._rounding_bound = rounding_bound(features)
        self._low = features.new_empty(len(features))
        for part in blocks(*features.shape):
            self._low[part] = self._lowered(features[part])

    def __call__(self, centers: Tensor, part: slice = slice(None)) -> Tensor:
        """Bound the distances of L centers to the rows of a part, ``(L, b)``."""
        shifted = centers - self._origin
        constant = self._lowered(centers) + 2 * (shifted @ self._origin)
        # The many rows come first: products with few rows are fastest that way.
        products = linear(self._features[part], shifted.mul_(-2), constant)
        return products.add_(self._low[part, None]).T

    def _lowered(self, rows: Tensor) -> Tensor:
        """Squared norms, minus the error of products with these rows."""
        sq_norm = torch.linalg.vector_norm(rows - self._origin, dim=1).square_()
        own = torch.linalg.vector_norm(rows, dim=1).square_()
        return sq_norm - self._rounding_bound * (sq_norm + own)
