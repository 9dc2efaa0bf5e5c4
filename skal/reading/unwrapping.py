"""What a learner wraps: members, estimator, transformers of rows and targets."""

from __future__ import annotations

from typing import Any

from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from skal.exceptions import UnsuitableLearnerError

__all__ = [
    "allows_nan",
    "estimator_of",
    "innermost",
    "learners_of",
    "rewrap",
    "unwrap",
]


def learners_of(learner: Any) -> list[Any]:
    """Members of a committee, or the learner alone."""
    members = getattr(learner, "learner_list", None)
    return [learner] if members is None else list(members)


def estimator_of(learner: Any) -> Any:
    """Estimator of a modAL learner; a bare estimator is its own."""
    if hasattr(learner, "query") and hasattr(learner, "estimator"):
        return learner.estimator
    return learner


def innermost(learner: Any) -> Any:
    """Follow the wrappers to the estimator inside, fitted or not."""
    estimator = estimator_of(learner)
    while True:
        if isinstance(estimator, Pipeline):
            estimator = estimator.steps[-1][1]
        elif isinstance(estimator, TransformedTargetRegressor):
            # Its default regressor is not a net, but it is a regressor.
            return estimator
        elif _is_search(estimator):
            estimator = estimator.estimator
        else:
            return estimator


def rewrap(learner: Any, inner: Any) -> Any:
    """Give unfitted copies of the wrappers of a learner, with `inner` inside.

    Pipelines and target transformers are copied; a search is replaced by what it
    found best, or what it is to start from.
    """
    estimator = estimator_of(learner)
    if isinstance(estimator, Pipeline):
        *before, (name, last) = estimator.steps
        steps = [(key, clone(step, safe=False)) for key, step in before]
        return Pipeline([*steps, (name, rewrap(last, inner))], memory=estimator.memory)
    if isinstance(estimator, TransformedTargetRegressor):
        params = estimator.get_params(deep=False)
        params = {key: clone(value, safe=False) for key, value in params.items()}
        return estimator.__class__(
            **{**params, "regressor": rewrap(estimator.regressor, inner)}
        )
    if _is_search(estimator):
        found = getattr(estimator, "best_estimator_", estimator.estimator)
        return rewrap(found, inner)
    return inner


def unwrap(estimator: Any) -> tuple[Any, list[Any], list[Any]]:
    """Take a fitted estimator apart: the last, its transformers, its target's."""
    transformers: list[Any] = []
    target_transformers: list[Any] = []
    while True:
        if isinstance(estimator, Pipeline):
            transformers += [
                step
                for _, step in estimator.steps[:-1]
                if step is not None and step != "passthrough"
            ]
            estimator = estimator.steps[-1][1]
        elif isinstance(estimator, TransformedTargetRegressor):
            target_transformers.append(estimator.transformer_)
            estimator = estimator.regressor_
        elif _is_search(estimator):
            if not hasattr(estimator, "best_estimator_"):
                raise UnsuitableLearnerError(
                    f"{type(estimator).__name__} keeps no fitted estimator: set "
                    "refit=True."
                )
            estimator = estimator.best_estimator_
        else:
            return estimator, transformers, target_transformers


def _is_search(estimator: Any) -> bool:
    return hasattr(estimator, "refit") and hasattr(estimator, "estimator")


def allows_nan(estimator: Any) -> bool:
    """Say whether a learner or estimator takes NaN, as far as it tells."""
    estimator = estimator_of(estimator)
    if not hasattr(estimator, "__sklearn_tags__"):
        return True  # not a scikit-learn estimator: let it judge
    return bool(get_tags(estimator).input_tags.allow_nan)
