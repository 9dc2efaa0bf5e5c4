"""Greedy picks in few passes over the rows, by looking ahead at what comes next."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from skal.selection._picks import Picks, check_n, first_of_largest

__all__ = ["Outlook", "pick_ahead", "products"]

#: Picks that are looked ahead at a time.
_FEW, _MANY = 4, 32
#: Rows among which they are looked for, times their number.
_CANDIDATES = 16
#: Numbers that stand for all rows and the picks ahead.
_AHEAD = 2**23
#: Numbers of features that are worked on together.
_BLOCK = 2**20


class Outlook(ABC):
    """Values of all rows, and what picks do to them."""

    @abstractmethod
    def value(self) -> Tensor:
        """Value of each row now, ``(m,)``, float64; the largest is picked."""

    @abstractmethod
    def look_ahead(self, rows: Tensor, n: int) -> list[int]:
        """Pick `n` rows as if there were only these, and prepare to take them.

        Parameters
        ----------
        rows : Tensor of shape (c,), int64
            In pool order; the first pick of all is one of them.
        n : int
            From 1 to c.
        """

    @abstractmethod
    def take(self) -> None:
        """Bring the values up to date with the next pick that was looked ahead at."""


def pick_ahead(outlook: Outlook, n: int) -> Picks:
    """Pick the largest value again and again, values being brought up to date.

    Parameters
    ----------
    outlook : Outlook of m rows
    n : int
        From 0 to m.

    Returns
    -------
    picks : Picks
        Scores are the values when picked.  Ties go in pool order.

    Raises
    ------
    ValueError
        If `n` is out of range.

    Notes
    -----
    To bring all rows up to date with one pick takes a pass over their features, at the
    speed of the memory.  So the next picks are foretold from few rows of large values,
    and what they do to all rows is computed together, at the speed of the processor.
    Each is then compared with the largest value of all rows: what was foretold wrongly
    is thrown away, and changes the speed and nothing else.
    """
    value = outlook.value()
    check_n(n, len(value))
    left = torch.ones_like(value, dtype=torch.bool)
    indices = torch.empty(n, dtype=torch.long, device=value.device)
    scores = value.new_empty(n)
    most = max(_FEW, min(_MANY, _AHEAD // max(len(value), 1)))
    n_ahead, ahead, n_looked = _FEW, [-1], 0
    for k in range(n):
        value = torch.where(left, outlook.value(), -torch.inf)
        i = first_of_largest(value)
        indices[k], scores[k], left[i] = i, value[i], False
        if k == n - 1:
            break
        if not ahead or ahead[0] != i:
            hits = 1 - len(ahead) / max(n_looked, 1)
            if n_looked and hits > 0.7:
                n_ahead = min(2 * n_ahead, most)
            elif n_looked and hits < 0.3:
                n_ahead = max(n_ahead // 2, _FEW)
            n_looked = min(n_ahead, n - 1 - k)
            top = value.topk(min(_CANDIDATES * n_ahead, len(value) - k)).indices
            rows = torch.cat([top, indices[k : k + 1]]).unique()
            ahead = list(outlook.look_ahead(rows, n_looked))
        del ahead[0]
        outlook.take()
    return Picks(indices, scores)


def products(features: Tensor, directions: Tensor) -> Tensor:
    """Inner products of directions with all rows, ``(t, m)``, float64."""
    if features.dtype == torch.float64:
        return directions @ features.T
    result = directions.new_empty(len(directions), len(features))
    size = max(1, _BLOCK // features.shape[1])
    for start in range(0, len(features), size):
        part = slice(start, start + size)
        result[:, part] = directions @ features[part].double().T
    return result
