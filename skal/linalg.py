"""Products of matrices at the speed of the processor."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["factor_rounding", "linear", "slack"]

#: Error of a product of two numbers that were rounded to TF32, 10 bits.
_TF32 = 2.0**-9


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
        New memory, row by row.

    Notes
    -----
    Products of torch take AVX-512 on some processors that have it and not on others;
    its convolutions take it on all.  So a product of float32 matrices is computed as
    a convolution of one line of m pixels there, in half the time where torch's own
    takes AVX2.  Rounding is that of a sum of d + 1 numbers either way.
    """
    if not (rows.dtype == torch.float32 and rows.is_cpu and _convolves_fast()):
        return F.linear(rows, weight, bias)
    if 0 in (*rows.shape, len(weight)):
        return F.linear(rows, weight, bias)
    d = rows.shape[1]
    line = rows.view(1, -1, 1, d).permute(0, 3, 1, 2)
    found = F.conv2d(line, weight.view(-1, d, 1, 1), bias)
    return found[0, :, :, 0].T.contiguous()  # so it lies in memory already


def slack(features: Tensor) -> float:
    """Bound the rounding of matrix products, over the squared norms."""
    rounding = 4 * features.shape[1] ** 0.5 * torch.finfo(features.dtype).eps
    return rounding + factor_rounding(features)


def factor_rounding(features: Tensor) -> float:
    """Error of a product of two numbers whose factors a GPU was told to round, or 0."""
    return _TF32 if _rounds_to_tf32(features) else 0.0


def _rounds_to_tf32(features: Tensor) -> bool:
    """Whether a GPU was told to, as by `torch.set_float32_matmul_precision`."""
    if features.dtype != torch.float32 or not features.is_cuda:
        return False
    matmul = torch.backends.cuda.matmul
    try:
        return bool(matmul.allow_tf32)
    except RuntimeError:  # torch's newer switch was used, which this one refuses
        return bool(matmul.fp32_precision != "ieee")


@cache
def _convolves_fast() -> bool:
    capability = torch.backends.cpu.get_cpu_capability()
    return torch.backends.mkldnn.is_available() and capability == "AVX512"
