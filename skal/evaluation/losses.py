"""The loss of each row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from skal._tables import order_of_labels
from skal.rows import as_dense, find_masked_rows
from skal.validation import check_option

__all__ = ["LOSSES", "as_array_of", "matched", "row_losses"]


def _per_row(values: np.ndarray) -> np.ndarray:
    mean: np.ndarray = values.reshape(len(values), -1).mean(axis=1)
    return mean


def _errors(y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    # As floats: differences of small unsigned integers wrap around.
    errors: np.ndarray = predicted.astype(np.float64) - y.astype(np.float64)
    return errors


LOSSES: dict[str, Callable[[Any, Any], np.ndarray]] = {
    "absolute": lambda y, predicted: _per_row(np.abs(_errors(y, predicted))),
    "squared": lambda y, predicted: _per_row(np.square(_errors(y, predicted))),
    "zero_one": lambda y, predicted: _per_row((predicted != y).astype(float)),
}


def as_array_of(values: Any, name: str) -> np.ndarray:
    """Convert values to an array; raises ValueError if some are masked."""
    masked = find_masked_rows(values)
    if masked is not None:
        raise ValueError(
            f"{name} is masked in {int(masked.sum())} of {len(masked)} rows, and what "
            "is under the mask would be taken for data. Leave these rows out."
        )
    return as_dense(values)


def matched(values: Any, other: Any, name: str, other_name: str) -> Any:
    """Put values in the order of others, if both have an index of pandas.

    One that is 0, ..., n - 1 tells nothing, unless the other holds the same labels.

    Raises
    ------
    ValueError
        If the indexes hold different labels.
    """
    kinds = pd.DataFrame | pd.Series
    if not (isinstance(values, kinds) and isinstance(other, kinds)):
        return values
    index, wanted = values.index, other.index
    if index.equals(wanted) or len(index) != len(wanted):
        return values
    order = order_of_labels(wanted, index)
    if order is not None:
        return values.iloc[order]
    if any(pd.RangeIndex(len(i)).equals(i) for i in (index, wanted)):
        return values
    raise ValueError(
        f"The indexes of {name} and {other_name} differ, so it is unknown which belong "
        f"together. Pass {name}.to_numpy() if they are in the same order."
    )


def row_losses(y: Any, predicted: Any, loss: Any) -> np.ndarray:
    """Compute the loss of each row, the mean over outputs.

    Parameters
    ----------
    y, predicted : array-like of shape (n,) or (n, n_outputs)
        Of pandas objects, `predicted` is matched to `y` by index.
    loss : {"absolute", "squared", "zero_one"} or callable
        A callable takes both and returns ``(n,)``.

    Returns
    -------
    losses : float64 ndarray of shape (n,)

    Raises
    ------
    ValueError
        If shapes or indexes differ, labels are missing or masked, texts are compared
        with numbers, or `loss` is unknown or does not return one number per row.

    Examples
    --------
    >>> from skal.evaluation import row_losses
    >>> row_losses(["a", "b"], ["a", "c"], "zero_one")
    array([0., 1.])
    """
    predicted = as_array_of(matched(predicted, y, "predicted", "y"), "predicted")
    y = as_array_of(y, "y")
    missing = np.atleast_1d(pd.isna(y).reshape(len(y), -1).any(axis=1))
    if missing.any():
        raise ValueError(
            f"y has no label in {int(missing.sum())} of {len(y)} rows; the first is "
            f"row {int(missing.argmax())}. Leave these rows out."
        )
    if y.shape != predicted.shape:
        raise ValueError(
            f"Labels have shape {y.shape}, and predictions {predicted.shape}."
        )
    texts = [values.dtype.kind in "US" for values in (y, predicted)]
    if texts[0] != texts[1] and "O" not in (y.dtype.kind, predicted.dtype.kind):
        raise ValueError(
            f"Labels are of type {y.dtype}, and predictions of {predicted.dtype}: none "
            "would be equal. Convert one of them."
        )
    if not callable(loss):
        check_option("loss", loss, list(LOSSES))
    losses = np.asarray((loss if callable(loss) else LOSSES[loss])(y, predicted), float)
    if losses.shape != (len(y),):
        raise ValueError(
            f"loss must return one number for each of {len(y)} rows, got shape "
            f"{losses.shape}."
        )
    return losses
