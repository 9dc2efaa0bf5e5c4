"""Products and sums over many rows: block by block, as fast or as exact as needed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "CACHE",
    "MEMORY",
    "block_size",
    "blocks",
    "extent",
    "factor_rounding",
    "has_room",
    "inner_products",
    "linear",
    "quadratic_forms",
    "rounding_bound",
    "row_sum",
    "second_moments",
    "sq_norms",
    "tiles",
    "transformed",
    "wide",
]

# -- blocks of rows -----------------------------------------------------------------

#: Elements of a temporary that stays in the cache of a core: 1 MiB of float32.
CACHE = 2**18
#: Elements of a temporary that is small beside the data: 4 MiB of float32.
MEMORY = 2**20


def block_size(width: int, *, in_cache: bool = False) -> int:
    """Return the number of rows of a block, at least 1.

    Parameters
    ----------
    width : int
        Elements of the largest temporary, per row.
    in_cache : bool
        Whether the temporary must stay in the cache: worth it where it is read as soon
        as it has been written, such as differences that are then squared and summed.
    """
    return max(1, (CACHE if in_cache else MEMORY) // max(1, width))


def blocks(n_rows: int, width: int, *, in_cache: bool = False) -> Iterator[slice]:
    """Cut rows into consecutive slices of `block_size` rows; the last may be shorter.

    Examples
    --------
    >>> from skal._numerics.products import blocks
    >>> list(blocks(5, 2**19))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    step = block_size(width, in_cache=in_cache)
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def tiles(n_rows: int) -> Iterator[slice]:
    """Cut rows into slices, of which any two have a block of pairs."""
    return blocks(n_rows, max(1, int(MEMORY**0.5)))


# -- products at the speed of the processor -----------------------------------------


#: Multiply-adds below which a convolution is no faster than torch's own product.
_SMALL = 2**22
#: Elements of the rows up to which torch computes a convolution without oneDNN.
_FEW = 20_480
#: Relative error of a product of two float32 elements that were cut to these formats.
_ERRORS = {"tf32": 2.0**-9, "bf16": 2.0**-7}


def linear(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute ``rows @ weight.T + bias``, like `torch.nn.functional.linear` or faster.

    Parameters
    ----------
    rows : Tensor of shape (m, d)
    weight : Tensor of shape (L, d)
    bias : Tensor of shape (L,), optional

    Returns
    -------
    products : Tensor of shape (m, L)
        New memory, row by row, in the dtype of the rows, under autocast as well.

    Notes
    -----
    The matrix products of torch use AVX-512 on some of the processors that have it and
    AVX2 on the others; oneDNN, which computes the convolutions of torch, uses AVX-512
    on all of them.  So a large float32 product is computed as a convolution over one
    line of m pixels, which takes half the time where torch would use AVX2.  The
    rounding is that of a sum of d + 1 elements either way.  For few rows torch does not
    call oneDNN, and its own convolution takes up to 15 times as long as its product.
    """
    kind = rows.device.type
    if kind in ("cpu", "cuda") and torch.is_autocast_enabled(kind):
        with torch.autocast(kind, enabled=False):
            return linear(rows, weight, bias)
    m, d = rows.shape
    fits = rows.dtype == torch.float32 and rows.is_cpu and _convolves_fast()
    if not fits or m * d <= _FEW or m * d * len(weight) < _SMALL:
        return F.linear(rows, weight, bias)
    line = rows.view(1, m, 1, d).permute(0, 3, 1, 2)
    # Dilation means nothing for a kernel of one pixel, but makes torch call oneDNN.
    found = F.conv2d(line, weight.view(-1, d, 1, 1), bias, dilation=2)
    return found[0, :, :, 0].T.contiguous()  # copies only where strides are unusual


def rounding_bound(features: Tensor) -> float:
    """Bound the rounding of inner products, relative to the squared norms of the rows.

    Errors of either sign grow with the square root of the number of elements; from
    about a thousand elements on, an eighth of them is allowed to add up.
    """
    d = features.shape[1]
    rounding = max(4 * d**0.5, d / 8) * torch.finfo(features.dtype).eps
    return rounding + factor_rounding(features)


def factor_rounding(features: Tensor) -> float:
    """Relative error of a product whose factors torch may cut to fewer bits, or 0."""
    if features.dtype != torch.float32:
        return 0.0
    return max(_ERRORS.get(name, 0.0) for name in _precisions(features.is_cuda))


def _precisions(on_gpu: bool) -> list[str]:
    """Name the formats in which float32 products may be computed."""
    backends: Any = torch.backends
    if not hasattr(backends.cuda.matmul, "fp32_precision"):  # before torch 2.9
        names = {"highest": "ieee", "high": "tf32", "medium": "bf16"}
        return [names[torch.get_float32_matmul_precision()]]
    if on_gpu:
        return [backends.cuda.matmul.fp32_precision]
    return [backends.mkldnn.matmul.fp32_precision, backends.mkldnn.conv.fp32_precision]


@cache
def _convolves_fast() -> bool:
    capability = torch.backends.cpu.get_cpu_capability()
    return torch.backends.mkldnn.is_available() and capability == "AVX512"


# -- sums and products in float64 ---------------------------------------------------


#: Columns of a symmetric matrix that are computed together.
_COLUMNS = 128
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
        # The sum is symmetric: blocks below the diagonal are not computed.
        for first in range(0, d, _COLUMNS):
            some = rows[:, first : first + _COLUMNS]
            total[first : first + _COLUMNS, first:].addmm_(some.T, rows[:, first:])
        sq_norm[part] = torch.linalg.vecdot(rows, rows)
    return total.triu_().add_(total.triu(1).T), sq_norm
