"""Rows of any container as a DataFrame of pandas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from skal._tables import as_pandas, is_other_table

__all__ = ["as_frame", "columns_of_frame", "has_names"]


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
