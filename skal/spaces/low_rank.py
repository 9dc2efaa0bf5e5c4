"""Vectors whose inner products are a kernel, as far as a few components allow."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from skal._numerics.products import inner_products

__all__ = ["Entries", "low_rank"]

#: Pivots per round, and rows among which they are looked for, per pivot.
_PIVOTS, _CANDIDATES = 32, 4
#: Variance left, relative to the largest one, that counts as rounding.
_ROUNDING = 1e-12
#: The same in units of the precision of the vectors.
_NOISE = 256
#: A row becomes a pivot only if this share of the largest variance left is its own.
_WORTH = 0.25


class Entries(Protocol):
    """Kernel of some rows with others; None stands for all rows."""

    def __call__(self, rows: Tensor | None, others: Tensor) -> Tensor:
        """Return ``(len(rows), len(others))``, float64."""
        ...


def low_rank(
    entries: Entries,
    diagonal: Tensor,
    n_components: int,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    r"""Make vectors by a pivoted Cholesky decomposition of a kernel matrix [1]_.

    Parameters
    ----------
    entries : callable
        ``entries(rows, others)`` returns a part of the kernel matrix, float64.
    diagonal : Tensor of shape (m,), float64
        Kernel of each row with itself.
    n_components : int
        Largest length d of the vectors.
    dtype : dtype, default=torch.float64
        That of the vectors.  With float32, variances below 0.003 % of the largest one
        count as rounding.

    Returns
    -------
    vectors : Tensor of shape (m, d)
        `d` is less than `n_components` where fewer reproduce the kernel.

    Raises
    ------
    ValueError
        If the kernel is not finite.

    Notes
    -----
    The vectors are :math:`F = K_{\cdot P} L^{-\top}` with pivots P and :math:`L L^\top
    = K_{PP}`.  Inner products :math:`F F^\top` are exact, up to rounding, if the rank
    of K is at most d, and between any row and a pivot.  Otherwise they lack the part of
    the kernel that the pivots do not explain, which is never negative on the diagonal.
    Pivots are rows of large variances given the pivots before, which are also those
    that a design of maximum entropy would pick.

    Takes a kernel of m × d elements, computed 32 columns at a time, and m · d²
    multiply-adds; m × d elements are kept.

    References
    ----------
    .. [1] "Convergence of pivoted Cholesky for Lipschitz kernels", 2025.
       https://arxiv.org/abs/2509.13582

    Examples
    --------
    >>> import torch
    >>> from skal.spaces.low_rank import low_rank
    >>> x = torch.tensor([[1.0], [2.0], [3.0]], dtype=torch.float64)
    >>> def entries(rows, others):
    ...     return (x if rows is None else x[rows]) @ x[others].T
    >>> low_rank(entries, x[:, 0].square(), 10)
    tensor([[1.],
            [2.],
            [3.]], dtype=torch.float64)
    """
    m = len(diagonal)
    size = min(n_components, m)
    vectors = diagonal.new_zeros(m, size, dtype=dtype)
    if not bool(diagonal.isfinite().all()):
        raise ValueError("The kernel of the rows is not finite.")
    left, known = diagonal.clone(), 0
    rounding = max(_ROUNDING, _NOISE * torch.finfo(dtype).eps)
    least = rounding * float(diagonal.max()) if m else 0.0
    while known < size and float(left.max()) > least:
        n = min(_PIVOTS, size - known)
        pivots = _pivots(entries, vectors[:, :known], left, n, least)
        own = vectors[pivots, :known].double()
        # A product with few rows is fastest if they come first.
        columns = inner_products(own, vectors[:, :known]).neg_()
        columns += entries(None, pivots).T
        root = torch.linalg.cholesky(columns[:, pivots])
        new = torch.linalg.solve_triangular(root, columns, upper=False)
        del columns
        vectors[:, known : known + len(pivots)] = new.T
        left = (left - new.square_().sum(dim=0)).clamp_(min=0)
        del new
        known += len(pivots)
    return vectors[:, : max(1, known)].contiguous()


def _pivots(
    entries: Entries, vectors: Tensor, left: Tensor, n: int, least: float
) -> Tensor:
    """Choose up to `n` rows of large variances given the pivots and each other."""
    candidates = left.topk(min(_CANDIDATES * n, len(left))).indices
    own = vectors[candidates].double()
    matrix = entries(candidates, candidates) - own @ own.T
    variance = matrix.diagonal().clone()
    least = max(least, _WORTH * float(left.max()))
    steps: list[Tensor] = []
    chosen: list[int] = []
    while len(chosen) < n:
        i = int(variance.argmax())
        if chosen and float(variance[i]) <= least:
            break
        step = matrix[:, i].clone()
        for other in steps:
            step -= other[i] * other
        step /= variance[i].clamp(min=torch.finfo(step.dtype).tiny).sqrt()
        steps.append(step)
        variance = (variance - step.square()).clamp_(min=0)
        variance[i] = 0.0
        chosen.append(i)
    return candidates[chosen]
