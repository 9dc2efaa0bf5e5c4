"""What modAL's own strategy functions lack to work on every kind of pool."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from modAL import acquisition, disagreement, uncertainty
from modAL.batch import uncertainty_batch_sampling

from skal.exceptions import UnsuitableLearnerError
from skal.learners.rows import as_array
from skal.rows import n_rows

__all__ = ["adapt", "metrics_of"]

# What each of modAL's strategies ranks by.
_UTILITIES: dict[Callable[..., Any], Callable[..., Any]] = {
    uncertainty.uncertainty_sampling: uncertainty.classifier_uncertainty,
    uncertainty.margin_sampling: uncertainty.classifier_margin,
    uncertainty.entropy_sampling: uncertainty.classifier_entropy,
    uncertainty_batch_sampling: uncertainty.classifier_uncertainty,
    disagreement.vote_entropy_sampling: disagreement.vote_entropy,
    disagreement.consensus_entropy_sampling: disagreement.consensus_entropy,
    disagreement.max_disagreement_sampling: disagreement.KL_max_disagreement,
    disagreement.max_std_sampling: lambda learner, X, **kwargs: learner.predict(
        X, return_std=True, **kwargs
    )[1],
    acquisition.max_PI: acquisition.optimizer_PI,
    acquisition.max_EI: acquisition.optimizer_EI,
    acquisition.max_UCB: acquisition.optimizer_UCB,
}


def metrics_of(
    strategy: Any,
    learner: Any,
    X: Any,
    query_args: tuple[Any, ...],
    query_kwargs: Mapping[str, Any],
    indices: np.ndarray,
) -> np.ndarray | None:
    """Give the metrics of rows that a function of modAL picked, if it is one.

    modAL 0.4.1 returns indices alone, so what it ranked by is computed again, on all
    rows as some of it depends on them. Returns None for any other strategy.
    """
    function: Any = strategy
    kwargs = dict(query_kwargs)
    while isinstance(function, partial):
        query_args = (*function.args, *query_args)
        function, kwargs = function.func, {**function.keywords, **kwargs}
    try:
        utility = _UTILITIES[function]
    except (KeyError, TypeError):  # not modAL's, or without a hash
        return None
    signature = inspect.signature(function)
    named = dict(signature.bind(learner, X, *query_args, **kwargs).arguments)
    collected = [
        p.name for p in signature.parameters.values() if p.kind == p.VAR_KEYWORD
    ]
    passed = named.pop(collected[0], {}) if collected else {}
    known = list(inspect.signature(utility).parameters)[2:]
    passed = {**{k: v for k, v in named.items() if k in known}, **passed}
    return np.asarray(utility(learner, X, **passed)).reshape(n_rows(X), -1)[indices, 0]


def adapt(strategy: Any, learner: Any, X_pool: Any) -> tuple[Any, Any]:
    """Give learner and pool as a strategy can take them.

    Only functions of modAL get anything but what was passed: they ask a pool for its
    shape, which lists and dicts lack, and modAL's ranked batch indexes and reshapes
    rows, which only arrays and csr matrices bear.

    Raises
    ------
    UnsuitableLearnerError
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
        raise UnsuitableLearnerError(
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
    """A learner whose rows, as modAL's ranked batch asks for them, are arrays."""

    on_transformed = True

    def __init__(self, learner: Any) -> None:
        self._learner = learner
        labeled = learner.X_training
        self.X_training = None if labeled is None else self._as_array(labeled)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._learner, name)

    def transform_without_estimating(self, X: Any) -> Any:
        return X if X is self.X_training else self._as_array(X)

    def _as_array(self, X: Any) -> Any:
        if self._learner.on_transformed:
            X = self._learner.transform_without_estimating(X)
        return as_array(X)
