"""Exact squared distances of pairs of rows."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["nearest_of_pairs", "sq_dist_to", "sum_of_squares"]

#: Numbers that stay in cache while a row is subtracted and squared.
_CACHE = 2**18


def sq_dist_to(features: Tensor, i: int, rows: Tensor | None = None) -> Tensor:
    """Squared distances to row `i`, of all rows or some; 0 to its duplicates."""
    n_rows = len(features) if rows is None else len(rows)
    result = features.new_empty(n_rows)
    step = max(1, _CACHE // features.shape[1])
    for start in range(0, n_rows, step):
        stop = start + step
        block = features[start:stop] if rows is None else features[rows[start:stop]]
        result[start:stop] = sum_of_squares(block - features[i])
    return result


def sum_of_squares(differences: Tensor) -> Tensor:
    """Squared norms of rows, which are overwritten; exact where the squares are."""
    return differences.square_().sum(dim=1)


def nearest_of_pairs(
    row: Tensor, point: Tensor, distances: Tensor, n_rows: int
) -> tuple[Tensor, Tensor]:
    """Least distance of each row among its pairs, and the first point that has it."""
    sq_dist = distances.new_full((n_rows,), torch.inf)
    sq_dist.scatter_reduce_(0, row, distances, "amin")
    best = distances == sq_dist[row]
    center = torch.full_like(sq_dist, torch.iinfo(torch.long).max, dtype=torch.long)
    return sq_dist, center.scatter_reduce_(0, row[best], point[best], "amin")
