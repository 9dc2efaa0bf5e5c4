"""Cells that are not numbers, named in errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy import sparse
from torch.utils.data import Dataset

from skal._tables import as_pandas, column_names, is_other_table

__all__ = ["column_label", "first_text", "naming_cells"]

#: What numpy says about a string that it cannot convert.
_NOT_A_NUMBER = re.compile(r"could not convert string to float: (?:np\.str_\()?'(.*)'")


@contextmanager
def naming_cells(X: Any, name: str) -> Iterator[None]:
    """Run a block; name the row and column of a cell in an error that only quotes it.

    Parameters
    ----------
    X : rows
        That the block converts to numbers.
    name : str
        What the rows are called in the error.
    """
    try:
        yield
    except ValueError as error:
        quoted = _NOT_A_NUMBER.search(str(error))
        cell = _find(X, lambda cell: str(cell) == quoted[1]) if quoted else None
        if cell is None:
            raise
        row, column, value = cell
        raise ValueError(
            f"{value!r} is not a number: row {row} of {name}, column {column!r}. "
            "Encode such columns by a step of a Pipeline, as "
            "skal.tabular.make_tabular_preprocessor does, or correct the cell."
        ) from error


def column_label(X: Any, k: int) -> Any:
    """Get the name of a column, or its position if it has none."""
    names = column_names(X)
    return k if names is None or k >= len(names) else names[k]


def first_text(X: Any) -> tuple[int, Any, Any] | None:
    """Find a cell that is not a number: its row, column and value."""
    return _find(X, lambda cell: not _is_number(cell))


def _is_number(cell: Any) -> bool:
    try:
        float(cell)
    except (TypeError, ValueError):
        return False
    return True


def _find(X: Any, wanted: Callable[[Any], bool]) -> tuple[int, Any, Any] | None:
    if isinstance(X, Mapping | Dataset) or sparse.issparse(X):
        return None
    table = as_pandas(X) if is_other_table(X) else X
    cells = np.asarray(table, dtype=object)
    cells = cells.reshape(len(cells), -1)
    found = np.array([[wanted(cell) for cell in row] for row in cells], dtype=bool)
    if not found.any():
        return None
    # A categorical column may hold the same string: choose the one with fewest strings.
    columns = np.flatnonzero(found.any(axis=0)).tolist()
    k = min(columns, key=lambda k: sum(not _is_number(cell) for cell in cells[:, k]))
    row = int(found[:, k].argmax())
    return row, column_label(X, k), cells[row, k]
