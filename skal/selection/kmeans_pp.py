"""k-means++: rows drawn by their squared distance from the centers."""

from __future__ import annotations

import torch
from torch import Tensor

from skal.embeddings import Embedding
from skal.selection.base import Picks
from skal.selection.nearest import NearestCenters

__all__ = ["draw", "kmeans_pp"]


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
    >>> from skal.embeddings import Dense
    >>> from skal.selection.kmeans_pp import kmeans_pp
    >>> rows = torch.tensor([[0.0, 1.0], [0.0, 1.0], [5.0, 0.0], [5.0, 0.0]])
    >>> kmeans_pp(Dense(rows), 3, torch.Generator().manual_seed(0)).indices
    tensor([2, 1, 0])
    """
    nearest = NearestCenters(embedding, centers)
    u = torch.rand(n, generator=rng, dtype=torch.float64)
    scores = nearest.sq_dist.new_empty(n)
    indices = torch.empty(n, dtype=torch.long, device=scores.device)
    left = torch.ones(len(embedding), dtype=torch.bool, device=scores.device)
    for k in range(n):
        if nearest.n_centers == 0:
            value = embedding.sq_norm()
            i = int(value.argmax())
        else:
            value = nearest.sq_dist
            i = draw(torch.where(left, value, 0.0), float(u[k]))
            if not left[i]:
                i = int(left.byte().argmax())
        indices[k], scores[k], left[i] = i, value[i], False
        if k < n - 1:
            nearest.add(i)
    return Picks(indices, scores)


def draw(weights: Tensor, u: float) -> int:
    """Draw a row by its weight; row 0 if there is no weight.

    Parameters
    ----------
    weights : Tensor of shape (m,)
        Not negative.
    u : float
        Uniform on [0, 1).
    """
    cumulative = weights.double().cumsum(0)
    total = cumulative[-1]
    if total <= 0:
        return 0
    # Right of equal values: a row without weight is never hit, but by the last one of
    # all, where rounding may leave u at the total.
    i = int(torch.searchsorted(cumulative, total * u, right=True))
    return min(i, int(torch.searchsorted(cumulative, total)))
