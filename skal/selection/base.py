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
