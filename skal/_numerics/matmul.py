"""Products of matrices at the speed of the processor, and what they may be off."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["factor_rounding", "linear", "rounding_bound"]

#: Multiply-adds of a product that is too small to gain.
_SMALL = 2**22
#: Error of a product of two float32 numbers that were cut to these formats.
_ERRORS = {"tf32": 2.0**-9, "bf16": 2.0**-7}


def linear(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``rows @ weight.T + bias``, as `torch.nn.functional.linear` gives it, or faster.

    Parameters
    ----------
    rows : Tensor of shape (m, d)
    weight : Tensor of shape (L, d)
    bias : Tensor of shape (L,), optional

    Returns
    -------
    products : Tensor of shape (m, L)
        New memory, row by row, of the dtype of the rows, under autocast as well.

    Notes
    -----
    Products of torch take AVX-512 on some processors that have it and not on others;
    oneDNN, which computes its convolutions, takes it on all.  So a large product of
    float32 matrices is computed as a convolution of one line of m pixels there, in
    half the time where torch's own takes AVX2.  Rounding is that of a sum of d + 1
    numbers either way.
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
    # A single point has no steps to be dilated; torch leaves dilated ones to oneDNN.
    found = F.conv2d(line, weight.view(-1, d, 1, 1), bias, dilation=2)
    return found[0, :, :, 0].T.contiguous()  # so it lies in memory, but for odd rows


def rounding_bound(features: Tensor) -> float:
    """Bound the rounding of matrix products, over the squared norms.

    That of sums in which errors go either way, up to some thousand numbers; beyond,
    of such in which an eighth of them adds up.
    """
    d = features.shape[1]
    rounding = max(4 * d**0.5, d / 8) * torch.finfo(features.dtype).eps
    return rounding + factor_rounding(features)


def factor_rounding(features: Tensor) -> float:
    """Error of a product of two numbers whose factors torch was told to cut, or 0."""
    if features.dtype != torch.float32:
        return 0.0
    return max(_ERRORS.get(name, 0.0) for name in _precisions(features.is_cuda))


def _precisions(on_gpu: bool) -> list[str]:
    """Name the formats that products of float32 may be computed in."""
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
