"""A vector for each row, seen only through norms and distances."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from skal._numerics.nearest import LowerBounds, nearest, sq_dist_to
from skal._numerics.products import blocks

__all__ = ["Dense", "Embedding", "cannot_compare"]


class Embedding(ABC):
    """Rows of a space, of which selectors see only norms and distances.

    Gradients may therefore be stored as factors, and nothing of size m × m is needed.
    """

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def sq_norm(self) -> Tensor:
        """Squared norm of each row, ``(m,)``."""

    @abstractmethod
    def sq_dist(self, i: int, rows: Tensor | None = None) -> Tensor:
        """Squared distances to row `i`; 0 to its duplicates.

        Of all rows, ``(m,)``, or of those numbered `rows`.
        """

    @abstractmethod
    def nearest(self, centers: Embedding) -> tuple[Tensor, Tensor]:
        """Squared distance of each row to its nearest center, and that center's number.

        Both are ``(m,)``.  Of equally near centers, the first one counts.  Raises
        TypeError if `centers` is an embedding of another type.
        """

    def lower_bounds(self, rows: Tensor) -> Tensor:
        """Lower bounds on the squared distances of some rows to all rows, ``(t, m)``.

        Worth it where comparing several rows at once is faster than one by one.
        """
        return torch.stack([self.sq_dist(i) for i in rows.tolist()])


def cannot_compare(rows: Embedding, centers: Embedding) -> TypeError:
    """Make the error for embeddings of two kinds."""
    kinds = type(rows).__name__, type(centers).__name__
    return TypeError("Cannot compare {} with {}.".format(*kinds))


class Dense(Embedding):
    """Vectors as they are, with the Euclidean distance.

    Parameters
    ----------
    features : Tensor of shape (m, d)
        Not copied.

    Examples
    --------
    >>> import torch
    >>> from skal.spaces.dense import Dense
    >>> Dense(torch.tensor([[0.0, 0.0], [3.0, 4.0]])).sq_dist(0)
    tensor([ 0., 25.])
    """

    def __init__(self, features: Tensor) -> None:
        if features.ndim != 2:
            raise ValueError(
                f"features must have the shape (m, d), got {tuple(features.shape)}."
            )
        self.features = features
        self._bounds: LowerBounds | None = None

    def __len__(self) -> int:
        return len(self.features)

    def take(self, rows: Tensor) -> Dense:
        """Vectors of some rows."""
        return Dense(self.features[rows])

    def sq_norm(self) -> Tensor:
        """Squared norm of each row, ``(m,)``."""
        result = self.features.new_empty(len(self))
        for part in blocks(*self.features.shape, in_cache=True):
            result[part] = self.features[part].square().sum(dim=1)
        return result

    def sq_dist(self, i: int, rows: Tensor | None = None) -> Tensor:
        """Squared distances of all or some rows to row `i`; 0 to its duplicates."""
        return sq_dist_to(self.features, self.features[i], rows)

    def nearest(self, centers: Embedding) -> tuple[Tensor, Tensor]:
        """Squared distance of each row to its nearest center, and that center's number.

        By matrix products; what their rounding leaves open is computed exactly.
        """
        if not isinstance(centers, Dense):
            raise cannot_compare(self, centers)
        return nearest(self.features, centers.features)

    def lower_bounds(self, rows: Tensor) -> Tensor:
        """Lower bounds on the squared distances of some rows to all rows, ``(t, m)``.

        By one matrix product.
        """
        if self._bounds is None:
            self._bounds = LowerBounds(self.features)
        return self._bounds(self.features[rows])
