"""Rows of any container, read in blocks as a fitted estimator sees them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn import get_config
from torch.utils.data import Dataset, Subset

__all__ = ["ChainedRows", "Rows", "n_rows", "take_rows", "take_slice"]

#: Rows to a block where their size in bytes cannot be told beforehand.
_DEFAULT_BLOCK = 4096


def n_rows(X: Any) -> int:
    """Count the rows of an array, table, sparse matrix, tensor, list, dict or Dataset.

    Raises
    ------
    ValueError
        If the entries of a dict differ in length.
    TypeError
        If `X` has no rows, as a number has none.
    """
    # A dok_matrix is a dict, so sparse comes first, here and below.
    if isinstance(X, Mapping) and not sparse.issparse(X):
        lengths = {key: n_rows(value) for key, value in X.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"The entries of the dict differ in length: {lengths}.")
        return next(iter(lengths.values()), 0)
    shape = getattr(X, "shape", None)
    if shape is not None:
        if len(shape) == 0:
            raise TypeError(f"Rows were expected, got the single value {X!r}.")
        return int(shape[0])
    return len(X)


def take_slice(X: Any, rows: slice) -> Any:
    """Take consecutive rows of any container, without a copy where it can be had."""
    if isinstance(X, Mapping) and not sparse.issparse(X):
        return {key: take_slice(values, rows) for key, values in X.items()}
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    if isinstance(X, Dataset):
        return Subset(X, range(*rows.indices(len(X))))  # type: ignore[arg-type]
    block = X[rows]
    # A dask array is computed here, and only this part of it.
    return np.asarray(block) if hasattr(block, "compute") else block


def take_rows(X: Any, indices: np.ndarray) -> Any:
    """Take rows by position; the result is of the same kind as `X`.

    Parameters
    ----------
    X : array, DataFrame, Series, sparse matrix, tensor, list, dict of these, Dataset
    indices : ndarray of shape (n,)
        Positions, never labels.
    """
    if sparse.issparse(X):
        return X.tocsr()[indices].asformat(X.format)
    if isinstance(X, Mapping):
        return {key: take_rows(value, indices) for key, value in X.items()}
    if hasattr(X, "iloc"):
        return X.iloc[indices]
    if isinstance(X, torch.Tensor):
        return X[torch.as_tensor(indices, device=X.device)]
    if isinstance(X, list | tuple):
        return [X[i] for i in indices]
    if isinstance(X, Dataset):
        return Subset(X, [int(i) for i in indices])
    return X[indices]


def _row_bytes(X: Any) -> int | None:
    """Bytes of a row once it is dense, or None where that cannot be told."""
    if isinstance(X, Mapping) and not sparse.issparse(X):
        sizes = [_row_bytes(values) for values in X.values()]
        return None if None in sizes else sum(s for s in sizes if s is not None)
    shape = getattr(X, "shape", None)
    if shape is None:
        return None
    return 8 * max(1, int(np.prod(shape[1:])))


def _bad_rows(block: Any) -> np.ndarray | None:
    """Say which rows hold NaN or infinity; None where all are finite."""
    if isinstance(block, Mapping) and not sparse.issparse(block):
        found = [bad for v in block.values() if (bad := _bad_rows(v)) is not None]
        return np.logical_or.reduce(found) if found else None
    if sparse.issparse(block):
        if block.dtype.kind not in "fc" or np.isfinite(block.data).all():
            return None
        coo = block.tocoo()
        bad = np.zeros(block.shape[0], dtype=bool)
        bad[coo.row[~np.isfinite(coo.data)]] = True
        return bad
    if isinstance(block, torch.Tensor):
        # numpy knows no bfloat16
        floating = block.is_floating_point()
        block = block.detach().double().cpu().numpy() if floating else None
    elif hasattr(block, "columns"):
        found = [
            bad
            for name in range(block.shape[1])
            if (bad := _bad_rows(block.iloc[:, name])) is not None
        ]
        return np.logical_or.reduce(found) if found else None
    elif hasattr(block, "to_numpy"):
        block = _as_floats(block)
    elif isinstance(block, list) and block and isinstance(block[0], (list, np.ndarray)):
        block = np.asarray(block)
    if isinstance(block, np.ndarray) and block.dtype.kind == "O":
        block = _as_floats(block)
    if not isinstance(block, np.ndarray) or block.dtype.kind not in "fc":
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(block.sum()):  # one read, no temporary
            return None
    finite = np.isfinite(block.reshape(len(block), -1)).all(axis=1)
    return None if finite.all() else np.logical_not(finite)


def _as_floats(values: Any) -> np.ndarray | None:
    """Give an object array, or a Series of any type, as floats; None if it is text."""
    try:
        if hasattr(values, "to_numpy"):
            return values.to_numpy(dtype=float, na_value=np.nan)
        return values.astype(float)
    except (TypeError, ValueError):
        return None


class Rows:
    """The rows of a container, seen through fitted transformers, block by block.

    Parameters
    ----------
    X : ndarray, memmap, sparse matrix, DataFrame, tensor, list, dict, Dataset or dask \
array
        Anything with rows.
    transformers : sequence of fitted transformers
        Applied to each block in turn, as a `Pipeline` does.
    allow_nan : bool
        Whether the estimator that reads the blocks takes NaN.
    name : str
        What the rows are called in an error.

    Notes
    -----
    A block holds about a sixteenth of scikit-learn's ``working_memory`` (64 MiB by
    default), so ``sklearn.config_context(working_memory=...)`` bounds the memory.
    """

    def __init__(
        self,
        X: Any,
        transformers: Sequence[Any] = (),
        *,
        allow_nan: bool = False,
        name: str = "the pool",
    ) -> None:
        if sparse.issparse(X) and X.format not in ("csr", "csc"):
            X = X.tocsr()
        self.X = X
        self.transformers = tuple(transformers)
        self.allow_nan = allow_nan
        self.name = name
        self._n = n_rows(X)

    def __len__(self) -> int:
        return self._n

    @property
    def block_size(self) -> int:
        """Rows to a block."""
        size = _row_bytes(self.X)
        if size is None:
            return _DEFAULT_BLOCK
        memory = get_config()["working_memory"] * 2**20 / 16
        return max(1, int(memory // size))

    def _read(self, rows: slice) -> Any:
        block = take_slice(self.X, rows)
        if self.transformers and isinstance(block, torch.Tensor):
            block = block.detach().cpu().numpy()
        for transformer in self.transformers:
            block = transformer.transform(block)
        return block

    def blocks(self) -> Iterator[tuple[slice, Any]]:
        """Yield ``(slice, rows)`` in order.

        Raises
        ------
        ValueError
            If a row has NaN or infinity; the message counts such rows and names the
            first.
        """
        size = self.block_size
        for start in range(0, self._n, size):
            rows = slice(start, min(start + size, self._n))
            block = self._read(rows)
            if not self.allow_nan and _bad_rows(block) is not None:
                self._raise_not_finite()
            yield rows, block

    def check_finite(self) -> None:
        """Read everything once; raise what `blocks` raises."""
        for _ in self.blocks():
            pass

    def _raise_not_finite(self) -> None:
        size, count, first = self.block_size, 0, -1
        for start in range(0, self._n, size):
            bad = _bad_rows(self._read(slice(start, min(start + size, self._n))))
            if bad is not None:
                first = start + int(bad.argmax()) if first < 0 else first
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

    def blocks(self) -> Iterator[tuple[slice, Any]]:
        """Yield ``(slice, rows)`` in order; see `Rows.blocks`."""
        first = 0
        for part in self.parts:
            for rows, block in part.blocks():
                yield slice(first + rows.start, first + rows.stop), block
            first += len(part)
