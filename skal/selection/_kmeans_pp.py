"""k-means++: rows drawn by their squared distance from the centers."""

from __future__ import annotations

import torch
from torch import Tensor

from skal.selection._greedy import Greedy, Horizon, Picks
from skal.selection._nearest_centers import MOST_AHEAD, NearestCenters
from skal.spaces.dense import Embedding

__all__ = ["kmeans_pp"]


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
    they come last, in pool order.

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
