"""BAIT: rows that make what is left to learn about all others small."""

from __future__ import annotations

import torch
from torch import Tensor

from skal.selection._greedy import Outlook, pick_ahead, products
from skal.selection._max_det import least_noise_variance, sq_norms
from skal.selection._picks import Picks, check_n, first_of_largest

__all__ = ["bait"]

#: Numbers that are worked on together.
_BLOCK = 2**20


def bait(
    features: Tensor,
    n: int,
    noise_std: float = 1e-3,
    labeled: Tensor | None = None,
    backward: bool = False,
) -> Picks:
    r"""Minimize the mean variance over pool and labeled rows, greedily [1]_.

    Parameters
    ----------
    features : Tensor of shape (m, d)
        Their inner products are the kernel: those of
        `skal.spaces.posterior_features`, which know the labels there are.
    n : int
        From 0 to m.
    noise_std : float
        Standard deviation :math:`\sigma` of the labels; taken for :math:`10^{-6}` of
        the largest norm if it is less.
    labeled : Tensor of shape (L, d), optional
        Labeled rows in the same space, whose variance counts too.
    backward : bool
        Pick twice as many, and give back those that are missed least (BAIT-FB).

    Returns
    -------
    picks : Picks
        In the order picked.  Scores are how much each took from the sum of variances,
        over :math:`\sigma^2`, float64.

    Raises
    ------
    ValueError
        If `n` is out of range.

    Notes
    -----
    With :math:`M = (I + \sigma^{-2} \Phi_S^\top \Phi_S)^{-1}` for the picks S and
    :math:`F = \sum \phi \phi^\top` over pool and labeled rows, the variances sum to
    :math:`\mathrm{tr}(M F)`, and the next pick is

    .. math::
        \arg\max_x \frac{\phi_x^\top M F M \phi_x}{\sigma^2 + \phi_x^\top M \phi_x}.

    Both quadratic forms of all rows follow each pick by products with two vectors,
    2 · m · d multiply-adds a pick, those of up to 32 picks in one product of matrices
    (see `skal.selection.greedy`); and (2 m + L) · d² multiply-adds to begin with.  In
    float64, to which other features are copied.  Ties go in pool order.

    References
    ----------
    .. [1] Ash, Goel, Krishnamurthy and Kakade, "Gone fishing: neural active learning
       with Fisher embeddings", NeurIPS 2021. https://arxiv.org/abs/2106.09675

    Examples
    --------
    >>> import torch
    >>> from skal.selection._bait import bait
    >>> rows = torch.tensor([[2.0, 0.0], [0.0, 1.5], [0.0, 1.4], [0.0, 1.4]])
    >>> bait(rows, 2, noise_std=0.1).indices
    tensor([1, 0])
    """
    check_n(n, len(features))
    n_forward = min(len(features), 2 * n) if backward else n
    outlook = _Gains(features.double(), labeled, noise_std, n_forward)
    picks = pick_ahead(outlook, n_forward)
    if not backward:
        return picks
    rows = outlook.features[picks.indices]
    kept = _backward(rows, outlook.fisher, n, outlook.noise_variance)
    return Picks(picks.indices[kept], picks.scores[kept])


class _Gains(Outlook):
    """What each row would take from the sum of variances."""

    def __init__(
        self, features: Tensor, labeled: Tensor | None, noise_std: float, n: int
    ) -> None:
        self.features = features
        self.fisher = _second_moments(features)
        if labeled is not None:
            self.fisher += _second_moments(labeled)
        sq_norm = sq_norms(features)
        self.noise_variance = max(noise_std**2, least_noise_variance(sq_norm))
        self.spread = _quadratic(features, self.fisher)  # φ M F M φ
        self.noisy = sq_norm + self.noise_variance  # σ² + φ M φ
        # M = I - Σ v vᵀ over these rows v, and v F v.
        self.steps = features.new_zeros((n, features.shape[1]))
        self.weights = features.new_zeros(n)
        self.n_taken = self.first = 0

    def value(self) -> Tensor:
        return self.spread / self.noisy

    def look_ahead(self, rows: Tensor, n: int) -> list[int]:
        own, spread, noisy = self.features[rows], self.spread[rows], self.noisy[rows]
        left = torch.ones_like(noisy, dtype=torch.bool)
        across = own.new_empty((n, own.shape[1]))
        found = []
        for k in range(n):
            i = first_of_largest(torch.where(left, spread / noisy, -torch.inf))
            found.append(i)
            left[i] = False
            known = self.steps[: self.n_taken + k]
            step = own[i] - (known @ own[i]) @ known  # M φ
            step /= (self.noise_variance + max(float(step @ own[i]), 0.0)) ** 0.5
            onto = self.fisher @ step
            weight = step @ onto
            across[k] = onto - (known @ onto) @ known  # M F M φ
            self.steps[self.n_taken + k] = step
            self.weights[self.n_taken + k] = weight
            self._update(spread, noisy, own @ step, own @ across[k], weight)
        steps = self.steps[self.n_taken : self.n_taken + n]
        self.along = products(self.features, steps)
        self.across = products(self.features, across)
        self.first = self.n_taken
        return rows[found].tolist()

    def take(self) -> None:
        k = self.n_taken - self.first
        weight = self.weights[self.n_taken]
        self._update(self.spread, self.noisy, self.along[k], self.across[k], weight)
        self.n_taken += 1

    def _update(
        self,
        spread: Tensor,
        noisy: Tensor,
        along: Tensor,
        across: Tensor,
        weight: Tensor,
    ) -> None:
        """Know the label of a row, by ``φ v``, ``φ M F v`` and ``v F v``."""
        spread.addcmul_(along, across, value=-2)
        sq = along.square()
        spread.addcmul_(sq, weight).clamp_(min=0)
        noisy.sub_(sq).clamp_(min=self.noise_variance)


def _backward(rows: Tensor, fisher: Tensor, n: int, noise_variance: float) -> Tensor:
    """Numbers of the `n` rows that are left when the least missed are given back."""
    d = rows.shape[1]
    precision = rows.T @ rows + noise_variance * torch.eye(d).to(rows)
    inverse = noise_variance * torch.linalg.pinv(precision, hermitian=True)  # M
    kept = torch.arange(len(rows), device=rows.device)
    while len(kept) > n:
        phi = rows[kept]
        moved = phi @ inverse  # M φ
        room = noise_variance - (moved * phi).sum(dim=1)
        missed = ((moved @ fisher) * moved).sum(dim=1)
        tiny = torch.finfo(room.dtype).tiny
        loss = torch.where(missed > 0, missed / room.clamp(min=tiny), 0.0)
        worst = first_of_largest(-loss)
        inverse += torch.outer(moved[worst], moved[worst]) / room[worst].clamp(min=tiny)
        kept = torch.cat([kept[:worst], kept[worst + 1 :]])
    return kept


def _second_moments(features: Tensor) -> Tensor:
    """Sum of outer products of the rows, float64."""
    size = max(1, _BLOCK // features.shape[1])
    total = features.new_zeros((features.shape[1],) * 2, dtype=torch.float64)
    for part in features.split(size):
        part = part.double()
        total.addmm_(part.T, part)
    return total


def _quadratic(features: Tensor, matrix: Tensor) -> Tensor:
    """``φ matrix φ`` of each row."""
    size = max(1, _BLOCK // features.shape[1])
    parts = []
    for part in features.split(size):
        part = part.double()
        parts.append(torch.linalg.vecdot(part @ matrix, part))
    return torch.cat(parts)
