"""Rows of any container: counted, taken, converted, and read in blocks.

Containers are ndarrays, memmaps, sparse matrices, DataFrames and Series (of pandas,
polars or pyarrow), tensors, lists, Datasets, dask arrays, and dicts of these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn import get_config
from torch.utils.data import Dataset, Subset

from skal._tables import (
    columns_of,
    is_lazy,
    is_other_table,
    is_table,
    take_table_rows,
    wrap,
)

__all__ = [
    "ChainedRows",
    "Rows",
    "array_if_tensor",
    "as_array",
    "as_dense",
    "copied_rows",
    "dataset_inputs",
    "dense_pieces",
    "find_bad_rows",
    "find_masked_rows",
    "in_memory",
    "n_rows",
    "read_together",
    "row_shape",
    "take_row",
    "take_rows",
    "take_slice",
    "transform_rows",
]

#: Number of rows in a block if their size in bytes is not known beforehand, and in a
#: first block that transformers may make wide.
_DEFAULT_BLOCK, _FIRST_BLOCK = 4096, 512
#: Shares of scikit-learn's ``working_memory`` (1 GiB by default): of a block, and of
#: sparse rows that are made dense at a time.
_BLOCK_SHARE, _DENSE_SHARE = 1 / 16, 1 / 64
#: Products of fewer rows are rounded in other ways.
_SMALLEST_PIECE = 32


def _is_dict(X: Any) -> bool:
    # A dok_matrix is a dict, too.
    return isinstance(X, Mapping) and not sparse.issparse(X)


# -- counting and taking --------------------------------------------------------------


def n_rows(X: Any) -> int:
    """Count the rows of a container.

    Raises
    ------
    ValueError
        If the entries of a dict differ in length.
    TypeError
        If `X` is a single value, has no length, or is a table that is not computed yet.
    """
    if is_lazy(X):
        raise TypeError("Rows were expected, got a lazy table: call collect() first.")
    if _is_dict(X):
        lengths = {key: n_rows(value) for key, value in X.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"The entries of the dict differ in length: {lengths}.")
        return next(iter(lengths.values()), 0)
    shape = getattr(X, "shape", None)
    if shape is not None:
        if len(shape) == 0:
            raise TypeError(f"Rows were expected, got the single value {X!r}.")
        return int(shape[0])
    if hasattr(X, "__len__") and not isinstance(X, str | bytes | Set):
        return len(X)
    rows = np.asarray(X) if hasattr(X, "__array__") else None
    if rows is None or rows.ndim == 0:
        raise TypeError(f"Rows in an order were expected, got {type(X).__name__}.")
    return len(rows)


def row_shape(X: Any) -> tuple[int, ...]:
    """Get the shape of one row: (n_features,) for a table, () for labels."""
    if hasattr(X, "shape"):
        return tuple(X.shape[1:])
    if not len(X):
        return ()
    # A text of pyarrow has a length, and would be taken for a row.
    return np.shape(X[0].as_py() if hasattr(X[0], "as_py") else X[0])


def _is_sparse_tensor(X: Any) -> bool:
    return isinstance(X, torch.Tensor) and X.layout != torch.strided


def in_memory(X: Any) -> bool:
    """Whether all rows are in memory, or mapped into it, so that reading is cheap."""
    if _is_dict(X):
        return all(in_memory(values) for values in X.values())
    known = isinstance(X, np.ndarray | torch.Tensor | list | tuple)
    table = hasattr(X, "iloc") and not hasattr(X, "dask")
    return known or table or sparse.issparse(X) or is_other_table(X)


def take_slice(X: Any, rows: slice) -> Any:
    """Take consecutive rows, as a view where possible."""
    if _is_dict(X):
        return {key: take_slice(values, rows) for key, values in X.items()}
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    if is_other_table(X):
        return take_table_rows(X, rows)
    if isinstance(X, Dataset):
        return Subset(X, range(*rows.indices(len(X))))  # type: ignore[arg-type]
    if _is_sparse_tensor(X):
        return take_rows(X, np.arange(*rows.indices(len(X)))).to_dense()
    block = X[rows]
    # A dask array is computed here, and only this part of it.
    return np.asarray(block) if hasattr(block, "compute") else block


def take_rows(X: Any, indices: np.ndarray) -> Any:
    """Take rows by position; the result is of the same kind as `X`.

    Parameters
    ----------
    X : container
    indices : ndarray of shape (n,)
        Positions, never labels of an index.
    """
    if sparse.issparse(X):
        return X.tocsr()[indices].asformat(X.format)
    if isinstance(X, Mapping):
        return {key: take_rows(value, indices) for key, value in X.items()}
    if hasattr(X, "iloc"):
        return X.iloc[indices]
    if is_other_table(X):
        return take_table_rows(X, np.asarray(indices))
    if _is_sparse_tensor(X):
        return X.to_sparse_coo().index_select(0, torch.as_tensor(indices).to(X.device))
    if isinstance(X, torch.Tensor):
        return X[torch.as_tensor(indices, device=X.device)]
    if isinstance(X, list | tuple):
        return [X[i] for i in indices]
    if isinstance(X, Dataset):
        return Subset(X, [int(i) for i in indices])
    if isinstance(X, np.ndarray) or hasattr(X, "compute"):
        return X[indices]
    # Containers on disk, such as those of h5py, require ascending positions.
    rising, places = np.unique(indices, return_inverse=True)
    return X[rising][places]


def take_row(X: Any, index: int) -> Any:
    """Take one row, without the dimension of the rows where `X` allows it."""
    if sparse.issparse(X):
        return X.tocsr()[[index]]
    if isinstance(X, Mapping):
        return {key: take_row(value, index) for key, value in X.items()}
    if is_other_table(X):
        return take_table_rows(X, np.array([index]))
    return X.iloc[index] if hasattr(X, "iloc") else X[index]


# -- converting -----------------------------------------------------------------------


def array_if_tensor(X: Any) -> Any:
    """Convert a tensor to an ndarray; return anything else as it is.

    The ndarray has no gradient.  Half precision becomes float32, as numpy has no
    bfloat16, and sparse tensors become dense.
    """
    if not isinstance(X, torch.Tensor):
        return X
    X = X.detach().cpu()
    if X.dtype in (torch.bfloat16, torch.float16):
        X = X.float()
    return (X.to_dense() if _is_sparse_tensor(X) else X).numpy()


def copied_rows(X: Any) -> Any:
    """Copy rows, for code that may write into them.

    Transformers with ``copy=False`` do, as may the `predict` of any estimator.  A query
    reads rows several times, and they are the user's.  Datasets and tables that cannot
    be written into are returned as they are.
    """
    if _is_dict(X):
        return {key: copied_rows(values) for key, values in X.items()}
    if isinstance(X, np.memmap):
        return np.array(X)
    if isinstance(X, torch.Tensor):
        return X.clone()
    if type(X) in (list, tuple):  # others may be made of other arguments
        return type(X)(copied_rows(x) if hasattr(x, "shape") else x for x in X)
    if isinstance(X, np.ndarray):
        return X.copy(order="K")  # in another order, sums are rounded otherwise
    is_frame = hasattr(X, "iloc") and not hasattr(X, "dask")
    return X.copy() if sparse.issparse(X) or is_frame else X


def as_dense(X: Any) -> np.ndarray:
    """Convert rows to an ndarray; of a Dataset, its inputs."""
    if isinstance(X, Dataset):  # numpy would put inputs and targets side by side
        X = dataset_inputs(X)
    if isinstance(X, list | tuple):
        X = arrays_in(X)
    return np.asarray(X.toarray() if sparse.issparse(X) else array_if_tensor(X))


def arrays_in(rows: Sequence[Any]) -> list[Any]:
    """Convert tensors in a list, which numpy cannot read if they are on a GPU."""
    return [array_if_tensor(row) for row in rows]


def as_array(X: Any) -> Any:
    """Convert rows to an ndarray, or to a csr_matrix if they are sparse."""
    return sparse.csr_matrix(X) if sparse.issparse(X) else as_dense(X)


def transform_rows(X: Any, transformers: Sequence[Any]) -> Any:
    """Apply fitted transformers in turn; tensors are converted to arrays first."""
    if transformers:
        X = array_if_tensor(X)
    for transformer in transformers:
        X = transformer.transform(X)
    return X


def dataset_inputs(X: Dataset[Any]) -> Any:
    """Read the inputs of a Dataset, row by row.

    Parameters
    ----------
    X : Dataset
        Of inputs, or of tuples that begin with the inputs.

    Returns
    -------
    inputs : ndarray or dict of ndarray
    """
    items = [X[i] for i in range(n_rows(X))]
    rows = [item[0] if isinstance(item, tuple | list) else item for item in items]
    if isinstance(rows[0], Mapping):
        return {key: _stacked([row[key] for row in rows]) for key in rows[0]}
    return _stacked(rows)


def _stacked(rows: list[Any]) -> np.ndarray:
    return np.stack([np.asarray(array_if_tensor(row)) for row in rows])


# -- finite rows ----------------------------------------------------------------------


def find_bad_rows(X: Any, *, allow_nan: bool = False) -> np.ndarray | None:
    """Find the rows that hold NaN, infinity or a masked value.

    Parameters
    ----------
    X : container
        Text, Datasets and rows of unequal length are not searched.
    allow_nan : bool
        Whether NaN does not count.

    Returns
    -------
    bad : bool ndarray of shape (m,) or None
        None if there are no such rows.
    """
    if isinstance(X, np.ma.MaskedArray):
        found = [find_masked_rows(X), find_bad_rows(X.data, allow_nan=allow_nan)]
        return _any_of(found)
    if isinstance(X, np.ndarray) and X.dtype.kind in "fc" and _has_finite_sum(X):
        return None
    is_bad = np.isinf if allow_nan else _is_not_finite
    if _is_dict(X) or is_table(X):
        columns = X.values() if _is_dict(X) else columns_of(X)
        return _any_of([find_bad_rows(c, allow_nan=allow_nan) for c in columns])
    if sparse.issparse(X):
        coo = X.tocoo()
        if coo.dtype.kind not in "fc" or not is_bad(coo.data).any():
            return None
        bad = np.zeros(X.shape[0], dtype=bool)
        bad[coo.row[is_bad(coo.data)]] = True
        return bad
    if isinstance(X, list | tuple):
        # numpy would convert a NaN beside strings to the word 'nan'.
        mask = np.array([isinstance(v, float) and bool(is_bad(v)) for v in X])
        if mask.any():
            return mask
    values = _as_values(X)
    if values is None or values.dtype.kind not in "fc":
        return None
    if _has_finite_sum(values):
        return None
    bad = is_bad(values.reshape(len(values), -1)).any(axis=1)
    return bad if bad.any() else None


def find_masked_rows(X: Any) -> np.ndarray | None:
    """Find the rows that hold a masked value; as `find_bad_rows`.

    Estimators ignore masks, and take what is under them for data.
    """
    if isinstance(X, np.ma.MaskedArray) and np.any(X.mask):
        return np.asarray(np.ma.getmaskarray(X).reshape(len(X), -1).any(axis=1))
    if _is_dict(X):
        return _any_of([find_masked_rows(values) for values in X.values()])
    return None


def _any_of(masks: list[np.ndarray | None]) -> np.ndarray | None:
    found = [mask for mask in masks if mask is not None]
    return np.logical_or.reduce(found) if found else None


def _has_finite_sum(values: np.ndarray) -> bool:
    """Whether all values are finite, in one pass and without a temporary array."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(values.sum()))


def _is_not_finite(values: Any) -> Any:
    return np.logical_not(np.isfinite(values))


def _as_values(X: Any) -> np.ndarray | None:
    """Convert rows to an array to search for NaN; None if there can be none."""
    if isinstance(X, torch.Tensor):
        has_nan = X.is_floating_point() or X.is_complex()
        return array_if_tensor(X) if has_nan and not X.is_meta else None
    try:
        if is_other_table(X):
            column = wrap(X)
            return column.to_numpy() if column.dtype.is_numeric() else None
        if hasattr(X, "to_numpy"):
            if getattr(X.dtype, "kind", None) == "c":
                return X.to_numpy()
            return X.to_numpy(dtype=float, na_value=np.nan)
        if isinstance(X, list | tuple | np.ndarray) or hasattr(X, "compute"):
            X = np.asarray(X)
            return X.astype(float) if X.dtype.kind == "O" else X
    except (TypeError, ValueError):  # text, or rows of unequal length
        pass
    return None


# -- reading in blocks ----------------------------------------------------------------


class Rows:
    """The rows of a container as a fitted estimator sees them, read in blocks.

    Parameters
    ----------
    X : container
    transformers : sequence of fitted transformers
        Applied to each block in turn, as a `Pipeline` does.
    allow_nan : bool
        Whether the estimator that reads the blocks accepts NaN.
    name : str
        What the rows are called in an error.
    width : int, optional
        Number of features after the transformers, as far as it is known.

    Notes
    -----
    A block takes about a sixteenth of scikit-learn's ``working_memory`` (64 MiB by
    default), so ``sklearn.config_context(working_memory=...)`` bounds the memory.
    Transformers may turn one column into many.  After them, the size of a block is
    derived from the memory that the previous block took, where sparse rows count by the
    elements that they store.
    """

    def __init__(
        self,
        X: Any,
        transformers: Sequence[Any] = (),
        *,
        allow_nan: bool = False,
        name: str = "the pool",
        width: int | None = None,
    ) -> None:
        # As in the fits of learners: CatBoost, for one, takes no sparse arrays.
        if sparse.issparse(X):
            is_ready = X.format in ("csr", "csc") and sparse.isspmatrix(X)
            X = X if is_ready else sparse.csr_matrix(X)
        self.X = X
        self.transformers = tuple(transformers)
        self.allow_nan = allow_nan
        self.name = name
        self.width = width
        self._n = n_rows(X)
        self._checked = allow_nan

    def __len__(self) -> int:
        return self._n

    def through(
        self,
        transformers: Sequence[Any],
        *,
        allow_nan: bool,
        width: int | None = None,
    ) -> Rows:
        """Make rows of the same container with further transformers."""
        if not transformers and allow_nan == self.allow_nan:
            return self
        return Rows(
            self.X,
            (*self.transformers, *transformers),
            allow_nan=allow_nan,
            name=self.name,
            width=width if transformers else self.width,
        )

    def first(self, n: int = 1) -> Rows:
        """Make rows of the first `n` alone, without a check for NaN."""
        return Rows(take_slice(self.X, slice(n)), self.transformers, allow_nan=True)

    def take(self, indices: np.ndarray) -> Rows:
        """Make rows of those at some positions, without a check for NaN."""
        return Rows(
            take_rows(self.X, indices),
            self.transformers,
            allow_nan=True,
            name=self.name,
            width=self.width,
        )

    def block_size(self, before: Any = None) -> int:
        """Return the number of rows in the first block, or in that after another."""
        size = _fitting(_row_bytes(self.X))
        if not self.transformers:
            return size
        if before is not None:
            return min(size, _fitting(_row_bytes(before, stored=True)))
        if self.width is None:
            return min(size, _FIRST_BLOCK)
        return min(size, _fitting(8 * max(1, self.width)))

    def read(self, rows: slice) -> Any:
        """Read consecutive rows; raises as `blocks` does."""
        block = copied_rows(take_slice(self.X, rows))
        block = transform_rows(block, self.transformers)
        if not self._checked and find_bad_rows(block) is not None:
            self._raise_not_finite()
        return block

    def blocks(self) -> Iterator[tuple[slice, Any]]:
        """Yield ``(slice, rows)`` in order.

        Raises
        ------
        ValueError
            If a row has NaN or infinity.  The message counts such rows and names the
            first.  Rows are checked the first time that all are read.
        """
        for rows, (block,) in read_together([self]):
            yield rows, block

    def check_finite(self) -> None:
        """Read everything once; raises as `blocks` does."""
        for _ in self.blocks():
            pass

    def _raise_not_finite(self) -> None:
        count, first = 0, -1
        for rows, block in self.through((), allow_nan=True).blocks():
            bad = find_bad_rows(block)
            if bad is not None:
                first = rows.start + int(bad.argmax()) if first < 0 else first
                count += int(bad.sum())
        seen = " after the pipeline's transformers" if self.transformers else ""
        raise ValueError(
            f"{count} of {self._n} rows of {self.name} contain NaN or infinity{seen} "
            f"(the first is row {first}). Impute or drop them, for example with "
            "sklearn.impute.SimpleImputer as a step of the Pipeline."
        )


class ChainedRows(Rows):
    """Rows of several containers, one after the other.

    Parameters
    ----------
    parts : sequence of Rows
    """

    def __init__(self, parts: Sequence[Rows]) -> None:
        self.parts = tuple(parts)
        self.name = self.parts[0].name

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def through(
        self,
        transformers: Sequence[Any],
        *,
        allow_nan: bool,
        width: int | None = None,
    ) -> Rows:
        """Make rows of the same containers with further transformers."""
        return ChainedRows(
            [
                part.through(transformers, allow_nan=allow_nan, width=width)
                for part in self.parts
            ]
        )


def read_together(views: Sequence[Rows]) -> Iterator[tuple[slice, list[Any]]]:
    """Yield ``(slice, blocks)``: the same rows as each of several models sees them.

    Parameters
    ----------
    views : sequence of Rows, or of ChainedRows
        Of the same containers.
    """
    chains = [view.parts for view in views if isinstance(view, ChainedRows)]
    if chains:
        first = 0
        for parts in zip(*chains, strict=True):
            for rows, found in read_together(parts):
                yield slice(first + rows.start, first + rows.stop), found
            first += len(parts[0])
        return
    blocks = [None] * len(views)
    n, start = len(views[0]), 0
    while start < n:
        size = min(v.block_size(last) for v, last in zip(views, blocks, strict=True))
        rows = slice(start, min(start + size, n))
        blocks = [view.read(rows) for view in views]
        start = rows.stop
        yield rows, blocks
    for view in views:
        view._checked = True


def dense_pieces(X: Any) -> Iterator[Any]:
    """Yield sparse rows as dense ones, a small part at a time; others whole."""
    if not sparse.issparse(X):
        yield X
        return
    size = max(_SMALLEST_PIECE, _fitting(_row_bytes(X), _DENSE_SHARE))
    for start in range(0, n_rows(X), size):
        yield take_slice(X, slice(start, start + size)).toarray()


def _fitting(row_bytes: int | None, share: float = _BLOCK_SHARE) -> int:
    """Return how many rows take a share of scikit-learn's ``working_memory``."""
    if row_bytes is None:
        return _DEFAULT_BLOCK
    return max(1, int(get_config()["working_memory"] * 2**20 * share // row_bytes))


def _row_bytes(X: Any, stored: bool = False) -> int | None:
    """Bytes of a dense row, or None if that is not known.

    With `stored`, a sparse row counts by what it stores.
    """
    if _is_dict(X):
        sizes = [_row_bytes(values, stored) for values in X.values()]
        return None if None in sizes else sum(s for s in sizes if s is not None)
    shape = getattr(X, "shape", None)
    if shape is None:
        return None
    if stored and sparse.issparse(X):
        return 8 + int(X.nnz) * (X.dtype.itemsize + 4) // max(1, shape[0])
    return 8 * max(1, int(np.prod(shape[1:])))
