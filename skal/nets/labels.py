"""Class labels to codes, and weights of classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

__all__ = ["check_classes", "class_weights", "encode"]


def check_classes(classes: Any) -> np.ndarray:
    """Sorted distinct classes, two or more.

    Parameters
    ----------
    classes : array-like

    Returns
    -------
    classes : ndarray of shape (n_classes,)

    Raises
    ------
    ValueError
        If there is one class or none.
    """
    classes = np.unique(np.asarray(classes))
    if len(classes) < 2:
        raise ValueError(
            f"A classifier needs two classes or more, got {classes.tolist()}; where y "
            "has one class only, name them all with classes=."
        )
    return classes


def encode(y: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Place of each label among the classes.

    Parameters
    ----------
    y : ndarray of shape (m,)
    classes : ndarray of shape (n_classes,)
        Sorted.

    Returns
    -------
    codes : int64 ndarray of shape (m,)

    Raises
    ------
    ValueError
        If a label is not among the classes.

    Examples
    --------
    >>> import numpy as np
    >>> from skal.nets.labels import encode
    >>> encode(np.array(["b", "a"]), np.array(["a", "b", "c"]))
    array([1, 0])
    """
    labels, places = np.unique(y, return_inverse=True)
    known = {label: code for code, label in enumerate(classes.tolist())}
    unknown = [label for label in labels.tolist() if label not in known]
    if unknown:
        raise ValueError(
            f"y has labels {unknown} that are not among the classes "
            f"{classes.tolist()}; name all classes with classes=."
        )
    codes = np.array([known[label] for label in labels.tolist()], dtype=np.int64)
    return codes[places.reshape(-1)]


def class_weights(
    class_weight: Any, classes: np.ndarray, codes: np.ndarray
) -> torch.Tensor | None:
    """Weight of each class in the loss.

    Parameters
    ----------
    class_weight : dict, "balanced" or None
    classes : ndarray of shape (n_classes,)
    codes : ndarray of shape (m,)
        Of the training rows.

    Returns
    -------
    weights : float32 Tensor of shape (n_classes,), or None

    Raises
    ------
    ValueError
        If a key is not a class, or a weight is negative.
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ValueError(
                f"class_weight must be a dict, 'balanced' or None, got {class_weight!r}"
            )
        counts = np.bincount(codes, minlength=len(classes))
        weights = len(codes) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    elif isinstance(class_weight, Mapping):
        unknown = [label for label in class_weight if label not in classes.tolist()]
        if unknown:
            raise ValueError(
                f"class_weight has {unknown}, which are not among the classes "
                f"{classes.tolist()}."
            )
        weights = np.array([class_weight.get(c, 1.0) for c in classes.tolist()])
    else:
        raise ValueError(
            f"class_weight must be a dict, 'balanced' or None, got {class_weight!r}."
        )
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise ValueError(f"Class weights must not be negative, got {class_weight}.")
    return torch.tensor(weights, dtype=torch.float32)
