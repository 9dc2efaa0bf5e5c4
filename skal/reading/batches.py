"""Batches as modules take them: a tensor, or several in a tuple, list or dict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

__all__ = ["arguments", "length", "map_tensors", "split"]


def arguments(batch: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Give the arguments, by position and by name, that a module takes a batch as."""
    if isinstance(batch, Mapping):
        return (), dict(batch)
    return (tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)), {}


def length(batch: Any) -> int:
    """Count the rows of a batch."""
    if isinstance(batch, Mapping):
        return len(next(iter(batch.values())))
    return len(batch[0]) if isinstance(batch, (tuple, list)) else len(batch)


def map_tensors(batch: Any, function: Callable[[Tensor], Any]) -> Any:
    """Apply a function to the tensor, or to each of several, of a batch."""
    if isinstance(batch, Mapping):
        return {key: function(x) for key, x in batch.items()}
    if isinstance(batch, (tuple, list)):
        return tuple(function(x) for x in batch)
    return function(batch)


def split(batch: Any, size: int | None) -> list[Any]:
    """Cut a batch into pieces of at most `size` rows; None leaves it whole."""
    n_rows = length(batch)
    if size is None or n_rows <= size:
        return [batch]
    starts = range(0, n_rows, size)
    return [map_tensors(batch, _Piece(slice(s, s + size))) for s in starts]


class _Piece:
    """Takes the same rows of each tensor."""

    def __init__(self, rows: slice) -> None:
        self.rows = rows

    def __call__(self, x: Tensor) -> Tensor:
        return x[self.rows]
