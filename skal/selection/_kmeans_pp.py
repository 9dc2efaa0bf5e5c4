"""k-means++: rows drawn by their squared distance from the centers."""

from __future__ import annotations

import torch
from torch import Tensor

from skal._numerics.nearest import NearestCenters
from skal.selection._picks import Picks, check_n
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
        Labeled rows in the same space (mode TP).  Without them the first pick is the
        row of the largest norm (mode P, as in BADGE).

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
    The next pick is x with a probability proportional to :math:`\min_c d(x, c)^2` over
    the centers and picks c.  Rows that lie on a center have none, and come last, in
    pool order.

    Takes at most n passes over the embedding, and far fewer for `Dense`: see
    `NearestCenters`.

    References
    ----------
    .. [1] Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding",
       SODA 2007. https://theory.stanford.edu/~sergei/papers/kMeansPP-soda.pdf

    Examples
    --------
    >>> import torch
    >>> from skal.spaces.dense import Dense
    >>> from skal.selection._kmeans_pp import kmeans_pp
    >>> rows = torch.tensor([[0.0, 1.0], [0.0, 1.0], [5.0, 0.0], [5.0, 0.0]])
    >>> kmeans_pp(Dense(rows), 3, torch.Generator().manual_seed(0)).indices
    tensor([2, 1, 0])
    """
    check_n(n, len(embedding))
    nearest = NearestCenters(embedding, centers, n_more=n - 1)
    scores = nearest.sq_dist.new_empty(n)
    indices = torch.empty(n, dtype=torch.long, device=scores.device)
    left = torch.ones(len(embedding), dtype=torch.bool, device=scores.device)
    proposals = _Proposals(nearest, rng)
    for k in range(n):
        if nearest.n_centers == 0:
            value = embedding.sq_norm()
            i = int(value.argmax())
        else:
            value = nearest.sq_dist
            i = proposals.next()
            if i < 0:
                i = int(left.byte().argmax())
        indices[k], scores[k], left[i] = i, value[i], False
        if k < n - 1:
            nearest.add(i)
    return Picks(indices, scores)


class _Proposals:
    """Draws rows by their squared distances of now.

    Several are drawn at a time by the distances of then, so that they can be compared
    with all rows together.  Such a row is taken later with the probability of its
    distance of now over that of then, which leaves the law what it is.
    """

    def __init__(self, nearest: NearestCenters, rng: torch.Generator) -> None:
        self.nearest = nearest
        self.rng = rng
        self.waiting: list[tuple[int, float, float]] = []

    def next(self) -> int:
        """Draw a row; -1 if none has a distance."""
        while True:
            while self.waiting:
                i, weight, u = self.waiting.pop(0)
                if u * weight < float(self.nearest.sq_dist[i]):
                    return i
            rows = self._propose()
            if not rows:
                return -1

    def _propose(self) -> list[int]:
        weights = self.nearest.sq_dist
        cumulative = weights.double().cumsum(0)
        if cumulative[-1] <= 0:
            return []
        n_rows = max(1, self.nearest.n_guesses)
        u, accept = torch.rand(n_rows, 2, generator=self.rng, dtype=torch.float64).T
        rows = _search(cumulative, u.to(cumulative.device))
        self.waiting = list(
            zip(rows.tolist(), weights[rows].tolist(), accept.tolist(), strict=True)
        )
        if n_rows > 1:
            self.nearest.guess(rows.unique())
        return rows.tolist()


def _search(cumulative: Tensor, u: Tensor) -> Tensor:
    """Rows drawn by cumulative weights.

    Parameters
    ----------
    cumulative : Tensor of shape (m,), float64
        Sums of weights up to and with each row, the last above 0.
    u : Tensor of shape (n,)
        Uniform on [0, 1).
    """
    # Right of equal values: a row without weight is never hit, but by the last one of
    # all, where rounding may leave u at the total.
    total = cumulative[-1]
    rows = torch.searchsorted(cumulative, total * u, right=True)
    return rows.clamp(max=int(torch.searchsorted(cumulative, total)))
