"""Float64: where squares need it, and sums and products by it, block by block."""

from __future__ import annotations

import torch
from torch import Tensor

from skal._numerics.blocks import blocks

__all__ = [
    "extent",
    "has_room",
    "inner_products",
    "quadratic_forms",
    "second_moments",
    "sq_norms",
    "transformed",
]


#: Magnitudes whose squares, and sums of many squares, are within float32.
_SMALLEST, _LARGEST = 2.0**-50, 2.0**50


def extent(*tensors: Tensor) -> float:
    """Largest magnitude of an element of several tensors; 0 if there is none."""
    largest = 0.0
    for tensor in tensors:
        if tensor.numel():
            low, high = tensor.aminmax()
            largest = max(largest, -float(low), float(high))
    return largest


def has_room(largest: float, dtype: torch.dtype) -> bool:
    """Whether sums of squares of rows of this extent neither overflow nor vanish.

    Raises
    ------
    ValueError
        If they would overflow in float64, too.
    """
    if largest > 1e140:
        raise ValueError(
            f"Rows have elements up to {largest:.1e}: their squares overflow. Scale "
            "the inputs, or drop columns such as identifiers."
        )
    wide = dtype == torch.float64
    return wide or largest == 0 or _SMALLEST <= largest <= _LARGEST


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
