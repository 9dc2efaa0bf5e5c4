"""Each row's nearest center, kept up to date as rows become centers."""

from __future__ import annotations

import sys

import torch
from torch import Tensor

from skal._numerics.distances import nearest_of_pairs, sum_of_squares
from skal._numerics.products import ApproximateDistances
from skal._numerics.tables import table_of
from skal.spaces.dense import Dense, Embedding

__all__ = ["NearestCenters", "nearest"]

#: Numbers that are worked on together.
_BLOCK = 2**20
#: Numbers that stay in cache while a row is subtracted and squared.
_CACHE = 2**18
#: Guesses at a time.
_FEW, _MANY = 4, 64


def nearest(embedding: Embedding, centers: Embedding) -> tuple[Tensor, Tensor]:
    """Squared distance of each row to the nearest of some centers, and its number.

    Parameters
    ----------
    embedding : Embedding of m rows
        `Dense`, or one with a method ``nearest(centers)``.
    centers : Embedding

    Returns
    -------
    sq_dist : Tensor of shape (m,)
    center : Tensor of shape (m,), int64
        Of equally near ones the first.

    Raises
    ------
    TypeError
        If the two do not compare.
    """
    if hasattr(embedding, "nearest"):
        found: tuple[Tensor, Tensor] = embedding.nearest(centers)
        return found
    if not (isinstance(embedding, Dense) and isinstance(centers, Dense)):
        raise TypeError(
            f"The nearest of {type(centers).__name__} to rows of "
            f"{type(embedding).__name__} cannot be told."
        )
    rows, points = embedding.features, centers.features
    approximate = ApproximateDistances(points)
    sq_dist = rows.new_empty(len(rows))
    center = torch.empty(len(rows), dtype=torch.long, device=rows.device)
    step = max(1, _BLOCK // max(len(points), rows.shape[1]))
    # Taken once: memory that is new each time costs as much as what is done in it.
    memory = rows.new_empty(max(1, _CACHE // rows.shape[1]), rows.shape[1])
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        values, errors = approximate(block)
        limit = values.amin(dim=1).add_(errors, alpha=2)
        row, point = torch.nonzero(values <= limit[:, None]).T
        each_once = len(row) == len(block)  # so that these are all rows in order
        distances = values.new_empty(len(row))
        for pair in range(0, len(row), len(memory)):
            part = slice(pair, min(pair + len(memory), len(row)))
            own = block[part] if each_once else block.index_select(0, row[part])
            apart = memory[: part.stop - pair]
            torch.index_select(points, 0, point[part], out=apart)
            distances[part] = sum_of_squares(apart.sub_(own))
        part = slice(start, start + step)
        sq_dist[part], center[part] = nearest_of_pairs(
            row, point, distances, len(block)
        )
    return sq_dist, center


class NearestCenters:
    r"""Squared distance of each row to its nearest center, and which one that is.

    Parameters
    ----------
    embedding : Embedding of m rows
        Guesses help with `Dense` ones, and those that are a `Table`.
    centers : Embedding, optional
        Centers there are from the beginning, in the same space.
    sq_dist : Tensor of shape (m,), optional
        Squared distances to centers that are not given themselves; not changed.
    n_more : int
        Rows that will be added at most, so that no more are guessed.

    Attributes
    ----------
    sq_dist : Tensor of shape (m,)
        Infinity as long as there is no center.
    center : Tensor of shape (m,), int64
        Number of the nearest center: first those given, then the rows added; -1 for
        those behind `sq_dist`.  Of equally near ones the older.
    n_centers : int

    Notes
    -----
    A new center alone takes a pass over all numbers of the embedding, at the speed of
    the memory.  So rows that may become centers later are guessed and compared with
    all rows in one matrix product, at the speed of the processor; its rounding is
    bounded, and what the bound leaves open, mostly the rows that change their center,
    is computed exactly.  Guesses, good or bad, change the speed and nothing else.
    """

    def __init__(
        self,
        embedding: Embedding,
        centers: Embedding | None = None,
        sq_dist: Tensor | None = None,
        n_more: int = sys.maxsize,
    ) -> None:
        self.embedding = embedding
        self.n_centers = 0
        if sq_dist is not None:
            self.sq_dist = sq_dist.clone()
            self.center = torch.full_like(sq_dist, -1, dtype=torch.long)
        elif centers is not None and len(centers) > 0:
            self.n_centers = len(centers)
            self.sq_dist, self.center = nearest(embedding, centers)
        else:
            self.sq_dist = torch.full_like(embedding.sq_norm(), torch.inf)
            self.center = torch.full_like(self.sq_dist, -1, dtype=torch.long)
        self._table = table_of(embedding)
        self._n_more = n_more
        self._n_ahead = _FEW if self._table else 0
        self._guessed: dict[int, int] = {}
        self._n_used = 0

    @property
    def n_guesses(self) -> int:
        """Rows that are best guessed together, 0 if that would not help."""
        return min(self._n_ahead, self._n_more)

    def knows(self, i: int) -> bool:
        """Whether row `i` was guessed, or no guess would help."""
        return self.n_guesses == 0 or i in self._guessed

    def guess(self, rows: Tensor) -> None:
        """Compare rows that may become centers with all others, `n_guesses` at best."""
        if self._table is None:
            return
        if self._guessed:
            hits = self._n_used / len(self._guessed)
            if hits > 0.7:
                self._n_ahead = min(2 * self._n_ahead, _MANY)
            elif hits < 0.3:
                self._n_ahead = max(self._n_ahead // 2, _FEW)
        self._bounds = self._table.bounds(rows)
        self._guessed = {row: k for k, row in enumerate(rows.tolist())}
        self._n_used = 0

    def add(self, i: int) -> None:
        """Make row `i` a center."""
        rows = self._closer(i)
        if self._table is not None and rows is not None:
            distances = self._table.sq_dist(i, rows)
            closer = distances < self.sq_dist[rows]
            rows = rows[closer]
            self.sq_dist[rows] = distances[closer]
            self.center[rows] = self.n_centers
        else:
            distances = (self._table or self.embedding).sq_dist(i)
            closer = distances < self.sq_dist
            self.sq_dist = torch.where(closer, distances, self.sq_dist)
            self.center.masked_fill_(closer, self.n_centers)
        self.n_centers += 1
        self._n_more -= 1

    def weights(self) -> Tensor:
        """Sum of the squared distances of each center's rows, float64."""
        sq_dist = self.sq_dist.double()
        return sq_dist.new_zeros(self.n_centers).index_add_(0, self.center, sq_dist)

    def _closer(self, i: int) -> Tensor | None:
        """Rows that may be nearer to row `i` than to their centers; None for all."""
        if i not in self._guessed:
            return None
        self._n_used += 1
        bounds = self._bounds[self._guessed[i]]
        rows = torch.nonzero((bounds < self.sq_dist) & (self.sq_dist > 0))[:, 0]
        return None if len(rows) > len(bounds) // 2 else rows
