"""Rows picked as centers of the others: farthest-first, k-means++ and LCMD."""

from __future__ import annotations

import heapq
import sys

import torch
from torch import Tensor

from skal.selection._greedy import Greedy, Horizon, Picks, any_of_largest
from skal.spaces.dense import Embedding

__all__ = [
    "MOST_AHEAD",
    "NearestCenters",
    "k_center",
    "kmeans_pp",
    "lcmd",
]

# -- farthest first -----------------------------------------------------------------


def k_center(embedding: Embedding, n: int, min_sq_dist: Tensor | None = None) -> Picks:
    r"""Pick farthest-first [1]_, within twice the optimal covering radius.

    Parameters
    ----------
    embedding : Embedding of m rows
    n : int
        From 0 to m.
    min_sq_dist : Tensor of shape (m,), optional
        Squared distance of each row to its nearest center so far; not changed.  If
        omitted, there is no center, and the first pick is the row of the largest norm.

    Returns
    -------
    picks : Picks
        Scores are squared distances to the nearest center when picked (the squared norm
        for a first pick without centers).  Ties are broken in a fixed random order, but
        rows that coincide with a center come last.

    Raises
    ------
    ValueError
        If `n` is out of range.

    Notes
    -----
    Takes at most n passes over the embedding, and far fewer where several rows are
    compared at once.

    References
    ----------
    .. [1] Gonzalez, "Clustering to minimize the maximum intercluster distance",
       Theoretical Computer Science 1985.
       https://doi.org/10.1016/0304-3975(85)90224-5
    """
    return _Farthest(embedding, n, min_sq_dist).pick(n)


class _Farthest(Greedy):
    """Rows by their squared distance to the nearest center."""

    def __init__(
        self, embedding: Embedding, n: int, min_sq_dist: Tensor | None
    ) -> None:
        self.centers = NearestCenters(embedding, sq_dist=min_sq_dist, n_more=n - 1)
        self.value = embedding.sq_norm() if min_sq_dist is None else min_sq_dist

    def choose(self) -> tuple[int, Tensor] | None:
        i = any_of_largest(self.open)
        return (i, self.open[i]) if self.open[i] > 0 else None

    def update(self, i: int) -> None:
        if self.centers.lacks(i):  # the farthest rows are likely to be next
            far = self.open.topk(min(self.centers.n_ahead, len(self.open))).indices
            self.centers.compare(torch.cat([far, far.new_tensor([i])]))
        self.centers.add(i)
        self.value = self.centers.sq_dist


# -- k-means++ ----------------------------------------------------------------------


def kmeans_pp(
    embedding: Embedding,
    n: int,
    rng: torch.Generator,
    centers: Embedding | None = None,
) -> Picks:
    r"""Draw rows by :math:`D^2` sampling [1]_.

    Parameters
    ----------
    embedding : Embedding of m rows
    n : int
        From 0 to m.
    rng : torch.Generator
        On the CPU.
    centers : Embedding, optional
        Labeled rows in the same space (mode TP).  Without them, the first pick is the
        row with the largest norm (mode P, as in BADGE).

    Returns
    -------
    picks : Picks
        Scores are squared distances to the nearest center when picked (the squared
        norm for a first pick without centers).

    Raises
    ------
    ValueError
        If `n` is out of range.

    Notes
    -----
    The next pick is row x with a probability proportional to :math:`\min_c d(x, c)^2`
    over the centers and picks c.  Rows that coincide with a center have probability 0;
    they come last, in a fixed random order.

    Takes at most n passes over the embedding, and far fewer where several rows are
    compared at once.

    References
    ----------
    .. [1] Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding",
       SODA 2007. https://theory.stanford.edu/~sergei/papers/kMeansPP-soda.pdf

    Examples
    --------
    >>> import torch
    >>> from skal.selection import kmeans_pp
    >>> from skal.spaces import Dense
    >>> rows = torch.tensor([[0.0, 1.0], [0.0, 1.0], [5.0, 0.0], [5.0, 0.0]])
    >>> kmeans_pp(Dense(rows), 3, torch.Generator().manual_seed(0)).indices
    tensor([2, 1, 0])
    """
    return _Draws(embedding, n, rng, centers).pick(n)


class _Draws(Greedy):
    """Rows drawn in proportion to their squared distance to the nearest center.

    Several rows are drawn at a time by the current distances, so that they can be
    compared with all rows together.  When the turn of such a row comes, it is accepted
    with the probability of its distance by then over the one it was drawn by (rejection
    sampling), so that it is distributed as if drawn by the distances by then.
    """

    def __init__(
        self,
        embedding: Embedding,
        n: int,
        rng: torch.Generator,
        centers: Embedding | None,
    ) -> None:
        self.centers = NearestCenters(embedding, centers, n_more=n - 1)
        has_centers = self.centers.n_centers > 0
        self.value = self.centers.sq_dist if has_centers else embedding.sq_norm()
        self.rng = rng
        self.drawn: list[tuple[int, float, float]] = []  # row, its distance, uniform
        # Apart from that of the centers, so that draws do not depend on n.
        self.horizon = Horizon()

    def choose(self) -> tuple[int, Tensor] | None:
        if self.centers.n_centers == 0:
            return super().choose()
        while self.drawn or self._draw():
            i, sq_dist, uniform = self.drawn.pop(0)
            if uniform * sq_dist < float(self.value[i]):
                self.horizon.n_used += 1
                return i, self.value[i]
        return None

    def update(self, i: int) -> None:
        self.centers.add(i)
        self.value = self.centers.sq_dist

    def _draw(self) -> bool:
        """Draw rows by the distances of now; return whether any is above 0."""
        cumulative = self.value.double().cumsum(0)
        if not bool(cumulative[-1].isfinite()):
            raise ValueError(
                "The squared distances of the rows are not finite: scale the features."
            )
        if cumulative[-1] <= 0:
            return False
        self.horizon.adapt(most=MOST_AHEAD)
        n = self.horizon.n
        self.horizon.n_compared, self.horizon.n_used = n, 0
        uniform, accept = torch.rand(n, 2, generator=self.rng, dtype=torch.float64).T
        rows = _search(cumulative, uniform.to(cumulative.device))
        drawn = rows.tolist(), self.value[rows].tolist(), accept.tolist()
        self.drawn = list(zip(*drawn, strict=True))
        if self.centers.n_ahead > 1:
            self.centers.compare(rows[: self.centers.n_more])
        return True


def _search(cumulative: Tensor, uniform: Tensor) -> Tensor:
    """Rows drawn by cumulative weights.

    Parameters
    ----------
    cumulative : Tensor of shape (m,), float64
        Sum of the weights up to and including each row, the last above 0.
    uniform : Tensor of shape (n,)
        Uniform on [0, 1).
    """
    # To the right of equal sums, so that rows of weight 0 are not hit; rounding may
    # put the target at the total, which belongs to the last row with a weight.
    total = cumulative[-1]
    rows = torch.searchsorted(cumulative, total * uniform, right=True)
    return rows.clamp(max=int(torch.searchsorted(cumulative, total)))


# -- largest cluster, maximum distance ----------------------------------------------


def lcmd(embedding: Embedding, n: int, centers: Embedding | None = None) -> Picks:
    r"""Pick by largest cluster, maximum distance [1]_.

    Parameters
    ----------
    embedding : Embedding of m rows
    n : int
        From 0 to m.
    centers : Embedding, optional
        Labeled rows in the same space, the centers of the first clusters (mode TP).
        Without them the first pick is the row of the largest norm (mode P).

    Returns
    -------
    picks : Picks
        Scores are squared distances to the nearest center when picked (the squared
        norm for a first pick without centers).

    Raises
    ------
    ValueError
        If `n` is out of range.

    Notes
    -----
    Every row belongs to its nearest center, labeled or picked; of equally near centers
    to the oldest.  A cluster C with center c weighs :math:`\sum_{x \in C} d(x, c)^2`.
    The next pick is the farthest row of the heaviest cluster.  Ties are broken in a
    fixed random order; rows that coincide with a center come last, in such an order,
    too.

    Takes at most n passes over the embedding, and far fewer where several rows are
    compared at once.

    References
    ----------
    .. [1] Holzmüller, Zaverkin, Kästner and Steinwart, "A framework and benchmark for
       deep batch active learning for regression", JMLR 2023.
       https://arxiv.org/abs/2203.09410

    Examples
    --------
    Twenty rows near a center outweigh a single one that is farther away:

    >>> import torch
    >>> from skal.selection import lcmd
    >>> from skal.spaces import Dense
    >>> rows = torch.tensor([[1.0, 0.0]] * 20 + [[2.0, 0.0], [9.0, 4.6]])
    >>> centers = torch.tensor([[0.0, 0.0], [9.0, 0.0]])
    >>> lcmd(Dense(rows), 2, Dense(centers)).indices
    tensor([20, 21])
    """
    return _Clusters(embedding, n, centers).pick(n)


class _Clusters(Greedy):
    """Rows by their squared distance to the nearest center, cluster by cluster."""

    def __init__(self, embedding: Embedding, n: int, centers: Embedding | None) -> None:
        self.clusters = NearestCenters(embedding, centers, n_more=n - 1)
        self.weights = self.clusters.weights()
        has_centers = len(self.weights) > 0
        self.value = self.clusters.sq_dist if has_centers else embedding.sq_norm()
        self.share = 1.0

    def choose(self) -> tuple[int, Tensor] | None:
        if not len(self.weights):
            return super().choose()
        heaviest = any_of_largest(self.weights)
        if self.weights[heaviest] == 0:  # every row left coincides with a center
            return None
        rows = torch.nonzero(self.clusters.center == heaviest)[:, 0]
        i = int(rows[any_of_largest(self.open[rows], numbers=rows)])
        return i, self.open[i]

    def update(self, i: int) -> None:
        if self.clusters.lacks(i):
            rows = [i, *self._forecast(self.clusters.n_ahead)]
            self.clusters.compare(self.clusters.center.new_tensor(rows))
        before, cluster = self.weights, int(self.clusters.center[i])
        self.clusters.add(i)
        self.value, self.weights = self.clusters.sq_dist, self.clusters.weights()
        if len(before):  # only for the forecast
            taken = float(before[cluster] - self.weights[cluster]) / float(self.open[i])
            self.share = (self.share + taken) / 2

    def _forecast(self, n: int) -> list[int]:
        """List the next rows if each took the average share, and no row moved.

        The share is that of a squared distance in the weight that its pick takes from
        the cluster.  The forecast changes the speed and nothing else.
        """
        heavy = self.weights.topk(min(n, len(self.weights)))
        queue = list(zip((-heavy.values).tolist(), heavy.indices.tolist(), strict=True))
        farthest: dict[int, list[int]] = {}
        picks: list[int] = []
        while queue and len(picks) < n:
            weight, cluster = queue[0]
            if cluster not in farthest:
                is_open = (self.clusters.center == cluster) & (self.open > 0)
                rows = torch.nonzero(is_open)[:, 0]
                far = self.open[rows].topk(min(n, len(rows))).indices
                farthest[cluster] = rows[far].tolist()[::-1]
            if farthest[cluster]:
                picks.append(farthest[cluster].pop())
                drop = max(self.share, 0.0) * float(self.open[picks[-1]])
                heapq.heapreplace(queue, (weight + drop, cluster))
            else:
                heapq.heappop(queue)
        return picks


# -- the nearest center of each row -------------------------------------------------


#: Most rows to compare ahead.
MOST_AHEAD = 64


class NearestCenters:
    r"""Squared distance of each row to its nearest center, and that center's number.

    Parameters
    ----------
    embedding : Embedding of m rows
    centers : Embedding, optional
        Centers from the beginning, in the same space.
    sq_dist : Tensor of shape (m,), optional
        Squared distances to centers that are not given themselves; not changed.
    n_more : int
        Most rows that will be added, so that no more are compared ahead.

    Attributes
    ----------
    sq_dist : Tensor of shape (m,)
        Infinity as long as there is no center.
    center : Tensor of shape (m,), int64
        Number of the nearest center: first those given, then the rows added; -1 for
        those behind `sq_dist`.  Of equally near centers the oldest.
    n_centers : int
    n_more : int
        Most rows that will still be added.

    Notes
    -----
    Comparing one new center with all rows takes a pass over the embedding, at the speed
    of the memory.  So rows that are likely to become centers are compared with all rows
    in one matrix product, at the speed of the processor.  Its rounding is bounded; what
    the bound leaves open, mostly the rows that change their center, is computed
    exactly.  Which rows are compared ahead changes the speed and nothing else.
    """

    def __init__(
        self,
        embedding: Embedding,
        centers: Embedding | None = None,
        sq_dist: Tensor | None = None,
        n_more: int = sys.maxsize,
    ) -> None:
        self.embedding = embedding
        self.n_centers = 0
        if sq_dist is not None:
            self.sq_dist = sq_dist.clone()
            self.center = torch.full_like(sq_dist, -1, dtype=torch.long)
        elif centers is not None and len(centers) > 0:
            self.n_centers = len(centers)
            self.sq_dist, self.center = embedding.nearest(centers)
        else:
            self.sq_dist = torch.full_like(embedding.sq_norm(), torch.inf)
            self.center = torch.full_like(self.sq_dist, -1, dtype=torch.long)
        self.n_more = n_more
        self._horizon = Horizon()
        self._bounds: dict[int, Tensor] = {}

    @property
    def n_ahead(self) -> int:
        """Number of rows to compare ahead."""
        return min(self._horizon.n, self.n_more)

    def lacks(self, i: int) -> bool:
        """Tell whether row `i` should be compared, among others, before it is added."""
        # Every row is nearer to the first center than to none: bounds cannot help.
        return self.n_centers > 0 and i not in self._bounds

    def compare(self, rows: Tensor) -> None:
        """Compare rows that may become centers with all rows; `n_ahead` are best."""
        rows = rows.unique()
        self._horizon.adapt(most=MOST_AHEAD)
        self._horizon.n_compared, self._horizon.n_used = len(rows), 0
        bounds = self.embedding.lower_bounds(rows)
        self._bounds = dict(zip(rows.tolist(), bounds, strict=True))

    def add(self, i: int) -> None:
        """Make row `i` a center."""
        rows = self._possibly_closer(i)
        distances = self.embedding.sq_dist(i, rows)
        if rows is None:
            closer = distances < self.sq_dist
            self.sq_dist = torch.where(closer, distances, self.sq_dist)
            self.center.masked_fill_(closer, self.n_centers)
        else:
            closer = distances < self.sq_dist[rows]
            rows = rows[closer]
            self.sq_dist[rows] = distances[closer]
            self.center[rows] = self.n_centers
        self.n_centers += 1
        self.n_more -= 1

    def weights(self) -> Tensor:
        """Sum of the squared distances of the rows of each center, float64."""
        sq_dist = self.sq_dist.double()
        weights = sq_dist.new_zeros(self.n_centers)
        return weights.index_add_(0, self.center, sq_dist) if len(weights) else weights

    def _possibly_closer(self, i: int) -> Tensor | None:
        """Rows that may be nearer to row `i` than to their center; None for all."""
        if i not in self._bounds:
            return None
        self._horizon.n_used += 1
        bounds = self._bounds[i]
        rows = torch.nonzero((bounds < self.sq_dist) & (self.sq_dist > 0))[:, 0]
        return None if len(rows) > len(bounds) // 2 else rows
