"""MaxDet: the rows about which least is known, jointly."""

from __future__ import annotations

import torch
from torch import Tensor

from skal._numerics.products import inner_products, sq_norms, wide
from skal.selection._greedy import Greedy, LookAhead, Picks, check_n

__all__ = ["least_noise_variance", "max_det"]

#: Least variance of the noise, relative to the largest variance.
_LEAST_NOISE = 1e-12


def max_det(
    features: Tensor,
    n: int,
    noise_std: float = 1e-3,
    transform: Tensor | None = None,
) -> Picks:
    r"""Maximize the determinant of the kernel matrix of the picks, greedily [1]_.

    Parameters
    ----------
    features : Tensor of shape (m, d)
        Their inner products are the kernel.  For mode P conditioned on the labels,
        which is the same as mode TP, those of `skal.spaces.posterior_features`.
    n : int
        From 0 to m.
    noise_std : float, default=0.001
        Standard deviation :math:`\sigma` of the label noise; at least :math:`10^{-6}`
        of the largest norm is used.
    transform : Tensor of shape (d, e) or (), float64, optional
        Matrix or scale by which the features are multiplied, block by block, so that
        the products are never kept.

    Returns
    -------
    picks : Picks
        Scores are the variances given the previous picks, float64.

    Raises
    ------
    ValueError
        If `n` is out of range.

    Notes
    -----
    The next pick is :math:`\arg\max_x k(x, x) - k_{xS} (K_{SS} + \sigma^2 I)^{-1}
    k_{Sx}`, the variance of a Gaussian process given noisy labels of the picks S.  This
    maximizes :math:`\log\det(K_{SS} + \sigma^2 I)` greedily, and is BatchBALD of such a
    process.  Ties are broken in a fixed random order.

    Computed in float64: m · d multiply-adds per pick, those of up to 32 picks in one
    matrix product.

    References
    ----------
    .. [1] Kirsch, van Amersfoort and Gal, "BatchBALD: efficient and diverse batch
       acquisition for deep Bayesian active learning", NeurIPS 2019.
       https://arxiv.org/abs/1906.08158

    Examples
    --------
    >>> import torch
    >>> from skal.selection import max_det
    >>> max_det(torch.tensor([[3.0, 0.0], [2.9, 0.0], [0.0, 1.0]]), 2).indices
    tensor([0, 2])
    """
    check_n(n, len(features))
    return _Variances(features, n, noise_std, transform).pick(n)


class _Variances(LookAhead):
    """Variances given the picks."""

    def __init__(
        self, features: Tensor, n: int, noise_std: float, transform: Tensor | None
    ) -> None:
        super().__init__(n)
        self.features, self.transform = features, transform
        self.value = sq_norms(features, transform)
        self.noise_variance = max(noise_std**2, least_noise_variance(self.value))
        # A pick of step v takes (v · x)² from the variance of row x.
        width = wide(features[:0], transform).shape[1]
        self.steps = self.value.new_zeros((n, width))
        self.n_known = 0
        self.drops: list[Tensor] = []

    def look_ahead(self, rows: Tensor, n: int) -> Tensor:
        few = _FewVariances(self, rows)
        few.numbers = rows
        picks = few.pick(n, update_last=True)
        steps = self.steps[self.n_known : few.n_known]
        products = inner_products(steps, self.features, self.transform)
        self.drops = list(products.square_())
        return rows[picks.indices]

    def take(self) -> None:
        self.value = (self.value - self.drops.pop(0)).clamp_(min=0)
        self.n_known += 1


class _FewVariances(Greedy):
    """The same for a few of the rows, pick by pick."""

    is_rounded = True

    def __init__(self, whole: _Variances, rows: Tensor) -> None:
        self.features = wide(whole.features[rows], whole.transform)
        self.value = whole.value[rows]
        self.noise_variance = whole.noise_variance
        self.steps, self.n_known = whole.steps, whole.n_known

    def update(self, i: int) -> None:
        row, known = self.features[i], self.steps[: self.n_known]
        step = row - (known @ row) @ known
        step /= (self.noise_variance + max(float(step @ row), 0.0)) ** 0.5
        self.steps[self.n_known] = step
        self.n_known += 1
        self.value = (self.value - (self.features @ step).square_()).clamp_(min=0)


def least_noise_variance(variance: Tensor) -> float:
    """Return the noise below which variances are lost to rounding; above 0."""
    tiny = torch.finfo(variance.dtype).tiny
    return max(_LEAST_NOISE * float(variance.max()), tiny) if len(variance) else tiny
