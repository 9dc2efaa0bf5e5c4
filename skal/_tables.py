"""Tables with named columns: of pandas, and of polars, pyarrow and others by narwhals.

pandas is handled directly, as narwhals drops its index.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from narwhals.dependencies import (
    is_into_dataframe,
    is_into_series,
    is_polars_lazyframe,
)

__all__ = [
    "as_pandas",
    "column_names",
    "columns_of",
    "is_lazy",
    "is_other_table",
    "is_table",
    "take_columns",
    "take_table_rows",
    "wrap",
]


def is_table(X: Any) -> bool:
    """Whether rows are a DataFrame of any library."""
    return isinstance(X, pd.DataFrame) or bool(is_into_dataframe(X))


def is_other_table(X: Any) -> bool:
    """Whether rows are a DataFrame or a Series of another library than pandas."""
    if hasattr(X, "iloc") or isinstance(X, np.ndarray):
        return False
    return bool(is_into_dataframe(X) or is_into_series(X))


def is_lazy(X: Any) -> bool:
    """Whether rows are a LazyFrame of polars, which does not know its length."""
    return bool(is_polars_lazyframe(X))


def wrap(X: Any) -> Any:
    """Wrap a DataFrame or a Series by narwhals."""
    return nw.from_native(X, eager_only=True, allow_series=True)


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
