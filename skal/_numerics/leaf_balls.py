"""Balls of one radius around rows that are compared by the leaves they share."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skal._numerics.products import blocks
from skal._numerics.shared_leaves import SEVERAL, SharedLeaves

__all__ = ["LeafBalls"]

#: Pairs of rows that are kept, 32 MiB.
_KEPT = 2**22

Rows = NDArray[np.intp]
#: First and second row of each pair.
Pairs = tuple[NDArray[np.int32], NDArray[np.int32]]


class LeafBalls:
    """A ball around each row, as `skal._numerics.balls.Balls`, of leaves.

    Parameters
    ----------
    shared : SharedLeaves
    radius : float
        Root of a share of trees, at least 0.  The ball of a row holds the rows of which
        a smaller share of leaves differs, and those with the same leaves.

    Raises
    ------
    ValueError
        If the radius is negative or NaN.

    Notes
    -----
    Rows are compared with all others, several at a time; half of the pairs are enough
    where most rows are counted.  The pairs of rows in each other's balls are kept if
    they are at most 4 million.
    """

    def __init__(self, shared: SharedLeaves, radius: float) -> None:
        if not radius >= 0:
            raise ValueError(f"radius must be a number of at least 0, got {radius!r}.")
        self.shared = shared
        # The radius may be the root of a share, however that was rounded.
        self._sq_radius = radius**2 * (1 - 8 * torch.finfo(torch.float64).eps)
        n_trees = shared.n_trees
        shares = torch.arange(n_trees, -1, -1, dtype=torch.float64) / n_trees
        #: Leaves that two rows share in each other's balls, at least.
        self.least = int(self.holds(shares).int().argmax())
        self._pairs: Pairs | None = None

    def holds(self, sq_dist: Tensor) -> Tensor:
        """Tell whether shares of trees are within the radius."""
        return (sq_dist < self._sq_radius) | (sq_dist == 0)

    def ball(self, i: int) -> Tensor:
        """Tell which rows are in the ball of row `i`, ``(m,)``, bool."""
        counts = self.shared.with_all(self.shared.codes[i])
        return torch.from_numpy(counts >= self.least)

    def count(self, among: Tensor) -> Tensor:
        """Count the rows of a mask in the ball of each row, ``(m,)``, int64."""
        m, mask = len(among), among.numpy()
        if self.least == 0:
            return torch.full((m,), int(mask.sum()))
        if self._pairs is not None:
            first, second = self._pairs
            counts = np.bincount(first[mask[second]], minlength=m)
            counts += np.bincount(second[mask[first]], minlength=m)
            return torch.from_numpy(counts + mask)
        if 2 * int(mask.sum()) > m:
            return self._count_most(among)
        counts = np.zeros(m, dtype=np.int64)
        chosen = self.shared.codes[mask]
        for start in range(0, len(chosen), SEVERAL):
            shared, _ = self.shared.with_several(chosen[start : start + SEVERAL])
            for part in blocks(*shared.shape, in_cache=True):
                counts[part] += np.count_nonzero(shared[part] >= self.least, axis=1)
        return torch.from_numpy(counts)

    def _count_most(self, among: Tensor) -> Tensor:
        """Count by half of all pairs, and keep them if they are few."""
        m, weights = len(among), among.float()
        total = torch.zeros(m, dtype=torch.float64)
        kept: list[Pairs] | None = []
        n_kept = -m  # pairs of a row with itself are not kept
        for start in range(0, m, SEVERAL):
            own = slice(start, min(start + SEVERAL, m))
            shared, column = self.shared.with_several(self.shared.codes[own], start)
            near = shared >= self.least
            n_kept += int(np.count_nonzero(near))
            kept = kept if n_kept <= _KEPT else None
            if kept is not None:
                kept.append(_pairs(near, column, start))
            own_weights = torch.zeros(near.shape[1])
            own_weights[column] = weights[own]
            others = weights[start:].clone()
            others[: own.stop - start] = 0  # these pairs are seen from both sides
            found = torch.zeros(near.shape[1], dtype=torch.float64)
            for part in blocks(*near.shape, in_cache=True):
                # Sums of whole numbers, which are exact.
                inside = torch.from_numpy(near[part]).float()
                total[start:][part] += inside @ own_weights
                found += others[part] @ inside
            total[own] += found[column]
        if kept is not None:
            first, second = (np.concatenate(rows) for rows in zip(*kept, strict=True))
            self._pairs = first, second
        return total.long()


def _pairs(near: NDArray[np.bool_], column: Rows, start: int) -> Pairs:
    """List rows from `start` on, and the later rows that are in their balls."""
    number = np.zeros(near.shape[1], dtype=np.int32)
    number[column] = np.arange(len(column))
    later, own = np.divmod(np.flatnonzero(near), near.shape[1])
    own = number[own]
    is_later = later > own
    first, second = own[is_later] + start, later[is_later] + start
    return first.astype(np.int32), second.astype(np.int32)
