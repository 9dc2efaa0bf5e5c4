"""Copies of estimators that a query fits on the labeled rows of the learner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import clone

from skal.exceptions import UnsuitableLearnerError, is_out_of_memory
from skal.reading.pool import Pool
from skal.rng import fill_seeds
from skal.rows import copied_rows, n_rows

__all__ = ["FittedCopy", "fit_copy", "is_estimator", "labeled_rows"]


@dataclass
class FittedCopy:
    """A learner of a fitted estimator, with the labeled rows of the learner."""

    estimator: Any
    X_training: Any
    y_training: Any
    query: ClassVar[None] = None  # tells learners from other estimators


def labeled_rows(pool: Pool, what: str) -> tuple[Any, Any]:
    """Return the labeled rows of a learner, or those that all members share.

    Parameters
    ----------
    pool : Pool
    what : str
        What is fitted on them, for errors.
    """
    if not pool.labeled:
        raise UnsuitableLearnerError(
            f"{what} is fitted on labeled rows, and the learner holds none. Query an "
            "ActiveLearner or a Committee that was fitted or taught."
        )
    first, *others = pool.labeled
    if not all(_same(pair, first) for pair in others):
        raise UnsuitableLearnerError(
            f"The members of the committee hold different labeled rows, and {what} is "
            "fitted on one set. Teach the committee itself."
        )
    return first


def is_estimator(candidate: Any) -> bool:
    """Whether an object can be cloned and fitted."""
    has_methods = hasattr(candidate, "fit") and hasattr(candidate, "get_params")
    return has_methods and not isinstance(candidate, type)


def fit_copy(
    estimator: Any,
    X: Any,
    y: Any,
    rng: torch.Generator,
    what: str,
    remedy: str = "pass one that can be fitted on them",
) -> Any:
    """Fit a clone of an estimator; an error says that it was not the learner's.

    Parameters
    ----------
    estimator : estimator
        It is not changed.  Each ``random_state`` that is None is drawn from `rng`.
    X, y : labeled rows and their labels
    rng : torch.Generator
    what : str
        What the estimator is, for errors.
    remedy : str
        What the user may do about an error.
    """
    copied = fill_seeds(clone(estimator), rng)
    try:
        copied.fit(copied_rows(X), copied_rows(y))
    except Warning:  # under a filter that raises warnings
        raise
    # Whatever else a fit raises, the user must know that it is not the learner's.
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise ValueError(
            f"{what} {type(copied).__name__} could not be fitted on the {n_rows(X)} "
            f"labeled rows given to it; {remedy}. {type(error).__name__}: {error}"
        ) from error
    return copied


def _same(one: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    """Whether two pairs of rows and labels are the same, or equal arrays or tables."""
    return all(_equal(a, b) for a, b in zip(one, other, strict=True))


def _equal(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    return type(a) is type(b) and hasattr(a, "equals") and bool(a.equals(b))
