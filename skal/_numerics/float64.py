"""Sums and products in float64 of rows in any precision, block by block."""

from __future__ import annotations

import torch
from torch import Tensor

from skal._numerics.blocks import blocks

__all__ = [
    "inner_products",
    "quadratic_forms",
    "second_moments",
    "sq_norms",
    "transformed",
]


def sq_norms(features: Tensor, matrix: Tensor | None = None) -> Tensor:
    """Squared norms of the rows, or of their products with a matrix or scale, ``(m,)``.

    The matrix ``(d, e)``, or the scale ``()``, is float64.
    """
    result = features.new_empty(len(features), dtype=torch.float64)
    for part in blocks(*features.shape):
        rows = features[part].double()
        if matrix is not None:
            rows = rows @ matrix if matrix.ndim else rows * matrix
        result[part] = rows.square().sum(dim=1)
    return result


def inner_products(directions: Tensor, features: Tensor) -> Tensor:
    """Inner products of t float64 directions with all rows, ``(t, m)``."""
    if features.dtype == torch.float64:
        return directions @ features.T
    result = directions.new_empty(len(directions), len(features))
    for part in blocks(*features.shape):
        result[:, part] = directions @ features[part].double().T
    return result


def transformed(features: Tensor, matrix: Tensor) -> Tensor:
    """Product of the rows with a float64 matrix ``(d, e)``, ``(m, e)``."""
    shape = len(features), matrix.shape[1]
    result = features.new_empty(shape, dtype=torch.float64)
    for part in blocks(len(features), max(matrix.shape)):
        torch.mm(features[part].double(), matrix, out=result[part])
    return result


def quadratic_forms(features: Tensor, matrix: Tensor) -> Tensor:
    """``x @ matrix @ x`` of each row x, ``(m,)``, by a float64 matrix ``(d, d)``."""
    result = features.new_empty(len(features), dtype=torch.float64)
    for part in blocks(*features.shape):
        rows = features[part].double()
        result[part] = torch.linalg.vecdot(rows @ matrix, rows)
    return result


def second_moments(features: Tensor) -> Tensor:
    """Sum of the outer products of the rows with themselves, ``(d, d)``."""
    d = features.shape[1]
    total = features.new_zeros((d, d), dtype=torch.float64)
    for part in blocks(*features.shape):
        rows = features[part].double()
        total.addmm_(rows.T, rows)
    return total
