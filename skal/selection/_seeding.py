"""LDM-Seeding: rows of a small metric, drawn apart from each other."""

from __future__ import annotations

import torch
from torch import Tensor

from skal.selection._picks import Picks, check_n
from skal.spaces.dense import Embedding

__all__ = ["order_statistic", "seeding", "seeding_weights"]

#: Distances below this count as none.
_NO_DISTANCE = 1e-5


def seeding_weights(ldm: Tensor, n: int, quantile: str = "program") -> Tensor:
    r"""Weigh rows by how small their metric is among all.

    Parameters
    ----------
    ldm : Tensor of shape (m,)
        Least disagree metric.
    n : int
        Rows to be picked.
    quantile : {"program", "paper"}
        Whether :math:`L_q` is the (n+1)-th or the n-th smallest metric.

    Returns
    -------
    gamma : Tensor of shape (m,), float64
        1 on the `n` smallest; on the others :math:`\exp(-\max(L - L_q, 0) / L_q)`,
        scaled to sum to `n` and cut at 1.
    """
    ldm = ldm.double()
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
    """Metric that others are measured by, above 0.

    Parameters
    ----------
    ldm : Tensor of shape (m,)
        Least disagree metric.
    rank : int
        1 for the smallest; above m the largest is meant.

    Returns
    -------
    scale : Tensor of shape () or None
        The smallest positive metric if the one of that rank is 0; None if all are.
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
    r"""Pick rows of a small metric, spread out as by k-means++ [1]_.

    Parameters
    ----------
    ldm : Tensor of shape (m,)
        Least disagree metric.
    embedding : Embedding of m rows
        Its distance keeps the picks apart.
    n : int
        From 1 to m.
    rng : torch.Generator
        On the CPU.
    quantile : {"program", "paper"}
        As in `seeding_weights`.

    Returns
    -------
    picks : Picks
        Scores are the negative metric.

    Raises
    ------
    ValueError
        If `n` is out of range.

    Notes
    -----
    First the smallest metric; then x with a probability proportional to
    :math:`(\gamma_x \min_s d(x, s))^2` over the picks s.  Where every row left lies on
    a pick, the one of the smallest metric is next.  Takes n passes over the embedding.

    References
    ----------
    .. [1] Cho, Kim, Lee, Shin and Yoo, "Querying easily flip-flopped samples for deep
       active learning", ICLR 2024. https://arxiv.org/abs/2401.09787
    """
    check_n(n, len(ldm), minimum=1)
    weights = seeding_weights(ldm, n, quantile).square()
    by_metric = iter(torch.sort(ldm, stable=True).indices.tolist())
    uniform = torch.rand(n, generator=rng, dtype=torch.float64).tolist()
    picked = torch.zeros(len(ldm), dtype=torch.bool, device=ldm.device)
    nearest = torch.zeros_like(weights)
    indices: list[int] = []
    for u in uniform:
        cumulative = (weights * nearest).cumsum(0)
        if cumulative[-1] > 0:
            # Right of equal values: a row without mass, as a pick, is never drawn.
            i = int(torch.searchsorted(cumulative, cumulative[-1] * u, right=True))
        else:
            i = next(row for row in by_metric if not picked[row])
        distance = embedding.sq_dist(i).to(nearest)
        distance[distance < _NO_DISTANCE**2] = 0.0
        nearest = torch.minimum(nearest, distance) if indices else distance
        indices.append(i)
        picked[i] = True
        nearest[i] = 0.0
    rows = torch.tensor(indices, device=ldm.device)
    return Picks(rows, -ldm[rows])
