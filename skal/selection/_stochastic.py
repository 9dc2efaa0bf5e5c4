"""Batches at random, in favor of high scores."""

from __future__ import annotations

import torch
from torch import Tensor

from skal.selection._picks import Picks, check_n
from skal.validation import check_positive

__all__ = ["power_bald"]


def power_bald(
    scores: Tensor, n: int, rng: torch.Generator, *, power: float = 1.0
) -> Picks:
    r"""Draw rows without replacement, in proportion to a power of their scores [1]_.

    Parameters
    ----------
    scores : Tensor of shape (m,)
        Not negative, as those of `bald`.
    n : int
        From 0 to m.
    rng : torch.Generator
        On the CPU.
    power : float
        :math:`\beta`: the higher, the closer to the highest scores.

    Returns
    -------
    picks : Picks
        In the order drawn; scores are those given.

    Raises
    ------
    ValueError
        If `n` is out of range, a score is negative or not finite, or the power is not
        positive.

    Notes
    -----
    Takes the largest of :math:`\beta \log s_x + g_x` with standard Gumbel :math:`g_x`,
    which is to draw one after the other with :math:`P(x) \propto s_x^\beta`. Rows of
    score 0 come last, in a random order.

    References
    ----------
    .. [1] Kirsch, Farquhar, Atighehchian, Jesson, Branchaud-Charron and Gal,
       "Stochastic batch acquisition: a simple baseline for deep active learning",
       TMLR 2023. https://arxiv.org/abs/2106.12059

    Examples
    --------
    >>> import torch
    >>> from skal.selection._stochastic import power_bald
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
    # First by key, then, keeping that order, those above 0 before those at 0.
    order = keys.argsort(descending=True, stable=True)
    order = order[(~positive[order]).to(torch.uint8).argsort(stable=True)][:n]
    return Picks(order, scores[order])
