"""Tables of rows, of which few compare with all at the price of one."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from skal._numerics.distances import sq_dist_to
from skal._numerics.matmul import linear, rounding_bound
from skal.spaces.dense import Dense, Embedding

__all__ = ["DenseTable", "Table", "table_of"]

#: Numbers that are worked on together.
_BLOCK = 2**20


@runtime_checkable
class Table(Protocol):
    """An embedding of which few rows compare with all at the price of one."""

    def bounds(self, rows: Tensor) -> Tensor:
        """Lower bounds on the squared distances of some rows to all, ``(t, m)``."""

    def sq_dist(self, i: int, rows: Tensor | None = None) -> Tensor:
        """Squared distances of all rows, or some, to row `i`; 0 to its duplicates."""


def table_of(embedding: Embedding) -> Table | None:
    """Make the table of an embedding, or none if guesses would not help it."""
    if isinstance(embedding, Dense):
        return DenseTable(embedding.features)
    return embedding if isinstance(embedding, Table) else None


class DenseTable:
    """Comparisons of dense rows by matrix products, near the origin for precision."""

    def __init__(self, features: Tensor) -> None:
        self.features = features
        self._origin = features[:: max(1, len(features) // 1024)].mean(dim=0)
        self._rounding_bound = rounding_bound(features)
        step = max(1, _BLOCK // features.shape[1])
        self._low = torch.cat([self._lowered(x) for x in features.split(step)])

    def bounds(self, rows: Tensor) -> Tensor:
        """Lower bounds on the squared distances of some rows to all, ``(t, m)``."""
        return self.bounds_to(self.features[rows])

    def bounds_to(self, points: Tensor, part: slice = slice(None)) -> Tensor:
        """Lower bounds on the squared distances of points to a part of the rows.

        They are ``(t, b)`` for t points and b rows.
        """
        shifted = points - self._origin
        constant = self._lowered(points) + 2 * (shifted @ self._origin)
        # Rows of the many come first: products with few are fastest so.
        products = linear(self.features[part], shifted.mul_(-2), constant)
        return products.add_(self._low[part, None]).T

    def sq_dist(self, i: int, rows: Tensor | None = None) -> Tensor:
        """Squared distances of all rows, or some, to row `i`; 0 to its duplicates."""
        return sq_dist_to(self.features, i, rows)

    def _lowered(self, points: Tensor) -> Tensor:
        """Squared lengths, less what products with these may err by."""
        sq_norm = torch.linalg.vector_norm(points - self._origin, dim=1).square_()
        own = torch.linalg.vector_norm(points, dim=1).square_()
        return sq_norm - self._rounding_bound * (sq_norm + own)
