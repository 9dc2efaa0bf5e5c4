"""Batches of arrays by slicing, where a DataLoader would collate row by row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy import sparse
from skorch.dataset import Dataset
from torch.utils.data import (
    Subset,
)

__all__ = [
    "ArrayDataset",
    "BatchOrder",
    "Batches",
    "TargetDataset",
    "array_source",
]

# Stands for y where there is none, as skorch's own Dataset has it.
NO_TARGET = torch.zeros(1)


def take(data: Any, rows: Any) -> Any:
    """Rows of arrays, tensors, csr matrices, or a dict or tuple of them, as tensors.

    Parameters
    ----------
    data : ndarray, Tensor, csr_matrix, or dict or tuple of these
    rows : slice or ndarray of int

    Returns
    -------
    batch : Tensor, or dict or tuple of tensors
        Sparse rows come dense.
    """
    if isinstance(data, Mapping):
        return {name: take(part, rows) for name, part in data.items()}
    if isinstance(data, tuple):
        return tuple(take(part, rows) for part in data)
    if isinstance(data, torch.Tensor):
        return data[rows]
    if sparse.issparse(data):
        return torch.from_numpy(data[rows].toarray())
    batch = data[rows]
    # A tensor cannot share negative strides, and warns of read-only memory (memmaps).
    plain = batch.flags.c_contiguous and batch.flags.writeable
    if not plain or min(batch.strides) < 0:
        batch = batch.copy(order="C")
    return torch.from_numpy(batch)


class ArrayDataset(Dataset):
    """Arrays that have been checked, to be read by the batch.

    Parameters
    ----------
    X : ndarray, Tensor, csr_matrix, or dict or tuple of these, m rows
    y : ndarray (m,) or (m, n_targets), optional
    sample_weight : ndarray (m,), optional
    """

    def __init__(
        self, X: Any, y: Any = None, sample_weight: np.ndarray | None = None
    ) -> None:
        super().__init__(X, y)
        self.sample_weight = sample_weight

    def batch(self, rows: Any) -> tuple[Any, torch.Tensor]:
        """X and y of the rows as tensors; y carries the rows and their weights."""
        X = take(self.X, rows)
        if self.y is None:
            return X, NO_TARGET
        y = take(self.y, rows)
        # skorch hands (X, y) from the iterator to get_loss and callbacks, nothing else.
        y.rows = rows
        if self.sample_weight is not None:
            y.sample_weight = take(self.sample_weight, rows)
        return X, y


class TargetDataset(torch.utils.data.Dataset):
    """Rows of a user's Dataset with encoded targets in place of its own."""

    def __init__(self, dataset: Any, y: np.ndarray) -> None:
        self.dataset = dataset
        self.targets = y

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, i: int) -> tuple[Any, Any]:
        return self.dataset[i][0], self.targets[i]


Source = tuple[ArrayDataset, np.ndarray | None]


def array_source(dataset: Any) -> Source | None:
    """Arrays under a dataset or a subset of one, and which of their rows it has.

    Returns
    -------
    source : tuple of ArrayDataset and ndarray of int (None for all rows), or None
        None where there are no arrays to slice.
    """
    if isinstance(dataset, Subset):
        found = array_source(dataset.dataset)
        if found is None:
            return None
        arrays, rows = found
        subset = np.asarray(dataset.indices)
        return arrays, subset if rows is None else rows[subset]
    return (dataset, None) if isinstance(dataset, ArrayDataset) else None


class BatchOrder:
    """Which rows each batch has; may serve a DataLoader as its ``batch_sampler``.

    Parameters
    ----------
    n_rows, batch_size : int
    shuffle : bool, default=False
        A new order in each pass, drawn from torch's current generator, which the nets
        seed while they train.
    drop_last : bool, default=False
        Leave out a last batch that is not full, unless it is the only one.
    merge_single : bool, default=False
        A last batch of a single row joins the batch before it: BatchNorm cannot train
        on one row.

    Examples
    --------
    >>> from skal.nets.batching import BatchOrder
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
    """Iterates over (X, y) batches of arrays in a given order.

    Parameters
    ----------
    dataset : ArrayDataset
    rows : ndarray of int, optional
        The rows of the dataset that take part; None for all.
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

    def __iter__(self) -> Iterator[tuple[Any, torch.Tensor]]:
        for batch in self.order:
            if isinstance(batch, range):
                picked: Any = slice(batch.start, batch.stop)
            else:
                picked = np.asarray(batch)
            yield self.dataset.batch(picked if self.rows is None else self.rows[picked])
