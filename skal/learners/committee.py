"""Committees: several learners that vote, of classifiers or of regressors."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from modAL.disagreement import max_std_sampling, vote_entropy_sampling
from modAL.models import Committee as ModALCommittee
from modAL.models import CommitteeRegressor as ModALCommitteeRegressor
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import ClassifierTags, RegressorTags, get_tags

from skal._stacking import hstack_rows, stack_rows
from skal.learners.checks import (
    align_labels,
    check_duplicates,
    check_labeled,
    is_fitted,
    warn_if_permuted,
)
from skal.learners.diagram import DiagramMixin
from skal.learners.querying import QueryMixin
from skal.learners.training import (
    fit_estimator,
    set_owners,
    unchanged_on_error,
    warn_if_owned,
)
from skal.reading.columns import complete_columns
from skal.reading.unwrapping import accepts_nan, as_input, transform_inputs
from skal.rng import resolve_rng, seed_from
from skal.rows import as_array, as_dense, n_rows, take_rows

__all__ = ["Committee", "CommitteeRegressor"]


class _BaseCommittee(QueryMixin, DiagramMixin):
    """Training and querying of several learners together."""

    learner_list: list[Any]
    query_strategy: Callable[..., Any]
    on_transformed: bool
    random_state: Any
    on_duplicate: str

    # What scikit-learn's metadata routing may pass on, by `set_fit_request`.
    __metadata_request__fit: ClassVar[dict[str, Any]] = {"sample_weight": None}

    def fit(self, X: Any, y: Any, bootstrap: bool = False, **fit_kwargs: Any) -> Any:
        """Fit every member on these rows, which replace all earlier ones.

        Parameters
        ----------
        X : rows of shape (n, ...)
        y : array-like of shape (n,) or (n, n_outputs)
        bootstrap : bool, default=False
            Fit each member on its own bootstrap sample.
        **fit_kwargs
            Passed to the estimators.

        Raises
        ------
        ValueError
            If the rows are invalid. No member is changed then, nor if one of them
            fails to fit.
        """
        self._check(X, y)
        warn_if_permuted(X, y)
        data = [(X, y)] * len(self.learner_list)
        self._train(data, data, bootstrap, fit_kwargs)
        return self

    def teach(
        self,
        X: Any,
        y: Any,
        bootstrap: bool = False,
        only_new: bool = False,
        **fit_kwargs: Any,
    ) -> None:
        """Add labeled rows to every member, and fit all members again.

        Parameters
        ----------
        X : rows of shape (n, ...)
        y : array-like of shape (n,) or (n, n_outputs)
            Labels are matched to rows by position, or by index if both `X` and `y`
            are of pandas.
        bootstrap : bool, default=False
            Fit each member on its own bootstrap sample.
        only_new : bool, default=False
            Fit on the new rows alone; they are added to the training data all the
            same.
        **fit_kwargs
            Passed to the estimators.

        Raises
        ------
        ValueError
            If the rows are invalid. No member is changed then, nor if one of them
            fails to fit.
        """
        self._check(X, y)
        y = align_labels(X, y)
        # Members that share their rows keep sharing them: each set is stacked once.
        stacked: dict[tuple[int, int], tuple[Any, Any]] = {}
        grown, fit_on = [], []
        for member in self.learner_list:
            old_X, old_y = member.X_training, member.y_training
            key = id(old_X), id(old_y)
            if key not in stacked:
                if old_X is None:
                    stacked[key] = X, y
                else:
                    rows = complete_columns(X, old_X, member.estimator)
                    stacked[key] = stack_rows(old_X, rows), stack_rows(old_y, y, "y")
                check_duplicates(stacked[key][0], n_rows(X), self.on_duplicate)
            grown.append(stacked[key])
            fit_on.append(
                _last_rows(stacked[key], n_rows(X)) if only_new else grown[-1]
            )
        self._train(fit_on, grown, bootstrap, fit_kwargs)

    def rebag(self, **fit_kwargs: Any) -> None:
        """Fit every member again, each on a bootstrap sample of its labeled rows.

        Parameters
        ----------
        **fit_kwargs
            Passed to the estimators.
        """
        data = [(m.X_training, m.y_training) for m in self.learner_list]
        if any(X is None for X, _ in data):
            raise NotFittedError("rebag needs members that have labeled rows.")
        self._train(data, data, True, fit_kwargs)

    def transform_without_estimating(self, X: Any) -> Any:
        """Transform rows with the Pipelines of all members, stacked side by side."""
        return hstack_rows(
            [transform_inputs(m.estimator, X) for m in self.learner_list]
        )

    @property
    def X_training(self) -> Any:
        """Labeled rows if all members share them, else None."""
        return self._shared("X_training")

    @property
    def y_training(self) -> Any:
        """Labels if all members share them, else None."""
        return self._shared("y_training")

    @property
    def n_features_in_(self) -> int:
        """Number of features of the fitted members."""
        return self._first_estimator().n_features_in_

    @property
    def feature_names_in_(self) -> Any:
        """Names of the features of the fitted members."""
        return self._first_estimator().feature_names_in_

    def _first_estimator(self) -> Any:
        return self.learner_list[0].estimator if self.learner_list else None

    def _shared(self, name: str) -> Any:
        first = getattr(self.learner_list[0], name, None) if self.learner_list else None
        same = all(getattr(m, name, None) is first for m in self.learner_list)
        return first if same else None

    def _check_members(self) -> None:
        if not self.learner_list:
            raise ValueError("The committee has no members: learner_list is empty.")

    def _check(self, X: Any, y: Any) -> None:
        self._check_members()
        check_labeled(
            X,
            y,
            finite=any(getattr(m, "force_all_finite", True) for m in self.learner_list),
            allow_nan=all(accepts_nan(m.estimator) for m in self.learner_list),
        )

    def _train(
        self,
        fit_on: list[tuple[Any, Any]],
        keep: list[tuple[Any, Any]],
        bootstrap: bool,
        fit_kwargs: dict[str, Any],
    ) -> None:
        """Fit all members; store the rows to keep once all have succeeded."""
        warn_if_owned(self.learner_list)
        rngs = self._bootstrap_rngs() if bootstrap else [None] * len(self.learner_list)
        with unchanged_on_error(m.estimator for m in self.learner_list):
            for member, (X, y), rng in zip(
                self.learner_list, fit_on, rngs, strict=True
            ):
                fit_estimator(member.estimator, X, y, fit_kwargs, rng)
        for member, (X, y) in zip(self.learner_list, keep, strict=True):
            member.X_training, member.y_training = X, y
        set_owners(self.learner_list)

    def _bootstrap_rngs(self) -> list[torch.Generator | None]:
        """Return one generator per member, so that no two draw the same sample."""
        root = resolve_rng(self.random_state)
        return [resolve_rng(seed_from(root)) for _ in self.learner_list]

    def _predict_members(self, method: str, X: Any, **kwargs: Any) -> list[Any]:
        self._check_members()
        answers = []
        for member in self.learner_list:
            rows = as_input(X, member.estimator)
            answers.append(as_dense(getattr(member, method)(rows, **kwargs)))
        return answers

    def __sklearn_is_fitted__(self) -> bool:
        return bool(self.learner_list) and all(
            is_fitted(m.estimator) for m in self.learner_list
        )

    def __sklearn_tags__(self) -> Any:
        # A committee takes the inputs that all its members take.
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        known = [
            get_tags(m).input_tags
            for m in self.learner_list
            if hasattr(m, "__sklearn_tags__")
        ]
        for name in ("sparse", "allow_nan"):
            taken = bool(known) and all(getattr(t, name) for t in known)
            setattr(tags.input_tags, name, taken)
        tags.target_tags.required = True
        return tags


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


def _last_rows(data: tuple[Any, Any], n: int) -> tuple[Any, Any]:
    X, y = data
    added = np.arange(n_rows(X) - n, n_rows(X))
    return take_rows(X, added), take_rows(y, added)


class Committee(_BaseCommittee, ModALCommittee):
    """Classifiers that vote, and query the rows on which they disagree.

    Parameters
    ----------
    learner_list : list of ActiveLearner
        The members, each with another estimator object. Their classes may differ:
        votes and probabilities are over the union of the classes, and a member
        assigns probability 0 to a class that it has not seen.
    query_strategy : callable, default=vote_entropy_sampling of modAL
    on_transformed : bool, default=False
        Let modAL's ranked batch compute distances between transformed rows.
    random_state : int, RandomState, Generator or None, default=None
        Draws the bootstrap samples, a different one for each member. An int draws the
        same ones each time: pass a RandomState to call `rebag` more than once.
    on_duplicate : {"warn", "raise", "ignore"}, default="warn"
        What `teach` does with rows of pandas that are labeled already: those with
        the same index label and the same values as an earlier row.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,) or None
        Sorted union of the members' classes, None before they are fitted.
    n_classes_ : int
    X_training, y_training : rows and labels, or None
        Those of the members if all share the same, else None.

    See Also
    --------
    CommitteeRegressor : A committee of regressors.

    Notes
    -----
    While `fit`, `teach` or `rebag` trains the members, a copy of every member's
    estimator is kept, so that none is changed if one fails.

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
        """Predict the class with the largest mean probability, shape (n,)."""
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
        return np.stack(self._predict_members("predict", X, **predict_kwargs), axis=1)

    def vote_proba(self, X: Any, **predict_proba_kwargs: Any) -> np.ndarray:
        """Collect the members' probabilities, shape (n, n_members, n_classes).

        Raises
        ------
        ValueError
            If the probabilities of a member do not have one column per class, as of a
            net with more outputs than classes seen in training.
        """
        classes = self._fitted_classes()
        answers = self._predict_members("predict_proba", X, **predict_proba_kwargs)
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

    def _fitted_classes(self) -> np.ndarray:
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


class CommitteeRegressor(_BaseCommittee, ModALCommitteeRegressor):
    """Regressors that are averaged, and query the rows on which they disagree.

    Parameters
    ----------
    learner_list : list of ActiveLearner
        The members, each with another estimator object.
    query_strategy : callable, default=max_std_sampling of modAL
    on_transformed : bool, default=False
        Let modAL's ranked batch compute distances between transformed rows.
    random_state : int, RandomState, Generator or None, default=None
        Draws the bootstrap samples, a different one for each member. An int draws the
        same ones each time: pass a RandomState to call `rebag` more than once.
    on_duplicate : {"warn", "raise", "ignore"}, default="warn"
        What `teach` does with rows of pandas that are labeled already: those with
        the same index label and the same values as an earlier row.

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
        columns = [a[:, 0] if a.ndim == 2 and a.shape[1] == 1 else a for a in answers]
        return np.stack(columns, axis=1)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Coefficient of determination R² on labeled rows."""
        return float(
            r2_score(as_array(y), self.predict(X), sample_weight=sample_weight)
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.estimator_type = "regressor"
        tags.regressor_tags = RegressorTags()
        return tags
