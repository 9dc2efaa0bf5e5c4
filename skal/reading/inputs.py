"""Rows as a model sees them, as vectors of numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from skal._numerics.products import extent
from skal._tables import column_label, first_text
from skal.rows import Rows, as_dense

__all__ = ["read_inputs"]

#: Magnitude of inputs from which sums of their squares may overflow.
_LARGEST_INPUT = 1e140


def read_inputs(rows: Rows) -> Tensor:
    """Rows as the model sees them, ``(m, d)``, float64.

    Raises
    ------
    ValueError
        If they are not numeric, or not finite although the model takes them.
    """
    blocks = [
        _as_floats(block, where.start, rows.name).flatten(1)
        for where, block in rows.blocks()
    ]
    finite = torch.cat([block.isfinite().all(dim=1) for block in blocks])
    if not bool(finite.all()):
        raise ValueError(
            f"{int((~finite).sum())} of {len(finite)} rows of {rows.name} contain NaN "
            "or infinity, which the model accepts, but they have no distances (the "
            f"first is row {int(finite.int().argmin())}). Impute or drop them, for "
            "example with sklearn.impute.SimpleImputer as a step of the Pipeline."
        )
    inputs = torch.cat(blocks)
    if extent(*blocks) > _LARGEST_INPUT:
        _raise_too_large(inputs, rows)
    return inputs


def _raise_too_large(inputs: Tensor, rows: Rows) -> None:
    large = (inputs.abs().amax(dim=0) > _LARGEST_INPUT).nonzero()[:, 0].tolist()
    labels = [k if rows.transformers else column_label(rows.X, k) for k in large]
    raise ValueError(
        f"The squares of columns {labels[:10]} of {rows.name} overflow, so rows have "
        "no distances. Scale these columns or drop them, as identifiers should be."
    )


def _as_floats(block: Any, first: int, name: str) -> Tensor:
    try:
        return torch.from_numpy(np.array(as_dense(block), dtype=np.float64))
    except (TypeError, ValueError) as error:
        cell = first_text(block)
        where = ""
        if cell is not None:
            row, column, value = cell
            where = f" (row {first + row} of {name}, column {column!r}: {value!r})"
        raise ValueError(
            f"The inputs have no distances: {type(block).__name__} does not hold rows "
            f"of numbers{where}. Use another space, or encode the columns."
        ) from error
