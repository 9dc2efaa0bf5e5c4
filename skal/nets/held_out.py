"""Validation rows: those that are not taken from the training rows, or are missing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from skorch.dataset import Dataset
from skorch.utils import data_from_dataset, is_dataset
from torch.utils.data import IterableDataset, Subset, TensorDataset

from skal.nets.data import ArrayDataset
from skal.rows import take_rows

__all__ = ["EncodedStream", "held_out_arrays", "is_taken_from", "missing_score"]


def is_taken_from(dataset: Any, source: Any) -> bool:
    """Whether the rows of a dataset are those of another one.

    Parameters
    ----------
    dataset : Dataset
    source : Dataset

    Returns
    -------
    taken : bool
        True for `source` itself, and for subsets, concatenations and other datasets
        that have it, or what it is a subset of, among their attributes.
    """
    origins = [source]
    while isinstance(origins[-1], Subset):
        origins.append(origins[-1].dataset)
    waiting, seen = [dataset], set()
    while waiting:
        part = waiting.pop()
        if any(part is origin for origin in origins):
            return True
        if id(part) in seen:
            continue
        seen.add(id(part))
        for value in vars(part).values() if is_dataset(part) else ():
            items = value if isinstance(value, list | tuple) else [value]
            waiting.extend(item for item in items if is_dataset(item))
    return False


def held_out_arrays(dataset: Any) -> tuple[Any, Any] | None:
    """Get X and y of a dataset of arrays; None if it makes its rows itself."""
    root, chosen = dataset, []
    while type(root) is Subset:
        chosen.append(np.asarray(root.indices))
        root = root.dataset
    if type(root) not in (ArrayDataset, Dataset, TensorDataset):
        return None
    try:
        X, y = data_from_dataset(root)
    except AttributeError:  # a TensorDataset of more than X and y
        return None
    for rows in reversed(chosen):
        several = isinstance(X, tuple)
        X = tuple(take_rows(x, rows) for x in X) if several else take_rows(X, rows)
        y = None if y is None else take_rows(y, rows)
    return X, y


class EncodedStream(IterableDataset):
    """A dataset that can only be iterated over, with its targets encoded.

    Parameters
    ----------
    dataset : IterableDataset
        Yields pairs (X, y) of single rows.
    encode : callable
        Maps an array of targets to an encoded one.
    """

    def __init__(
        self, dataset: Any, encode: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        self.dataset = dataset
        self.encode = encode

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        for X, y in self.dataset:
            yield X, self.encode(np.asarray(y)[None])[0]


_MISSING = re.compile(r"Key '(valid_\w+)' was not found in history")


def missing_score(error: Exception) -> str | None:
    """Get the name of the score of validation rows that a callback asked for in vain.

    Parameters
    ----------
    error : Exception
        Raised by skorch's history, or by a callback of skorch in its place.
    """
    found = _MISSING.search(str(error))
    return found[1] if found else None
