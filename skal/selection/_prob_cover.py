"""Cover of the pool by balls: always the ball with the most uncovered rows."""

from __future__ import annotations

import torch
from torch import Tensor

from skal._numerics.balls import Balls
from skal._numerics.leaf_balls import LeafBalls
from skal._numerics.nearest import nearest
from skal.selection._centers import k_center
from skal.selection._greedy import Greedy, Picks, check_n
from skal.spaces.dense import Dense
from skal.spaces.leaves import Leaves

__all__ = ["prob_cover", "pure_radius"]


def prob_cover(
    features: Tensor | Leaves,
    n: int,
    radius: float,
    labeled: Tensor | Leaves | None = None,
    rng: torch.Generator | None = None,
) -> Picks:
    r"""Pick greedily the rows whose balls cover the most uncovered rows [1]_.

    Parameters
    ----------
    features : Tensor of shape (m, d), or Leaves
    n : int
        From 0 to m.
    radius : float
        A row covers the rows nearer than this, and its duplicates.
    labeled : Tensor of shape (L, d), or Leaves, optional
        Rows whose balls cover from the beginning.
    rng : torch.Generator, optional
        On the CPU.  Draws one of the rows that cover equally many; by default it is the
        first.

    Returns
    -------
    picks : Picks
        Scores are the number of rows that each pick newly covers, int64.

    Raises
    ------
    ValueError
        If `n` is out of range, or the radius is negative or NaN.

    Notes
    -----
    Once all rows are covered, the rows farthest from every labeled and picked row
    follow, with score 0.

    The uncovered rows of each ball are counted once, and the counts are lowered as rows
    are covered: between m·U·d and 2·m·U·d multiply-adds if U rows are uncovered at the
    beginning, in matrix products whose rounding is bounded; what it leaves open is
    computed exactly.  Neither a graph nor anything else of size m × m is kept.

    `Leaves` are counted; see `skal._numerics.leaf_balls.LeafBalls`.

    References
    ----------
    .. [1] Yehuda, Dekel, Hacohen and Weinshall, "Active learning through a covering
       lens", NeurIPS 2022. https://arxiv.org/abs/2205.11320

    Examples
    --------
    >>> import torch
    >>> from skal.selection import prob_cover
    >>> rows = torch.tensor([[0.0], [5.0], [6.0], [6.5], [1.0]])
    >>> prob_cover(rows, 2, radius=1.5)
    Picks(indices=tensor([2, 4]), scores=tensor([3, 2]))
    """
    check_n(n, len(features))
    indices, scores = _Cover(features, radius, labeled, rng).pick(n)
    return Picks(indices, scores.long())


class _Cover(Greedy):
    """Uncovered rows in the ball of each row."""

    balls: Balls | LeafBalls

    def __init__(
        self,
        features: Tensor | Leaves,
        radius: float,
        labeled: Tensor | Leaves | None,
        rng: torch.Generator | None,
    ) -> None:
        self.rng = rng
        self.rows = features if isinstance(features, Leaves) else Dense(features)
        known = Dense(labeled) if isinstance(labeled, Tensor) else labeled
        if isinstance(self.rows, Leaves):
            self.balls = LeafBalls(self.rows.shared, radius)
        else:
            self.balls = Balls(self.rows.features, radius)
        self.sq_dist = torch.full_like(self.rows.sq_norm(), torch.inf)
        if known is not None and len(known):
            self.sq_dist = self.rows.nearest(known)[0]
        self.covered = self.balls.holds(self.sq_dist)
        self.value = self.balls.count(~self.covered).double()

    def choose(self) -> tuple[int, Tensor] | None:
        if bool(self.covered.all()):
            return None
        if self.rng is None:
            return super().choose()
        best = self.open.max()
        rows = torch.nonzero(self.open == best)[:, 0]
        i = int(rows[int(torch.randint(len(rows), (), generator=self.rng))])
        return i, best

    def update(self, i: int) -> None:
        new = self.balls.ball(i) & ~self.covered
        self.covered |= new
        if int(new.sum()) <= int((~self.covered).sum()):
            self.value -= self.balls.count(new)
        else:
            self.value = self.balls.count(~self.covered).double()

    def rest(self, left: Tensor, n: int) -> Tensor:
        """Return the rows farthest from every labeled and picked one."""
        rows = torch.nonzero(left)[:, 0]
        sq_dist = self.sq_dist[rows]
        others, picks = self.rows.take(rows), self.rows.take(torch.nonzero(~left)[:, 0])
        if len(picks):
            sq_dist = torch.minimum(sq_dist, others.nearest(picks)[0])
        return rows[k_center(others, n, sq_dist).indices]


def pure_radius(
    features: Tensor | Leaves,
    clusters: Tensor,
    purity: float = 0.95,
    rows: Tensor | None = None,
) -> float:
    """Return the largest radius at which most balls hold rows of one cluster only.

    Parameters
    ----------
    features : Tensor of shape (m, d), or Leaves
    clusters : Tensor of shape (m,), int64
        Cluster of each row, in place of its label.
    purity : float
        Share of pure balls, above 0 and at most 1.
    rows : Tensor of shape (M,), int64, optional
        Rows whose balls are considered; by default all.

    Returns
    -------
    radius : float
        Balls hold the rows nearer than this; infinity if there is a single cluster.

    Raises
    ------
    ValueError
        If `purity` is out of range.

    Notes
    -----
    A ball is pure up to the distance of its row from the nearest row of another
    cluster, so the radius is a quantile of these distances.  Takes M·m·d multiply-adds
    and a copy of the rows, or compares M rows with all by their leaves.

    Examples
    --------
    >>> import torch
    >>> from skal.selection._prob_cover import pure_radius
    >>> rows = torch.tensor([[0.0], [1.0], [4.0], [6.0]])
    >>> pure_radius(rows, torch.tensor([0, 0, 1, 1]), purity=1.0)
    3.0
    >>> pure_radius(rows, torch.tensor([0, 0, 1, 1]), purity=0.5)
    4.0
    """
    if not 0 < purity <= 1:
        raise ValueError(f"purity must be above 0 and at most 1, got {purity!r}.")
    considered = torch.ones_like(clusters, dtype=torch.bool)
    if rows is not None:
        considered = torch.zeros_like(considered).index_fill_(0, rows, True)
    distances = []
    for cluster in clusters[considered].unique():
        own = clusters == cluster
        chosen = own & considered
        if bool(own.all()):
            infinite = clusters.new_full((), torch.inf, dtype=torch.float64)
            distances.append(infinite.expand(int(chosen.sum())))
        elif isinstance(features, Leaves):
            distances.append(features.nearest_among(chosen, ~own).sqrt())
        else:
            distances.append(nearest(features[chosen], features[~own])[0].sqrt())
    ordered = torch.cat(distances).sort().values
    # A product such as 0.1 * 10 may miss its whole number by rounding.
    n_impure = int(round((1 - purity) * len(ordered), 9))
    radius = float(ordered[min(n_impure, len(ordered) - 1)])
    if radius == 0:  # no radius makes rows with duplicates in other clusters pure
        positive = ordered[ordered > 0]
        radius = float(positive[0]) if len(positive) else torch.inf
    return radius
