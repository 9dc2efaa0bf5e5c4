"""Wrappers of estimators: what they hold, and how they are rebuilt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import BaseEnsemble
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.utils import get_tags
from skorch import NeuralNet

from skal._stacking import hstack_rows
from skal._tables import as_known
from skal.exceptions import UnsuitableLearnerError
from skal.rows import array_if_tensor, as_array, copied_rows, transform_rows

__all__ = [
    "accepts_nan",
    "as_input",
    "defines",
    "estimator_of",
    "innermost",
    "is_gpytorch",
    "is_net",
    "is_sklearn_own",
    "learners_of",
    "needs_labels",
    "rewrap",
    "transform_inputs",
    "unwrap",
    "walk",
]


#: Wrappers whose probabilities are those of the estimator that they fit.
_DELEGATING = (
    FixedThresholdClassifier,
    TunedThresholdClassifierCV,
    SelfTrainingClassifier,
)

#: Packages whose wrappers predict what the estimator within predicts.
_KNOWN = ("imblearn", "modAL", "skal", "sklearn", "skorch")


def learners_of(learner: Any) -> list[Any]:
    """Get the members of a committee, or the learner itself in a list."""
    members = getattr(learner, "learner_list", None)
    return [learner] if members is None else list(members)


def estimator_of(learner: Any) -> Any:
    """Get the estimator of a modAL learner; a bare estimator is returned as it is."""
    if hasattr(learner, "query") and hasattr(learner, "estimator"):
        return learner.estimator
    return learner


def walk(learner: Any) -> Iterator[Any]:
    """Yield the estimator of a learner and those within its wrappers, outermost first.

    A Pipeline wraps its last step, a TransformedTargetRegressor its regressor, a search
    its best estimator, and a FrozenEstimator or a classifier with a threshold the
    estimator that it holds.  Fitted estimators are preferred where there are any.
    """
    estimator = estimator_of(learner)
    if estimator is None:
        raise TypeError(
            "There is no learner: pass an estimator, an ActiveLearner or a Committee, "
            "got None."
        )
    while estimator is not None:
        yield estimator
        if isinstance(estimator, Pipeline):
            estimator = estimator.steps[-1][1]
        elif isinstance(estimator, TransformedTargetRegressor):
            estimator = getattr(estimator, "regressor_", estimator.regressor)
        elif isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        elif isinstance(estimator, _DELEGATING):
            estimator = getattr(estimator, "estimator_", estimator.estimator)
        elif _is_search(estimator):
            estimator = getattr(estimator, "best_estimator_", estimator.estimator)
        else:
            return


def is_net(estimator: Any) -> bool:
    """Whether an estimator is a skorch net whose module returns tensors.

    Gaussian processes of `skorch.probabilistic` are nets, too, but their modules return
    distributions; they are read by `predict`, as other regressors are.
    """
    return isinstance(estimator, NeuralNet) and not is_gpytorch(estimator)


def is_gpytorch(estimator: Any) -> bool:
    """Whether an estimator is a Gaussian process of `skorch.probabilistic`."""
    # Its base class cannot be imported without gpytorch.
    return isinstance(estimator, NeuralNet) and hasattr(estimator, "confidence_region")


def innermost(learner: Any) -> Any:
    """Get the estimator inside all wrappers, fitted or not."""
    *_, estimator = walk(learner)
    return estimator


def unwrap(learner: Any) -> tuple[Any, list[Any], list[Any]]:
    """Split a fitted learner into an estimator and the transformers around it.

    Returns
    -------
    estimator : estimator
        The one inside all wrappers.
    transformers : list
        Transformers of the rows, in the order in which they are applied.
    target_transformers : list
        Transformers of the target, outermost first.

    Raises
    ------
    UnsuitableLearnerError
        If a search has no fitted estimator.
    """
    transformers: list[Any] = []
    target_transformers: list[Any] = []
    for estimator in walk(learner):
        if isinstance(estimator, Pipeline):
            # Others, such as the samplers of imbalanced-learn, act in `fit` alone.
            transformers += [
                step for _, step in estimator.steps[:-1] if hasattr(step, "transform")
            ]
        elif isinstance(estimator, TransformedTargetRegressor):
            target_transformers.append(estimator.transformer_)
        elif _is_search(estimator) and not hasattr(estimator, "best_estimator_"):
            raise UnsuitableLearnerError(
                f"{type(estimator).__name__} keeps no fitted estimator: set refit=True."
            )
    return estimator, transformers, target_transformers


def rewrap(learner: Any, inner: Any) -> Any:
    """Make unfitted copies of the wrappers of a learner, with another estimator inside.

    Pipelines and target transformers are copied.  A search is replaced by its best
    estimator, or by the one that it starts from, and other wrappers by what they hold.
    """
    for wrapper in reversed(list(walk(learner))):
        if isinstance(wrapper, Pipeline):
            *before, (last, _) = wrapper.steps
            steps = [(name, clone(step, safe=False)) for name, step in before]
            # Of its own class: that of imbalanced-learn takes samplers as steps.
            params = wrapper.get_params(deep=False)
            inner = type(wrapper)(**{**params, "steps": [*steps, (last, inner)]})
        elif isinstance(wrapper, TransformedTargetRegressor):
            params = wrapper.get_params(deep=False)
            params = {key: clone(value, safe=False) for key, value in params.items()}
            inner = type(wrapper)(**{**params, "regressor": inner})
    return inner


def transform_inputs(learner: Any, X: Any) -> Any:
    """Transform rows by the fitted transformers before the last step of a Pipeline.

    The transformed rows of the members of a voting or stacking ensemble are put side by
    side.

    Returns
    -------
    transformed : ndarray or csr_matrix
        `X` itself if there is no transformer.
    """
    estimator, transformers, _ = unwrap(learner)
    if transformers:
        return as_array(
            transform_rows(copied_rows(as_input(X, estimator)), transformers)
        )
    if not hasattr(estimator, "named_estimators_"):
        return X
    blocks = [transform_inputs(member, X) for member in estimator.estimators_]
    blocks = [block for block in blocks if block is not X]
    return hstack_rows(blocks) if blocks else X


def as_input(X: Any, estimator: Any) -> Any:
    """Convert rows to a type that an estimator accepts; copy only where necessary.

    Tensors lose their gradient, and become arrays for scikit-learn's own estimators.
    Sparse rows become csr or csc matrices, which every estimator can index, and batches
    and arrays of pyarrow tables and columns.  Any other kind is returned as it is, so
    that column names are kept.
    """
    if sparse.issparse(X):
        if X.format in ("csr", "csc") and sparse.isspmatrix(X):
            return X
        return sparse.csr_matrix(X)
    if isinstance(X, torch.Tensor):
        return array_if_tensor(X) if is_sklearn_own(estimator) else X.detach()
    if isinstance(X, Mapping):
        return {key: as_input(value, estimator) for key, value in X.items()}
    return as_known(X)


def is_sklearn_own(estimator: Any) -> bool:
    """Whether an estimator is scikit-learn's own, or of a subclass of one.

    scikit-learn's base classes and mixins do not count: they say nothing about how an
    estimator treats its rows.
    """
    return any(
        cls.__module__.startswith("sklearn.")
        and not cls.__module__.startswith(("sklearn.base", "sklearn.utils"))
        and cls is not BaseEnsemble
        for cls in type(estimator).__mro__
    )


def defines(estimator: Any, method: str) -> bool:
    """Whether a method is of a class from outside the packages that skal knows."""
    for cls in type(estimator).__mro__:
        if method in vars(cls):
            return cls.__module__.split(".")[0] not in _KNOWN
    return False


def accepts_nan(learner: Any, unknown: bool = False) -> bool:
    """Whether a learner accepts missing values, by the tags of its estimators.

    A Pipeline does if all its steps do, or all steps before one that imputes.

    Parameters
    ----------
    learner : learner or estimator
    unknown : bool
        The answer for an estimator without tags that is not a net.
    """
    for estimator in walk(learner):
        if isinstance(estimator, Pipeline):
            for _, step in estimator.steps[:-1]:
                if _imputes(step):
                    return True
                passes = step is None or step == "passthrough"
                if not passes and not accepts_nan(step, unknown):
                    return False
    # Meta-estimators do not always pass on the tag of the estimator that they fit.
    if hasattr(getattr(estimator, "estimator", None), "fit"):
        return accepts_nan(estimator.estimator, unknown)
    if not hasattr(estimator, "__sklearn_tags__"):
        return unknown and not isinstance(estimator, NeuralNet)
    tags = get_tags(estimator)
    return bool(tags.input_tags.allow_nan or tags.no_validation)


def _imputes(step: Any) -> bool:
    """Whether a transformer is an imputer, or holds one for some of the columns."""
    parts = _parts(step)
    if parts:
        every = all if isinstance(step, FeatureUnion) else any
        return every(_imputes(part) for part in parts)
    return type(step).__module__.startswith("sklearn.impute")


def needs_labels(step: Any) -> bool:
    """Whether a transformer, or one that it holds, is fitted on labels."""
    parts = _parts(step)
    if parts:
        return any(needs_labels(part) for part in parts)
    tags = get_tags(step) if hasattr(step, "__sklearn_tags__") else None
    return tags is not None and bool(tags.target_tags.required)


def _parts(step: Any) -> list[Any]:
    """List the transformers that another one is made of."""
    if isinstance(step, ColumnTransformer):
        return [part for _, part, _ in step.transformers]
    if isinstance(step, FeatureUnion):
        return [part for _, part in step.transformer_list]
    return [part for _, part in step.steps] if isinstance(step, Pipeline) else []


def _is_search(estimator: Any) -> bool:
    if isinstance(estimator, (FrozenEstimator, *_DELEGATING)):
        return False
    return hasattr(estimator, "refit") and hasattr(estimator, "estimator")
