"""The loss of each row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from skal.validation import check_option

__all__ = ["LOSSES", "row_losses"]


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


def row_losses(y: Any, predicted: Any, loss: Any) -> np.ndarray:
    """Compute the loss of each row, the mean over outputs.

    Parameters
    ----------
    y, predicted : array-like of shape (n,) or (n, n_outputs)
    loss : {"absolute", "squared", "zero_one"} or callable
        A callable takes both and returns ``(n,)``.

    Returns
    -------
    losses : float64 ndarray of shape (n,)

    Raises
    ------
    ValueError
        If shapes differ, texts are compared with numbers, or `loss` is unknown or does
        not return one number per row.

    Examples
    --------
    >>> from skal.evaluation import row_losses
    >>> row_losses(["a", "b"], ["a", "c"], "zero_one")
    array([0., 1.])
    """
    y, predicted = np.asarray(y), np.asarray(predicted)
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
