"""Rows compared by their direction."""

from __future__ import annotations

import torch
from torch import Tensor

from skal.spaces.dense import Dense, Embedding

__all__ = ["Cosine"]


class Cosine(Embedding):
    r"""Vectors by their direction; ``sq_dist`` is the cosine distance, squared.

    Parameters
    ----------
    features : Tensor of shape (m, d)

    Notes
    -----
    The distance is :math:`1 - \cos(x, y)`, half the squared Euclidean distance of the
    unit vectors.  A row of zeros has no direction: it is at 0 from other such rows and
    at 1 from all else.
    """

    def __init__(self, features: Tensor) -> None:
        norm = torch.linalg.vector_norm(features, dim=1, keepdim=True)
        self.is_zero = norm[:, 0] == 0
        self._unit = Dense(features / torch.where(self.is_zero[:, None], 1.0, norm))

    def __len__(self) -> int:
        return len(self._unit)

    def sq_norm(self) -> Tensor:
        """Squared norm of each row: 1, or 0 for a row of zeros, ``(m,)``."""
        return (~self.is_zero).to(self._unit.features.dtype)

    def sq_dist(self, i: int) -> Tensor:
        """Squared cosine distance of each row to row `i`, ``(m,)``."""
        distance = self._unit.sq_dist(i) / 2
        distance[self.is_zero != self.is_zero[i]] = 1.0
        return distance.square()

    def min_sq_dist(self, other: Embedding) -> Tensor:
        """Squared cosine distance of each row to the nearest of `other`, ``(m,)``."""
        if not isinstance(other, Cosine):
            raise TypeError(f"Cannot compare Cosine with {type(other).__name__}.")
        # A row of zeros is at 1 from all that have a direction, and opposites are at 2.
        rows, centers = ~self.is_zero, ~other.is_zero
        result = torch.ones_like(self.sq_norm())
        if bool(rows.any()) and bool(centers.any()):
            unit = Dense(self._unit.features[rows])
            nearest = unit.min_sq_dist(Dense(other._unit.features[centers]))
            result[rows] = (nearest / 2).square()
        if bool(other.is_zero.any()):
            result.clamp_(max=1.0)
            result[self.is_zero] = 0.0
        return result
