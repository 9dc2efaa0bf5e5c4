"""Query a function of modAL or of the user, and check its answer.

modAL's own strategies return indices alone, and take neither lists nor dicts nor, in
the ranked batch, DataFrames and tensors. What they lack is added here.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
import scipy.sparse as sp
from modAL import acquisition, disagreement, uncertainty
from modAL.batch import uncertainty_batch_sampling

from skal.exceptions import UnsuitableLearnerError
from skal.learners.checks import is_fitted, predicts_several_labels, sum_to_1
from skal.rows import (
    as_array,
    as_dense,
    find_masked_rows,
    n_rows,
    row_shape,
    take_rows,
)

__all__ = ["ask", "parse_answer"]


def ask(
    strategy: Any,
    learner: Any,
    X_pool: Any,
    query_args: tuple[Any, ...],
    query_kwargs: Mapping[str, Any],
    wants_metrics: bool,
) -> tuple[np.ndarray, Any]:
    """Call the strategy of a learner, a function of modAL or of the user.

    Parameters
    ----------
    strategy : callable
    learner : learner
    X_pool : rows of shape (m, ...)
    query_args, query_kwargs
        Passed to the strategy.
    wants_metrics : bool
        Whether to compute the scores if modAL's strategy does not return them, and to
        warn if there are none.

    Returns
    -------
    indices : ndarray of shape (n,), int64
    metrics : as returned by the strategy, or None

    Raises
    ------
    ValueError, TypeError
        If the pool is empty, ``n_instances`` does not fit it, or the answer does not
        consist of distinct positions in the pool.
    """
    n_pool = n_rows(X_pool)
    if n_pool == 0:
        raise ValueError("The pool is empty: there is no row to query.")
    _check_n_instances(strategy, learner, X_pool, query_args, query_kwargs, n_pool)
    adapted, pool = _adapt(strategy, learner, X_pool)
    answer = strategy(adapted, pool, *query_args, **query_kwargs)
    name = getattr(strategy, "__name__", type(strategy).__name__)
    indices, metrics = parse_answer(answer, n_pool, name)
    if metrics is None and wants_metrics:
        metrics = _modal_metrics(
            strategy, adapted, pool, query_args, query_kwargs, indices
        )
        if metrics is None:
            warnings.warn(
                f"The strategy {name} returns no metrics: metrics is None.",
                UserWarning,
                stacklevel=3,
            )
    return indices, metrics


def _check_n_instances(
    strategy: Any,
    learner: Any,
    X_pool: Any,
    query_args: tuple[Any, ...],
    query_kwargs: Mapping[str, Any],
    n_pool: int,
) -> None:
    """Check ``n_instances``, whether passed by position, by name or by default."""
    try:
        given = inspect.signature(strategy).bind(
            learner, X_pool, *query_args, **query_kwargs
        )
    except (TypeError, ValueError):  # no signature, or the call itself will raise
        n_instances = query_kwargs.get("n_instances", 1)
    else:
        n_instances = {**given.kwargs, **given.arguments}.get("n_instances", 1)
    if isinstance(n_instances, bool) or not isinstance(n_instances, int | np.integer):
        raise ValueError(f"n_instances must be an int, got {n_instances!r}.")
    if not 1 <= n_instances <= n_pool:
        raise ValueError(
            f"n_instances must be from 1 to the {n_pool} rows of the pool, got "
            f"{n_instances}."
        )


def parse_answer(answer: Any, n_pool: int, name: str) -> tuple[np.ndarray, Any]:
    """Split the answer of a strategy into indices and metrics, and check the indices.

    Parameters
    ----------
    answer : indices, or tuple (indices, metrics)
        A tuple whose elements are all ints holds indices; any other tuple must be a
        pair.
    n_pool : int
        Number of rows in the pool.
    name : str
        Name of the strategy, for errors.

    Returns
    -------
    indices : ndarray of shape (n,), int64
    metrics : object or None

    Raises
    ------
    ValueError, TypeError
        If `answer` does not consist of distinct positions in the pool.
    """
    metrics = None
    if isinstance(answer, tuple) and not all(_is_index(item) for item in answer):
        if len(answer) != 2:
            raise TypeError(
                f"The strategy {name} returned a tuple of length {len(answer)}; it "
                "must return indices, or (indices, metrics)."
            )
        answer, metrics = answer
    if find_masked_rows(answer) is not None:
        raise ValueError(
            f"The strategy {name} returned masked indices: return those of picked rows "
            "alone, as by indices.compressed()."
        )
    indices = as_dense(answer)
    if indices.ndim == 0:
        indices = indices[None]
    if indices.ndim == 2 and indices.shape[1] == 1:
        indices = indices[:, 0]
    if indices.size == 0:
        indices = indices.astype(np.int64)
    if indices.ndim != 1 or indices.dtype.kind not in "iu":
        kind = f"{indices.ndim}-dimensional {indices.dtype}"
        raise TypeError(
            f"The strategy {name} must return positions of rows, as a 1-dimensional "
            f"sequence of ints, got {kind}: {answer!r}."
        )
    indices = indices.astype(np.int64)
    outside = indices[(indices < 0) | (indices >= n_pool)]
    if len(outside):
        raise ValueError(
            f"The strategy {name} returned index {outside[0]}, but the pool's rows are "
            f"0 to {n_pool - 1}."
        )
    if len(np.unique(indices)) < len(indices):
        raise ValueError(f"The strategy {name} returned a row twice: {indices}.")
    return indices, metrics


def _is_index(item: Any) -> bool:
    return isinstance(item, Integral) and not isinstance(item, bool)


def _adapt(strategy: Any, learner: Any, X_pool: Any) -> tuple[Any, Any]:
    """Return learner and pool in a form that the strategy can handle.

    Only modAL's own functions get anything other than what was passed: they read the
    ``shape`` of the pool, which lists and dicts lack, and the ranked batch indexes and
    reshapes rows, which must then be arrays or csr matrices.
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
            "predict_proba. Pass no query_strategy, or that of "
            "skal.recommended_strategy(learner), such as LCMD() for a regressor."
        )
    if ranked or module in ("modAL.uncertainty", "modAL.disagreement"):
        _check_single_output(function.__name__, learner, X_pool)
    if isinstance(X_pool, Mapping) and not sp.issparse(X_pool):
        if ranked:
            raise TypeError(
                f"{function.__name__} computes distances between rows and does not "
                "take a dict; pass a single array as the pool."
            )
        return learner, _DictWithShape(X_pool)
    if ranked:
        return _LearnerOfArrays(learner), X_pool
    return learner, np.asarray(X_pool) if isinstance(X_pool, list) else X_pool


def _check_single_output(name: str, learner: Any, X_pool: Any) -> None:
    """Raise if modAL would read several outputs or labels of a row as one."""
    if not is_fitted(learner):
        return
    first = take_rows(X_pool, np.arange(min(8, n_rows(X_pool))))
    if not hasattr(learner, "predict_proba"):
        predicted = learner.predict(first)
        if np.ndim(predicted) > 1 and np.shape(predicted)[1] > 1:
            raise UnsuitableLearnerError(
                f"{name} reads one target for each row, and the learner predicts "
                f"{np.shape(predicted)[1]}. Use PredictiveVariance of skal.strategies, "
                "which sums over targets."
            )
        return
    y = getattr(learner, "y_training", None)
    n_columns = 1 if y is None else int(np.prod(row_shape(y)))
    what = "learner predicts several outputs or labels"
    if n_columns > 1:
        what = f"labels have {n_columns} columns"
        proba = learner.predict_proba(first)
        several = np.ndim(proba) != 2 or not sum_to_1(proba)
    elif hasattr(learner, "learner_list"):  # a committee checks its probabilities
        several = name == "vote_entropy_sampling" and np.ndim(learner.vote(first)) > 2
    else:
        several = y is None and predicts_several_labels(learner, X_pool)
    if several:
        raise UnsuitableLearnerError(
            f"{name} reads one distribution of classes for each row, and the {what}. "
            "Use Entropy, LeastConfident or Margin of skal.strategies, which sum over "
            "labels."
        )


class _DictWithShape(dict[str, Any]):
    """A dict of arrays with a ``shape``."""

    @property
    def shape(self) -> tuple[int]:
        return (n_rows(self),)


class _LearnerOfArrays:
    """A learner whose rows are arrays when the ranked batch asks for them."""

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


#: The score by which each of modAL's strategies ranks rows.
_SCORES: dict[Callable[..., Any], Callable[..., Any]] = {
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


def _modal_metrics(
    strategy: Any,
    learner: Any,
    X: Any,
    query_args: tuple[Any, ...],
    query_kwargs: Mapping[str, Any],
    indices: np.ndarray,
) -> np.ndarray | None:
    """Compute the scores of the rows picked by one of modAL's strategies.

    modAL 0.4.1 returns indices alone, so the scores are computed again, and for all
    rows, because some depend on the whole pool. Returns None for any other strategy.
    """
    function: Any = strategy
    kwargs = dict(query_kwargs)
    while isinstance(function, partial):
        function, kwargs = function.func, {**function.keywords, **kwargs}
    try:
        score = _SCORES[function]
    except (KeyError, TypeError):  # not of modAL, or not hashable
        return None
    signature = inspect.signature(function)
    named = dict(signature.bind(learner, X, *query_args, **kwargs).arguments)
    collected = [
        p.name for p in signature.parameters.values() if p.kind == p.VAR_KEYWORD
    ]
    passed = named.pop(collected[0], {}) if collected else {}
    known = list(inspect.signature(score).parameters)[2:]
    passed = {**{k: v for k, v in named.items() if k in known}, **passed}
    return np.asarray(score(learner, X, **passed)).reshape(n_rows(X), -1)[indices, 0]
