"""Voronoi cells, and the few rows that change theirs when the centers move (VLDM)."""

from __future__ import annotations

import torch
from torch import Tensor

from skal._numerics.nearest import LowerBounds, nearest, sq_dist_of_pairs
from skal._numerics.products import blocks
from skal.selection._centers import NearestCenters
from skal.spaces.dense import Dense

__all__ = ["PerturbedCenters"]


class PerturbedCenters:
    r"""Voronoi cells of centers, and of N copies of the centers with noise.

    Parameters
    ----------
    features : Tensor of shape (m, d)
        Rows whose cells are followed.
    centers : Tensor of shape (L, d)
        Centers from the beginning, possibly none.  Equal ones count as one center.
    sigmas : Tensor of shape (N,)
        Standard deviation of the noise on each element of a center, for each copy,
        divided by the median distance of the rows to their nearest center; rows that
        coincide with a center are left out of the median.
    reference : Tensor of shape (M,), int64
        Rows by which the disagreement of a copy is measured.
    rng : torch.Generator
        On the CPU.

    Attributes
    ----------
    cells : NearestCenters
        Distance of each row to the nearest center, without noise, and its number.
    changed : bool Tensor of shape (m, N)
        Whether the nearest center in a copy is another one.

    Notes
    -----
    The noise is drawn copy by copy for the centers given, then center by center for all
    copies.  Its unit, the median distance, is that to the first centers throughout.

    Keeps m × N squared distances and bools, and makes nothing of size m × N × d.
    Centers are compared with rows by matrix products; where their rounding could
    decide, the distance is computed exactly, so neither blocks nor threads change
    anything.
    """

    def __init__(
        self,
        features: Tensor,
        centers: Tensor,
        sigmas: Tensor,
        reference: Tensor,
        rng: torch.Generator,
    ) -> None:
        self.reference = reference
        self._features = features
        self._sigmas = sigmas.to(features)
        self._rng = rng
        self._unit: Tensor | None = None
        self._lower_bounds = LowerBounds(features)
        centers = _distinct(centers)
        self.cells = NearestCenters(Dense(features), Dense(centers))
        shape = len(features), len(sigmas)
        self._sq_dist = features.new_full(shape, torch.inf)
        self.changed = torch.zeros(shape, dtype=torch.bool, device=features.device)
        if len(centers):
            self._unit = _median_distance(self.cells.sq_dist)
            for k, sigma in enumerate(self._sigmas * self._unit):
                copy = centers + sigma * self._noise(len(centers))
                self._sq_dist[:, k], cell = nearest(features, copy)
                self.changed[:, k] = cell != self.cells.center

    def add(self, i: int) -> None:
        """Make row `i` a center, with different noise in each copy."""
        number = self.cells.n_centers
        self.cells.add(i)
        if self._unit is None:
            self._unit = _median_distance(self.cells.sq_dist)
        noise = self._noise(len(self._sigmas))
        copies = self._features[i] + (self._sigmas * self._unit)[:, None] * noise
        moves = (self.cells.center == number)[:, None]
        for part in blocks(len(moves), max(copies.shape)):
            won = self._won(copies, part)
            # A row that goes to the new center both with and without noise has not
            # changed; one that does so in one of the two has; others stay as they were.
            changed = self.changed[part]
            changed.copy_(torch.where(moves[part] | won, moves[part] ^ won, changed))

    def n_disagreeing(self) -> Tensor:
        """Count the reference rows that change their cell in each copy, ``(N,)``."""
        return self.changed[self.reference].sum(dim=0)

    def metric(self) -> Tensor:
        """Return the least disagreement of the copies that change each row (VLDM).

        Returns
        -------
        vldm : Tensor of shape (m,), float64
            Multiples of 1/M; 1 for rows that no copy changes.
        """
        counts, most = self.n_disagreeing().int(), len(self.reference)
        least = torch.empty_like(self.changed[:, 0], dtype=torch.int32)
        for part in blocks(*self.changed.shape):
            least[part] = torch.where(self.changed[part], counts, most).amin(dim=1)
        return least.double() / most

    def _noise(self, n: int) -> Tensor:
        shape = n, self._features.shape[1]
        return torch.randn(shape, generator=self._rng, dtype=torch.float32).to(
            self._features
        )

    def _won(self, copies: Tensor, part: slice) -> Tensor:
        """Tell which rows of a part the new center wins in which copies, ``(b, N)``."""
        rows, sq_dist = self._features[part], self._sq_dist[part]
        won = sq_dist > self._lower_bounds(copies, part).T
        row, copy = torch.nonzero(won).T
        distances, known = sq_dist_of_pairs(rows, copies, row, copy), sq_dist[row, copy]
        won[row, copy] = distances < known
        sq_dist[row, copy] = torch.minimum(distances, known)
        return won


def _distinct(centers: Tensor) -> Tensor:
    """Drop duplicates of a center; the order stays."""
    if not len(centers):
        return centers
    _, group = torch.unique(centers, dim=0, return_inverse=True)
    number = torch.arange(len(centers), device=centers.device)
    first = torch.full_like(number, len(centers)).scatter_reduce_(
        0, group, number, "amin"
    )
    return centers[number[first[group] == number]]


def _median_distance(sq_dist: Tensor) -> Tensor:
    """Median distance of the rows that do not coincide with a center; 0 if all do.

    An order statistic, because the last digits of a mean depend on the number of
    threads.
    """
    apart = sq_dist[sq_dist > 0]
    return apart.median().sqrt() if len(apart) else sq_dist.new_zeros(())
