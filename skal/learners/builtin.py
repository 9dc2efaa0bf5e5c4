"""What modAL's own strategy functions lack to work on every kind of pool."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from modAL.batch import uncertainty_batch_sampling

from skal.learners.rows import as_array, n_rows

__all__ = ["adapt"]


def adapt(strategy: Any, learner: Any, X_pool: Any) -> tuple[Any, Any]:
    """Give learner and pool as a strategy can take them.

    Only functions of modAL get anything but what was passed: they ask a pool for its
    shape, which lists and dicts lack, and modAL's ranked batch indexes and reshapes
    rows, which only arrays and csr matrices bear.

    Raises
    ------
    TypeError
        If a function of modAL needs probabilities that the learner does not give.
    """
    function = strategy
    while isinstance(function, partial):
        function = function.func
    module = getattr(function, "__module__", None) or ""
    if module.partition(".")[0] != "modAL":
        return learner, X_pool
    ranked = function is uncertainty_batch_sampling
    if (ranked or module == "modAL.uncertainty") and not hasattr(
        learner, "predict_proba"
    ):
        wrapped = type(getattr(learner, "estimator", learner)).__name__
        raise TypeError(
            f"{function.__name__} needs class probabilities, but {wrapped} has no "
            "predict_proba. For a regressor give the learner a query_strategy such as "
            "NoiseStability, CoreSet or Random of skal.strategies."
        )
    if isinstance(X_pool, Mapping) and not sp.issparse(X_pool):
        if ranked:
            raise TypeError(
                f"{function.__name__} measures distances between rows and takes no "
                "dict; give it a pool of one array."
            )
        return learner, _Table(X_pool)
    if ranked:
        return _ArrayView(learner), X_pool
    return learner, np.asarray(X_pool) if isinstance(X_pool, list) else X_pool


class _Table(dict[str, Any]):
    """A dict of arrays that knows its shape."""

    @property
    def shape(self) -> tuple[int]:
        return (n_rows(self),)


class _ArrayView:
    """A learner whose rows, when asked for transformed, are arrays."""

    on_transformed = True

    def __init__(self, learner: Any) -> None:
        self._learner = learner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._learner, name)

    def transform_without_estimating(self, X: Any) -> Any:
        if self._learner.on_transformed:
            X = self._learner.transform_without_estimating(X)
        return as_array(X)
