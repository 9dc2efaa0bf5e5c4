"""Distances up to rounding, by products of matrices."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Products", "slack"]


class Products:
    """Half squared distances of rows to some points, up to a number that each row has.

    Parameters
    ----------
    points : Tensor of shape (L, d)

    Notes
    -----
    Memory is taken once for all calls: pages that are new each time cost as much as
    the products.
    """

    def __init__(self, points: Tensor) -> None:
        self._origin = points.mean(dim=0)  # near the origin less is lost to rounding
        shifted = points - self._origin
        half_sq = shifted.square().sum(dim=1, keepdim=True) / 2
        # Times a row with 1 appended: half of |p|² - 2 r·p.
        self._factors = torch.cat([-shifted, half_sq], dim=1).T
        self._most = 2 * half_sq.max()
        self._slack = slack(points)
        self._rows = points.new_empty(0, points.shape[1] + 1)
        self._values = points.new_empty(0, len(points))

    def __call__(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Give the numbers, ``(b, L)``, until the next call; ``(b,)``, their errors."""
        b = len(features)
        if b > len(self._rows):
            self._rows = self._rows.new_ones(b, self._rows.shape[1])
            self._values = self._values.new_empty(b, self._values.shape[1])
        rows, values = self._rows[:b], self._values[:b]
        own = torch.sub(features, self._origin, out=rows[:, :-1])
        sq_norm = torch.linalg.vector_norm(own, dim=1).square_()
        errors = sq_norm.add_(self._most).mul_(self._slack)
        return torch.mm(rows, self._factors, out=values), errors


def slack(features: Tensor) -> float:
    """Bound the rounding of matrix products, over the squared norms."""
    return 4 * features.shape[1] ** 0.5 * torch.finfo(features.dtype).eps
