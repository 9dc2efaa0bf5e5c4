"""Validation rows: those that are not taken from the training rows, or are missing."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from skorch.dataset import Dataset
from skorch.utils import data_from_dataset, is_dataset
from torch.utils.data import IterableDataset, Subset, TensorDataset

from skal.nets.data import ArrayDataset
from skal.rows import take_rows

__all__ = [
    "EncodedStream",
    "held_out_arrays",
    "is_taken_from",
    "missing_score",
    "warn_if_in_other_units",
]

#: How far out a quarter of the validation rows must be, in ranges of the training rows.
_FAR = 3


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


def warn_if_in_other_units(training: Any, held_out: Any, stacklevel: int) -> None:
    """Warn if validation rows were not transformed as the training rows were.

    A net within a Pipeline or a TransformedTargetRegressor gets transformed rows to
    train on, and the rows of its own validation set as they are.

    Parameters
    ----------
    training, held_out : Dataset
        Only those of arrays are compared.
    stacklevel : int
        As in `warnings.warn`, called by the caller.
    """
    if type(training) is not ArrayDataset or type(held_out) is not ArrayDataset:
        return
    for name, share in (("X", 0.5), ("y", 0.0)):
        own, other = getattr(training, name), getattr(held_out, name)
        if _share_far(own, other) > share:
            warnings.warn(
                f"{name} of the validation rows of train_split is in other units than "
                "that of the training rows, so that scores of validation mean nothing. "
                "A Pipeline or TransformedTargetRegressor transforms the training rows "
                "alone: transform the validation rows as well, or hold out some of the "
                "training rows by train_split=ValidSplit(5) (from skorch.dataset).",
                UserWarning,
                stacklevel=stacklevel + 1,
            )


def _share_far(own: Any, other: Any) -> float:
    """Share of columns in which many rows are far from the range of the own rows."""
    arrays = (own, other)
    if not all(isinstance(a, np.ndarray) and a.dtype.kind == "f" for a in arrays):
        return 0.0
    own, other = (a.reshape(len(a), -1).astype(np.float64) for a in arrays)
    if own.shape[1] != other.shape[1] or not own.size or not other.size:
        return 0.0
    low, high = own.min(axis=0), own.max(axis=0)
    quarters = np.quantile(other, [0.25, 0.75], axis=0)
    distance = np.abs(quarters - quarters.clip(low, high)).max(axis=0)
    return float(((distance > _FAR * (high - low)) & (high > low)).mean())


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
