"""Rows as the last step of an estimator sees them."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.pipeline import Pipeline

from skal.learners.rows import as_array
from skal.learners.training import as_input

__all__ = ["hstack_rows", "transform_inputs"]


def transform_inputs(estimator: Any, X: Any) -> Any:
    """Transform rows by all steps of a fitted Pipeline but the last.

    Targets' transformers and searches are looked through; the transforms of a voting
    or stacking ensemble's members stand side by side.

    Returns
    -------
    transformed : ndarray or csr_matrix
        `X` itself if there is nothing to transform it.
    """
    for fitted in ("regressor_", "best_estimator_"):
        if hasattr(estimator, fitted):
            return transform_inputs(getattr(estimator, fitted), X)
    if isinstance(estimator, Pipeline):
        if len(estimator.steps) == 1:
            return X
        return as_array(estimator[:-1].transform(as_input(X, estimator)))
    members = [
        member
        for member in _members(estimator)
        if isinstance(member, Pipeline) and len(member.steps) > 1
    ]
    if not members:
        return X
    return hstack_rows([transform_inputs(member, X) for member in members])


def _members(estimator: Any) -> list[Any]:
    """Members of an ensemble that gives each of them all features."""
    if hasattr(estimator, "named_estimators_"):
        return list(estimator.estimators_)
    return []


def hstack_rows(blocks: list[Any]) -> Any:
    """Put blocks of features side by side, sparse if one of them is."""
    if any(sp.issparse(block) for block in blocks):
        return sp.csr_matrix(sp.hstack(blocks))
    return np.hstack([as_array(block) for block in blocks])
