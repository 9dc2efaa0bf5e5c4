"""Values of `decision_function`, for classifiers that have no probabilities."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
import torch

from skal.rows import Rows, array_if_tensor, take_slice

__all__ = ["decides", "decision_values"]


def decides(estimator: Any) -> bool:
    """Whether an estimator is a classifier with `decision_function`.

    Detectors of outliers, which have one too, have no classes.
    """
    return hasattr(estimator, "decision_function") and hasattr(estimator, "classes_")


def decision_values(estimator: Any, rows: Rows) -> list[torch.Tensor]:
    """Compute the decision values of rows, float64, one tensor for each output.

    Parameters
    ----------
    estimator : estimator
        Fitted, with `decision_function`.
    rows : Rows
        m rows as the estimator sees them.

    Returns
    -------
    values : list of Tensor, each of shape (m, 1) or (m, C)
        One column for two classes, positive for the second; otherwise a column for each
        class, the largest for the class that is predicted.  Each label of a multi-label
        model is an output of two classes.

    Raises
    ------
    ValueError
        If the values are not one for each class or label.

    Notes
    -----
    The values of a scikit-learn SVC with ``decision_function_shape="ovo"``, one for
    each pair of classes, are read as those of ``"ovr"``, which count the pairs that a
    class wins.
    """
    if getattr(estimator, "decision_function_shape", None) == "ovo":
        estimator = copy(estimator).set_params(decision_function_shape="ovr")
    parts = []
    for _, block in rows.blocks():
        part = estimator.decision_function(array_if_tensor(block))
        parts.append(np.asarray(part, dtype=np.float64))
    name, n_classes = type(estimator).__name__, np.shape(estimator.classes_)[0]
    if parts[0].ndim not in (1, 2):
        raise ValueError(
            f"decision_function of {name} returned an array of shape "
            f"{parts[0].shape}; one value for each class or label is needed."
        )
    values = torch.from_numpy(np.concatenate(parts)).reshape(len(rows), -1)
    n_columns = values.shape[1]
    if n_columns > 1 and _is_multilabel(estimator, block, n_columns):
        return list(values.split(1, dim=1))
    if n_columns != n_classes and (n_columns, n_classes) != (1, 2):
        raise ValueError(
            f"decision_function of {name} returned {n_columns} columns for {n_classes} "
            "classes; return one value for each class."
        )
    return [values]


def _is_multilabel(estimator: Any, block: Any, n_columns: int) -> bool:
    """Whether columns are labels: a row is then predicted as one value for each."""
    row = array_if_tensor(take_slice(block, slice(1)))
    return np.shape(estimator.predict(row)) == (1, n_columns)
