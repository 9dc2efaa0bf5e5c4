"""Batches of rows, and the outputs of a module for them.

A batch is a tensor, or several in a tuple, list or dict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from skal.exceptions import UnsuitableLearnerError

__all__ = [
    "arguments",
    "as_columns",
    "as_floats",
    "batch_length",
    "index_batch",
    "split",
    "tensors_of",
]


def arguments(batch: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Get the positional and the keyword arguments of a module for a batch.

    They are copies, as a module may write into its inputs, and a batch is used again.
    """
    if isinstance(batch, Mapping):
        return (), _copied(dict(batch))
    return _copied(tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)), {}


def _copied(batch: Any) -> Any:
    if isinstance(batch, Tensor):
        return batch.clone()
    if isinstance(batch, Mapping):
        return {key: _copied(x) for key, x in batch.items()}
    return type(batch)(map(_copied, batch)) if type(batch) in (tuple, list) else batch


def batch_length(batch: Any) -> int:
    """Count the rows of a batch."""
    if isinstance(batch, Mapping):
        return len(next(iter(batch.values())))
    return len(batch[0]) if isinstance(batch, (tuple, list)) else len(batch)


def index_batch(batch: Any, index: slice | Tensor | None) -> Any:
    """Index each tensor of a batch."""
    if isinstance(batch, Mapping):
        return {key: x[index] for key, x in batch.items()}
    if isinstance(batch, (tuple, list)):
        return tuple(x[index] for x in batch)
    return batch[index]


def split(batch: Any, size: int | None) -> list[Any]:
    """Split a batch into pieces of at most `size` rows; None leaves it whole."""
    n_rows = batch_length(batch)
    if size is None or n_rows <= size:
        return [batch]
    starts = range(0, n_rows, size)
    return [index_batch(batch, slice(start, start + size)) for start in starts]


def tensors_of(batch: Any) -> Iterator[Tensor]:
    """Yield every tensor of a batch, or of nested batches, in order."""
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, Mapping):
        for part in batch.values():
            yield from tensors_of(part)
    elif isinstance(batch, (list, tuple)):
        for part in batch:
            yield from tensors_of(part)


def as_floats(x: Tensor) -> Tensor:
    """Convert half precision, as of `torch.autocast`, to float32.

    Raises
    ------
    UnsuitableLearnerError
        If the values are complex.
    """
    if x.is_complex():
        raise UnsuitableLearnerError(
            "The outputs or features of the net are complex numbers, and strategies "
            "compare real ones: return, for example, torch.view_as_real(z).flatten(1)."
        )
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def as_columns(outputs: Tensor) -> Tensor:
    """Reshape a single output ``(b,)`` to one column; leave ``(b, C)`` as it is."""
    return outputs[:, None] if outputs.ndim == 1 else outputs
