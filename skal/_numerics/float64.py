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
    "row_sum",
    "second_moments",
    "sq_norms",
    "transformed",
    "wide",
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


def wide(rows: Tensor, matrix: Tensor | None = None) -> Tensor:
    """Rows in float64, times a float64 matrix ``(d, e)`` or scale ``()`` if given."""
    rows = rows.double()
    if matrix is None:
        return rows
    return rows @ matrix if matrix.ndim else rows * matrix


def sq_norms(features: Tensor, matrix: Tensor | None = None) -> Tensor:
    """Squared norms of the rows, ``(m,)``; `matrix` as in `wide`."""
    result = features.new_empty(len(features), dtype=torch.float64)
    for part in blocks(*features.shape):
        result[part] = wide(features[part], matrix).square().sum(dim=1)
    return result


def inner_products(
    directions: Tensor, features: Tensor, matrix: Tensor | None = None
) -> Tensor:
    """Inner products of t float64 directions with all rows, ``(t, m)``.

    `matrix` as in `wide`; it is applied to the directions, which are few.
    """
    if matrix is not None:
        directions = wide(directions, matrix.mT if matrix.ndim else matrix)
    if features.dtype == torch.float64:
        return directions @ features.T
    result = directions.new_empty(len(directions), len(features))
    for part in blocks(*features.shape):
        result[:, part] = directions @ features[part].double().T
    return result


def row_sum(features: Tensor, matrix: Tensor | None = None) -> Tensor:
    """Sum of the rows, ``(d,)``; `matrix` as in `wide`."""
    total = features.new_zeros((1, features.shape[1]), dtype=torch.float64)
    for part in blocks(*features.shape):
        total += features[part].double().sum(dim=0)
    return wide(total, matrix)[0]


def transformed(
    features: Tensor, matrix: Tensor, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Products of the rows with `matrix`, as in `wide`, in some dtype, ``(m, e)``."""
    width = matrix.shape[1] if matrix.ndim else features.shape[1]
    result = features.new_empty((len(features), width), dtype=dtype)
    for part in blocks(len(features), max(features.shape[1], width)):
        result[part] = wide(features[part], matrix)
    return result


def quadratic_forms(
    features: Tensor, form: Tensor, matrix: Tensor | None = None
) -> Tensor:
    """``x @ form @ x`` of each row x, ``(m,)``; `matrix` as in `wide`.

    `form` is symmetric and positive semidefinite.
    """
    if matrix is not None and matrix.ndim:
        root, info = torch.linalg.cholesky_ex(form)
        # One product with each row instead of two, and still a sum of squares.
        if int(info) == 0:
            return sq_norms(features, matrix @ root)
    result = features.new_empty(len(features), dtype=torch.float64)
    for part in blocks(*features.shape):
        rows = wide(features[part], matrix)
        result[part] = torch.linalg.vecdot(rows @ form, rows)
    return result


def second_moments(
    features: Tensor, matrix: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Sum of the outer products of the rows with themselves, and their squared norms.

    `matrix` as in `wide`. Both come from one pass, as the products with a matrix are
    not kept.
    """
    d = matrix.shape[1] if matrix is not None and matrix.ndim else features.shape[1]
    total = features.new_zeros((d, d), dtype=torch.float64)
    sq_norm = features.new_empty(len(features), dtype=torch.float64)
    for part in blocks(*features.shape):
        rows = wide(features[part], matrix)
        total.addmm_(rows.T, rows)
        sq_norm[part] = torch.linalg.vecdot(rows, rows)
    return total, sq_norm
