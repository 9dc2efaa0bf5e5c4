"""LDM-Seeding: rows with a small metric, drawn far from each other."""

from __future__ import annotations

import torch
from torch import Tensor

from skal.selection._greedy import Greedy, Picks, check_n
from skal.spaces.dense import Embedding

__all__ = ["order_statistic", "seeding", "seeding_weights"]

#: Distances below this count as 0.
_NO_DISTANCE = 1e-5


def seeding_weights(
    ldm: Tensor, n: int, quantile: str = "program", order: Tensor | None = None
) -> Tensor:
    r"""Weigh rows by the rank and size of their metric.

    Parameters
    ----------
    ldm : Tensor of shape (m,)
        Least disagree metric.
    n : int
        Rows to be picked.
    quantile : {"program", "paper"}
        Whether :math:`L_q` is the (n+1)-th or the n-th smallest metric.
    order : Tensor of shape (m,), int64, optional
        Rows by their metric, smallest first; by default rows with equal metrics are in
        pool order.

    Returns
    -------
    gamma : Tensor of shape (m,), float64
        1 for the `n` smallest; for the others :math:`\exp(-\max(L - L_q, 0) / L_q)`,
        scaled to sum to `n` and cut off at 1.
    """
    ldm = ldm.double()
    if order is None:
        order = torch.sort(ldm, stable=True).indices
    scale = order_statistic(ldm, n + 1 if quantile == "program" else n)
    if scale is None:
        return torch.ones_like(ldm)
    gamma = torch.exp(-(ldm - scale).clamp(min=0) / scale)
    gamma[order[:n]] = 1.0
    rest = order[n:]
    if len(rest):
        gamma[rest] = (gamma[rest] * (n / gamma[rest].sum())).clamp(max=1.0)
    return gamma


def order_statistic(ldm: Tensor, rank: int) -> Tensor | None:
    """Return the metric of a rank, by which others are divided.

    Parameters
    ----------
    ldm : Tensor of shape (m,)
        Least disagree metric.
    rank : int
        1 for the smallest; m or more for the largest.

    Returns
    -------
    scale : Tensor of shape () or None
        The smallest positive metric if that of the rank is 0; None if all are 0.
    """
    scale = ldm.kthvalue(min(rank, len(ldm))).values
    if scale > 0:
        return scale
    positive = ldm[ldm > 0]
    return positive.min() if len(positive) else None


def seeding(
    ldm: Tensor,
    embedding: Embedding,
    n: int,
    rng: torch.Generator,
    quantile: str = "program",
) -> Picks:
    r"""Pick rows with a small metric, spread out as by k-means++ [1]_.

    Parameters
    ----------
    ldm : Tensor of shape (m,)
        Least disagree metric.
    embedding : Embedding of m rows
        Space in which the picks are spread out.
    n : int
        From 1 to m.
    rng : torch.Generator
        On the CPU.
    quantile : {"program", "paper"}, default="program"
        As in `seeding_weights`.

    Returns
    -------
    picks : Picks
        Scores are the metric, negated.

    Raises
    ------
    ValueError
        If `n` is out of range.

    Notes
    -----
    The first pick is the row of the smallest metric; the next is x with a probability
    proportional to :math:`(\gamma_x \min_s d(x, s))^2` over the picks s.  Once every
    row left coincides with a pick, rows follow by their metric.  Equal metrics are put
    in random order first.  Takes n passes over the embedding.

    References
    ----------
    .. [1] Cho, Kim, Lee, Shin and Yoo, "Querying easily flip-flopped samples for deep
       active learning", ICLR 2024. https://arxiv.org/abs/2401.09787
    """
    check_n(n, len(ldm), minimum=1)
    indices = _Draws(ldm, embedding, n, rng, quantile).pick(n).indices
    return Picks(indices, 0.0 - ldm[indices])  # 0, not -0


class _Draws(Greedy):
    """Rows drawn by their weight and their squared distance to the nearest pick."""

    def __init__(
        self,
        ldm: Tensor,
        embedding: Embedding,
        n: int,
        rng: torch.Generator,
        quantile: str,
    ) -> None:
        self.embedding = embedding
        shuffled = torch.randperm(len(ldm), generator=rng).to(ldm.device)
        order = shuffled[torch.sort(ldm[shuffled], stable=True).indices]
        # Minus the place in this order: no two rows have the same value.
        self.value = torch.empty_like(ldm, dtype=torch.float64)
        self.value[order] = -torch.arange(len(ldm), device=ldm.device).double()
        self.weights = seeding_weights(ldm, n, quantile, order).square()
        uniform = torch.rand(n, generator=rng, dtype=torch.float64)
        self.uniform = iter(uniform.tolist())
        self.sq_dist = torch.full_like(self.weights, torch.inf)

    def choose(self) -> tuple[int, Tensor]:
        u = next(self.uniform)
        total = torch.zeros(())
        if self.sq_dist[0] < torch.inf:
            cumulative = (self.weights * self.sq_dist).cumsum(0)
            total = cumulative[-1]
        if total > 0:
            # To the right of equal sums, so that a row without mass is never drawn.
            i = int(torch.searchsorted(cumulative, total * u, right=True))
        else:  # the smallest metric
            i = int(self.open.argmax())
        return i, self.value[i]

    def update(self, i: int) -> None:
        sq_dist = self.embedding.sq_dist(i).to(self.weights)
        sq_dist[sq_dist < _NO_DISTANCE**2] = 0.0
        sq_dist[i] = 0.0
        self.sq_dist = torch.minimum(self.sq_dist, sq_dist)
