"""Frank-Wolfe: rows whose weighted sum approximates the sum of all rows."""

from __future__ import annotations

import torch
from torch import Tensor

from skal._numerics.products import inner_products, row_sum, sq_norms, wide
from skal.selection._greedy import Greedy, LookAhead, Picks, check_n

__all__ = ["frank_wolfe"]

#: Value of a row of zeros, below all others.
_LAST = torch.finfo(torch.float64).min / 4


def frank_wolfe(features: Tensor, n: int, transform: Tensor | None = None) -> Picks:
    r"""Approximate the sum of all features by a few rows (ACS-FW [1]_).

    Parameters
    ----------
    features : Tensor of shape (m, d)
        Usually those of `skal.spaces.posterior_features`.
    n : int
        From 0 to m.
    transform : Tensor of shape (d, e) or (), float64, optional
        Matrix or scale by which the features are multiplied, block by block, so that
        the products are never kept.

    Returns
    -------
    picks : Picks
        Scores are the inner products of their directions with the residual of the sum
        when picked, float64.

    Raises
    ------
    ValueError
        If `n` is out of range.

    Notes
    -----
    With :math:`\phi = \sum_x \phi_x`, :math:`s = \sum_x \lVert \phi_x \rVert` and the
    approximation :math:`a`, at first 0, the next pick is :math:`\arg\max_x \langle \phi
    - a, \phi_x / \lVert \phi_x \rVert \rangle`, and a moves toward :math:`s \, \phi_x /
    \lVert \phi_x \rVert` to the point closest to :math:`\phi`.  Rows picked before are
    left out, so that n steps pick n rows.  Rows of zeros come last; ties are broken in
    a fixed random order.  Computed in float64: m · d multiply-adds per pick, those of
    up to 32 picks in one matrix product.

    References
    ----------
    .. [1] Pinsler, Gordon, Nalisnick and Hernández-Lobato, "Bayesian batch active
       learning as sparse subset approximation", NeurIPS 2019.
       https://arxiv.org/abs/1908.02144

    Examples
    --------
    >>> import torch
    >>> from skal.selection import frank_wolfe
    >>> rows = torch.tensor([[2.0, 0.0], [9.0, 9.0], [0.0, 2.0], [-1.0, 0.0]])
    >>> frank_wolfe(rows, 3).indices
    tensor([1, 2, 0])
    """
    check_n(n, len(features))
    alignments = _Alignments(features, n, transform)
    indices, scores = alignments.pick(n)
    is_zero = alignments.inverse[indices] == 0
    return Picks(indices, scores.masked_fill_(is_zero, 0.0))


class _Alignments(LookAhead):
    """Inner products of all directions with the residual of the sum."""

    def __init__(self, features: Tensor, n: int, transform: Tensor | None) -> None:
        super().__init__(n)
        self.features, self.transform = features, transform
        norms = sq_norms(features, transform).sqrt()
        self.inverse = torch.where(norms > 0, 1 / norms, 0.0)
        self.total = float(norms.sum())
        self.target = row_sum(features, transform)
        self.approximation = torch.zeros_like(self.target)
        self.value = self.aligned(self.target[None])[0]
        self.ahead: list[tuple[Tensor, Tensor]] = []

    def look_ahead(self, rows: Tensor, n: int) -> Tensor:
        few = _FewAlignments(self, rows)
        few.numbers = rows
        picks = few.pick(n, update_last=True)
        residuals = self.target - torch.stack(few.path)
        values = self.aligned(residuals)
        self.ahead = list(zip(few.path, values, strict=True))
        return rows[picks.indices]

    def aligned(self, residuals: Tensor) -> Tensor:
        """Inner products of the directions of rows with t vectors, ``(t, m)``."""
        products = inner_products(residuals, self.features, self.transform)
        return _by_length(products, self.inverse)

    def take(self) -> None:
        self.approximation, self.value = self.ahead.pop(0)


class _FewAlignments(Greedy):
    """The same for a few of the rows, pick by pick."""

    is_rounded = True

    def __init__(self, whole: _Alignments, rows: Tensor) -> None:
        self.features = wide(whole.features[rows], whole.transform)
        self.inverse = whole.inverse[rows]
        self.value = whole.value[rows]
        self.target, self.total = whole.target, whole.total
        self.approximation = whole.approximation
        self.path: list[Tensor] = []  # the approximation after each pick

    def update(self, i: int) -> None:
        vertex = self.features[i] * (self.total * self.inverse[i])
        direction = vertex - self.approximation
        sq_length = float(direction @ direction)
        if sq_length > 0:
            residual = self.target - self.approximation
            step = min(max(float(direction @ residual) / sq_length, 0.0), 1.0)
            self.approximation = self.approximation + step * direction
        self.path.append(self.approximation)
        residual = self.target - self.approximation
        self.value = _by_length(self.features @ residual, self.inverse)


def _by_length(products: Tensor, inverse: Tensor) -> Tensor:
    """Divide the products of rows by their lengths; rows of zeros come last."""
    return products.mul_(inverse).masked_fill_(inverse == 0, _LAST)
