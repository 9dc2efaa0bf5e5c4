"""The result of a selector."""

from __future__ import annotations

from math import isfinite
from typing import NamedTuple

from torch import Tensor

__all__ = ["Picks", "check_n", "first_of_largest"]

#: Relative difference up to which values count as equal.
_TIE = 1e-10


class Picks(NamedTuple):
    """Rows in the order picked.

    Attributes
    ----------
    indices : Tensor of shape (n,), int64
        Distinct rows.
    scores : Tensor of shape (n,)
        Value for which each row was picked; higher is more wanted.
    """

    indices: Tensor
    scores: Tensor


def check_n(n: int, n_rows: int, minimum: int = 0) -> None:
    """Raise ValueError unless `n` distinct rows can be picked."""
    if not minimum <= n <= n_rows:
        raise ValueError(
            f"n must be between {minimum} and {n_rows}, the number of rows, got {n}."
        )


def first_of_largest(value: Tensor, tie: float | None = None) -> int:
    """First row whose value is the largest, or smaller by at most `tie`.

    By default `tie` is a bound on the rounding in float64.
    """
    largest = float(value.max())
    tie = _TIE * abs(largest) if tie is None else tie
    least = largest - tie if isfinite(largest) else largest
    return int((value >= least).byte().argmax())
