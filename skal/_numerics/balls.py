"""Balls of one radius around all rows: which rows they hold, and how many."""

from __future__ import annotations

import torch
from torch import Tensor

from skal._numerics.nearest import sq_dist_of_pairs, sq_dist_to
from skal._numerics.products import blocks, linear, rounding_bound, tiles

__all__ = ["Balls"]


class Balls:
    """A ball around each row, which holds the rows nearer than the radius.

    Parameters
    ----------
    features : Tensor of shape (m, d)
    radius : float
        At least 0; the ball of a row holds its duplicates at any radius. A row whose
        distance equals the radius up to rounding is outside.

    Raises
    ------
    ValueError
        If the radius is negative or NaN.

    Notes
    -----
    Rows are compared by matrix products whose rounding is bounded; what the bound
    leaves open is computed exactly.  So the answers do not depend on the rows compared
    together.  Keeps a copy of the features, and nothing of size m × m.

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
        self.features = features
        # The radius may be the root of a squared distance: whether that pair is nearer
        # must not depend on how the root was rounded.
        self._sq_radius = radius**2 * (1 - 8 * torch.finfo(features.dtype).eps)
        # Near the origin less is lost to rounding.
        self._shifted = features - features.mean(dim=0)
        self._sq_norm = self._shifted.square().sum(dim=1)

    def holds(self, sq_dist: Tensor) -> Tensor:
        """Tell whether squared distances are within the radius."""
        return (sq_dist < self._sq_radius) | (sq_dist == 0)

    def ball(self, i: int) -> Tensor:
        """Tell which rows are in the ball of row `i`, ``(m,)``, bool."""
        return self.holds(sq_dist_to(self.features, self.features[i]))

    def count(self, among: Tensor) -> Tensor:
        """Count the rows of a mask in the ball of each row, ``(m,)``, int64.

        Takes m·d multiply-adds for each row of the mask, at most m²·d/2 in all.
        """
        m = len(among)
        chosen = torch.nonzero(among)[:, 0]
        if 2 * len(chosen) > m:
            return self._count_most(among)
        counts = torch.zeros_like(among, dtype=torch.long)
        for part in tiles(len(chosen)):
            others = chosen[part]
            for rows in blocks(m, len(others)):
                row, _ = self._pairs(rows, others)
                counts[rows] += _bincount(row, rows)
        return counts

    def _count_most(self, among: Tensor) -> Tensor:
        """Count by half of all pairs: two rows are in each other's ball, or neither."""
        counts = torch.zeros_like(among, dtype=torch.long)
        parts = list(tiles(len(among)))
        for k, others in enumerate(parts):
            for rows in parts[k:]:
                row, other = self._pairs(rows, others)
                counts[rows] += _bincount(row[among[others][other]], rows)
                if rows != others:
                    counts[others] += _bincount(other[among[rows][row]], others)
        return counts

    def _pairs(self, rows: slice, others: slice | Tensor) -> tuple[Tensor, Tensor]:
        """Pairs of rows in each other's ball, by their positions in both parts."""
        sq_norm, half_sq = self._sq_norm[rows, None], self._sq_norm[others] / 2
        values = linear(-self._shifted[rows], self._shifted[others], half_sq)
        limit = (self._sq_radius - sq_norm) / 2
        bound = 2 * rounding_bound(self.features)
        rounding = bound * (sq_norm + 2 * half_sq.max())
        row, other = torch.nonzero(values <= limit + rounding).T
        inside = values[row, other] < (limit - rounding)[row, 0]
        unsure = torch.nonzero(~inside)[:, 0]
        sq_dist = sq_dist_of_pairs(
            self.features[rows], self.features[others], row[unsure], other[unsure]
        )
        inside[unsure] = self.holds(sq_dist)
        return row[inside], other[inside]


def _bincount(positions: Tensor, rows: slice) -> Tensor:
    return positions.bincount(minlength=rows.stop - rows.start)
