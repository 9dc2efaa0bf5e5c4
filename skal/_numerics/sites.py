"""Cells of sites, and how few rows change theirs when the sites move (VLDM)."""

from __future__ import annotations

import torch
from torch import Tensor

from skal._numerics.distances import sum_of_squares
from skal._numerics.nearest import NearestCenters, nearest
from skal._numerics.tables import DenseTable
from skal.spaces.dense import Dense

__all__ = ["PerturbedSites"]

#: Numbers that are worked on together.
_BLOCK = 2**20
#: Numbers that stay in cache while a row is subtracted and squared.
_CACHE = 2**18


class PerturbedSites:
    r"""Voronoi cells of sites, beside those of N copies of the sites with noise.

    Parameters
    ----------
    features : Tensor of shape (m, d)
        Rows whose cells are followed.
    sites : Tensor of shape (L, d)
        Sites there are from the beginning; may be none.  Equal ones are one site.
    sigmas : Tensor of shape (N,)
        Standard deviation of the noise on each number of a site, for each copy, over
        the median distance of the rows to the nearest site; rows on a site apart.
    reference : Tensor of shape (M,), int64
        Rows on which it is measured how much a copy disagrees.
    rng : torch.Generator
        On the CPU.

    Attributes
    ----------
    cells : NearestCenters
        Distance of each row to the nearest site, without noise, and its number.
    changed : bool Tensor of shape (m, N)
        Whether the nearest site in a copy is another one.

    Notes
    -----
    The noise is drawn copy by copy for the sites given, then site by site for all
    copies.  Its unit is that of the first sites, and stays.

    Keeps m × N squared distances and bools, and makes nothing of size m × N × d.  Sites
    are compared with rows by matrix products; where their rounding could decide, the
    distance is computed exactly, so that neither blocks nor threads change anything.
    """

    def __init__(
        self,
        features: Tensor,
        sites: Tensor,
        sigmas: Tensor,
        reference: Tensor,
        rng: torch.Generator,
    ) -> None:
        self.reference = reference
        self._features = features
        self._sigmas = sigmas.to(features)
        self._rng = rng
        self._unit: Tensor | None = None
        self._table = DenseTable(features)
        sites = _distinct(sites)
        self.cells = NearestCenters(Dense(features), Dense(sites))
        shape = len(features), len(sigmas)
        self._sq_dist = features.new_full(shape, torch.inf)
        self.changed = torch.zeros(shape, dtype=torch.bool, device=features.device)
        if len(sites):
            self._unit = _median_distance(self.cells.sq_dist)
            for k, sigma in enumerate(self._sigmas * self._unit):
                copy = Dense(sites + sigma * self._noise(len(sites)))
                self._sq_dist[:, k], cell = nearest(Dense(features), copy)
                self.changed[:, k] = cell != self.cells.center

    def add(self, i: int) -> None:
        """Make row `i` a site, in each copy with noise of its own."""
        number = self.cells.n_centers
        self.cells.add(i)
        if self._unit is None:
            self._unit = _median_distance(self.cells.sq_dist)
        noise = self._noise(len(self._sigmas))
        copies = self._features[i] + (self._sigmas * self._unit)[:, None] * noise
        moves = (self.cells.center == number)[:, None]
        size = max(1, _BLOCK // max(self._features.shape[1], len(copies)))
        for start in range(0, len(moves), size):
            part = slice(start, start + size)
            won = self._won(copies, part)
            # A row that goes to the new site with and without noise is not changed;
            # one that does so in one of both is; others are what they were.
            changed = self.changed[part]
            changed.copy_(torch.where(moves[part] | won, moves[part] ^ won, changed))

    def n_disagreeing(self) -> Tensor:
        """Count the reference rows that change their cell in each copy, ``(N,)``."""
        return self.changed[self.reference].sum(dim=0)

    def metric(self) -> Tensor:
        """Least disagreement of the copies that change a row's cell (VLDM).

        Returns
        -------
        vldm : Tensor of shape (m,), float64
            Multiples of 1/M; 1 for rows that no copy changes.
        """
        counts, most = self.n_disagreeing().int(), len(self.reference)
        parts = self.changed.split(max(1, _BLOCK // len(counts)))
        least = [torch.where(part, counts, most).amin(dim=1) for part in parts]
        return torch.cat(least).double() / most

    def _noise(self, n: int) -> Tensor:
        shape = n, self._features.shape[1]
        return torch.randn(shape, generator=self._rng).to(self._features)

    def _won(self, copies: Tensor, part: slice) -> Tensor:
        """Which rows, of a part, go to the new site in which copies; ``(b, N)``."""
        rows, sq_dist = self._features[part], self._sq_dist[part]
        won = sq_dist > self._table.bounds_to(copies, part).T
        row, copy = torch.nonzero(won).T
        size = max(1, _CACHE // rows.shape[1])
        for own, other in zip(row.split(size), copy.split(size), strict=True):
            apart = copies.index_select(0, other).sub_(rows.index_select(0, own))
            distances, known = sum_of_squares(apart), sq_dist[own, other]
            won[own, other] = distances < known
            sq_dist[own, other] = torch.minimum(distances, known)
        return won


def _distinct(sites: Tensor) -> Tensor:
    """Drop repetitions of a site; the order stays."""
    if not len(sites):
        return sites
    _, group = torch.unique(sites, dim=0, return_inverse=True)
    number = torch.arange(len(sites), device=sites.device)
    first = torch.full_like(number, len(sites)).scatter_reduce_(
        0, group, number, "amin"
    )
    return sites[number[first[group] == number]]


def _median_distance(sq_dist: Tensor) -> Tensor:
    """Median distance of the rows that are not on a site; 0 if all are.

    An order statistic: a mean would hang on the number of threads in its last digits.
    """
    apart = sq_dist[sq_dist > 0]
    return apart.median().sqrt() if len(apart) else sq_dist.new_zeros(())
