"""Matrix products at the speed of the processor, and bounds on their rounding."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["factor_rounding", "linear", "rounding_bound"]

#: Multiply-adds below which a convolution is no faster than torch's own product.
_SMALL = 2**22
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
    rounding is that of a sum of d + 1 elements either way.
    """
    kind = rows.device.type
    if kind in ("cpu", "cuda") and torch.is_autocast_enabled(kind):
        with torch.autocast(kind, enabled=False):
            return linear(rows, weight, bias)
    m, d = rows.shape
    fits = rows.dtype == torch.float32 and rows.is_cpu and _convolves_fast()
    if not fits or m * d * len(weight) < _SMALL:
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
