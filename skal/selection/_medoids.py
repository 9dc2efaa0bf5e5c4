"""K-medoids: rows to which the others are near, on average."""

from __future__ import annotations

from math import frexp

import torch
from torch import Tensor

from skal._numerics.nearest import first_of_copies, nearest, sq_dist_to
from skal._numerics.products import (
    block_size,
    blocks,
    extent,
    has_room,
    linear,
    rounding_bound,
)
from skal.selection._greedy import Cover, Picks, check_n, random_keys
from skal.selection._leaf_cover import LeafCover
from skal.spaces.leaves import Leaves

__all__ = ["k_medoids"]

#: Rows whose first gains are computed together.
_TOGETHER = 512
#: Gains computed exactly for one pick, from which on bounds in float32 are too loose.
_MANY = 32


def k_medoids(
    features: Tensor | Leaves, n: int, labeled: Tensor | Leaves | None = None
) -> Picks:
    r"""Pick greedily the rows that bring all others nearest to a medoid [1]_.

    Parameters
    ----------
    features : Tensor of shape (m, d), or Leaves
        Finite.
    n : int
        From 0 to m.
    labeled : Tensor of shape (L, d), or Leaves, optional
        Rows that are medoids from the beginning.

    Returns
    -------
    picks : Picks
        Scores are how much each pick takes off the mean distance to the nearest medoid,
        float64.  Before the first medoid, this counts as twice the largest distance of
        a row to the mean of all rows, which no distance exceeds.

    Raises
    ------
    ValueError
        If `n` is out of range, or the squares of elements overflow in float64.

    Notes
    -----
    The mean distance is :math:`\frac1m \sum_u \min_{s \in S} \lVert z_u - z_s \rVert`,
    over all rows u, to the labeled and picked rows S.  What a row takes off it never
    increases (the function is submodular), and is computed again only where it may be
    the largest (lazy greedy).  The picks are those of plain greedy selection, which
    takes off at least 1 - 1/e of what the best n rows would.  They are the step "build"
    of PAM; its swaps, which would replace picks by other rows, are left out.

    Rows are compared by matrix products whose rounding is bounded; where it leaves open
    which row is the next, distances are computed by differences, in float64.  So copies
    of medoids are at distance 0, wherever the origin is, and come last.  Ties are
    broken in a fixed random order.

    Takes m²·d multiply-adds and m² roots for the first pick, three to four times as
    many for a hundred picks, and at most n times as many.  Products are computed in
    blocks, in float32 unless rows are very near to each other; nothing of size m × m is
    kept, only a copy of the rows.  `Leaves` are compared as in `max_herding`.

    References
    ----------
    .. [1] Kaufman and Rousseeuw, "Partitioning around medoids (program PAM)", in
       Finding groups in data, Wiley 1990. https://doi.org/10.1002/9780470316801.ch2

    Examples
    --------
    >>> import torch
    >>> from skal.selection import k_medoids
    >>> rows = torch.tensor([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0], [13.0]])
    >>> k_medoids(rows, 2).indices
    tensor([3, 1])
    """
    check_n(n, len(features))
    if isinstance(features, Leaves):
        assert labeled is None or isinstance(labeled, Leaves)
        picks = LeafCover(features, _nearness(features), labeled=labeled).pick(n)
        return Picks(picks.indices, picks.scores / max(1, len(features)))
    assert not isinstance(labeled, Leaves)
    labeled = features[:0] if labeled is None else labeled
    has_room(extent(features, labeled), torch.float64)  # raises
    medoids = _Medoids(features, labeled)
    indices, scores = medoids.pick(n)
    return Picks(indices, scores / (medoids.scale * max(1, len(features))))


def _nearness(leaves: Leaves) -> Tensor:
    """How much nearer than they may be rows are that share 0, ..., T leaves."""
    product = leaves.mean_product()
    to_mean = (0.5 - 2 * product + product.mean()).clamp(min=0).sqrt()
    largest = 2 * float(to_mean.max()) if len(leaves) else 0.0
    return (largest - leaves.sq_dists().sqrt()).clamp(min=0)


class _Medoids(Cover):
    """What each row takes off the sum of the distances to the nearest medoid.

    Attributes
    ----------
    scale : float
        Factor of all distances, which brings them within float32.
    distance : Tensor of shape (m,), float64
        To the nearest medoid so far.
    covered : Tensor of shape (m,)
        The same, in the dtype of the products.
    rows : Tensor of shape (m, d + 1)
        Copies for products, each with half its squared norm, lowered by the rounding.
    """

    tie = None  # a bound on the rounding in float64

    def __init__(self, features: Tensor, labeled: Tensor) -> None:
        m, d = features.shape
        self.features = features
        self.origin = features.mean(dim=0, dtype=torch.float64)
        norm = torch.zeros_like(features[:, 0], dtype=torch.float64)
        for part in blocks(m, d):
            norm[part] = torch.linalg.vector_norm(features[part] - self.origin, dim=1)
        largest = float(norm.max()) if m else 0.0
        # A power of 2 rounds nothing.
        self.scale = 2.0 ** -max(frexp(largest)[1], -1000)
        self.distance = torch.full_like(norm, 2 * largest * self.scale)
        if len(labeled):
            for part in blocks(m, max(labeled.shape)):
                sq_dist, _ = nearest(features[part].double(), labeled.double())
                self.distance[part] = sq_dist.sqrt() * self.scale
        self._copy(torch.float32)
        super().__init__(torch.zeros_like(norm))
        # Only one of equal rows can be worth anything.
        rows = first_of_copies(features, random_keys(torch.arange(m).to(norm.device)))
        self.value[rows] = torch.inf
        for part in blocks(len(rows), 2**20 // _TOGETHER):
            self.value[rows[part]] = self.gains(rows[part])
        self._exact = torch.full_like(self._age, -1)  # picks its exact gain knows of

    def _copy(self, dtype: torch.dtype) -> None:
        m, d = self.features.shape
        self.rows = self.features.new_empty((m, d + 1), dtype=dtype)
        lowered = 1 - rounding_bound(self.rows)
        for part in blocks(m, d):
            # With the root of 2, the product of two rows is twice that of the rows.
            rows = (self.features[part] - self.origin) * (2**0.5 * self.scale)
            self.rows[part, :d] = rows
            self.rows[part, d] = rows.square().sum(dim=1) / 2 * lowered
        self.weights = self.rows.new_ones(m)
        self.covered = self.distance.to(dtype)

    def choose(self) -> tuple[int, Tensor] | None:
        """Return a row of the largest gain, once this is exact."""
        n_exact = 0
        while bool((self.open > 0).any()):
            chosen = super().choose()
            assert chosen is not None
            i = chosen[0]
            if self._exact[i] == self._n_picked:
                return chosen
            rows, distance = self._distances(i)
            self.value[i] = (self.distance[rows] - distance).clamp_(min=0).sum()
            self._exact[i] = self._n_picked
            n_exact += 1
            if n_exact == _MANY and self.rows.dtype == torch.float32:
                self._copy(torch.float64)
                self._age[self._exact < self._n_picked] = -1
        return None

    def add(self, i: int) -> None:
        rows, distance = self._distances(i)
        self.distance[rows] = torch.minimum(self.distance[rows], distance)
        self.covered = self.distance.to(self.rows)

    def _distances(self, i: int) -> tuple[Tensor, Tensor]:
        """Rows that may be nearer to row `i` than to a medoid, and their distances."""
        one = self.rows.new_tensor([i], dtype=torch.long)
        near = self.more(slice(None), self.candidates(one))[:, 0] > 0
        rows = torch.nonzero(near)[:, 0]
        sq_dist = sq_dist_to(self.features, self.features[i].double(), rows)
        return rows, sq_dist.sqrt_().mul_(self.scale)

    def gains(self, rows: Tensor) -> Tensor:
        """Bound the gains from above, float64."""
        n_added = min(len(self.covered), block_size(len(rows), in_cache=True))
        rounding = rounding_bound(self.rows.new_empty((0, n_added)))
        return torch.minimum(super().gains(rows) * (1 + rounding), self.value[rows])

    def candidates(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        some = -self.rows[rows]
        half_sq = -some[:, -1]
        some[:, -1] = 1.0
        return some, half_sq

    def more(self, part: slice, candidates: tuple[Tensor, Tensor]) -> Tensor:
        distance = linear(self.rows[part], *candidates).clamp_(min=0).sqrt_()
        return torch.sub(self.covered[part, None], distance, out=distance)
