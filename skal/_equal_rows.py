"""Which rows of a container are equal, and which of them is taken."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from torch.utils.data import Dataset

from skal._tables import as_pandas, is_other_table
from skal.rows import (
    array_if_tensor,
    arrays_in,
    as_dense,
    dataset_inputs,
    in_memory,
    n_rows,
)

__all__ = ["any_of_equal", "row_codes", "without_order"]

#: Bytes of rows that are hashed together.
_BLOCK = 1 << 24


def row_codes(X: Any) -> np.ndarray:
    """Assign numbers to rows, such that equal rows have the same number.

    Parameters
    ----------
    X : container of m rows

    Returns
    -------
    codes : ndarray of shape (m,), int64
        In arrays, 0.0 equals -0.0, and NaN equals NaN.

    Notes
    -----
    Rows are compared by a hash of 64 bits, sparse rows by two sums with random weights;
    two different rows of a million agree with a probability of 3e-8.

    Examples
    --------
    >>> import numpy as np
    >>> from skal._equal_rows import row_codes
    >>> one, two, same = row_codes(np.array([[2.0, 0.0], [1.0, 0.0], [2.0, -0.0]]))
    >>> bool(one == same), bool(one == two)
    (True, False)
    """
    if isinstance(X, Mapping) and not sparse.issparse(X):
        return _hashes(np.column_stack([row_codes(values) for values in X.values()]))
    if isinstance(X, Dataset):
        return row_codes(dataset_inputs(X))
    if is_other_table(X):
        X = as_pandas(X)
    if hasattr(X, "iloc"):
        return _table_codes(X)
    if sparse.issparse(X):
        return _hashes(_sums(X))
    if isinstance(X, list | tuple):
        X = arrays_in(X)
        if not all(np.ndim(row) for row in X):
            return pd.factorize(np.array(X, dtype=object), use_na_sentinel=False)[0]
    try:
        values = as_dense(array_if_tensor(X))
    except ValueError:  # rows of unequal lengths
        return _cell_codes(X)
    if values.dtype.kind not in "biufcmM" or values.dtype.char in "gG":  # long double
        cells = values.reshape(len(values), -1).astype(object)
        return _table_codes(pd.DataFrame(cells))
    return _hashes(values.reshape(n_rows(values), -1))


def _table_codes(X: Any) -> np.ndarray:
    try:
        return pd.util.hash_pandas_object(X, index=False).to_numpy().view(np.int64)
    except TypeError:  # cells that cannot be hashed
        columns = [X] if X.ndim == 1 else [X.iloc[:, k] for k in range(X.shape[1])]
        return _hashes(np.column_stack([_cell_codes(column) for column in columns]))


def _cell_codes(cells: Iterable[Any]) -> np.ndarray:
    """Assign numbers to cells of any kind, such as lists, the same to equal ones."""
    seen: dict[Any, int] = {}
    return np.array([seen.setdefault(_frozen(cell), len(seen)) for cell in cells])


def _frozen(cell: Any) -> Any:
    """Convert a cell to one that can be hashed; NaN equals NaN."""
    cell = array_if_tensor(cell)
    if isinstance(cell, np.ndarray):
        values: Iterable[Any] = cell.reshape(-1).tolist()
        kind = cell.dtype.kind
        if kind == "O" or (kind == "f" and np.isnan(cell).any()):
            values = map(_frozen, values)
        return cell.shape, tuple(values)
    if isinstance(cell, Mapping):
        return frozenset((key, _frozen(value)) for key, value in cell.items())
    if isinstance(cell, list | tuple):
        return tuple(map(_frozen, cell))
    if isinstance(cell, set):
        return frozenset(cell)
    # One object: another NaN would have another hash.
    return math.nan if isinstance(cell, float) and math.isnan(cell) else cell


def any_of_equal(indices: np.ndarray, X: Any) -> np.ndarray:
    """Replace rows of a container as `without_order` does.

    Rows that are not in memory, as those of a Dataset or a dask array, are kept: they
    would have to be read once more.  So are rows that cannot be compared.
    """
    if not in_memory(X):
        return indices
    try:
        codes = row_codes(X)
    except (TypeError, ValueError):
        return indices
    return without_order(indices, codes)


def without_order(indices: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Replace rows by rows equal to them, which are chosen in a fixed random order.

    The first of several equal rows has no more worth than the last, but their order may
    follow a class or a date.

    Parameters
    ----------
    indices : ndarray of shape (n,)
        Distinct rows in the order picked.
    codes : ndarray of shape (m,)
        Of all rows, as `row_codes` numbers them.

    Returns
    -------
    indices : ndarray of shape (n,)
        Distinct; the first k of them depend on the first k given only.
    """
    wanted = codes[indices]
    among = np.flatnonzero(np.isin(codes, wanted, kind="sort"))
    if len(among) == len(indices):  # no other row equals a picked one
        return indices
    keys = np.random.default_rng(0).random(len(codes))
    among = among[np.lexsort((keys[among], codes[among]))]
    # Of each kind, the j-th row picked becomes its j-th row in the random order.
    by_kind = np.argsort(wanted, kind="stable")
    kinds = wanted[by_kind]
    turn = np.arange(len(kinds)) - np.searchsorted(kinds, kinds)
    result = np.empty_like(indices)
    result[by_kind] = among[np.searchsorted(codes[among], kinds) + turn]
    return result


def _hashes(rows: np.ndarray) -> np.ndarray:
    """Hash the rows of a matrix of numbers, block by block."""
    m, d = rows.shape
    weights = np.random.default_rng(0).integers(1 << 63, size=d, dtype=np.uint64)
    weights = 2 * weights + 1
    hashes = np.zeros(m, dtype=np.uint64)
    step = max(1, _BLOCK // max(1, 8 * d))
    for i in range(0, m, step):
        block = np.ascontiguousarray(rows[i : i + step])
        if block.dtype.kind in "fc":
            block = np.where(np.isnan(block), np.nan, block + 0)  # one NaN, and no -0.0
        mixed = pd.util.hash_array(block.reshape(-1), categorize=False)
        hashes[i : i + step] = (mixed.reshape(block.shape) * weights).sum(axis=1)
    return hashes.view(np.int64)


def _sums(X: Any) -> np.ndarray:
    """Compute sums of each sparse row with random weights, ``(m, 2)``.

    Equal rows are summed in the same order, and have exactly the same sums.
    """
    X = sparse.csr_matrix(X, dtype=np.float64, copy=True)
    X.sum_duplicates()
    X.eliminate_zeros()
    weights = np.random.default_rng(0).uniform(1, 2, size=(X.shape[1], 2))
    return np.asarray(X @ weights)
