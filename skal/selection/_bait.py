"""BAIT: rows that leave the least variance in all others."""

from __future__ import annotations

import torch
from torch import Tensor

from skal._numerics.products import (
    inner_products,
    quadratic_forms,
    second_moments,
    wide,
)
from skal.selection._greedy import Greedy, LookAhead, Picks, check_n
from skal.selection._max_det import least_noise_variance

__all__ = ["bait"]


def bait(
    features: Tensor,
    n: int,
    noise_std: float = 1e-3,
    labeled: Tensor | None = None,
    backward: bool = False,
    transform: Tensor | None = None,
) -> Picks:
    r"""Minimize the mean variance over pool and labeled rows, greedily [1]_.

    Parameters
    ----------
    features : Tensor of shape (m, d)
        Their inner products are the kernel; those of `skal.spaces.posterior_features`
        are conditioned on the labels so far.
    n : int
        From 0 to m.
    noise_std : float, default=0.001
        Standard deviation :math:`\sigma` of the label noise; at least :math:`10^{-6}`
        of the largest norm is used.
    labeled : Tensor of shape (L, d), optional
        Labeled rows in the same space, whose variance counts as well.
    backward : bool, default=False
        Pick twice as many rows, and drop those whose removal increases the variance
        least (BAIT-FB).
    transform : Tensor of shape (d, e) or (), float64, optional
        Matrix or scale by which the pool and the labeled rows are multiplied, block by
        block, so that the products are not kept.

    Returns
    -------
    picks : Picks
        Scores are the reduction of the sum of variances by each pick, float64.

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

    Each pick changes both quadratic forms of all rows by products with two vectors: 2 ·
    m · d multiply-adds, those of up to 32 picks in one matrix product, after (2 m + L)
    · d² at the beginning, and (m + L) · d² more for a transform.  Computed in float64.
    Ties are broken in a fixed random order.

    References
    ----------
    .. [1] Ash, Goel, Krishnamurthy and Kakade, "Gone fishing: neural active learning
       with Fisher embeddings", NeurIPS 2021. https://arxiv.org/abs/2106.09675

    Examples
    --------
    >>> import torch
    >>> from skal.selection import bait
    >>> rows = torch.tensor([[2.0, 0.0], [0.0, 1.5], [0.0, 1.4], [0.0, 1.4]])
    >>> bait(rows, 2, noise_std=0.1).indices
    tensor([1, 0])
    """
    check_n(n, len(features))
    n_forward = min(len(features), 2 * n) if backward else n
    gains = _AllGains(features, labeled, noise_std, n_forward, transform)
    picks = gains.pick(n_forward)
    if not backward:
        return picks
    chosen = wide(features[picks.indices], transform)
    losses = _Losses(chosen, gains.fisher, gains.noise_variance)
    kept = torch.ones_like(picks.indices, dtype=torch.bool)
    kept[losses.pick(n_forward - n).indices] = False
    return Picks(picks.indices[kept], picks.scores[kept])


class _Gains(Greedy):
    """What each row would take from the sum of variances."""

    is_rounded = True
    noise_variance: float
    fisher: Tensor  # F
    spread: Tensor  # φ M F M φ of each row
    noisy: Tensor  # σ² + φ M φ of each row

    def learn(self, along: Tensor, across: Tensor, weight: Tensor) -> None:
        """Condition on a row of step v, by ``φ v``, ``φ M F v`` and ``v F v``."""
        self.spread.addcmul_(along, across, value=-2)
        sq = along.square()
        self.spread.addcmul_(sq, weight).clamp_(min=0)
        self.noisy.sub_(sq).clamp_(min=self.noise_variance)
        self.value = self.spread / self.noisy


class _AllGains(_Gains, LookAhead):
    """Gains of all rows."""

    def __init__(
        self,
        features: Tensor,
        labeled: Tensor | None,
        noise_std: float,
        n: int,
        transform: Tensor | None,
    ) -> None:
        super().__init__(n)
        self.features, self.transform = features, transform
        self.fisher, sq_norm = second_moments(features, transform)
        if labeled is not None:
            self.fisher += second_moments(labeled, transform)[0]
        self.noise_variance = max(noise_std**2, least_noise_variance(sq_norm))
        self.spread = quadratic_forms(features, self.fisher, transform)
        self.noisy = sq_norm + self.noise_variance
        self.value = self.spread / self.noisy
        self.steps = self.fisher.new_zeros((n, len(self.fisher)))  # M = I - Σ v vᵀ
        self.n_known = 0
        self.ahead: list[tuple[Tensor, Tensor, Tensor]] = []

    def look_ahead(self, rows: Tensor, n: int) -> Tensor:
        few = _FewGains(self, rows)
        few.numbers = rows
        picks = few.pick(n, update_last=True)
        steps = self.steps[self.n_known : few.n_known]
        both = torch.cat([steps, torch.stack(few.across)])
        products = inner_products(both, self.features, self.transform)
        along, across = products.chunk(2)
        self.ahead = list(zip(along, across, few.weights, strict=True))
        return rows[picks.indices]

    def take(self) -> None:
        self.learn(*self.ahead.pop(0))
        self.n_known += 1


class _FewGains(_Gains):
    """Gains of a few rows, pick by pick."""

    def __init__(self, whole: _AllGains, rows: Tensor) -> None:
        self.features = wide(whole.features[rows], whole.transform)
        self.fisher = whole.fisher
        self.noise_variance = whole.noise_variance
        self.spread, self.noisy = whole.spread[rows], whole.noisy[rows]
        self.value = self.spread / self.noisy
        self.steps, self.n_known = whole.steps, whole.n_known
        self.across: list[Tensor] = []  # M F v
        self.weights: list[Tensor] = []  # v F v

    def update(self, i: int) -> None:
        row, known = self.features[i], self.steps[: self.n_known]
        step = row - (known @ row) @ known  # M φ
        step /= (self.noise_variance + max(float(step @ row), 0.0)) ** 0.5
        onto = self.fisher @ step
        across = onto - (known @ onto) @ known
        self.steps[self.n_known] = step
        self.n_known += 1
        self.across.append(across)
        self.weights.append(step @ onto)
        self.learn(self.features @ step, self.features @ across, step @ onto)


class _Losses(Greedy):
    """What the sum of variances would grow by without each pick, negative."""

    is_rounded = True

    def __init__(self, picks: Tensor, fisher: Tensor, noise_variance: float) -> None:
        self.picks, self.fisher, self.noise_variance = picks, fisher, noise_variance
        identity = torch.eye(picks.shape[1]).to(picks)
        precision = picks.T @ picks + noise_variance * identity
        self.inverse = noise_variance * torch.linalg.pinv(precision, hermitian=True)
        self.kept = torch.arange(len(picks), device=picks.device)
        self._weigh()

    def update(self, i: int) -> None:
        self.inverse += torch.outer(self.moved[i], self.moved[i]) / self.room[i]
        self.kept = self.kept[self.kept != i]
        self._weigh()

    def _weigh(self) -> None:
        phi, limits = self.picks[self.kept], torch.finfo(self.picks.dtype)
        moved = phi @ self.inverse  # M φ
        room = self.noise_variance - (moved * phi).sum(dim=1)
        room = room.clamp(min=limits.tiny)
        missed = ((moved @ self.fisher) * moved).sum(dim=1)
        loss = torch.where(missed > 0, missed / room, 0.0)
        self.moved = torch.zeros_like(self.picks).index_copy_(0, self.kept, moved)
        self.room = torch.ones_like(self.picks[:, 0]).index_copy_(0, self.kept, room)
        self.value = torch.full_like(self.room, -torch.inf)
        self.value[self.kept] = -loss.clamp(max=limits.max / 4)
