"""Tables with named columns, of pandas and, by narwhals, of polars, pyarrow and others.

pandas is handled directly, as narwhals drops its index.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from narwhals.dependencies import (
    is_into_dataframe,
    is_into_series,
    is_polars_lazyframe,
)
from scipy import sparse
from torch.utils.data import Dataset

__all__ = [
    "as_known",
    "as_pandas",
    "column_label",
    "column_names",
    "columns_of",
    "first_text",
    "is_lazy",
    "is_other_table",
    "is_table",
    "naming_cells",
    "order_of_labels",
    "take_columns",
    "take_table_rows",
    "wrap",
]


def is_table(X: Any) -> bool:
    """Whether rows are a DataFrame of any library."""
    return isinstance(X, pd.DataFrame) or bool(is_into_dataframe(as_known(X)))


def is_other_table(X: Any) -> bool:
    """Whether rows are a DataFrame or a Series of another library than pandas."""
    if hasattr(X, "iloc") or isinstance(X, np.ndarray):
        return False
    X = as_known(X)
    return bool(is_into_dataframe(X) or is_into_series(X))


def is_lazy(X: Any) -> bool:
    """Whether rows are a LazyFrame of polars, which does not know its length."""
    return bool(is_polars_lazyframe(X))


def wrap(X: Any) -> Any:
    """Wrap a DataFrame or a Series by narwhals."""
    return nw.from_native(as_known(X), eager_only=True, allow_series=True)


def as_known(X: Any) -> Any:
    """Convert a RecordBatch or an Array of pyarrow, which narwhals does not take.

    Parameters
    ----------
    X : rows of any kind

    Returns
    -------
    X : rows
        A Table for a RecordBatch and a ChunkedArray for an Array, without a copy;
        anything else is returned as it is.
    """
    pyarrow = sys.modules.get("pyarrow")
    if pyarrow is None:
        return X
    if isinstance(X, pyarrow.RecordBatch):
        return pyarrow.Table.from_batches([X])
    return pyarrow.chunked_array([X]) if isinstance(X, pyarrow.Array) else X


def take_table_rows(X: Any, rows: slice | np.ndarray) -> Any:
    """Take rows by position, for tables of another library than pandas."""
    return wrap(X)[rows].to_native()


def column_names(X: Any) -> list[Any] | None:
    """Get the names of the columns; None for rows without names."""
    if not is_table(X):
        return None
    return list(X.columns if isinstance(X, pd.DataFrame) else wrap(X).columns)


def take_columns(X: Any, names: Sequence[Any]) -> Any:
    """Take columns of a DataFrame by unique names."""
    if hasattr(X, "iloc"):
        return X[list(names)]
    return wrap(X).select(*names).to_native()


def columns_of(X: Any) -> Iterator[Any]:
    """Yield each column of a DataFrame as a Series of its library."""
    if hasattr(X, "iloc"):
        yield from (X.iloc[:, k] for k in range(X.shape[1]))
    else:
        yield from (column.to_native() for column in wrap(X).iter_columns())


def order_of_labels(index: pd.Index, other: pd.Index) -> np.ndarray | None:
    """Positions in `other` of the labels of `index`; None unless both hold the same."""
    if not (index.is_unique and other.is_unique and len(index) == len(other)):
        return None
    if index.nlevels != other.nlevels:
        index, other = index.to_flat_index(), other.to_flat_index()
    try:
        positions = other.get_indexer(index)
    except TypeError:  # labels that cannot be compared
        return None
    return None if (positions < 0).any() else positions


def as_pandas(X: Any, index: Any = None) -> Any:
    """Convert a DataFrame or a Series of another library, without its dependencies."""
    wrapped = wrap(X)
    if isinstance(wrapped, nw.Series):
        return pd.Series(_values(wrapped), index=index)
    return pd.DataFrame({c.name: _values(c) for c in wrapped.iter_columns()}, index)


def _values(column: Any) -> Any:
    """Values of a narwhals Series: numbers as an array, others as a list."""
    kind = column.dtype
    as_numbers = kind.is_numeric() or kind == nw.Boolean or kind.is_temporal()
    return column.to_numpy() if as_numbers else column.to_list()


# -- cells, named in errors ---------------------------------------------------------


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
