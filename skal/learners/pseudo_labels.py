"""Pseudo-labels: what a classifier says of the rows that it is sure of."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import entr

from skal.exceptions import UnsuitableLearnerError
from skal.learners.training import as_input
from skal.rng import preserve_global_rng
from skal.rows import Rows

__all__ = ["check_gives_pseudo_labels", "pseudo_label"]


def check_gives_pseudo_labels(estimator: Any) -> None:
    """Raise UnsuitableLearnerError if an estimator has no class probabilities."""
    if not hasattr(estimator, "predict_proba"):
        raise UnsuitableLearnerError(
            "Pseudo-labels need class probabilities, but "
            f"{type(estimator).__name__} has no predict_proba."
        )


def pseudo_label(
    estimator: Any, X: Any, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    r"""Find the rows that a classifier is sure of, and the classes it predicts there.

    Parameters
    ----------
    estimator : classifier
        Fitted, with `predict_proba`, of one label a row.
    X : rows of shape (m, ...)
        Of any kind that the estimator takes.
    threshold : float
        In nats.

    Returns
    -------
    indices : ndarray of shape (k,), int64
        Rows with :math:`-\sum_c p(c \mid x) \log p(c \mid x)` below `threshold`, in
        the order of the pool.
    labels : ndarray of shape (k,)
        The most probable class of each, the first in ``classes_`` if several are.

    Raises
    ------
    UnsuitableLearnerError
        If the estimator gives no probabilities of one label a row.
    ValueError
        If their columns cannot be named.

    Notes
    -----
    One `predict_proba`, in blocks; of the probabilities only one block is kept.  The
    global random generators are left as they were.
    """
    check_gives_pseudo_labels(estimator)
    indices, labels = (
        [np.empty(0, dtype=np.int64)],
        [np.asarray(estimator.classes_)[:0]],
    )
    with preserve_global_rng():
        # Whether NaN may be there is for the estimator to say.
        for block, rows in Rows(X, allow_nan=True).blocks():
            proba = estimator.predict_proba(as_input(rows, estimator))
            proba = _checked(proba, estimator)
            sure = np.flatnonzero(entr(proba).sum(axis=1) < threshold)
            indices.append(block.start + sure)
            labels.append(np.asarray(estimator.classes_)[proba[sure].argmax(axis=1)])
    return np.concatenate(indices), np.concatenate(labels)


def _checked(proba: Any, estimator: Any) -> np.ndarray:
    """Give probabilities, (b, C), in float64."""
    name = type(estimator).__name__
    single = not isinstance(proba, list) and np.ndim(proba) == 2
    distribution = np.asarray(proba, dtype=np.float64) if single else np.empty((0, 0))
    if not single or (distribution < 0).any() or _sums_differ(distribution):
        raise UnsuitableLearnerError(
            f"Pseudo-labels need probabilities of one label a row, which sum to 1; "
            f"what predict_proba of {name} gives does not."
        )
    if distribution.shape[1] != len(estimator.classes_):
        raise ValueError(
            f"{name} gives {distribution.shape[1]} probabilities for the "
            f"{len(estimator.classes_)} classes it knows ({list(estimator.classes_)}), "
            "so that its columns cannot be named. Give a net all classes with classes=."
        )
    return distribution


def _sums_differ(distribution: np.ndarray) -> bool:
    """Whether a row that is no NaN does not sum to 1, in float32 either."""
    return bool((np.abs(distribution.sum(axis=1) - 1) > 1e-3).any())
