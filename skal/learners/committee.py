"""Committees: several learners that vote, of classifiers or of regressors."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from modAL.disagreement import max_std_sampling, vote_entropy_sampling
from modAL.models import Committee as ModALCommittee
from modAL.models import CommitteeRegressor as ModALCommitteeRegressor
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import ClassifierTags, RegressorTags

from skal.exceptions import UnsuitableLearnerError
from skal.learners.checks import (
    predicts_several_labels,
    sum_to_1,
    warn_if_permuted,
)
from skal.learners.committee_base import BaseCommittee
from skal.reading.variance_column import without_variance
from skal.rows import as_array

__all__ = ["Committee", "CommitteeRegressor"]


def _warn_if_shared(members: list[Any]) -> None:
    estimators = {id(getattr(member, "estimator", member)) for member in members}
    n_shared = len(members) - len(estimators)
    if n_shared:
        warnings.warn(
            f"{n_shared} of the {len(members)} members of the committee have the same "
            "estimator object as another member, so that both always agree. Pass "
            "clone(estimator) (from sklearn.base) to each member.",
            UserWarning,
            stacklevel=3,
        )


class Committee(BaseCommittee, ModALCommittee):
    """Classifiers that vote, and query the rows on which they disagree.

    Parameters
    ----------
    learner_list : list of ActiveLearner
        The members, each with its own estimator object. Their classes may differ: votes
        and probabilities refer to the union of the classes, and a member assigns
        probability 0 to a class that it has not seen.
    query_strategy : callable, default=vote_entropy_sampling of modAL
    on_transformed : bool, default=False
        Whether modAL's ranked batch computes distances between transformed rows.
    random_state : int, RandomState, Generator or None, default=None
        Used to draw the bootstrap samples, a different one for each member. With an
        int, the same samples are drawn each time: pass a RandomState to call `rebag`
        more than once.
    on_duplicate : {"warn", "raise", "ignore"}, default="warn"
        What `teach` does with rows of a pandas object that have already been labeled:
        those with the same index label and the same values as an earlier row.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,), list or None
        Sorted union of the members' classes, None before they are fitted. If the
        members predict several outputs, a list of one array for each.
    n_classes_ : int or list of int
    X_training, y_training : rows and labels, or None
        Those of the members if all share the same, else None.

    See Also
    --------
    CommitteeRegressor : A committee of regressors.

    Notes
    -----
    While `fit`, `teach` or `rebag` trains the members, a copy of every member's
    estimator is kept, so that none is changed if one fails.

    Members that predict several outputs or labels for a row can be queried, by
    `Entropy`, `Margin` and `LeastConfident`, and `vote` collects their predictions; the
    other methods raise an error.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skal.learners import ActiveLearner, Committee
    >>> X, y = load_iris(return_X_y=True)
    >>> estimators = LogisticRegression(max_iter=500), DecisionTreeClassifier()
    >>> committee = Committee([ActiveLearner(estimator) for estimator in estimators])
    >>> committee.fit(X[::10], y[::10]).vote_proba(X).shape
    (150, 2, 3)
    """

    def __init__(
        self,
        learner_list: list[Any],
        query_strategy: Callable[..., Any] = vote_entropy_sampling,
        on_transformed: bool = False,
        random_state: Any = None,
        on_duplicate: str = "warn",
    ) -> None:
        self.learner_list = learner_list
        self.query_strategy = query_strategy
        self.on_transformed = on_transformed
        self.random_state = random_state
        self.on_duplicate = on_duplicate
        _warn_if_shared(learner_list)

    @property
    def classes_(self) -> Any:
        """Sorted union of the members' classes."""
        known: list[Any] = [
            getattr(m.estimator, "classes_", None) for m in self.learner_list
        ]
        if not known or any(classes is None for classes in known):
            return None
        if all(isinstance(classes, list) for classes in known):
            by_output = zip(*known, strict=True)
            return [np.unique(np.concatenate(classes)) for classes in by_output]
        return np.unique(np.concatenate(known))

    @property
    def n_classes_(self) -> Any:
        """Number of classes, 0 before the members are fitted."""
        classes = self.classes_
        if isinstance(classes, list):
            return [len(own) for own in classes]
        return 0 if classes is None else len(classes)

    def predict(self, X: Any, **predict_proba_kwargs: Any) -> np.ndarray:
        """Predict the class with the largest mean probability, shape (n,)."""
        consensus = self.predict_proba(X, **predict_proba_kwargs)
        return self._fitted_classes()[consensus.argmax(axis=1)]

    def predict_proba(self, X: Any, **predict_proba_kwargs: Any) -> np.ndarray:
        """Average the members' probabilities, shape (n, n_classes)."""
        return self.vote_proba(X, **predict_proba_kwargs).mean(axis=1)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy on labeled rows."""
        warn_if_permuted(X, y, "score")
        return float(
            accuracy_score(as_array(y), self.predict(X), sample_weight=sample_weight)
        )

    def vote(self, X: Any, **predict_kwargs: Any) -> np.ndarray:
        """Collect the members' predicted labels, shape (n, n_members)."""
        self._fitted_classes()
        return np.stack(self._predict_members("predict", X, **predict_kwargs), axis=1)

    def vote_proba(self, X: Any, **predict_proba_kwargs: Any) -> np.ndarray:
        """Collect the members' probabilities, shape (n, n_members, n_classes).

        Raises
        ------
        UnsuitableLearnerError
            If the members predict several outputs or labels for a row.
        ValueError
            If the probabilities of a member do not have one column per class, as those
            of a net with more outputs than classes seen in training.
        """
        classes = self._fitted_classes()
        if isinstance(classes, list):
            raise _several_labels()
        answers = self._predict_members("predict_proba", X, **predict_proba_kwargs)
        distributions = all(a.ndim == 2 and sum_to_1(a) for a in answers)
        if not distributions and predicts_several_labels(self, X):
            raise _several_labels()
        n = len(answers[0])
        proba_N_K_C = np.zeros((n, len(answers), len(classes)))
        for k, (member, proba) in enumerate(
            zip(self.learner_list, answers, strict=True)
        ):
            known = member.estimator.classes_
            if proba.shape[1] != len(known):
                raise ValueError(
                    f"Member {k} returns {proba.shape[1]} probabilities per row for "
                    f"the {len(known)} classes it knows ({list(known)}), so the class "
                    "of each column is unknown. Pass classes= to the net."
                )
            proba_N_K_C[:, k, np.searchsorted(classes, known)] = proba
        return proba_N_K_C

    def _fitted_classes(self) -> Any:
        classes = self.classes_
        if classes is None:
            raise NotFittedError(
                "This Committee has members that are not fitted: call fit or teach, or "
                "pass X_training and y_training to each member."
            )
        return classes

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.estimator_type = "classifier"
        tags.classifier_tags = ClassifierTags()
        return tags


def _several_labels() -> UnsuitableLearnerError:
    return UnsuitableLearnerError(
        "The members of this Committee predict several outputs or labels for a row; "
        "its probabilities and predictions are of one. `vote` collects the predictions "
        "of the members, and Entropy, Margin and LeastConfident of skal.strategies can "
        "query them."
    )


class CommitteeRegressor(BaseCommittee, ModALCommitteeRegressor):
    """Regressors that are averaged, and query the rows on which they disagree.

    Parameters
    ----------
    learner_list : list of ActiveLearner
        The members, each with its own estimator object.
    query_strategy : callable, default=max_std_sampling of modAL
    on_transformed : bool, default=False
        Whether modAL's ranked batch computes distances between transformed rows.
    random_state : int, RandomState, Generator or None, default=None
        Used to draw the bootstrap samples, a different one for each member. With an
        int, the same samples are drawn each time: pass a RandomState to call `rebag`
        more than once.
    on_duplicate : {"warn", "raise", "ignore"}, default="warn"
        What `teach` does with rows of a pandas object that have already been labeled:
        those with the same index label and the same values as an earlier row.

    Attributes
    ----------
    X_training, y_training : rows and targets, or None
        Those of the members if all share the same, else None.

    See Also
    --------
    Committee : A committee of classifiers.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.tree import DecisionTreeRegressor
    >>> from skal.learners import ActiveLearner, CommitteeRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> members = [ActiveLearner(Ridge()), ActiveLearner(DecisionTreeRegressor())]
    >>> committee = CommitteeRegressor(members).fit(X[:50], y[:50])
    >>> mean, std = committee.predict(X, return_std=True)
    >>> mean.shape, std.shape
    ((442,), (442,))
    """

    def __init__(
        self,
        learner_list: list[Any],
        query_strategy: Callable[..., Any] = max_std_sampling,
        on_transformed: bool = False,
        random_state: Any = None,
        on_duplicate: str = "warn",
    ) -> None:
        self.learner_list = learner_list
        self.query_strategy = query_strategy
        self.on_transformed = on_transformed
        self.random_state = random_state
        self.on_duplicate = on_duplicate
        _warn_if_shared(learner_list)

    def predict(self, X: Any, return_std: bool = False, **predict_kwargs: Any) -> Any:
        """Average the members' predictions.

        Parameters
        ----------
        X : rows of shape (n, ...)
        return_std : bool, default=False
            Return the members' standard deviation as well.

        Returns
        -------
        mean : ndarray of shape (n,) or (n, n_outputs)
        std : ndarray of the same shape
            Only with `return_std`; in units of the target.
        """
        votes = self.vote(X, **predict_kwargs)
        mean = votes.mean(axis=1)
        return (mean, votes.std(axis=1)) if return_std else mean

    def vote(self, X: Any, **predict_kwargs: Any) -> np.ndarray:
        """Collect the members' predictions.

        Returns
        -------
        votes : ndarray of shape (n, n_members) or (n, n_members, n_outputs)
        """
        if not self.__sklearn_is_fitted__():
            raise NotFittedError(
                "This CommitteeRegressor has members that are not fitted: call fit or "
                "teach, or pass X_training and y_training to each member."
            )
        answers = self._predict_members("predict", X, **predict_kwargs)
        answers = [
            without_variance(member.estimator, answer)
            for member, answer in zip(self.learner_list, answers, strict=True)
        ]
        columns = [a[:, 0] if a.ndim == 2 and a.shape[1] == 1 else a for a in answers]
        return np.stack(columns, axis=1)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Coefficient of determination R² on labeled rows."""
        warn_if_permuted(X, y, "score")
        return float(
            r2_score(as_array(y), self.predict(X), sample_weight=sample_weight)
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.estimator_type = "regressor"
        tags.regressor_tags = RegressorTags()
        return tags
