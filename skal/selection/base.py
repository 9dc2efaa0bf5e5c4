"""What a selector answers."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

__all__ = ["Picks"]


class Picks(NamedTuple):
    """Rows in the order picked.

    Attributes
    ----------
    indices : Tensor of shape (n,), int64
        Distinct rows.
    scores : Tensor of shape (n,)
        What each was picked for; higher is more wanted.
    """

    indices: Tensor
    scores: Tensor


def check_n(n: int, n_rows: int, minimum: int = 0) -> None:
    """Raise ValueError unless `n` distinct rows can be picked."""
    if not minimum <= n <= n_rows:
        raise ValueError(
            f"n must be between {minimum} and {n_rows}, the number of rows, got {n}."
        )
