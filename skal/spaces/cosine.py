"""Rows compared by their direction."""

from __future__ import annotations

import torch
from torch import Tensor

from skal.spaces.dense import Dense, Embedding, cannot_compare

__all__ = ["Cosine"]


class Cosine(Embedding):
    r"""Vectors compared by their direction: ``sq_dist`` is the squared cosine distance.

    Parameters
    ----------
    features : Tensor of shape (m, d)

    Notes
    -----
    The distance is :math:`1 - \cos(x, y)`, half the squared Euclidean distance of the
    unit vectors.  A row of zeros has no direction: its distance is 0 to other such rows
    and 1 to all others.
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

    def sq_dist(self, i: int, rows: Tensor | None = None) -> Tensor:
        """Squared cosine distances of all or some rows to row `i`."""
        distance = self._unit.sq_dist(i, rows) / 2
        is_zero = self.is_zero if rows is None else self.is_zero[rows]
        distance[is_zero != self.is_zero[i]] = 1.0
        return distance.square()

    def nearest(self, centers: Embedding) -> tuple[Tensor, Tensor]:
        """Squared cosine distance of each row to its nearest center, and its number."""
        if not isinstance(centers, Cosine):
            raise cannot_compare(self, centers)
        sq_dist = torch.full_like(self.sq_norm(), torch.inf)
        center = torch.zeros_like(sq_dist, dtype=torch.long)
        # Rows and centers that have a direction, then those that have none.
        for kind in (False, True):
            numbers = torch.nonzero(centers.is_zero == kind)[:, 0]
            if not len(numbers):
                continue
            found, place = self._unit.nearest(Dense(centers._unit.features[numbers]))
            distance = torch.where(self.is_zero == kind, found / 2, 1.0)
            place[self.is_zero != kind] = 0
            distance, number = distance.square(), numbers[place]
            closer = (distance < sq_dist) | ((distance == sq_dist) & (number < center))
            sq_dist = torch.where(closer, distance, sq_dist)
            center = torch.where(closer, number, center)
        return sq_dist, center

    def lower_bounds(self, rows: Tensor) -> Tensor:
        """Lower bounds on the squared distances of some rows to all, ``(t, m)``."""
        bounds = self._unit.lower_bounds(rows).div_(2).clamp_(min=0)
        bounds[self.is_zero != self.is_zero[rows, None]] = 1.0
        return bounds.square_()
