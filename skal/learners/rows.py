"""Rows of whatever holds data: taken and stacked, without losing its kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch

from skal.rows import take_rows

__all__ = ["as_array", "row_shape", "stack_rows", "take_row", "take_rows"]

_NUMBERS = "biuf"


def take_row(X: Any, index: int) -> Any:
    """Take one row as `X` gives a single row: one dimension less where it can."""
    # A dok_matrix is a dict, so sparse comes first, here and below.
    if sp.issparse(X):
        return X.tocsr()[[index]]
    if isinstance(X, Mapping):
        return {key: take_row(value, index) for key, value in X.items()}
    return X.iloc[index] if hasattr(X, "iloc") else X[index]


def as_array(X: Any) -> Any:
    """Give `X` as ndarray, or as csr_matrix if it is sparse."""
    if sp.issparse(X):
        return sp.csr_matrix(X)
    if isinstance(X, torch.Tensor):
        return X.detach().cpu().numpy()
    return np.asarray(X)


def row_shape(X: Any) -> tuple[int, ...]:
    """Shape of one row: (n_features,) of a table, () of labels."""
    if hasattr(X, "shape"):
        return tuple(X.shape[1:])
    return np.shape(X[0]) if len(X) else ()


def stack_rows(old: Any, new: Any, name: str = "X") -> Any:
    """Put new rows under old ones; the result is of the kind and type of `old`.

    Parameters
    ----------
    old : array, DataFrame, Series, sparse matrix, tensor, list or dict of these
    new : any of these
        Converted to the kind of `old`. A DataFrame's columns are matched by name.
    name : str
        What the rows are called in an error.

    Returns
    -------
    stacked : as `old`
        Floating-point data keep their type (float32 stays float32 under float64
        rows); integers are promoted only if the new rows hold fractions or larger
        numbers.

    Raises
    ------
    ValueError
        If rows differ in shape, columns are missing, or numbers meet strings.
    """
    if isinstance(old, Mapping) and not sp.issparse(old):
        if not isinstance(new, Mapping) or set(old) != set(new):
            got = sorted(map(str, new)) if isinstance(new, Mapping) else type(new)
            raise ValueError(
                f"{name} must be a dict with the keys {sorted(map(str, old))}, "
                f"got {got}."
            )
        return {key: stack_rows(old[key], new[key], f"{name}[{key!r}]") for key in old}
    new = _as_dimensions_of(old, new)
    if row_shape(old) != row_shape(new):
        raise ValueError(
            f"{name} has rows of shape {row_shape(new)}, but the training data have "
            f"rows of shape {row_shape(old)}."
        )
    if sp.issparse(old):
        added = sp.csr_matrix(new if sp.issparse(new) else as_array(new))
        dtype = _joint_dtype(old.dtype, added.data, name)
        return sp.vstack((old, added.astype(dtype)), format=old.format, dtype=dtype)
    if isinstance(old, torch.Tensor):
        return _stack_tensors(old.detach(), new)
    if isinstance(old, pd.DataFrame):
        return _stack_frames(old, new, name)
    if isinstance(old, pd.Series):
        return _stack_series(old, new, name)
    if isinstance(old, list | tuple):
        new = new if isinstance(new, list | tuple) else _dense(new).tolist()
        if isinstance(old[0], str) != isinstance(new[0], str):
            raise ValueError(
                f"{name} holds {type(new[0]).__name__}, but the training data so far "
                f"hold {type(old[0]).__name__}: numbers and strings do not mix."
            )
        return [*old, *new]
    old, new = np.asarray(old), _dense(new)
    dtype = _joint_dtype(old.dtype, new, name)
    return np.concatenate((old, new.astype(dtype, copy=False)), dtype=dtype)


def _dense(X: Any) -> np.ndarray:
    return np.asarray(X.toarray() if sp.issparse(X) else as_array(X))


def _as_dimensions_of(old: Any, new: Any) -> Any:
    """Let a target column (n, 1) and a target vector (n,) go together."""
    shapes = row_shape(old), row_shape(new)
    if shapes == ((), (1,)):
        return new.iloc[:, 0] if isinstance(new, pd.DataFrame) else _dense(new)[:, 0]
    if shapes == ((1,), ()) and not isinstance(old, list | tuple):
        return _dense(new)[:, None]
    return new


def _joint_dtype(old: np.dtype, new: np.ndarray, name: str) -> np.dtype:
    """Type of the data so far, unless it cannot hold the new values."""
    if old == new.dtype:
        return old
    if {old.kind, new.dtype.kind} & set("US") and {old.kind, new.dtype.kind} & set(
        _NUMBERS
    ):
        raise ValueError(
            f"{name} is of type {new.dtype}, but the training data so far are of type "
            f"{old}: numbers and strings do not mix."
        )
    if old.kind in _NUMBERS and new.dtype.kind in _NUMBERS:
        if old.kind == "f":
            return old
        with np.errstate(invalid="ignore"):
            if np.array_equal(new.astype(old), new):
                return old
    return np.result_type(old, new.dtype)


def _stack_tensors(old: torch.Tensor, new: Any) -> torch.Tensor:
    if not isinstance(new, torch.Tensor):
        new = torch.tensor(_dense(new))
    new = new.detach().to(old.device)
    if old.dtype == new.dtype or old.is_floating_point():
        return torch.cat((old, new.to(old.dtype)))
    kept = new.to(old.dtype)
    return torch.cat((old, kept if torch.equal(kept.to(new.dtype), new) else new))


def _stack_series(old: pd.Series, new: Any, name: str) -> pd.Series:
    if not isinstance(new, pd.Series):
        # The type is left to pandas: a list of strings becomes what `old` is.
        new = pd.Series(new if isinstance(new, list | tuple) else _dense(new))
    numeric = [pd.api.types.is_numeric_dtype(s) for s in (old, new)]
    if any(numeric) and any(
        pd.api.types.is_string_dtype(s)
        for s, is_number in zip((old, new), numeric, strict=True)
        if not is_number
    ):
        raise ValueError(
            f"{name} is of type {new.dtype}, but the training data so far are of type "
            f"{old.dtype}: numbers and strings do not mix."
        )
    if isinstance(old.dtype, np.dtype) and isinstance(new.dtype, np.dtype):
        new = new.astype(_joint_dtype(old.dtype, new.to_numpy(), name))
    return pd.concat([old, new.rename(old.name)])


def _stack_frames(old: pd.DataFrame, new: Any, name: str) -> pd.DataFrame:
    if not isinstance(new, pd.DataFrame):
        new = pd.DataFrame(_dense(new), columns=old.columns).infer_objects()
    if list(new.columns) != list(old.columns):
        missing = [c for c in old.columns if c not in new.columns]
        unknown = [c for c in new.columns if c not in old.columns]
        if missing or unknown or not old.columns.is_unique:
            raise ValueError(
                f"The columns of {name} differ from those of the training data: "
                f"missing {missing}, unknown {unknown}."
            )
    if not old.columns.is_unique:
        return pd.concat([old, new])
    stacked = {c: _stack_series(old[c], new[c], f"{name}[{c!r}]") for c in old.columns}
    index = old.index.append(new.index)
    # Built by position: an index that repeats a label cannot be aligned by it.
    data = {c: s.set_axis(range(len(index))) for c, s in stacked.items()}
    frame = pd.DataFrame(data, index=range(len(index))).set_axis(index, axis=0)
    return frame.set_axis(old.columns, axis=1)
