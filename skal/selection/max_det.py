"""MaxDet: the rows that are least known together."""

from __future__ import annotations

from math import isfinite

import torch
from torch import Tensor

from skal.selection.base import Picks, check_n

__all__ = ["first_of_largest", "least_sq_noise", "max_det", "sq_norms"]

#: Numbers that are worked on together.
_BLOCK = 2**20
#: Values nearer than this, relatively, are taken for equal.
_TIE = 1e-10
#: Noise is taken for at least this share of the largest variance.
_LEAST_NOISE = 1e-12


def max_det(features: Tensor, n: int, noise: float = 1e-3) -> Picks:
    r"""Maximize the determinant of the kernel matrix of the picks, greedily [1]_.

    Parameters
    ----------
    features : Tensor of shape (m, d)
        Their inner products are the kernel.  For mode P after training, and for mode
        TP, those of `skal.kernels.posterior_features`: the two are the same.
    n : int
        From 0 to m.
    noise : float
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

    In float64.  Variances only fall, so that a row is looked at again only when what
    was known of it last would make it the next pick: between n · d and m · n · d
    multiply-adds.

    References
    ----------
    .. [1] Kirsch, van Amersfoort and Gal, "BatchBALD: efficient and diverse batch
       acquisition for deep Bayesian active learning", NeurIPS 2019.
       https://arxiv.org/abs/1906.08158

    Examples
    --------
    >>> import torch
    >>> from skal.selection.max_det import max_det
    >>> max_det(torch.tensor([[3.0, 0.0], [2.9, 0.0], [0.0, 1.0]]), 2).indices
    tensor([0, 2])
    """
    check_n(n, len(features))
    variance = _Variance(features, n)
    sq_noise = max(noise**2, least_sq_noise(variance.value))
    left = torch.ones_like(variance.value, dtype=torch.bool)
    indices = torch.empty(n, dtype=torch.long, device=features.device)
    scores = variance.value.new_empty(n)
    for k in range(n):
        i = variance.largest(left)
        indices[k], scores[k], left[i] = i, variance.value[i], False
        variance.condition(i, sq_noise)
    return Picks(indices, scores)


class _Variance:
    """Variances given some rows, brought up to date where they matter."""

    def __init__(self, features: Tensor, n: int) -> None:
        self.features = features
        self.value = sq_norms(features)
        self.age = torch.zeros(len(features), dtype=torch.long, device=features.device)
        # Rows v such that the variance falls by (v · x)² with each condition.
        self.steps = features.new_zeros((n, features.shape[1]), dtype=torch.float64)
        self.n_steps = 0

    def largest(self, left: Tensor) -> int:
        """First row of the largest variance among those left."""
        n_rows = 64
        while True:
            value = torch.where(left, self.value, -torch.inf)
            best = first_of_largest(value)
            near = value >= value.max() * (1 - _TIE)
            stale = torch.nonzero(near & (self.age < self.n_steps))[:, 0]
            if not len(stale):
                return best
            # More at a time if few were not enough.
            top = value.topk(min(n_rows, len(value))).indices
            rows = torch.cat([stale, top]).unique()
            self._refresh(rows[self.age[rows] < self.n_steps])
            n_rows *= 2

    def condition(self, i: int, sq_noise: float) -> None:
        """Know the label of row `i`."""
        row = self.features[i].double()
        known = self.steps[: self.n_steps]
        step = row - known.T @ (known @ row)
        noisy = sq_noise + max(float(step @ row), 0.0)
        self.steps[self.n_steps] = step / noisy**0.5
        self.n_steps += 1

    def _refresh(self, rows: Tensor) -> None:
        oldest = int(self.age[rows].min())
        steps = self.steps[oldest : self.n_steps]
        number = torch.arange(oldest, self.n_steps, device=rows.device)
        size = max(1, _BLOCK // max(self.features.shape[1], len(steps)))
        for part in rows.split(size):
            drop = (self.features[part].double() @ steps.T).square_()
            drop.masked_fill_(number < self.age[part][:, None], 0.0)
            self.value[part] = (self.value[part] - drop.sum(dim=1)).clamp_(min=0)
        self.age[rows] = self.n_steps


def sq_norms(features: Tensor) -> Tensor:
    """Squared norms of the rows, ``(m,)``, float64."""
    size = max(1, _BLOCK // features.shape[1])
    parts = [part.double().square().sum(dim=1) for part in features.split(size)]
    return torch.cat(parts)


def least_sq_noise(variance: Tensor) -> float:
    """Noise below which variances are lost to rounding; above 0."""
    tiny = torch.finfo(variance.dtype).tiny
    return max(_LEAST_NOISE * float(variance.max()), tiny) if len(variance) else tiny


def first_of_largest(value: Tensor, tie: float | None = None) -> int:
    """First row of those that have the largest value, or less by at most `tie`.

    By default what is lost to rounding in float64.
    """
    largest = float(value.max())
    tie = _TIE * abs(largest) if tie is None else tie
    least = largest - tie if isfinite(largest) else largest
    return int((value >= least).byte().argmax())
