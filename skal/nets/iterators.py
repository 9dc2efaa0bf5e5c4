"""Which iterator reads a dataset."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import (
    DataLoader,
    RandomSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from skal.nets.batching import Batches, BatchOrder, array_source

__all__ = ["STABLE_ROWS", "iterate", "refuse_shuffling", "refuse_weights"]

# Rows of a table are predicted this many at a time, of a wide one fewer: more does not
# pay, and the activations stay small. Images keep the batch size of the net.
PREDICT_ROWS, PREDICT_NUMBERS = 4096, 2**20

# Matrix products take other paths for few rows and round otherwise. Tables are padded
# to this many, so that a row's prediction does not depend on the rows beside it.
STABLE_ROWS = 32


def iterate(
    dataset: Any, batch_size: int, training: bool, options: dict[str, Any]
) -> Any:
    """Batches of a dataset: by slicing if it holds arrays, else of a DataLoader.

    Parameters
    ----------
    dataset : Dataset
    batch_size : int
        Of the net; -1 for all rows.
    training : bool
        Shuffles, and lets no batch be of a single row. Otherwise tables are read in
        larger batches.
    options : dict
        Parameters of the DataLoader that the user has set; those other than
        batch_size, shuffle and drop_last need a DataLoader.

    Returns
    -------
    iterator : iterable of (X, y)
    """
    options = dict(options)
    shuffle = options.pop("shuffle", training)
    drop_last = options.pop("drop_last", False)
    if not training and (shuffle or drop_last):
        raise ValueError(
            "Predictions come in the order of the rows, one for each: do not set "
            "iterator_valid__shuffle or iterator_valid__drop_last."
        )
    source = array_source(dataset)
    if options.keys() - {"batch_size"}:  # what only a DataLoader can do
        refuse_weights(dataset)
        source = None
    if source is not None and not training:
        batch_size = predict_batch_size(batch_size, source[0].X)
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
    if not training:  # a DataLoader draws from torch's generator though it need not
        options.setdefault("generator", torch.Generator())
    return DataLoader(dataset, batch_sampler=order, **options)  # type: ignore[arg-type]


def predict_batch_size(batch_size: int, X: Any) -> int:
    """At least the batch size of training, more for tables."""
    shape: tuple[int, ...] = getattr(X, "shape", ())
    if batch_size == -1 or len(shape) != 2:
        return batch_size
    fitting = PREDICT_NUMBERS // max(shape[1], 1)
    return max(batch_size, STABLE_ROWS, min(PREDICT_ROWS, fitting))


def refuse_weights(dataset: Any) -> None:
    """Raise an error where a DataLoader would lose the weights of the rows.

    Raises
    ------
    ValueError
    """
    source = array_source(dataset)
    if source is not None and source[0].sample_weight is not None:
        raise ValueError("sample_weight needs the default iterators and their options.")


def refuse_shuffling(iterator: Any) -> Any:
    """Give the iterator back, unless its sampler draws rows at random.

    Raises
    ------
    ValueError
    """
    random = (RandomSampler, SubsetRandomSampler, WeightedRandomSampler)
    if isinstance(getattr(iterator, "sampler", None), random):
        raise ValueError(
            "The validation iterator shuffles its rows, so that predictions would not "
            "be in the order of X; iterator_valid must not shuffle."
        )
    return iterator
