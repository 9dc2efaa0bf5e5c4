"""The nearest center of each row, kept up to date as rows become centers."""

from __future__ import annotations

import sys

import torch
from torch import Tensor

from skal.selection._greedy import Horizon
from skal.spaces.dense import Embedding

__all__ = ["MOST_AHEAD", "NearestCenters"]

#: Most rows to compare ahead.
MOST_AHEAD = 64


class NearestCenters:
    r"""Squared distance of each row to its nearest center, and that center's number.

    Parameters
    ----------
    embedding : Embedding of m rows
    centers : Embedding, optional
        Centers from the beginning, in the same space.
    sq_dist : Tensor of shape (m,), optional
        Squared distances to centers that are not given themselves; not changed.
    n_more : int
        Most rows that will be added, so that no more are compared ahead.

    Attributes
    ----------
    sq_dist : Tensor of shape (m,)
        Infinity as long as there is no center.
    center : Tensor of shape (m,), int64
        Number of the nearest center: first those given, then the rows added; -1 for
        those behind `sq_dist`.  Of equally near centers the oldest.
    n_centers : int
    n_more : int
        Most rows that will still be added.

    Notes
    -----
    Comparing one new center with all rows takes a pass over the embedding, at the speed
    of the memory.  So rows that are likely to become centers are compared with all rows
    in one matrix product, at the speed of the processor.  Its rounding is bounded; what
    the bound leaves open, mostly the rows that change their center, is computed
    exactly.  Which rows are compared ahead changes the speed and nothing else.
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
            self.sq_dist, self.center = embedding.nearest(centers)
        else:
            self.sq_dist = torch.full_like(embedding.sq_norm(), torch.inf)
            self.center = torch.full_like(self.sq_dist, -1, dtype=torch.long)
        self.n_more = n_more
        self._horizon = Horizon()
        self._bounds: dict[int, Tensor] = {}

    @property
    def n_ahead(self) -> int:
        """Number of rows to compare ahead."""
        return min(self._horizon.n, self.n_more)

    def lacks(self, i: int) -> bool:
        """Tell whether row `i` should be compared, among others, before it is added."""
        # Every row is nearer to the first center than to none: bounds cannot help.
        return self.n_centers > 0 and i not in self._bounds

    def compare(self, rows: Tensor) -> None:
        """Compare rows that may become centers with all rows; `n_ahead` are best."""
        rows = rows.unique()
        self._horizon.adapt(most=MOST_AHEAD)
        self._horizon.n_compared, self._horizon.n_used = len(rows), 0
        bounds = self.embedding.lower_bounds(rows)
        self._bounds = dict(zip(rows.tolist(), bounds, strict=True))

    def add(self, i: int) -> None:
        """Make row `i` a center."""
        rows = self._possibly_closer(i)
        distances = self.embedding.sq_dist(i, rows)
        if rows is None:
            closer = distances < self.sq_dist
            self.sq_dist = torch.where(closer, distances, self.sq_dist)
            self.center.masked_fill_(closer, self.n_centers)
        else:
            closer = distances < self.sq_dist[rows]
            rows = rows[closer]
            self.sq_dist[rows] = distances[closer]
            self.center[rows] = self.n_centers
        self.n_centers += 1
        self.n_more -= 1

    def weights(self) -> Tensor:
        """Sum of the squared distances of the rows of each center, float64."""
        sq_dist = self.sq_dist.double()
        weights = sq_dist.new_zeros(self.n_centers)
        return weights.index_add_(0, self.center, sq_dist) if len(weights) else weights

    def _possibly_closer(self, i: int) -> Tensor | None:
        """Rows that may be nearer to row `i` than to their center; None for all."""
        if i not in self._bounds:
            return None
        self._horizon.n_used += 1
        bounds = self._bounds[i]
        rows = torch.nonzero((bounds < self.sq_dist) & (self.sq_dist > 0))[:, 0]
        return None if len(rows) > len(bounds) // 2 else rows
