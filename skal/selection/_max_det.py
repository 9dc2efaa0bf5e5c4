"""MaxDet: the rows that are least known together."""

from __future__ import annotations

import torch
from torch import Tensor

from skal.selection._greedy import Outlook, pick_ahead, products
from skal.selection._picks import Picks, check_n, first_of_largest

__all__ = ["first_of_largest", "least_noise_variance", "max_det", "sq_norms"]

#: Numbers that are worked on together.
_BLOCK = 2**20
#: Noise is taken for at least this share of the largest variance.
_LEAST_NOISE = 1e-12


def max_det(features: Tensor, n: int, noise_std: float = 1e-3) -> Picks:
    r"""Maximize the determinant of the kernel matrix of the picks, greedily [1]_.

    Parameters
    ----------
    features : Tensor of shape (m, d)
        Their inner products are the kernel.  For mode P after training, and for mode
        TP, those of `skal.spaces.posterior_features`: the two are the same.
    n : int
        From 0 to m.
    noise_std : float
        Standard deviation :math:`\sigma` of the labels; taken for :math:`10^{-6}` of
        the largest norm if it is less.

    Returns
    -------
    picks : Picks
        Scores are the variances given the picks before, float64.

    Raises
    ------
    ValueError
        If `n` is out of range.

    Notes
    -----
    The next pick is :math:`\arg\max_x k(x, x) - k_{xS} (K_{SS} + \sigma^2 I)^{-1}
    k_{Sx}`, the variance of a Gaussian process given noisy labels of the picks S; this
    maximizes :math:`\log\det(K_{SS} + \sigma^2 I)` greedily, and is BatchBALD of such a
    process.  Ties go in pool order.

    In float64: m · d multiply-adds a pick, those of up to 32 picks in one product of
    matrices; see `skal.selection.greedy`.

    References
    ----------
    .. [1] Kirsch, van Amersfoort and Gal, "BatchBALD: efficient and diverse batch
       acquisition for deep Bayesian active learning", NeurIPS 2019.
       https://arxiv.org/abs/1906.08158

    Examples
    --------
    >>> import torch
    >>> from skal.selection._max_det import max_det
    >>> max_det(torch.tensor([[3.0, 0.0], [2.9, 0.0], [0.0, 1.0]]), 2).indices
    tensor([0, 2])
    """
    check_n(n, len(features))
    return pick_ahead(_Variances(features, noise_std, n), n)


class _Variances(Outlook):
    """Variances given the rows picked."""

    def __init__(self, features: Tensor, noise_std: float, n: int) -> None:
        self.features = features
        self.variance = sq_norms(features)
        self.noise_variance = max(noise_std**2, least_noise_variance(self.variance))
        # Rows v such that the variance falls by (v · x)² with each pick.
        self.steps = self.variance.new_zeros((n, features.shape[1]))
        self.n_taken = self.first = 0

    def value(self) -> Tensor:
        return self.variance

    def look_ahead(self, rows: Tensor, n: int) -> list[int]:
        own, variance = self.features[rows].double(), self.variance[rows]
        left = torch.ones_like(variance, dtype=torch.bool)
        found = []
        for k in range(n):
            i = first_of_largest(torch.where(left, variance, -torch.inf))
            found.append(i)
            left[i] = False
            known = self.steps[: self.n_taken + k]
            step = own[i] - (known @ own[i]) @ known
            step /= (self.noise_variance + max(float(step @ own[i]), 0.0)) ** 0.5
            self.steps[self.n_taken + k] = step
            variance.sub_((own @ step).square_()).clamp_(min=0)
        steps = self.steps[self.n_taken : self.n_taken + n]
        self.drops = products(self.features, steps).square_()
        self.first = self.n_taken
        return rows[found].tolist()

    def take(self) -> None:
        drop = self.drops[self.n_taken - self.first]
        self.variance = (self.variance - drop).clamp_(min=0)
        self.n_taken += 1


def sq_norms(features: Tensor) -> Tensor:
    """Squared norms of the rows, ``(m,)``, float64."""
    size = max(1, _BLOCK // features.shape[1])
    parts = [part.double().square().sum(dim=1) for part in features.split(size)]
    return torch.cat(parts)


def least_noise_variance(variance: Tensor) -> float:
    """Noise below which variances are lost to rounding; above 0."""
    tiny = torch.finfo(variance.dtype).tiny
    return max(_LEAST_NOISE * float(variance.max()), tiny) if len(variance) else tiny
