"""BAIT: rows that make what is left to learn about all others small."""

from __future__ import annotations

import torch
from torch import Tensor

from skal.selection.base import Picks, check_n
from skal.selection.max_det import first_of_largest, least_sq_noise, sq_norms

__all__ = ["bait"]

#: Numbers that are worked on together.
_BLOCK = 2**20


def bait(
    features: Tensor,
    n: int,
    noise: float = 1e-3,
    labeled: Tensor | None = None,
    backward: bool = False,
) -> Picks:
    r"""Minimize the mean variance over pool and labeled rows, greedily [1]_.

    Parameters
    ----------
    features : Tensor of shape (m, d)
        Their inner products are the kernel: those of
        `skal.kernels.posterior_features`, which know the labels there are.
    n : int
        From 0 to m.
    noise : float
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

    Both quadratic forms of all rows follow each pick by products with two vectors: one
    pass over the features a pick, and (m + L) · d² multiply-adds to begin with.  In
    float64, to which other features are copied.  Ties go in pool order.

    References
    ----------
    .. [1] Ash, Goel, Krishnamurthy and Kakade, "Gone fishing: neural active learning
       with Fisher embeddings", NeurIPS 2021. https://arxiv.org/abs/2106.09675

    Examples
    --------
    >>> import torch
    >>> from skal.selection.bait import bait
    >>> rows = torch.tensor([[2.0, 0.0], [0.0, 1.5], [0.0, 1.4], [0.0, 1.4]])
    >>> bait(rows, 2, noise=0.1).indices
    tensor([1, 0])
    """
    check_n(n, len(features))
    features = features.double()
    m, d = features.shape
    fisher = _second_moments(features)
    if labeled is not None:
        fisher += _second_moments(labeled)
    sq_norm = sq_norms(features)
    sq_noise = max(noise**2, least_sq_noise(sq_norm))
    spread = _quadratic(features, fisher)  # φ M F M φ
    noisy = sq_norm + sq_noise  # σ² + φ M φ
    left = torch.ones(m, dtype=torch.bool, device=features.device)
    # M = I - Σ v vᵀ over these rows v.
    n_forward = min(m, 2 * n) if backward else n
    steps = fisher.new_zeros((n_forward, d))
    indices = torch.empty(n_forward, dtype=torch.long, device=features.device)
    scores = fisher.new_empty(n_forward)
    for k in range(n_forward):
        gain = spread / noisy
        i = first_of_largest(torch.where(left, gain, -torch.inf))
        indices[k], scores[k], left[i] = i, gain[i], False
        row = features[i]
        known = steps[:k]
        step = row - known.T @ (known @ row)  # M φ
        own = sq_noise + max(float(step @ row), 0.0)
        onto = fisher @ step
        weight = float(step @ onto)
        onto = onto - known.T @ (known @ onto)  # M F M φ
        steps[k] = step / own**0.5
        along, across = (features @ torch.stack([step, onto], dim=1)).T
        noisy = (noisy - along.square() / own).clamp(min=sq_noise)
        spread -= 2 * along * across / own
        spread += along.square() * (weight / own**2)
        spread.clamp_(min=0)
    if backward:
        kept = _backward(features[indices], fisher, n, sq_noise)
        indices, scores = indices[kept], scores[kept]
    return Picks(indices, scores)


def _backward(rows: Tensor, fisher: Tensor, n: int, sq_noise: float) -> Tensor:
    """Numbers of the `n` rows that are left when the least missed are given back."""
    d = rows.shape[1]
    precision = rows.T @ rows + sq_noise * torch.eye(d).to(rows)
    inverse = sq_noise * torch.linalg.pinv(precision, hermitian=True)  # M
    kept = torch.arange(len(rows), device=rows.device)
    while len(kept) > n:
        phi = rows[kept]
        moved = phi @ inverse  # M φ
        room = sq_noise - (moved * phi).sum(dim=1)
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
