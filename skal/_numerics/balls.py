"""Balls of one radius around all rows: which rows are in them, and how many."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from skal._numerics.distances import sq_dist_to, sum_of_squares
from skal._numerics.matmul import linear, rounding_bound

__all__ = ["Balls"]

#: Rows that are compared with as many others at a time.
_TILE = 1024
#: Numbers that stay in cache while a row is subtracted and squared.
_CACHE = 2**18


class Balls:
    """A ball around each row; it holds what is nearer than the radius.

    Parameters
    ----------
    features : Tensor of shape (m, d)
    radius : float
        0 or more; duplicates of a row are in its ball at any radius.

    Raises
    ------
    ValueError
        If the radius is negative or NaN.

    Notes
    -----
    Compares rows by matrix products whose rounding is bounded, and what the bound
    leaves open exactly: the answers do not depend on the rows compared together.
    Keeps a copy of the features, and nothing of size m × m.

    Examples
    --------
    >>> import torch
    >>> from skal._numerics.balls import Balls
    >>> balls = Balls(torch.tensor([[0.0], [1.0], [5.0]]), radius=2.0)
    >>> balls.ball(0)
    tensor([ True,  True, False])
    >>> balls.count(torch.tensor([True, True, True]))
    tensor([2, 2, 1])
    """

    def __init__(self, features: Tensor, radius: float) -> None:
        if not radius >= 0:
            raise ValueError(f"radius must be a number of at least 0, got {radius!r}.")
        self.features, self.radius = features, radius
        # Near the origin less is lost to rounding.
        self._shifted = features - features.mean(dim=0)
        self._sq_norm = self._shifted.square().sum(dim=1)

    def holds(self, sq_dist: Tensor) -> Tensor:
        """Say of squared distances whether they are within the radius."""
        return (sq_dist < self.radius**2) | (sq_dist == 0)

    def ball(self, i: int) -> Tensor:
        """Say of each row whether it is in the ball of row `i`, ``(m,)``, bool."""
        return self.holds(sq_dist_to(self.features, i))

    def count(self, among: Tensor) -> Tensor:
        """Count, in the ball of each row, the rows of a mask, ``(m,)``, int64.

        Costs m·d multiply-adds for each row of the mask, at most m²·d/2 in all.
        """
        m = len(among)
        chosen = torch.nonzero(among)[:, 0]
        if 2 * len(chosen) > m:
            return self._count_most(among)
        counts = torch.zeros_like(among, dtype=torch.long)
        if not len(chosen):
            return counts
        for points in chosen.split(_TILE):
            for rows in _slices(m, _TILE**2 // len(points)):
                row, _ = self._pairs(rows, points)
                counts[rows] += _bincount(row, rows)
        return counts

    def _count_most(self, among: Tensor) -> Tensor:
        """Count by half of all pairs: who is in my ball has me in its own."""
        counts = torch.zeros_like(among, dtype=torch.long)
        tiles = _slices(len(among), _TILE)
        for k, points in enumerate(tiles):
            for rows in tiles[k:]:
                row, point = self._pairs(rows, points)
                counts[rows] += _bincount(row[among[points][point]], rows)
                if rows != points:
                    counts[points] += _bincount(point[among[rows][row]], points)
        return counts

    def _pairs(self, rows: slice, points: Any) -> tuple[Tensor, Tensor]:
        """Pairs of rows and points in each other's ball."""
        sq_norm, half_sq = self._sq_norm[rows, None], self._sq_norm[points] / 2
        own, others = self._shifted[rows], self._shifted[points]
        values = linear(-own, others, half_sq)
        limit = (self.radius**2 - sq_norm) / 2
        rounding = 2 * rounding_bound(self.features) * (sq_norm + 2 * half_sq.max())
        row, point = torch.nonzero(values <= limit + rounding).T
        inside = values[row, point] < (limit - rounding)[row, 0]
        own, others = self.features[rows], self.features[points]
        unsure = torch.nonzero(~inside)[:, 0]
        for pairs in unsure.split(max(1, _CACHE // own.shape[1])):
            differences = own[row[pairs]] - others[point[pairs]]
            inside[pairs] = self.holds(sum_of_squares(differences))
        return row[inside], point[inside]


def _slices(m: int, step: int) -> list[slice]:
    return [slice(i, min(i + step, m)) for i in range(0, m, step)]


def _bincount(positions: Tensor, rows: slice) -> Tensor:
    return positions.bincount(minlength=rows.stop - rows.start)
