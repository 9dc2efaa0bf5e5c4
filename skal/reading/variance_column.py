"""Regressors whose `predict` returns a variance beside the mean: CatBoost's."""

from __future__ import annotations

from typing import Any

import numpy as np

from skal.reading.unwrapping import innermost

__all__ = ["gives_variance", "without_variance"]

_LOSS = "RMSEWithUncertainty"


def gives_variance(estimator: Any) -> bool:
    """Whether `predict` has two columns: the mean of one target and its variance.

    Parameters
    ----------
    estimator : estimator
        Perhaps in pipelines, searches and target transformers.
    """
    inner = innermost(estimator)
    if not hasattr(inner, "get_params"):
        return False
    params = inner.get_params(deep=False)
    # An objective, the other name of the parameter, takes precedence.
    return _LOSS in str(params.get("objective") or params.get("loss_function"))


def without_variance(estimator: Any, predicted: Any) -> np.ndarray:
    """Return what an estimator predicted without a column of variances.

    Parameters
    ----------
    estimator : estimator
    predicted : array-like
        From its `predict`.

    Returns
    -------
    predicted : ndarray
        The means, ``(m,)``, of a regressor that gives variances; otherwise as it is.
    """
    predicted = np.asarray(predicted)
    return predicted[:, 0] if gives_variance(estimator) else predicted
