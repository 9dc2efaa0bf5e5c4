"""The fixed random order in which ties are broken."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from skal.selection._greedy import random_keys

_KEYS = random_keys(torch.arange(4096)).tolist()


def first(rows: Iterable[int]) -> int:
    """Get the row that comes before the others."""
    return min(rows, key=_KEYS.__getitem__)


def in_turn(rows: Iterable[int]) -> list[int]:
    """Put rows in their order."""
    return sorted(rows, key=_KEYS.__getitem__)
