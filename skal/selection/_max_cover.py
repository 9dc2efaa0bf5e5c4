"""Greedy max-cover: rows that are similar to as many others as can be."""

from __future__ import annotations

import torch
from torch import Tensor

from skal._numerics.matmul import linear
from skal.selection._picks import Picks, first_of_largest

__all__ = ["max_cover"]

#: Numbers that are worked on together.
_BLOCK = 2**21
#: Candidates looked at together.
_TOGETHER = 32


def max_cover(features: Tensor, n: int, candidates: Tensor | None = None) -> Picks:
    r"""Pick the most representative rows by their cosines, greedily [1]_.

    Parameters
    ----------
    features : Tensor of shape (m, d)
    n : int
        From 0 to the number of candidates.
    candidates : Tensor of shape (K,), int64, optional
        Rows that may be picked; by default all.

    Returns
    -------
    picks : Picks
        Scores are how much each adds to the cover, float64.

    Raises
    ------
    ValueError
        If there are fewer candidates than rows to pick.

    Notes
    -----
    The cover of S is :math:`F(S) = \sum_u \max_{s \in S} (1 + \cos(z_u, z_s))` over all
    rows u; the 1 makes F(∅) = 0 and changes no pick.  F is submodular, so that gains
    only fall and a candidate is looked at again only when its last gain would make it
    the next pick (lazy greedy): the picks are those of plain greedy, within 1 - 1/e of
    the best cover.  A cosine with a row of zeros is 0.  Ties go in pool order.

    Between m · d · n and m · d · K · n multiply-adds; nothing of size m × K is kept.

    References
    ----------
    .. [1] Yang, Zhang, Chen, Zhang and Chen, "Suggestive annotation: a deep active
       learning framework for biomedical image segmentation", MICCAI 2017.
       https://arxiv.org/abs/1706.04737

    Examples
    --------
    >>> import torch
    >>> from skal.selection._max_cover import max_cover
    >>> rows = torch.tensor([[0.0, 1.0], [3.0, 0.3], [2.0, 0.1], [5.0, 0.0]])
    >>> max_cover(rows, 2).indices
    tensor([1, 0])
    """
    norm = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    unit = features / torch.where(norm > 0, norm, 1.0)
    rows = torch.arange(len(features), device=features.device)
    if candidates is not None:
        rows = candidates.unique()
    if len(rows) < n:
        raise ValueError(f"Cannot pick {n} of {len(rows)} candidates.")
    # The first gains need no pairs: Σ_u (1 + cos) = m + s · Σ_u z_u.
    total = unit.sum(dim=0, dtype=torch.float64)
    gain = torch.cat([part.double() @ total for part in _parts(unit[rows])])
    gain += len(features)
    tie = 2 * torch.finfo(features.dtype).eps * len(features)  # rounding of cosines
    covered = features.new_full((len(features),), -1.0)
    age = torch.zeros_like(rows)
    left = torch.ones_like(rows, dtype=torch.bool)
    indices = torch.empty(n, dtype=torch.long, device=features.device)
    scores = gain.new_empty(n)
    for k in range(n):
        n_together = _TOGETHER
        while True:
            value = torch.where(left, gain, -torch.inf)
            best = first_of_largest(value, tie)
            near = value >= value.max() - tie
            stale = torch.nonzero(near & (age < k))[:, 0]
            if not len(stale):
                break
            top = value.topk(min(n_together, len(value))).indices
            look = torch.cat([stale, top]).unique()
            look = look[(age[look] < k) & left[look]]
            gain[look] = _gains(unit, unit[rows[look]], covered)
            age[look] = k
            n_together *= 2
        indices[k], scores[k], left[best] = rows[best], gain[best], False
        covered = torch.maximum(covered, unit @ unit[rows[best]])
    return Picks(indices, scores)


def _gains(unit: Tensor, candidates: Tensor, covered: Tensor) -> Tensor:
    """Sum what each candidate adds to what is covered, float64."""
    gains = torch.zeros(len(candidates), dtype=torch.float64, device=unit.device)
    size = max(1, _BLOCK // max(1, len(candidates)))
    for part, known in zip(unit.split(size), covered.split(size), strict=True):
        more = linear(part, candidates).sub_(known[:, None]).clamp_(min=0)
        gains += more.sum(dim=0, dtype=torch.float64)
    return gains


def _parts(features: Tensor) -> tuple[Tensor, ...]:
    return features.split(max(1, _BLOCK // features.shape[1]))
