"""Greedy max-cover: rows that are similar to as many others as possible."""

from __future__ import annotations

import torch
from torch import Tensor

from skal._numerics.products import inner_products, linear
from skal.selection._greedy import Cover, LazyGreedy, Picks
from skal.selection._leaf_cover import LeafCover
from skal.spaces.leaves import Leaves

__all__ = ["max_cover"]


def max_cover(
    features: Tensor | Leaves, n: int, candidates: Tensor | None = None
) -> Picks:
    r"""Pick the most representative rows by their cosines, greedily [1]_.

    Parameters
    ----------
    features : Tensor of shape (m, d), or Leaves
        The cosine of leaves is the share of trees in which two rows share theirs.
    n : int
        From 0 to the number of candidates.
    candidates : Tensor of shape (K,), int64, optional
        Rows that may be picked; by default all.

    Returns
    -------
    picks : Picks
        Scores are how much each pick adds to the cover, float64.

    Raises
    ------
    ValueError
        If there are fewer candidates than rows to pick.

    Notes
    -----
    The cover of S is :math:`F(S) = \sum_u \max_{s \in S} (1 + \cos(z_u, z_s))` over all
    rows u; the 1 makes F(∅) = 0 and changes no pick.  F is submodular, so gains never
    increase, and the gain of a candidate is computed again only when its last gain
    would make it the next pick (lazy greedy).  The picks are those of plain greedy
    selection, within a factor 1 - 1/e of the best cover.  A cosine with a row of zeros
    is 0.  Ties are broken in a fixed random order.

    Between m · d · n and m · d · K · n multiply-adds; nothing of size m × K is kept.
    A product with leaves is a count of the rows in those of a candidate.

    References
    ----------
    .. [1] Yang, Zhang, Chen, Zhang and Chen, "Suggestive annotation: a deep active
       learning framework for biomedical image segmentation", MICCAI 2017.
       https://arxiv.org/abs/1706.04737

    Examples
    --------
    >>> import torch
    >>> from skal.selection import max_cover
    >>> rows = torch.tensor([[0.0, 1.0], [3.0, 0.3], [2.0, 0.1], [5.0, 0.0]])
    >>> max_cover(rows, 2).indices
    tensor([1, 0])
    """
    if candidates is not None:
        rows = candidates.unique()
    elif isinstance(features, Leaves):
        rows = torch.arange(len(features))
    else:
        rows = torch.arange(len(features), device=features.device)
    if len(rows) < n:
        raise ValueError(f"Cannot pick {n} of {len(rows)} candidates.")
    cover: LazyGreedy
    if isinstance(features, Leaves):
        cosine = torch.linspace(0, 1, features.n_trees + 1, dtype=torch.float64)
        cover = LeafCover(features, 1 + cosine, rows=rows)
    else:
        cover = _Cover(features, rows)
    indices, scores = cover.pick(n)
    return Picks(rows[indices], scores)


class _Cover(Cover):
    """What each candidate adds to the cover."""

    def __init__(self, features: Tensor, rows: Tensor) -> None:
        norm = torch.linalg.vector_norm(features, dim=1, keepdim=True)
        self.unit = features / torch.where(norm > 0, norm, 1.0)
        # The first gains need no pairs: Σ_u (1 + cos) = m + s · Σ_u z_u.
        total = self.unit.sum(dim=0, dtype=torch.float64)
        gains = inner_products(total[None], self.unit[rows])[0] + len(features)
        super().__init__(gains)
        self.numbers: Tensor = rows
        self.covered = features.new_full((len(features),), -1.0)
        # Bound on the rounding of a sum of cosines.
        self.tie = 2 * torch.finfo(features.dtype).eps * len(features)

    def add(self, i: int) -> None:
        picked = self.unit[self.numbers[i]]
        self.covered = torch.maximum(self.covered, self.unit @ picked)

    def candidates(self, rows: Tensor) -> Tensor:
        return self.unit[self.numbers[rows]]

    def more(self, part: slice, candidates: Tensor) -> Tensor:
        return linear(self.unit[part], candidates).sub_(self.covered[part, None])
