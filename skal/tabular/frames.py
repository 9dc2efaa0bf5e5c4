"""Rows of any container as a DataFrame of pandas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils.validation import validate_data

from skal._tables import as_pandas, is_other_table

__all__ = ["as_frame", "check_columns", "columns_of_frame", "has_names"]


def has_names(X: Any) -> bool:
    """Whether the columns have names."""
    return isinstance(X, pd.DataFrame) or is_other_table(X)


def as_frame(X: Any) -> pd.DataFrame:
    """Convert rows to a DataFrame; columns without names are named by position.

    Masked cells are missing.

    Raises
    ------
    ValueError
        If rows are sparse, or an array that has not two dimensions.
    """
    if isinstance(X, pd.DataFrame):
        return X
    if sparse.issparse(X):
        raise ValueError(
            "X is sparse. The columns of a sparse matrix are numbers already: scale "
            "them by sklearn.preprocessing.MaxAbsScaler, or pass X.toarray()."
        )
    if is_other_table(X):
        return as_pandas(X)
    cells = np.asarray(X)
    if isinstance(X, np.ma.MaskedArray) and np.any(X.mask):
        cells = cells.astype(object)
        cells[np.ma.getmaskarray(X)] = None
    if cells.ndim != 2:
        raise ValueError(f"X must have two dimensions, got shape {cells.shape}.")
    return pd.DataFrame(cells).infer_objects()


def columns_of_frame(X: Any) -> Iterator[pd.Series]:
    """Yield the columns of rows of any container."""
    table = as_frame(X)
    return (table.iloc[:, k] for k in range(table.shape[1]))


def check_columns(transformer: Any, X: Any, *, reset: bool) -> None:
    """Note the columns in `fit`, and compare those of other rows with them.

    scikit-learn compares names only if they are strings, and `ColumnTransformer` then
    takes columns by position: others would be taken for them.

    Raises
    ------
    ValueError
        If there are others than in `fit`, or in another order.
    """
    validate_data(transformer, X, reset=reset, skip_check_array=True)
    names = as_frame(X).columns if has_names(X) else None
    if reset:
        transformer.columns_ = names
        return
    known = transformer.columns_
    if names is not None and known is not None and not names.equals(known):
        raise ValueError(
            f"The columns {list(names)} are where {list(known)} were in fit. Columns "
            "whose names are not all strings are taken by position: pass them in the "
            "same order, or name them by strings: X.columns = X.columns.astype(str)."
        )
