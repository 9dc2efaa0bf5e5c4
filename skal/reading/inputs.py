"""Rows as a model sees them, as vectors of numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from skal._numerics.products import extent
from skal._tables import column_label, first_text
from skal.rows import Rows, array_if_tensor, as_dense

__all__ = ["read_inputs", "real_array"]

#: Magnitude of inputs from which sums of their squares may overflow.
_LARGEST_INPUT = 1e140
_OTHER_SPACE = (
    "use another space, for example the predictions of copies of the model, "
    "space=Bagged() of skal.posteriors"
)


def read_inputs(rows: Rows) -> Tensor:
    """Rows as the model sees them, ``(m, d)``, float64.

    Raises
    ------
    ValueError
        If they are not real numbers, or not finite although the model takes them.
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
            "example with sklearn.impute.SimpleImputer as a step of the Pipeline, or "
            f"{_OTHER_SPACE}."
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


def real_array(block: Any, name: str = "the rows") -> np.ndarray:
    """Convert rows to an ndarray of real numbers, or of objects.

    Parameters
    ----------
    block : rows
    name : str
        What the rows are called in an error.

    Raises
    ------
    ValueError
        If the rows are complex: numpy would drop the imaginary parts.
    """
    array = as_dense(array_if_tensor(block))
    if array.dtype.kind != "c":
        return array
    found = (array.imag != 0).reshape(len(array), -1).any(axis=0).nonzero()[0]
    if not len(found):
        return np.asarray(array.real)
    columns = [column_label(block, k) for k in found[:10].tolist()]
    raise ValueError(
        f"Complex numbers are not supported: columns {columns} of {name} have "
        "imaginary parts. Pass real and imaginary parts, or magnitudes and phases, as "
        "columns of their own."
    )


def _as_floats(block: Any, first: int, name: str) -> Tensor:
    rows = real_array(block, name)
    try:
        return torch.from_numpy(np.array(rows, dtype=np.float64))
    except (TypeError, ValueError) as error:
        cell = first_text(block)
        where = ""
        if cell is not None:
            row, column, value = cell
            where = f" (row {first + row} of {name}, column {column!r}: {value!r})"
        raise ValueError(
            f"The inputs have no distances: {type(block).__name__} does not hold rows "
            f"of numbers{where}. Encode such columns, or {_OTHER_SPACE}."
        ) from error
