"""MaxHerding: rows that a kernel finds near as many others as possible."""

from __future__ import annotations

import torch
from torch import Tensor

from skal._numerics.nearest import nearest, sq_dist_to
from skal._numerics.products import blocks, linear
from skal.selection._greedy import Cover, LazyGreedy, Picks, check_n
from skal.selection._leaf_cover import LeafCover
from skal.spaces.leaves import Leaves
from skal.validation import check_positive

__all__ = ["max_herding", "spread"]

#: Rows whose first gains are computed together.
_TOGETHER = 512
#: Squared norms, in units of the bandwidth, up to which float32 is precise enough.
_LARGEST_SQ_NORM = 10.0
#: Exponents below this one count as it: smaller numbers are slow, and add nothing.
_LEAST_EXPONENT = -60.0


def max_herding(
    features: Tensor | Leaves,
    n: int,
    bandwidth: float | None = None,
    labeled: Tensor | Leaves | None = None,
    weights: Tensor | None = None,
) -> Picks:
    r"""Pick greedily the rows that cover the others best, by a Gaussian kernel [1]_.

    Parameters
    ----------
    features : Tensor of shape (m, d), or Leaves
        Finite.
    n : int
        From 0 to m.
    bandwidth : float, optional
        :math:`\sigma` of the kernel, in units of the features; by default their
        `spread`.
    labeled : Tensor of shape (L, d), or Leaves, optional
        Rows that cover from the beginning.
    weights : Tensor of shape (m,), optional
        Importance of covering each row, not negative [2]_; by default 1.

    Returns
    -------
    picks : Picks
        Scores are how much each pick adds to the coverage, float64.

    Raises
    ------
    ValueError
        If `n`, the bandwidth or a weight is out of range.

    Notes
    -----
    The coverage of a set S of labeled and picked rows is :math:`\frac1m \sum_u w_u
    \max_{s \in S} k(u, s)` over all rows u, with :math:`k(u, s) = e^{-\lVert u - s
    \rVert^2 / \sigma^2}`.  It is submodular: what a row adds never increases, and is
    computed again only where it may be the largest (lazy greedy).  The picks are those
    of plain greedy selection, whose coverage is within a factor 1 - 1/e of the best.
    What differs by rounding alone counts as equal; ties are broken in a fixed random
    order.

    Takes m²·d multiply-adds and m² exponentials for the first pick, usually two to four
    times as many for a hundred picks, and at most n times as many.  Products are
    computed in blocks, in float32 where that is precise enough; nothing of size m × m
    is kept, only a copy of the rows.

    Gains of `Leaves` are bounded by the rows that share two leaves, which takes m · T²
    / 2 additions for T trees, and are computed only where the bound does not rule a row
    out.  Once this has taken a while, all rows are compared with all others, and the
    pairs that matter are listed if they take at most 150 MB.

    References
    ----------
    .. [1] Bae, Noh and Sutherland, "Generalized coverage for more robust low-budget
       active learning", ECCV 2024. https://arxiv.org/abs/2407.12212
    .. [2] Bae, Oliveira and Sutherland, "Uncertainty herding: one active learning
       method for all label budgets", ICLR 2025. https://arxiv.org/abs/2412.20644

    Examples
    --------
    >>> import torch
    >>> from skal.selection import max_herding
    >>> rows = torch.tensor([[0.0], [5.0], [6.0], [6.5], [1.0]])
    >>> max_herding(rows, 2, bandwidth=1.0).indices
    tensor([2, 4])
    """
    check_n(n, len(features))
    if weights is not None and not bool(((weights >= 0) & weights.isfinite()).all()):
        raise ValueError("weights must be finite and not negative.")
    if bandwidth is None:
        bandwidth = spread(features) or 1.0
    check_positive("bandwidth", bandwidth)
    herd: LazyGreedy
    if isinstance(features, Leaves):
        assert labeled is None or isinstance(labeled, Leaves)
        kernel = (-features.sq_dists() / bandwidth**2).exp_()
        herd = LeafCover(features, kernel, weights, labeled)
    else:
        assert not isinstance(labeled, Leaves)
        if weights is None:
            weights = features.new_ones(len(features), dtype=torch.float64)
        herd = _Herd(features, float(bandwidth), labeled, weights)
    indices, scores = herd.pick(n)
    return Picks(indices, scores / max(1, len(features)))


def spread(features: Tensor | Leaves) -> float:
    """Root of half the mean squared distance between two rows drawn with replacement.

    Parameters
    ----------
    features : Tensor of shape (m, d), or Leaves

    Returns
    -------
    spread : float
        The root of the sum of the variances of the columns; 1 for unit vectors whose
        mean is 0.

    Examples
    --------
    >>> import torch
    >>> from skal.selection._herding import spread
    >>> spread(torch.tensor([[3.0, 0.0], [-3.0, 0.0]]))
    3.0
    """
    if isinstance(features, Leaves):
        return float((0.5 - features.mean_product().mean()).clamp(min=0)) ** 0.5
    mean = features.mean(dim=0, dtype=torch.float64)
    total = 0.0
    for part in blocks(*features.shape):
        total += float((features[part] - mean).square_().sum())
    return (total / max(1, len(features))) ** 0.5


class _Herd(Cover):
    """What each row adds to the coverage, times m."""

    def __init__(
        self,
        features: Tensor,
        bandwidth: float,
        labeled: Tensor | None,
        weights: Tensor,
    ) -> None:
        m, d = features.shape
        origin = features.mean(dim=0, dtype=torch.float64)
        scale = 2**0.5 / bandwidth
        half_sq = torch.empty_like(weights, dtype=torch.float64)
        for part in blocks(m, d):
            rows = (features[part] - origin) * scale
            half_sq[part] = rows.square().sum(dim=1) / 2
        largest = float(half_sq.max()) if m else 0.0
        dtype = torch.float32 if largest <= _LARGEST_SQ_NORM else torch.float64
        # With its negative exponent beside it, a row z gives u · z - |u|²/2.
        self.rows = torch.empty((m, d + 1), dtype=dtype, device=features.device)
        for part in blocks(m, d):
            self.rows[part, :d] = (features[part] - origin) * scale
        self.rows[:, d] = -half_sq
        self.features, self.sq_bandwidth = features, bandwidth**2
        self.weights = weights.to(dtype)
        self.covered = torch.zeros_like(self.weights)
        if labeled is not None and len(labeled):
            self._cover(nearest(features, labeled)[0])
        super().__init__(torch.zeros_like(half_sq))
        rows = torch.arange(m, device=features.device)
        for part in blocks(m, 2**20 // _TOGETHER):
            self.value[part] = self.gains(rows[part])
        rounding = 64 * torch.finfo(dtype).eps
        self.tie = rounding * float(self.value.max()) if m else 0.0

    def choose(self) -> tuple[int, Tensor] | None:
        chosen = super().choose()
        assert chosen is not None
        return chosen if chosen[1] > 0 else None

    def add(self, i: int) -> None:
        self._cover(sq_dist_to(self.features, self.features[i]))

    def _cover(self, sq_dist: Tensor) -> None:
        kernel = (-sq_dist.double() / self.sq_bandwidth).exp_()
        self.covered = torch.maximum(self.covered, kernel.to(self.covered))

    def candidates(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        some = self.rows[rows]
        exponent = some[:, -1].clone()
        some[:, -1] = 1.0
        return some, exponent

    def more(self, part: slice, candidates: tuple[Tensor, Tensor]) -> Tensor:
        kernel = linear(self.rows[part], *candidates)
        kernel.clamp_(_LEAST_EXPONENT, 0.0).exp_()
        return kernel.sub_(self.covered[part, None])
