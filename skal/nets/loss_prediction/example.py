"""A few rows, on which a module is run to see what it does."""

from __future__ import annotations

from typing import Any

import numpy as np
from skorch.dataset import unpack_data
from torch.utils.data import default_collate

from skal.nets.batching import array_source

__all__ = ["first_rows"]


def first_rows(dataset: Any, collate: Any = None) -> Any:
    """X of the first two rows of a dataset, as a batch of training has it.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        Of pairs (X, y).
    collate : callable, optional
        Makes a batch of rows; by default torch's, or slices of arrays.

    Returns
    -------
    batch : Tensor of shape (2, ...), or dict or tuple of tensors
        One row, if there are no more.
    """
    n_rows = min(2, len(dataset))
    source = array_source(dataset)
    if source is not None and collate is None:
        arrays, rows = source
        return arrays.batch(np.arange(n_rows) if rows is None else rows[:n_rows])[0]
    pairs = [dataset[i] for i in range(n_rows)]
    return unpack_data((collate or default_collate)(pairs))[0]
