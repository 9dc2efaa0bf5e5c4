"""Balls of one radius around rows that are compared by the leaves they share."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skal._numerics.shared_leaves import SharedLeaves

__all__ = ["LeafBalls"]

#: Pairs of rows that are kept, 32 MiB.
_KEPT = 2**22
#: Leaves of groups of trees that a near row must share, at least, to group the trees.
_ENOUGH = 3

Rows = NDArray[np.int64]


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
    A row in a ball differs from its center in at most D trees.  So it shares r of the D
    + r smallest leaves of the center: only rows that do so are compared in all trees.
    Where D is small, the same holds for groups of trees, whose common leaves are much
    smaller.

    The pairs of rows in each other's balls are kept if they are at most 4 million.
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
        n_differ = n_trees - self.least
        size = 1
        while n_trees // (size + 1) - n_differ >= _ENOUGH:
            size += 1
        self._groups = shared if size == 1 else _group(shared.codes, size)
        n_groups = self._groups.n_trees
        self._n_shared = max(1, min(n_groups - n_differ, self.least // 5))
        self._n_listed = min(n_groups, n_differ + self._n_shared)
        self._pairs: tuple[NDArray[np.int32], NDArray[np.int32]] | None = None

    def holds(self, sq_dist: Tensor) -> Tensor:
        """Tell whether shares of trees are within the radius."""
        return (sq_dist < self._sq_radius) | (sq_dist == 0)

    def ball(self, i: int) -> Tensor:
        """Tell which rows are in the ball of row `i`, ``(m,)``, bool."""
        inside = torch.zeros(len(self.shared), dtype=torch.bool)
        inside[torch.from_numpy(self._near(i))] = True
        return inside

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
        counts = np.zeros(m, dtype=np.int64)
        chosen = np.flatnonzero(mask)
        if 2 * len(chosen) > m:
            self._count_most(counts, mask)
        else:
            for i in chosen.tolist():
                counts[self._near(i)] += 1
        return torch.from_numpy(counts)

    def _count_most(self, counts: Rows, among: NDArray[np.bool_]) -> None:
        """Count by half of all pairs, and keep them if they are few."""
        kept: list[Rows] | None = []
        n_kept = 0
        for i in range(len(counts)):
            near = self._near(i, first=i)
            counts[i] += among[near].sum()
            near = near[1:]  # the first one is row i
            counts[near] += among[i]
            if kept is not None:
                kept.append(near.astype(np.int32))
                n_kept += len(near)
                if n_kept > _KEPT:
                    kept = None
        if kept is not None:
            first = np.arange(len(kept), dtype=np.int32)
            sizes = [len(near) for near in kept]
            self._pairs = first.repeat(sizes), np.concatenate(kept)

    def _near(self, i: int, first: int = 0) -> Rows:
        """List the rows in the ball of row `i`, in order, from `first`, 0 or i, on."""
        groups = self._groups
        codes = groups.codes[i]
        start, stop = groups.start[codes], groups.stop[codes]
        if first:
            start = groups.places[i]
        if self._n_listed < len(codes):
            smallest = np.argpartition(stop - start, self._n_listed)[: self._n_listed]
            start, stop = start[smallest], stop[smallest]
        codes_left = (len(self.shared) - first) * self.shared.n_trees
        if not self.shared.is_listed((stop - start).sum(), codes_left):
            return self._compared(i, first)
        counts = groups.count_listed(start, stop, first)
        near = np.flatnonzero(counts >= self._n_shared)
        if 8 * len(near) > len(self.shared):
            return self._compared(i, first)
        near += first
        same = (self.shared.codes[near] == self.shared.codes[i]).sum(axis=1)
        found: Rows = near[same >= self.least]
        return found

    def _compared(self, i: int, first: int) -> Rows:
        shared = self.shared
        if first:
            return np.flatnonzero(shared.with_rest(i) >= self.least) + i
        return np.flatnonzero(shared.with_all(shared.codes[i]) >= self.least)


def _group(codes: NDArray[np.int32], size: int) -> SharedLeaves:
    """Give a number to each combination of leaves of consecutive trees."""
    n_groups = codes.shape[1] // size
    grouped = np.empty((len(codes), n_groups), dtype=np.int32)
    n_codes = 0
    for k in range(n_groups):
        members = codes[:, k * size : (k + 1) * size].astype(np.int64)
        members -= members.min(axis=0)
        number = members[:, 0]
        for column in members.T[1:]:
            number = number * (int(column.max()) + 1) + column
            number = np.unique(number, return_inverse=True)[1]
        grouped[:, k] = number + n_codes
        n_codes += int(number.max()) + 1
    return SharedLeaves(grouped, n_codes)
