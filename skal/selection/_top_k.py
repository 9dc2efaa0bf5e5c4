"""The rows of the highest scores."""

from __future__ import annotations

import torch
from torch import Tensor

from skal.selection._picks import Picks, check_n

__all__ = ["top_k"]


def top_k(scores: Tensor, n: int, rng: torch.Generator | None = None) -> Picks:
    """Pick the `n` rows of the highest scores.

    Parameters
    ----------
    scores : Tensor of shape (m,)
        Without NaN.
    n : int
        From 0 to m.
    rng : torch.Generator, optional
        Puts equal scores in a random order; without it they keep that of the pool.

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
            f"{n_nan} of {len(scores)} scores are NaN: they have no rank. Find out "
            "where they come from."
        )
    if rng is None:
        indices = _highest(scores, n)
    else:
        order = torch.randperm(len(scores), generator=rng).to(scores.device)
        indices = order[_highest(scores[order], n)]
    return Picks(indices, scores[indices])


def _highest(scores: Tensor, n: int) -> Tensor:
    """Positions of the `n` highest scores in falling order, of equals the first."""
    if 0 < n < len(scores):
        # Few are left to sort: those that reach the lowest that may be taken.
        rows = torch.nonzero(scores >= scores.topk(n).values[-1])[:, 0]
    else:
        rows = torch.arange(len(scores), device=scores.device)
    order = torch.sort(scores[rows], descending=True, stable=True).indices
    return rows[order[:n]]
