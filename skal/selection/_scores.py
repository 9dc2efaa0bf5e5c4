"""Batches by the scores of rows: the highest, drawn by them, or of several in turn."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from skal.selection._greedy import Picks, check_n
from skal.validation import check_positive

__all__ = ["interleave", "power_bald", "top_k"]


def top_k(scores: Tensor, n: int, rng: torch.Generator | None = None) -> Picks:
    """Pick the `n` rows of the highest scores.

    Parameters
    ----------
    scores : Tensor of shape (m,)
        Not NaN.
    n : int
        From 0 to m.
    rng : torch.Generator, optional
        Used to put rows with equal scores in random order; by default they are in pool
        order.  Nothing is drawn if no scores are equal.

    Returns
    -------
    picks : Picks
        Best first.

    Raises
    ------
    ValueError
        If `n` is out of range, or a score is NaN.

    Examples
    --------
    >>> import torch
    >>> from skal.selection import top_k
    >>> top_k(torch.tensor([1.0, 3.0, 2.0, 3.0]), 3).indices
    tensor([1, 3, 2])
    """
    check_n(n, len(scores))
    n_nan = int(scores.isnan().sum())
    if n_nan:
        raise ValueError(
            f"{n_nan} of {len(scores)} scores are NaN and cannot be ranked. Find out "
            "where they come from."
        )
    if 0 < n < len(scores):
        # Only the rows that reach the n-th highest score need sorting.
        rows = torch.nonzero(scores >= scores.topk(n).values[-1])[:, 0]
    else:
        rows = torch.arange(len(scores), device=scores.device)
    if rng is not None and len(scores[rows].unique()) < len(rows):
        order = torch.randperm(len(scores), generator=rng).to(scores.device)
        is_open = torch.zeros_like(scores, dtype=torch.bool)
        is_open[rows] = True
        rows = order[is_open[order]]
    indices = rows[scores[rows].sort(descending=True, stable=True).indices[:n]]
    return Picks(indices, scores[indices])


def power_bald(
    scores: Tensor, n: int, rng: torch.Generator, *, power: float = 1.0
) -> Picks:
    r"""Draw rows without replacement, in proportion to a power of their scores [1]_.

    Parameters
    ----------
    scores : Tensor of shape (m,)
        Non-negative, such as those of `bald`.
    n : int
        From 0 to m.
    rng : torch.Generator
        On the CPU.
    power : float
        :math:`\beta`; the higher it is, the closer the draws are to the highest scores.

    Returns
    -------
    picks : Picks
        In the order drawn, with their scores.

    Raises
    ------
    ValueError
        If `n` is out of range, a score is negative or not finite, or the power is not
        positive.

    Notes
    -----
    Picks the rows of the largest :math:`\beta \log s_x + g_x` with standard Gumbel
    :math:`g_x`; this equals drawing rows one after the other with :math:`P(x) \propto
    s_x^\beta`.  Rows of score 0 come last, in random order.

    References
    ----------
    .. [1] Kirsch, Farquhar, Atighehchian, Jesson, Branchaud-Charron and Gal,
       "Stochastic batch acquisition: a simple baseline for deep active learning",
       TMLR 2023. https://arxiv.org/abs/2106.12059

    Examples
    --------
    >>> import torch
    >>> from skal.selection import power_bald
    >>> rng = torch.Generator().manual_seed(0)
    >>> power_bald(torch.tensor([0.0, 5.0, 0.0]), 2, rng).indices[0]
    tensor(1)
    """
    check_n(n, len(scores))
    check_positive("power", power)
    valid = scores.isfinite() & (scores >= 0)
    if not bool(valid.all()):
        row = int((~valid).nonzero()[0])
        raise ValueError(
            "scores must be finite and not negative, got "
            f"{float(scores[row])} in row {row}."
        )
    uniform = torch.rand(len(scores), generator=rng, dtype=torch.float64)
    tiny = torch.finfo(torch.float64).tiny
    gumbel = -(-uniform.clamp(min=tiny).log()).clamp(min=tiny).log()
    gumbel = gumbel.to(scores.device)
    positive = scores > 0
    keys = torch.where(positive, power * scores.double().log() + gumbel, gumbel)
    # By key; then, by a stable sort, scores above 0 before those of 0.
    order = keys.argsort(descending=True, stable=True)
    order = order[(~positive[order]).to(torch.uint8).argsort(stable=True)][:n]
    return Picks(order, scores[order])


def interleave(batches: Sequence[Picks], turns: Tensor) -> Picks:
    """Take rows from several batches in turn, each row once.

    Parameters
    ----------
    batches : sequence of Picks
        Best first.  Batches as long as `turns` always suffice, whatever rows they
        share; a batch without a turn may be empty.
    turns : Tensor of shape (n,), int64
        Number of the batch from which each row is taken.

    Returns
    -------
    picks : Picks
        Pick k is the first row of ``batches[turns[k]]`` that was not taken before.
        Scores are those of the batches, as float64.

    Raises
    ------
    ValueError
        If a batch runs out of rows.

    Examples
    --------
    >>> import torch
    >>> from skal.selection import Picks, interleave
    >>> best = Picks(torch.tensor([4, 1, 0]), torch.tensor([3.0, 2.0, 1.0]))
    >>> far = Picks(torch.tensor([4, 2, 1]), torch.tensor([9.0, 8.0, 7.0]))
    >>> interleave([best, far], torch.tensor([0, 1, 0])).indices
    tensor([4, 2, 1])
    """
    rows = [zip(b.indices.tolist(), b.scores.tolist(), strict=True) for b in batches]
    taken: dict[int, float] = {}
    for turn in turns.tolist():
        for row, score in rows[turn]:
            if row not in taken:
                taken[row] = score
                break
        else:
            raise ValueError(
                f"Batch {turn} has no row left after {len(taken)} of {len(turns)} "
                "picks. Pass batches as long as turns."
            )
    indices = torch.tensor(list(taken), dtype=torch.long)
    return Picks(indices, torch.tensor(list(taken.values()), dtype=torch.float64))
