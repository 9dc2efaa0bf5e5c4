"""Batches by the scores of rows: the highest, drawn by them, or of several in turn."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from skal.selection._greedy import Picks, check_n
from skal.validation import check_not_negative, check_option

__all__ = [
    "KINDS",
    "draw_by_scores",
    "draw_probabilities",
    "gumbel_top_k",
    "interleave",
    "top_k",
]


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


#: How scores become weights.
KINDS = ("power", "softmax", "softrank")


def gumbel_top_k(
    scores: Tensor,
    n: int,
    rng: torch.Generator,
    *,
    beta: float = 1.0,
    kind: str = "power",
) -> Picks:
    r"""Draw rows without replacement, with probabilities that grow with scores [1]_.

    Parameters
    ----------
    scores : Tensor of shape (m,)
        Finite, except for ``"softrank"``; not negative for ``"power"``.
    n : int
        From 0 to m.
    rng : torch.Generator
        On the CPU.
    beta : float, default=1.0
        :math:`\beta`, at least 0.  The higher it is, the closer the draws are to the
        highest scores; 0 draws uniformly.
    kind : {"power", "softmax", "softrank"}, default="power"
        Each row is drawn with :math:`P(x) \propto s_x^\beta` (power), :math:`P(x)
        \propto e^{\beta s_x}` (softmax) or :math:`P(x) \propto r_x^{-\beta}`
        (softrank), where r is 1 for the highest score, 2 for the next one, and so on.

    Returns
    -------
    picks : Picks
        In the order drawn, with their scores.

    Raises
    ------
    ValueError
        If a parameter is out of range, or a score is NaN, or not allowed by `kind`.

    Notes
    -----
    Picks the rows of the largest :math:`v_x + g_x / \beta` with standard Gumbel
    :math:`g_x` and :math:`v_x = \log s_x`, :math:`s_x` or :math:`-\log r_x`; this
    equals drawing one row after the other, each in proportion to the weights of those
    left.  With ``"power"`` and a positive :math:`\beta`, rows of score 0 come last, in
    random order.  Equal scores are ranked in random order by ``"softrank"``.

    References
    ----------
    .. [1] Kirsch, Farquhar, Atighehchian, Jesson, Branchaud-Charron and Gal,
       "Stochastic batch acquisition: a simple baseline for deep active learning",
       TMLR 2023. https://arxiv.org/abs/2106.12059

    Examples
    --------
    >>> import torch
    >>> from skal.selection import gumbel_top_k
    >>> rng = torch.Generator().manual_seed(0)
    >>> gumbel_top_k(torch.tensor([0.0, 5.0, 0.0]), 2, rng).indices[0]
    tensor(1)
    """
    return draw_by_scores(scores, n, rng, beta=beta, kind=kind)[0]


def draw_by_scores(
    scores: Tensor, n: int, rng: torch.Generator, *, beta: float, kind: str
) -> tuple[Picks, Tensor]:
    """Draw as `gumbel_top_k` does; return the logarithms of the weights as well."""
    check_n(n, len(scores))
    check_not_negative("beta", beta)
    check_option("kind", kind, KINDS)
    values = _log_weights(scores, kind, rng)
    uniform = torch.rand(len(scores), generator=rng, dtype=torch.float64)
    tiny = torch.finfo(torch.float64).tiny
    gumbel = -(-uniform.clamp(min=tiny).log()).clamp(min=tiny).log()
    gumbel = gumbel.to(scores.device)
    weighty = values > -torch.inf
    if beta == 0:
        keys, weighty = gumbel, torch.ones_like(weighty)
        values = torch.zeros_like(values)
    else:
        keys = torch.where(weighty, values + gumbel / beta, gumbel)
    # By key; then, by a stable sort, rows of a positive weight before those without.
    order = keys.argsort(descending=True, stable=True)
    order = order[(~weighty[order]).to(torch.uint8).argsort(stable=True)][:n]
    return Picks(order, scores[order]), beta * values


def draw_probabilities(log_weights: Tensor, indices: Tensor) -> Tensor:
    r"""Probability of each row of a batch, drawn one after the other by weights.

    Parameters
    ----------
    log_weights : Tensor of shape (m,)
        Logarithms of the weights; :math:`-\infty` for a weight of 0.
    indices : Tensor of shape (n,), int64
        Distinct rows in the order drawn, without replacement.

    Returns
    -------
    probabilities : float64 Tensor of shape (n,)
        Of the k-th row given those before it: its share of the weights of all rows that
        were left.  If only rows of weight 0 were left, they were equally likely.

    Notes
    -----
    The weights that are left are summed from the last row backwards, so that no
    rounding error of a difference remains.  The cost is O(m).

    Examples
    --------
    >>> import torch
    >>> from skal.selection import draw_probabilities
    >>> draw_probabilities(torch.tensor([1.0, 2.0, 5.0]).log(), torch.tensor([2, 0]))
    tensor([0.6250, 0.3333], dtype=torch.float64)
    """
    logs = log_weights.double()
    left = torch.ones(len(logs), dtype=torch.bool, device=logs.device)
    left[indices] = False
    rest = logs[left].logsumexp(0) if bool(left.any()) else logs.new_tensor(-torch.inf)
    drawn = logs[indices]
    # In reverse: what was left when a row was drawn.
    totals = torch.cat([rest[None], drawn.flip(0)]).logcumsumexp(0)[1:].flip(0)
    numbers = torch.arange(len(logs), len(logs) - len(drawn), -1, device=logs.device)
    return torch.where(
        totals > -torch.inf, (drawn - totals).exp(), 1 / numbers.double()
    )


def _log_weights(scores: Tensor, kind: str, rng: torch.Generator) -> Tensor:
    """Logarithms of the weights for a beta of 1, float64."""
    if kind == "softrank":
        ranked = top_k(scores, len(scores), rng).indices
        values = torch.empty_like(scores, dtype=torch.float64)
        ranks = torch.arange(1, len(scores) + 1, device=scores.device)
        values[ranked] = -ranks.double().log()
        return values
    valid = scores.isfinite()
    if kind == "power":
        valid &= scores >= 0
    if not bool(valid.all()):
        row = int((~valid).nonzero()[0])
        what = "finite and not negative" if kind == "power" else "finite"
        raise ValueError(
            f"scores must be {what} for kind={kind!r}, got {float(scores[row])} in row "
            f'{row}. kind="softrank" takes any scores.'
        )
    return scores.double().log() if kind == "power" else scores.double()


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
