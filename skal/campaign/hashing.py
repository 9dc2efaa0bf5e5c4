"""Hashes of rows that stay the same between processes and versions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from torch.utils.data import Dataset

from skal._tables import as_pandas, column_names, is_other_table
from skal.rows import as_dense, dataset_inputs, n_rows, take_slice

__all__ = ["hash_columns", "hash_rows", "hash_texts"]

#: Rows hashed at a time.
_BLOCK = 8192
#: Integers up to this one are equal to a float64.
_EXACT = 2.0**53


def hash_rows(X: Any) -> np.ndarray:
    """Hash each row of a container.

    Parameters
    ----------
    X : rows of any container

    Returns
    -------
    hashes : ndarray of shape (m,), uint64
        Equal for rows with equal cells, whatever the type or the order of the columns
        is: 1 equals 1.0, and a missing value any other.

    Examples
    --------
    >>> import pandas as pd
    >>> from skal.campaign.hashing import hash_rows
    >>> X = pd.DataFrame({"area": [50, 70], "kind": ["flat", None]})
    >>> bool((hash_rows(X) == hash_rows(X[["kind", "area"]].astype(object))).all())
    True
    """
    hashes = np.zeros(n_rows(X), dtype=np.uint64)
    for rows, columns in _blocks(X):
        for name, cells in columns:
            hashes[rows] += _mix(cells ^ name)
    return hashes


def hash_columns(X: Any, keys: np.ndarray) -> dict[str, int] | None:
    """Hash each column of a table.

    Parameters
    ----------
    X : rows
    keys : ndarray of shape (m,), uint64
        Hashes of the ids of the rows. The hash of a column is a sum over the rows, so
        their order does not matter, and that of further rows can be added.

    Returns
    -------
    hashes : dict of str to int
        None if the columns have no names.
    """
    names = column_names(X)
    if names is None:
        return None
    sums = np.zeros(len(names), dtype=np.uint64)
    for rows, columns in _blocks(X):
        mixed = _mix(keys[rows])
        # As arrays, whose sums of 64 bits wrap around.
        sums += [_mix(cells ^ mixed).sum(dtype=np.uint64) for _, cells in columns]
    return {str(name): int(value) for name, value in zip(names, sums, strict=True)}


def hash_texts(texts: list[str]) -> np.ndarray:
    """Hash strings."""
    return np.array([_hash_text(text) for text in texts], dtype=np.uint64)


def _hash_text(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "big")


def _mix(values: np.ndarray) -> np.ndarray:
    """Scramble the bits of integers, by the finalizer of SplitMix64 (Steele, 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _blocks(
    X: Any,
) -> Iterator[tuple[slice, Iterator[tuple[np.uint64, np.ndarray]]]]:
    """Yield blocks of rows, and the hashes of the name and the cells of each column."""
    for start in range(0, n_rows(X), _BLOCK):
        rows = slice(start, min(start + _BLOCK, n_rows(X)))
        yield rows, _columns(take_slice(X, rows))


def _columns(X: Any, prefix: str = "") -> Iterator[tuple[np.uint64, np.ndarray]]:
    if isinstance(X, Dataset):
        X = dataset_inputs(X)
    if isinstance(X, Mapping) and not sparse.issparse(X):
        for key in X:
            yield from _columns(X[key], f"{prefix}{key}/")
        return
    if is_other_table(X):
        X = as_pandas(X)
    if isinstance(X, pd.Series):
        X = X.to_frame()
    if not isinstance(X, pd.DataFrame):
        X = as_dense(X)
        X = X.reshape(len(X), -1)
        for k in range(X.shape[1]):
            yield np.uint64(_hash_text(f"{prefix}{k}")), _hash_cells(pd.Series(X[:, k]))
        return
    for k, name in enumerate(X.columns):
        yield np.uint64(_hash_text(f"{prefix}{name}")), _hash_cells(X.iloc[:, k])


def _hash_cells(column: pd.Series) -> np.ndarray:
    dtype = column.dtype
    if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(
        dtype
    ):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        found = _hash_numbers(values)
        if pd.api.types.is_integer_dtype(dtype):
            for k in np.flatnonzero(np.abs(values) >= _EXACT):
                found[k] = _hash_cell(int(column.iloc[k]))
        return found
    cells = np.asarray(column.astype(object), dtype=object)
    try:
        codes, distinct = pd.factorize(cells)
    except TypeError:  # lists and other cells without a hash
        codes, distinct = np.arange(len(cells)), cells
    hashes = [_hash_cell(cell) for cell in distinct]
    # The last one stands for missing values, whose code is -1.
    missing = int(_hash_numbers(np.array([np.nan]))[0])
    return np.array([*hashes, missing], dtype=np.uint64)[codes]


def _hash_numbers(values: np.ndarray) -> np.ndarray:
    values = np.where(np.isnan(values), np.nan, values + 0.0)  # one NaN, and no -0.0
    return _mix(np.ascontiguousarray(values).view(np.uint64))


def _hash_cell(cell: Any) -> int:
    if isinstance(cell, Integral) and not _is_float(int(cell)):
        return _hash_text(str(int(cell)))
    if isinstance(cell, Real | np.bool_):
        return int(_hash_numbers(np.array([float(cell)]))[0])
    if hasattr(cell, "isoformat"):
        return _hash_text(cell.isoformat())
    return _hash_text(str(cell))


def _is_float(value: int) -> bool:
    try:
        return int(float(value)) == value
    except OverflowError:
        return False
