"""Distances up to rounding, by products of matrices."""

from __future__ import annotations

import torch
from torch import Tensor

from skal._numerics.matmul import linear, rounding_bound

__all__ = ["ApproximateDistances"]


class ApproximateDistances:
    """Half squared distances of rows to some centers, up to a number that each row has.

    Parameters
    ----------
    centers : Tensor of shape (L, d)

    Notes
    -----
    Rows are moved and divided in memory that is taken once for all calls.
    """

    def __init__(self, centers: Tensor) -> None:
        self._origin = centers.mean(dim=0)  # near the origin less is lost to rounding
        shifted = centers - self._origin
        self._half_sq = shifted.square().sum(dim=1) / 2
        self._minus_centers = -shifted
        self._most = 2 * self._half_sq.max()
        self._rounding_bound = rounding_bound(centers)
        self._rows = centers.new_empty(0, centers.shape[1])

    def __call__(
        self, features: Tensor, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Give the numbers, ``(b, L)``; ``(b,)``, their errors.

        They are those of ``features / lengths`` where there are lengths, ``(b, 1)``.
        """
        if len(features) > len(self._rows):
            self._rows = self._rows.new_empty(features.shape)
        rows = self._rows[: len(features)]
        if lengths is None:
            torch.sub(features, self._origin, out=rows)
        else:
            torch.div(features, lengths, out=rows).sub_(self._origin)
        # half of |p|² - 2 r·p
        values = linear(rows, self._minus_centers, self._half_sq)
        errors = torch.linalg.vector_norm(rows, dim=1).square_()
        return values, errors.add_(self._most).mul_(self._rounding_bound)
