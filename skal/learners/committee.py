"""Committee: several classifiers that vote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from modAL.disagreement import vote_entropy_sampling
from modAL.models import Committee as ModALCommittee
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score
from sklearn.utils import ClassifierTags

from skal.learners.committees import CommitteeMixin, input_tags_of
from skal.learners.rows import as_array

__all__ = ["Committee"]


class Committee(CommitteeMixin, ModALCommittee):
    """Classifiers that vote, and ask for the rows they disagree about.

    Parameters
    ----------
    learner_list : list of ActiveLearner
        Their classes may differ: votes and probabilities are over the union, and a
        class that a member has not seen has probability 0 with it.
    query_strategy : callable, default=vote_entropy_sampling of modAL
    on_transformed : bool, default=False
        Let modAL's ranked batch measure distances between transformed rows.
    random_state : int, RandomState, Generator or None, default=None
        Draws the bootstrap samples, another for each member. An int draws the same
        ones each time: give a RandomState if `rebag` is called more than once.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,) or None
        Sorted union of the members' classes, None before they are fitted.
    n_classes_ : int
    X_training, y_training : rows and labels, or None
        Those of the members if all share the same, else None.

    Notes
    -----
    A copy of every member's estimator is kept while `fit`, `teach` or `rebag` trains
    them, so that none is changed if one fails.

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
    ) -> None:
        self.learner_list = learner_list
        self.query_strategy = query_strategy
        self.on_transformed = on_transformed
        self.random_state = random_state

    @property
    def classes_(self) -> np.ndarray | None:
        """Sorted union of the members' classes."""
        known: list[Any] = [
            getattr(m.estimator, "classes_", None) for m in self.learner_list
        ]
        if not known or any(classes is None for classes in known):
            return None
        return np.unique(np.concatenate(known))

    @property
    def n_classes_(self) -> int:
        """Number of classes, 0 before the members are fitted."""
        classes = self.classes_
        return 0 if classes is None else len(classes)

    def predict(self, X: Any, **predict_proba_kwargs: Any) -> np.ndarray:
        """Predict the class of largest mean probability, shape (n,)."""
        consensus = self.predict_proba(X, **predict_proba_kwargs)
        return self._fitted_classes()[consensus.argmax(axis=1)]

    def predict_proba(self, X: Any, **predict_proba_kwargs: Any) -> np.ndarray:
        """Average the members' probabilities, shape (n, n_classes)."""
        return self.vote_proba(X, **predict_proba_kwargs).mean(axis=1)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy on labeled rows."""
        return float(
            accuracy_score(as_array(y), self.predict(X), sample_weight=sample_weight)
        )

    def vote(self, X: Any, **predict_kwargs: Any) -> np.ndarray:
        """Collect the members' predicted labels, shape (n, n_members)."""
        self._fitted_classes()
        return np.stack(self._member_answers("predict", X, **predict_kwargs), axis=1)

    def vote_proba(self, X: Any, **predict_proba_kwargs: Any) -> np.ndarray:
        """Collect the members' probabilities, shape (n, n_members, n_classes).

        Raises
        ------
        ValueError
            If a member's probabilities have not one column for each of its classes,
            as a net's that has more outputs than it has seen classes.
        """
        classes = self._fitted_classes()
        answers = self._member_answers("predict_proba", X, **predict_proba_kwargs)
        n = len(answers[0])
        proba_N_K_C = np.zeros((n, len(answers), len(classes)))
        for k, (member, proba) in enumerate(
            zip(self.learner_list, answers, strict=True)
        ):
            known = member.estimator.classes_
            if proba.shape[1] != len(known):
                raise ValueError(
                    f"Member {k} gives {proba.shape[1]} probabilities for the "
                    f"{len(known)} classes it knows ({list(known)}), so that its "
                    "columns cannot be named. Give a net all classes with classes=."
                )
            proba_N_K_C[:, k, np.searchsorted(classes, known)] = proba
        return proba_N_K_C

    def _fitted_classes(self) -> np.ndarray:
        classes = self.classes_
        if classes is None:
            raise NotFittedError(
                "This Committee has members that are not fitted: call fit or teach, or "
                "give each member X_training and y_training."
            )
        return classes

    def __sklearn_tags__(self) -> Any:
        tags = input_tags_of(self.learner_list, super().__sklearn_tags__())
        tags.estimator_type = "classifier"
        tags.classifier_tags = ClassifierTags()
        tags.target_tags.required = True
        return tags
