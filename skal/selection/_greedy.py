"""Picks of a selector, the greedy loop that makes them, and how it looks ahead."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import isfinite
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from skal._numerics.products import block_size, blocks

__all__ = [
    "Cover",
    "Greedy",
    "Horizon",
    "LazyGreedy",
    "LookAhead",
    "Picks",
    "any_of_largest",
    "best_of",
    "check_n",
    "in_any_order",
    "random_keys",
]

#: Relative difference up to which values count as equal.
_TIE = 1e-10
#: Rows whose gains are first computed together.
_TOGETHER = 32
#: Fewest picks to look ahead.
_FEW = 4
#: Rows among which the next picks are looked for, per pick.
_CANDIDATES = 16


class Picks(NamedTuple):
    """Rows in the order picked.

    Attributes
    ----------
    indices : Tensor of shape (n,), int64
        Distinct rows.
    scores : Tensor of shape (n,)
        Score with which each row was picked; higher is more valuable.
    """

    indices: Tensor
    scores: Tensor


def check_n(n: int, n_rows: int, minimum: int = 0) -> None:
    """Raise ValueError unless `n` distinct rows can be picked."""
    if not minimum <= n <= n_rows:
        raise ValueError(
            f"n must be between {minimum} and {n_rows}, the number of rows, got {n}."
        )


def any_of_largest(
    value: Tensor, tie: float | None = 0.0, numbers: Tensor | None = None
) -> int:
    """Row whose value is the largest, or smaller by at most `tie`.

    Of several such rows, it is the first in a fixed random order: their order in the
    pool may follow a class or a date.

    Parameters
    ----------
    value : Tensor of shape (m,)
    tie : float or None
        None for a bound on the rounding in float64.
    numbers : Tensor of shape (m,), int64, optional
        Places of the rows in the pool; by default those in `value`.

    Examples
    --------
    >>> import torch
    >>> from skal.selection._greedy import any_of_largest
    >>> any_of_largest(torch.tensor([0.0, 7.0, 7.0, 7.0, 0.0, 7.0]))
    2
    """
    largest = float(value.max())
    tie = _TIE * abs(largest) if tie is None else tie
    least = largest - tie if isfinite(largest) else largest
    tied = torch.nonzero(value >= least)[:, 0]
    if len(tied) < 2:
        return int(tied[0])
    return int(tied[random_keys(tied if numbers is None else numbers[tied]).argmin()])


def random_keys(rows: Tensor) -> Tensor:
    """Mix the bits of integers: keys that sort rows in a fixed random order.

    Unlike a permutation, the key of a row depends neither on their number nor on the
    other rows.  The steps are those of SplitMix64 (Steele, Lea and Flood, 2014).
    """
    keys = rows + 1
    for shift, factor in _MIX:
        keys = (keys ^ (keys >> shift)) * factor
    return keys ^ (keys >> 31)


#: Shifts and odd factors, as signed integers.
_MIX = ((30, -4658895280553007687), (27, -7723592293110705685))


def in_any_order(rows: Tensor) -> Tensor:
    """Shuffle rows of equal worth, always alike.

    Their order in the pool may follow a class or a date, which is no reason to prefer
    the first.
    """
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
    return rows[order.to(rows.device)]


def best_of(left: Tensor, scores: Tensor, n: int) -> Tensor:
    """Return the `n` rows of the largest scores among those left, ties in any order."""
    rows = in_any_order(torch.nonzero(left)[:, 0])
    return rows[scores[rows].sort(descending=True, stable=True).indices[:n]]


class Greedy(ABC):
    """Selection of one row after the other, each of the largest value at the time.

    A subclass sets `value` and writes `update`; it overrides `choose` if the next row
    is not simply one of the largest value.

    Attributes
    ----------
    value : Tensor of shape (m,)
        The current value of each row; the entries of rows picked before are ignored.
    numbers : Tensor of shape (m,), int64, or None
        Places of the rows in the pool, which decide ties; None if they are the pool.
    open : Tensor of shape (m,)
        A copy of `value` for `choose`, with -inf for the rows picked before.
    is_rounded : bool
        Whether values that differ by rounding alone count as equal.
    """

    value: Tensor
    open: Tensor
    numbers: Tensor | None = None
    is_rounded: ClassVar[bool] = False

    def choose(self) -> tuple[int, Tensor] | None:
        """Return the next row and its score, or None if no row is worth anything.

        Ties are broken as by `any_of_largest`.
        """
        i = any_of_largest(self.open, None if self.is_rounded else 0.0, self.numbers)
        return i, self.open[i]

    @abstractmethod
    def update(self, i: int) -> None:
        """Bring `value` up to date with the pick of row `i`."""

    def rest(self, left: Tensor, n: int) -> Tensor:
        """Return the last `n` rows, with the score 0, once none is worth anything.

        Parameters
        ----------
        left : Tensor of shape (m,), bool
            The rows that are not picked; by default any of them are returned.
        n : int
        """
        return in_any_order(torch.nonzero(left)[:, 0])[:n]

    def pick(self, n: int, *, update_last: bool = False) -> Picks:
        """Pick `n` rows.

        Parameters
        ----------
        n : int
            From 0 to m.
        update_last : bool
            Whether `value` is brought up to date with the last pick, too.

        Returns
        -------
        picks : Picks
            Ties are broken in a fixed random order.

        Raises
        ------
        ValueError
            If `n` is out of range.
        """
        check_n(n, len(self.value))
        left = torch.ones_like(self.value, dtype=torch.bool)
        indices = torch.empty(n, dtype=torch.long, device=left.device)
        scores = self.value.new_zeros(n)
        for k in range(n):
            self.open = torch.where(left, self.value, -torch.inf)
            chosen = self.choose()
            if chosen is None:
                indices[k:] = self.rest(left, n - k)
                break
            i, scores[k] = chosen
            indices[k], left[i] = i, False
            if k < n - 1 or update_last:
                self.update(i)
        return Picks(indices, scores)


class LazyGreedy(Greedy):
    """Greedy selection by gains that never increase, computed where they may decide.

    Attributes
    ----------
    value : Tensor of shape (m,), float64
        The last known gain of each row, which its gain does not exceed.
    tie : float or None
        Difference up to which gains count as equal, as in `any_of_largest`.
    """

    tie: float | None = 0.0

    def __init__(self, value: Tensor) -> None:
        self.value = value
        self._age = torch.zeros_like(value, dtype=torch.long)  # picks it knows of
        self._n_picked = 0

    def choose(self) -> tuple[int, Tensor] | None:
        """Return a row of the largest gain."""
        value = self.value = self.open  # a copy, in which gains are brought up to date
        n_together = _TOGETHER
        while True:
            best = any_of_largest(value, self.tie, self.numbers)
            if self._age[best] == self._n_picked:
                return best, value[best]
            top = value.topk(min(n_together, len(value))).indices
            some = torch.cat([top, top.new_tensor([best])]).unique()
            is_open = (self._age[some] < self._n_picked) & (value[some] > -torch.inf)
            some = some[is_open]
            value[some] = self.gains(some)
            self._age[some] = self._n_picked
            n_together *= 2

    def update(self, i: int) -> None:
        """Count the pick of row `i`, which `add` takes account of."""
        self.add(i)
        self._n_picked += 1

    @abstractmethod
    def gains(self, rows: Tensor) -> Tensor:
        """Compute what each of some rows is worth now, float64."""

    @abstractmethod
    def add(self, i: int) -> None:
        """Take account of the pick of row `i`."""


class Cover(LazyGreedy):
    """Lazy greedy selection by what a row adds to the cover of all rows.

    Attributes
    ----------
    covered : Tensor of shape (m,)
        How well each row is covered so far.
    weights : Tensor of shape (m,), optional
        Importance of covering each row; by default 1.
    """

    covered: Tensor
    weights: Tensor | None = None

    @abstractmethod
    def candidates(self, rows: Tensor) -> Any:
        """Prepare rows that may be picked for `more`."""

    @abstractmethod
    def more(self, part: slice, candidates: Any) -> Tensor:
        """How much better each candidate covers some rows, new memory ``(b, t)``.

        Less than 0 where it does not.
        """

    def gains(self, rows: Tensor) -> Tensor:
        """Sum what each row adds to the cover of all rows, float64."""
        candidates = self.candidates(rows)
        gains = torch.zeros(len(rows), dtype=torch.float64, device=rows.device)
        for part in blocks(len(self.covered), len(rows), in_cache=True):
            more = self.more(part, candidates).clamp_(min=0)
            if self.weights is None:
                gains += more.sum(dim=0, dtype=torch.float64)
            else:
                gains += self.weights[part] @ more
        return gains


class LookAhead(Greedy):
    """Greedy selection that computes the updates by several picks together.

    Notes
    -----
    An update of all rows by one pick is a pass over their features, at the speed of the
    memory.  The next picks are therefore forecast among a few rows of large values, and
    their updates of all rows are computed in one matrix product, at the speed of the
    processor.  Each forecast is compared with the largest value of all rows before it
    is used.  Wrong forecasts are dropped; they change the speed and nothing else.
    """

    is_rounded = True

    def __init__(self, n: int) -> None:
        self._n_left, self._n_picked = n, 0
        self._forecast: list[int] = []
        self._horizon = Horizon()

    @abstractmethod
    def look_ahead(self, rows: Tensor, n: int) -> Tensor:
        """Pick `n` rows as if there were only these, and prepare their updates.

        Parameters
        ----------
        rows : Tensor of shape (c,), int64
            In pool order; the first pick is one of them.
        n : int
            From 1 to c.

        Returns
        -------
        picks : Tensor of shape (n,), int64
        """

    @abstractmethod
    def take(self) -> None:
        """Bring `value` up to date with the next of the picks prepared."""

    def update(self, i: int) -> None:
        """Bring `value` up to date with the pick of row `i`."""
        self._n_left -= 1
        if self._forecast[:1] != [i]:
            self._renew_forecast(i)
        del self._forecast[0]
        self._horizon.n_used += 1
        self._n_picked += 1
        self.take()

    def _renew_forecast(self, i: int) -> None:
        m = len(self.open)
        # Keeps a value of all rows for each pick ahead.
        self._horizon.adapt(most=min(32, max(_FEW, 8 * block_size(m))))
        n = max(1, min(self._horizon.n, self._n_left))
        top = self.open.topk(min(_CANDIDATES * n, m - self._n_picked)).indices
        rows = torch.cat([top, top.new_tensor([i])]).unique()
        self._forecast = self.look_ahead(rows, n).tolist()
        self._horizon.n_compared, self._horizon.n_used = n, 0


class Horizon:
    """Number of picks to look ahead: more as forecasts come true, fewer as they fail.

    Attributes
    ----------
    n : int
        Picks to look ahead.
    n_compared, n_used : int
        Rows of the last forecast, and how many of them were picked.
    """

    def __init__(self) -> None:
        self.n = _FEW
        self.n_compared = self.n_used = 0

    def adapt(self, most: int) -> None:
        """Learn from the last forecast, if there was one."""
        if self.n_compared:
            hits = self.n_used / self.n_compared
            if hits > 0.7:
                self.n = min(2 * self.n, most)
            elif hits < 0.3:
                self.n = max(self.n // 2, _FEW)
