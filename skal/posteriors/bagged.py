"""Bagging of any estimator: copies fitted on samples of the labeled rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import clone

from skal.exceptions import UnsuitableLearnerError
from skal.posteriors.base import Draws, Posterior
from skal.posteriors.members import Members
from skal.reading.fitting import FittedCopy, fit_copy, is_estimator, labeled_rows
from skal.reading.pool import Pool
from skal.reading.unwrapping import innermost, learners_of, rewrap
from skal.rows import n_rows, take_rows
from skal.validation import check_int

__all__ = ["Bagged"]


class Bagged(Posterior):
    """Copies of an estimator, fitted on bootstrap samples of the labeled rows [1]_.

    Parameters
    ----------
    estimator : estimator, optional
        Of the kind of the learner, in a Pipeline if it needs one; only clones of it are
        fitted.  By default, the estimator of the learner with its wrappers, where a
        search is replaced by its best estimator.
    n_estimators : int, default=10
        Number K of copies, at least 2.

    Notes
    -----
    Any estimator becomes a posterior in one line, as in ``BALD(Bagged())``.  At each
    query, the copies are fitted on samples of ``X_training`` and ``y_training`` of the
    learner, as large as these, drawn with replacement, and are read as `Members` of a
    committee would be: in the units of the learner.  A sample of a classifier has at
    least two classes if there are two; a class that it lacks has probability 0.  If the
    classifier cannot be fitted on a sample, as XGBoost without one of its classes, or
    cross-validation with a single row of a class, the sample is drawn again within the
    classes, so that each has as many rows as it has labels.  Each ``random_state`` that
    is None is drawn, so that the `random_state` of the strategy determines the copies.
    Weights and other arguments of `fit` are not kept by a learner, and not passed on.

    The cost is K fits at each query.  An ensemble that the learner has already, such as
    a forest or a committee, costs nothing: see `Members`.

    References
    ----------
    .. [1] Breiman, "Bagging predictors", Machine Learning 1996.
       https://doi.org/10.1007/BF00058655

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.svm import SVR
    >>> from skal import ActiveLearner
    >>> from skal.posteriors import Bagged
    >>> from skal.strategies import PredictiveVariance
    >>> X, y = load_diabetes(return_X_y=True)
    >>> strategy = PredictiveVariance(Bagged(n_estimators=5), random_state=0)
    >>> learner = ActiveLearner(SVR(), strategy, X[:50], y[:50])
    >>> learner.query(X[50:], n_instances=3)[0].shape
    (3,)
    """

    def __init__(self, estimator: Any = None, n_estimators: int = 10) -> None:
        self.estimator = estimator
        self.n_estimators = n_estimators

    def draw(self, pool: Pool, rng: torch.Generator) -> Draws:
        """Fit the copies; see `Posterior.draw`."""
        check_int("n_estimators", self.n_estimators, 2)
        X, y = labeled_rows(pool, "each copy of Bagged")
        estimator = self._estimator(pool)
        copies = []
        for _ in range(self.n_estimators):
            sample = _bootstrap(y, pool.task, rng)
            try:
                fitted = _fit(estimator, X, y, sample, rng)
            except ValueError:
                if pool.task != "classification":
                    raise
                fitted = _fit(estimator, X, y, _within_classes(y, rng), rng)
            copies.append(FittedCopy(fitted, X, y))
        bag = Pool(_Bag(copies), pool.X, pool.name)
        if "unknown" not in (pool.task, bag.task) and pool.task != bag.task:
            raise UnsuitableLearnerError(
                f"The learner is for {pool.task}, and {type(estimator).__name__} of "
                f"Bagged is for {bag.task}. Use an estimator for the task of the "
                "learner."
            )
        return Members().draw(bag, rng)

    def _estimator(self, pool: Pool) -> Any:
        if self.estimator is not None:
            if not is_estimator(self.estimator):
                raise TypeError(
                    "estimator of Bagged must be an estimator, such as SVR(), got "
                    f"{self.estimator!r}."
                )
            return self.estimator
        learner, *others = learners_of(pool.learner)
        if others:
            raise UnsuitableLearnerError(
                "Bagged() copies the estimator of a learner, and a committee has "
                "several. Use posterior=Members(), or name one: Bagged(estimator=...)."
            )
        return rewrap(learner, clone(innermost(learner)))


@dataclass
class _Bag:
    """The copies, as a committee."""

    learner_list: list[FittedCopy]


def _fit(
    estimator: Any, X: Any, y: Any, sample: np.ndarray, rng: torch.Generator
) -> Any:
    rows, labels = take_rows(X, sample), take_rows(y, sample)
    return fit_copy(estimator, rows, labels, rng, "The copy in Bagged of")


def _bootstrap(y: Any, task: str, rng: torch.Generator) -> np.ndarray:
    """Draw as many rows as there are labels, of two classes if there are two."""
    n = n_rows(y)
    sample = torch.randint(n, (n,), generator=rng).numpy()
    if task == "classification":
        labels = np.asarray(y).reshape(n, -1)
        differ = (labels != labels[sample[0]]).any(axis=1)
        if differ.any() and not differ[sample].any():
            others = np.flatnonzero(differ)
            sample[-1] = others[int(torch.randint(len(others), (), generator=rng))]
    return sample


def _within_classes(y: Any, rng: torch.Generator) -> np.ndarray:
    """Draw as many rows of each class as have it."""
    labels = pd.DataFrame(np.asarray(y).reshape(n_rows(y), -1))
    sample = np.empty(len(labels), dtype=np.intp)
    by_class = labels.groupby(list(labels), sort=False, dropna=False)
    for rows in by_class.indices.values():
        drawn = torch.randint(len(rows), (len(rows),), generator=rng)
        sample[rows] = rows[drawn.numpy()]
    return sample
