"""Datasets and batches: arrays are sliced, where a DataLoader collates row by row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy import sparse
from skorch.dataset import Dataset, unpack_data
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    RandomSampler,
    Subset,
    SubsetRandomSampler,
    WeightedRandomSampler,
    default_collate,
)

__all__ = [
    "STABLE_ROWS",
    "ArrayDataset",
    "Batch",
    "BatchOrder",
    "Batches",
    "TargetDataset",
    "array_source",
    "first_rows",
    "make_iterator",
    "refuse_shuffling",
    "refuse_weights",
]

# Tables are predicted in batches of this many rows, or fewer if they are wide: larger
# batches do not pay, and activations stay small. Images keep the net's batch size.
_PREDICT_ROWS, _PREDICT_ELEMENTS = 4096, 2**20

# With few rows, matrix products take other code paths and round differently. Tables
# are padded to this many rows, so that the prediction of a row does not depend on the
# number of rows.
STABLE_ROWS = 32

# Stands for a missing y, as in skorch's own Dataset.
_NO_TARGET = torch.zeros(1)


# -- datasets -------------------------------------------------------------------------


class Batch(tuple[Any, Tensor]):
    """A pair (X, y), as skorch expects it, that also knows its rows.

    Parameters
    ----------
    pair : iterable of X and y
    rows : slice or ndarray of int, optional
        Positions of the rows in the training set.
    sample_weight : Tensor of shape (b,), optional
    """

    rows: Any
    sample_weight: Tensor | None

    def __new__(
        cls, pair: Any, rows: Any = None, sample_weight: Tensor | None = None
    ) -> Batch:
        """Make a pair of X and y; a tuple takes its items here."""
        batch = super().__new__(cls, pair)
        batch.rows, batch.sample_weight = rows, sample_weight
        return batch


class ArrayDataset(Dataset):
    """Validated arrays, read batch by batch.

    Parameters
    ----------
    X : ndarray, Tensor, csr_matrix, or dict or tuple of these
        m rows.
    y : ndarray of shape (m,) or (m, n_targets), optional
    sample_weight : ndarray of shape (m,), optional
    """

    def __init__(
        self, X: Any, y: Any = None, sample_weight: np.ndarray | None = None
    ) -> None:
        super().__init__(X, y)
        self.sample_weight = sample_weight

    def batch(self, rows: slice | np.ndarray) -> Batch:
        """Get some rows as tensors."""
        y = _NO_TARGET if self.y is None else _take(self.y, rows)
        weight = self.sample_weight
        return Batch(
            (_take(self.X, rows), y),
            rows,
            None if weight is None else _take(weight, rows),
        )


def _take(data: Any, rows: slice | np.ndarray) -> Any:
    """Get rows as tensors, sparse rows as dense ones."""
    if isinstance(data, Mapping):
        return {name: _take(part, rows) for name, part in data.items()}
    if isinstance(data, tuple):
        return tuple(_take(part, rows) for part in data)
    if isinstance(data, Tensor):
        return data[rows]
    if sparse.issparse(data):
        return torch.from_numpy(data[rows].toarray())
    taken = data[rows]
    # A tensor cannot have negative strides, and torch warns of read-only memory.
    shareable = taken.flags.c_contiguous and taken.flags.writeable
    if not shareable or min(taken.strides) < 0:
        taken = taken.copy(order="C")
    return torch.from_numpy(taken)


class TargetDataset(torch.utils.data.Dataset):
    """The user's Dataset with its targets replaced by encoded ones.

    Parameters
    ----------
    dataset : Dataset
        m rows.
    y : ndarray of shape (m,) or (m, n_targets)
    """

    def __init__(self, dataset: Any, y: np.ndarray) -> None:
        self.dataset = dataset
        self.targets = y

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, i: int) -> tuple[Any, Any]:
        return self.dataset[i][0], self.targets[i]


def array_source(dataset: Any) -> tuple[ArrayDataset, np.ndarray | None] | None:
    """Find the arrays behind a dataset.

    Parameters
    ----------
    dataset : Dataset
        Possibly a subset of a subset.

    Returns
    -------
    source : tuple of ArrayDataset and ndarray of int, or None
        The arrays and the selected rows (None for all rows); None if the dataset
        does not hold arrays.
    """
    if isinstance(dataset, Subset):
        found = array_source(dataset.dataset)
        if found is None:
            return None
        arrays, rows = found
        subset = np.asarray(dataset.indices)
        return arrays, subset if rows is None else rows[subset]
    return (dataset, None) if isinstance(dataset, ArrayDataset) else None


def first_rows(dataset: Any, collate: Any = None) -> Any:
    """Get X of the first two rows of a dataset, as in a training batch.

    Parameters
    ----------
    dataset : Dataset
        Holds pairs (X, y).
    collate : callable, optional
        Makes a batch of a list of pairs. By default, arrays are sliced and other rows
        collated by torch.

    Returns
    -------
    X : Tensor of shape (2, ...), or dict or tuple of tensors
        One row if the dataset has only one.
    """
    n_rows = min(2, len(dataset))
    source = array_source(dataset)
    if source is not None and collate is None:
        arrays, rows = source
        return arrays.batch(np.arange(n_rows) if rows is None else rows[:n_rows])[0]
    pairs = [dataset[i] for i in range(n_rows)]
    return unpack_data((collate or default_collate)(pairs))[0]


# -- batches --------------------------------------------------------------------------


class BatchOrder:
    """Row numbers of each batch; can be the ``batch_sampler`` of a DataLoader.

    Parameters
    ----------
    n_rows, batch_size : int
    shuffle : bool, default=False
        Whether each pass has a new order, drawn from torch's global generator, which
        the nets seed while they train.
    drop_last : bool, default=False
        Whether to omit an incomplete last batch, unless it is the only one.
    merge_single : bool, default=False
        Whether a last batch of a single row is merged into the batch before it, since
        BatchNorm cannot train on one row.

    Examples
    --------
    >>> from skal.nets.data import BatchOrder
    >>> [list(rows) for rows in BatchOrder(5, 2, merge_single=True)]
    [[0, 1], [2, 3, 4]]
    """

    def __init__(
        self,
        n_rows: int,
        batch_size: int,
        shuffle: bool = False,
        drop_last: bool = False,
        merge_single: bool = False,
    ) -> None:
        if batch_size < 1:
            raise ValueError(
                f"batch_size must be at least 1, or -1 for all rows, got {batch_size}."
            )
        self.n_rows = n_rows
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.n_full, rest = divmod(n_rows, batch_size)
        self.merges = merge_single and not drop_last and rest == 1 and self.n_full > 0
        partial = rest > 0 and not self.merges and not (drop_last and self.n_full > 0)
        self.n_batches = self.n_full + partial

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[Sequence[int]]:
        order: Sequence[int] = range(self.n_rows)
        if self.shuffle:
            order = torch.randperm(self.n_rows).tolist()
        for i in range(self.n_batches):
            start, stop = i * self.batch_size, (i + 1) * self.batch_size
            if self.merges and i == self.n_batches - 1:
                stop += 1
            yield order[start:stop]


class Batches:
    """Iterates over batches of arrays in a given order.

    Parameters
    ----------
    dataset : ArrayDataset
    rows : ndarray of int, optional
        Rows of the dataset to use; all by default.
    order : BatchOrder
    """

    def __init__(
        self, dataset: ArrayDataset, rows: np.ndarray | None, order: BatchOrder
    ) -> None:
        self.dataset = dataset
        self.rows = rows
        self.order = order

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.order:
            if isinstance(batch, range):
                picked: Any = slice(batch.start, batch.stop)
            else:
                picked = np.asarray(batch)
            yield self.dataset.batch(picked if self.rows is None else self.rows[picked])


def make_iterator(
    dataset: Any, batch_size: int, training: bool, options: dict[str, Any]
) -> Any:
    """Make an iterator over batches: by slicing if possible, else a DataLoader.

    Parameters
    ----------
    dataset : Dataset
    batch_size : int
        Batch size of the net; -1 for all rows.
    training : bool
        Whether to shuffle and to avoid a batch of a single row. Otherwise tables are
        read in larger batches.
    options : dict
        The user's parameters of the DataLoader. All but batch_size, shuffle and
        drop_last require a DataLoader.

    Returns
    -------
    iterator : iterable of (X, y)

    Raises
    ------
    ValueError
        If predictions would be out of order or incomplete, or a DataLoader would
        lose the weights of the rows.
    """
    options = dict(options)
    shuffle = options.pop("shuffle", training)
    drop_last = options.pop("drop_last", False)
    if not training and (shuffle or drop_last):
        raise ValueError(
            "Predictions must be complete and in the order of X: do not set "
            "iterator_valid__shuffle or iterator_valid__drop_last."
        )
    source = array_source(dataset)
    if options.keys() - {"batch_size"}:
        refuse_weights(dataset)
        source = None
    if source is not None and not training:
        batch_size = _prediction_batch_size(batch_size, source[0].X)
    batch_size = options.pop("batch_size", batch_size)
    n_rows = len(dataset)
    order = BatchOrder(
        n_rows,
        n_rows if batch_size == -1 else batch_size,
        shuffle,
        drop_last,
        merge_single=training,
    )
    if source is not None:
        return Batches(*source, order)
    if not training:  # by default a DataLoader draws from torch's global generator
        options.setdefault("generator", torch.Generator())
    return DataLoader(dataset, batch_sampler=order, **options)  # type: ignore[arg-type]


def _prediction_batch_size(batch_size: int, X: Any) -> int:
    shape: tuple[int, ...] = getattr(X, "shape", ())
    if batch_size == -1 or len(shape) != 2:
        return batch_size
    fitting = _PREDICT_ELEMENTS // max(shape[1], 1)
    return max(batch_size, STABLE_ROWS, min(_PREDICT_ROWS, fitting))


def refuse_weights(dataset: Any) -> None:
    """Raise ValueError if the dataset has weights, which a DataLoader would lose."""
    source = array_source(dataset)
    if source is not None and source[0].sample_weight is not None:
        raise ValueError(
            "sample_weight requires the default iterator and its default options."
        )


def refuse_shuffling(iterator: Any) -> Any:
    """Return the iterator; raise ValueError if its sampler shuffles."""
    random = (RandomSampler, SubsetRandomSampler, WeightedRandomSampler)
    if isinstance(getattr(iterator, "sampler", None), random):
        raise ValueError(
            "The validation iterator shuffles, so predictions would not be in the "
            "order of X; set iterator_valid to an iterator that does not shuffle."
        )
    return iterator
