"""A warning where a strategy cannot tell the rows of a pool apart."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from torch import Tensor

from skal.reading.models import Member
from skal.reading.pool import Pool
from skal.reading.unwrapping import innermost, is_net
from skal.rows import array_if_tensor

__all__ = ["tell_nothing_apart", "warn_if_alike", "warn_if_one_point"]

_ALIKE = "To this model the rows of the pool are alike, or like those that are labeled."
#: Parameters of trees by which few labels are not split, by default or on request.
_LEAST_IN_LEAF = ("min_samples_leaf", "min_child_samples", "min_data_in_leaf")
_METHODS = ("predict_proba", "decision_function", "predict")


def warn_if_alike(
    name: str, scores: Tensor, pool: Pool, cause: str | None = None
) -> None:
    """Warn if all scores are equal, with the likely cause.

    Parameters
    ----------
    name : str
        Name of the strategy.
    scores : Tensor of shape (m,)
    pool : Pool
    cause : str, optional
        Sentences for the warning, unless the outputs of the models tell the cause.
    """
    if len(scores) > 0 and bool((scores == scores[0]).all()):
        found = _cause(pool)
        if found is None and cause is None:
            found = _of_constant_models(pool) or _ALIKE
        start = f"{name} gives all rows the same score, {float(scores[0]):.4g}"
        warnings.warn(
            f"{start}. {cause}"
            if found is None
            else f"{start}, so that its picks are arbitrary. {found}",
            UserWarning,
            stacklevel=2,
        )


def warn_if_one_point(name: str, rows: Tensor, scores: Tensor, pool: Pool) -> None:
    """Warn if all rows are the same vector, unless the scores of picks show it.

    Parameters
    ----------
    name : str
        Name of the strategy.
    rows : Tensor of shape (m, d)
    scores : Tensor of shape (n,)
        Scores of the picks.
    pool : Pool
    """
    if len(scores) == len(rows) or tell_nothing_apart(scores):
        return
    # Usually the last row differs, and the others need not be compared.
    if bool((rows[-1] == rows[0]).all()) and bool((rows == rows[0]).all()):
        warn_if_alike(name, scores[:1], pool)  # the score of each before any pick


def tell_nothing_apart(scores: Tensor) -> bool:
    """Whether all picks after the first score 0 or infinity, as where rows are alike.

    The first one may be compared with something else.
    """
    later = scores[min(1, len(scores) - 1) :]
    is_limit = float(later[0].abs()) in (0, math.inf)
    return is_limit and bool((later == later[0]).all())


def _cause(pool: Pool) -> str | None:
    """Look for the cause in the outputs of the models."""
    saturated = False
    if pool.is_fitted and all(member.nets() for member in pool.members):
        for member, access in pool.nets():
            outputs = access.outputs(member.rows).flatten(1)
            if bool((outputs == outputs[0]).all()):
                return (
                    f"The outputs of {type(access.module).__name__} are the same for "
                    "all of them: its hidden units may be dead (a lower lr and scaled "
                    "inputs help), or the rows are equal."
                )
            if is_classifier(access.net):
                proba = access.to_proba(outputs)
                saturated |= bool((proba.amax(dim=1) == 1).all())
    if saturated:
        return (
            "The net is saturated: all its probabilities are 0 or 1 (scaled inputs, "
            "fewer epochs and weight decay help)."
        )
    return None


def _of_constant_models(pool: Pool) -> str | None:
    """Say so if no model tells the rows apart, and what may help."""
    try:
        constant = pool.is_fitted and all(_is_constant(m) for m in pool.members)
    # Of the model, which need not predict what a strategy reads: its picks stand.
    except Exception:
        return None
    if not constant:
        return None
    estimator = pool.members[0].estimator
    helps = _least_in_leaf(estimator)
    return (
        f"{type(estimator).__name__} predicts the same for all rows: it may have too "
        "few labels"
        + (f" (then lower {helps})" if helps else "")
        + " or too strong a penalty, or the rows are equal."
    )


def _is_constant(member: Member) -> bool:
    """Whether a model predicts the same for all rows of the pool."""
    method = next((m for m in _METHODS if hasattr(member.estimator, m)), None)
    if method is None:
        return False
    asked = member.asked(method)
    predict = getattr(asked.to_read, method)
    as_given = is_net(innermost(asked.estimator))
    first = None
    for _, block in asked.rows.blocks():
        found = predict(block if as_given else array_if_tensor(block))
        # Of several outputs, a list of probabilities.
        outputs = found if isinstance(found, list) else [found]
        rows = [np.asarray(part).reshape(len(part), -1) for part in outputs]
        values = np.concatenate(rows, axis=1)
        first = values[:1] if first is None else first
        if not (values == first).all():
            return False
    return first is not None


def _least_in_leaf(estimator: Any) -> str | None:
    """Name the parameter that keeps the trees of a model from splitting few rows."""
    params = estimator.get_params() if hasattr(estimator, "get_params") else {}
    for name, value in params.items():
        if name.endswith(_LEAST_IN_LEAF) and isinstance(value, int) and value > 1:
            return f"{name}={value}"
    return None
