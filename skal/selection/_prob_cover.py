"""Cover of the pool by balls: always the row whose ball has most rows uncovered."""

from __future__ import annotations

import torch
from torch import Tensor

from skal._numerics.balls import Balls
from skal._numerics.nearest import nearest
from skal.selection._k_center import k_center
from skal.selection._picks import Picks, check_n
from skal.spaces.dense import Dense

__all__ = ["prob_cover", "pure_radius"]


def prob_cover(
    features: Tensor, n: int, radius: float, labeled: Tensor | None = None
) -> Picks:
    r"""Pick greedily the rows whose balls cover most of the others [1]_.

    Parameters
    ----------
    features : Tensor of shape (m, d)
    n : int
        From 0 to m.
    radius : float
        A row covers those that are nearer than this, and its duplicates.
    labeled : Tensor of shape (L, d), optional
        Rows that cover from the beginning.

    Returns
    -------
    picks : Picks
        Scores are how many rows each covers that were not covered before.

    Raises
    ------
    ValueError
        If `n` is out of range, or the radius is negative or NaN.

    Notes
    -----
    Once all rows are covered, the rest are the rows farthest from every labeled and
    picked one, with the score 0.  Ties go in pool order.

    The covers that are still to be had are counted once, and lowered whenever rows are
    covered, which each is once: between m·U·d and 2·m·U·d multiply-adds where U rows
    are uncovered at the beginning, in matrix products whose rounding is bounded and
    what it leaves open computed exactly.  Nothing of size m × m is kept, and no graph.

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
    Picks(indices=tensor([2, 0]), scores=tensor([3, 2]))
    """
    check_n(n, len(features))
    balls = Balls(features, radius)
    centers = features[:0] if labeled is None else labeled
    covered = torch.zeros(len(features), dtype=torch.bool, device=features.device)
    if len(centers):
        covered = balls.holds(nearest(Dense(features), Dense(centers))[0])
    gain = balls.count(~covered)
    indices = torch.empty(n, dtype=torch.long, device=features.device)
    scores = torch.zeros_like(indices)
    for k in range(n):
        if bool(covered.all()):
            left = torch.ones_like(covered)
            left[indices[:k]] = False
            rest = torch.nonzero(left)[:, 0]
            centers = torch.cat([centers, features[indices[:k]]])
            rows = Dense(features[rest])
            far = k_center(rows, n - k, nearest(rows, Dense(centers))[0])
            indices[k:] = rest[far.indices]
            break
        i = int(gain.argmax())  # not a pick again: its ball is covered
        indices[k], scores[k] = i, gain[i]
        new = balls.ball(i) & ~covered
        covered |= new
        if int(new.sum()) <= int((~covered).sum()):
            gain -= balls.count(new)
        else:
            gain = balls.count(~covered)
    return Picks(indices, scores)


def pure_radius(
    features: Tensor,
    clusters: Tensor,
    purity: float = 0.95,
    rows: Tensor | None = None,
) -> float:
    """Largest radius at which most balls hold rows of one cluster only.

    Parameters
    ----------
    features : Tensor of shape (m, d)
    clusters : Tensor of shape (m,), int64
        Cluster of each row, which stands for its label.
    purity : float
        Share of the balls, above 0 and up to 1.
    rows : Tensor of shape (M,), int64, optional
        Rows whose balls are looked at; by default all.

    Returns
    -------
    radius : float
        Of balls that hold what is nearer than it; infinity if there is one cluster.

    Raises
    ------
    ValueError
        If `purity` is out of range.

    Notes
    -----
    A ball is pure up to the distance of its row from the nearest row of another
    cluster, so that the radius is a quantile of these distances.  Costs M·m·d
    multiply-adds, and a copy of the rows.

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
    looked_at = torch.ones_like(clusters, dtype=torch.bool)
    if rows is not None:
        looked_at = torch.zeros_like(looked_at).index_fill_(0, rows, True)
    distances = []
    for cluster in clusters[looked_at].unique():
        own = clusters == cluster
        ball = Dense(features[own & looked_at])
        if bool(own.all()):
            distances.append(features.new_full((len(ball),), torch.inf))
        else:
            distances.append(nearest(ball, Dense(features[~own]))[0].sqrt())
    ordered = torch.cat(distances).sort().values
    # A product such as 0.1 * 10 lies a little beside its whole number.
    n_impure = int(round((1 - purity) * len(ordered), 9))
    radius = float(ordered[min(n_impure, len(ordered) - 1)])
    if radius == 0:  # rows with duplicates in other clusters are pure at no radius
        positive = ordered[ordered > 0]
        radius = float(positive[0]) if len(positive) else torch.inf
    return radius
