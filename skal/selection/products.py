"""Distances up to rounding, by products of matrices."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Products", "slack"]

#: Numbers that stay in cache between their making and their product.
_CACHE = 2**17


class Products:
    """Half squared distances of rows to some points, up to a number that each row has.

    Parameters
    ----------
    points : Tensor of shape (L, d)

    Notes
    -----
    Memory is taken once for all calls, and little beside the result: pages that are
    new each time cost as much as the products.
    """

    def __init__(self, points: Tensor) -> None:
        self._origin = points.mean(dim=0)  # near the origin less is lost to rounding
        shifted = points - self._origin
        half_sq = shifted.square().sum(dim=1, keepdim=True) / 2
        # Times a row with 1 appended: half of |p|² - 2 r·p.
        # In the order of memory in which products are fastest.
        self._factors = torch.cat([-shifted, half_sq], dim=1).T.contiguous()
        self._most = 2 * half_sq.max()
        self._slack = slack(points)
        step = max(1, _CACHE // (points.shape[1] + 1))
        self._rows = points.new_ones(step, points.shape[1] + 1)
        self._values = points.new_empty(0, len(points))

    def __call__(
        self, features: Tensor, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Give the numbers, ``(b, L)``, until the next call; ``(b,)``, their errors.

        They are those of ``features / lengths`` where there are lengths, ``(b, 1)``.
        """
        b = len(features)
        if b > len(self._values):
            self._values = self._values.new_empty(b, self._values.shape[1])
        values, errors = self._values[:b], self._values.new_empty(b)
        for start in range(0, b, len(self._rows)):
            part = slice(start, min(start + len(self._rows), b))
            rows = self._rows[: part.stop - start]
            own = rows[:, :-1]
            if lengths is None:
                torch.sub(features[part], self._origin, out=own)
            else:
                torch.div(features[part], lengths[part], out=own).sub_(self._origin)
            torch.mm(rows, self._factors, out=values[part])
            torch.linalg.vector_norm(own, dim=1, out=errors[part])
        return values, errors.square_().add_(self._most).mul_(self._slack)


def slack(features: Tensor) -> float:
    """Bound the rounding of matrix products, over the squared norms."""
    return 4 * features.shape[1] ** 0.5 * torch.finfo(features.dtype).eps
