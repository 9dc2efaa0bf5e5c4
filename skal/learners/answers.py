"""One call of a query strategy: what it is given, and its answer checked."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np
import torch

from skal.learners.builtin import adapt, metrics_of
from skal.learners.rows import take_rows
from skal.rows import n_rows

__all__ = ["ask", "read_answer"]


def ask(
    learner: Any,
    X_pool: Any,
    query_args: tuple[Any, ...],
    query_kwargs: Mapping[str, Any],
    return_metrics: bool,
) -> tuple[Any, ...]:
    """Call the learner's strategy once and give what `query` returns.

    Returns
    -------
    indices : ndarray of shape (n,)
    rows : as `X_pool`
    metrics : whatever the strategy gives, only with `return_metrics`

    Raises
    ------
    ValueError, TypeError
        If the pool is empty, ``n_instances`` does not fit it, or the answer is not
        distinct positions in the pool.
    """
    strategy = learner.query_strategy
    if isinstance(strategy, type) or not callable(strategy):
        raise TypeError(
            "query_strategy must be a function or an instance of a strategy, got "
            f"{strategy!r}."
        )
    n_pool = n_rows(X_pool)
    if n_pool == 0:
        raise ValueError("X_pool has no rows to query.")
    _check_n_instances(strategy, learner, X_pool, query_args, query_kwargs, n_pool)
    asked, pool = adapt(strategy, learner, X_pool)
    answer = strategy(asked, pool, *query_args, **query_kwargs)
    name = getattr(strategy, "__name__", type(strategy).__name__)
    indices, metrics = read_answer(answer, n_pool, name)
    rows = take_rows(X_pool, indices)
    if not return_metrics:
        return indices, rows
    if metrics is None:
        metrics = metrics_of(strategy, asked, pool, query_args, query_kwargs, indices)
    if metrics is None:
        warnings.warn(
            f"The strategy {name} gives no metrics: None is returned in their place.",
            UserWarning,
            stacklevel=3,
        )
    return indices, rows, metrics


def _check_n_instances(
    strategy: Any,
    learner: Any,
    X_pool: Any,
    query_args: tuple[Any, ...],
    query_kwargs: Mapping[str, Any],
    n_pool: int,
) -> None:
    """Check ``n_instances`` wherever it stands among the arguments."""
    try:
        given = inspect.signature(strategy).bind(
            learner, X_pool, *query_args, **query_kwargs
        )
    except (TypeError, ValueError):  # no signature, or the call itself will complain
        n_instances = query_kwargs.get("n_instances", 1)
    else:
        n_instances = {**given.kwargs, **given.arguments}.get("n_instances", 1)
    if isinstance(n_instances, bool) or not isinstance(n_instances, int | np.integer):
        raise ValueError(f"n_instances must be an int, got {n_instances!r}.")
    if not 1 <= n_instances <= n_pool:
        raise ValueError(
            f"n_instances must be between 1 and the {n_pool} rows of the pool, got "
            f"{n_instances}."
        )


def read_answer(answer: Any, n_pool: int, name: str) -> tuple[np.ndarray, Any]:
    """Read a strategy's answer as indices and metrics.

    Parameters
    ----------
    answer : indices, or tuple (indices, metrics)
        A tuple of two is a pair if its first element holds indices or its second is
        not an index; every other sequence is a sequence of indices, be it of two.
    n_pool : int
    name : str
        The strategy's name, for errors.

    Returns
    -------
    indices : ndarray of shape (n,), int64
    metrics : object or None
    """
    metrics = None
    if isinstance(answer, tuple) and not all(_is_index(item) for item in answer):
        if len(answer) != 2:
            raise TypeError(
                f"The strategy {name} returned {len(answer)} things; it must return "
                "indices, or (indices, metrics)."
            )
        answer, metrics = answer
    if isinstance(answer, torch.Tensor):
        answer = answer.detach().cpu().numpy()
    indices = np.asarray(answer)
    if indices.ndim == 0:
        indices = indices[None]
    if indices.ndim == 2 and indices.shape[1] == 1:
        indices = indices[:, 0]
    if indices.size == 0:
        indices = indices.astype(np.int64)
    if indices.ndim != 1 or indices.dtype.kind not in "iu":
        kind = f"{indices.ndim}-dimensional {indices.dtype}"
        raise TypeError(
            f"The strategy {name} must return positions of rows, a 1-dimensional "
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
