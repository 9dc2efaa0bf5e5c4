"""CommitteeRegressor: several regressors and their spread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from modAL.disagreement import max_std_sampling
from modAL.models import CommitteeRegressor as ModALCommitteeRegressor
from sklearn.exceptions import NotFittedError
from sklearn.metrics import r2_score
from sklearn.utils import RegressorTags

from skal.learners.committees import CommitteeMixin, input_tags_of
from skal.learners.rows import as_array

__all__ = ["CommitteeRegressor"]


class CommitteeRegressor(CommitteeMixin, ModALCommitteeRegressor):
    """Regressors that are averaged, and ask for the rows they disagree about.

    Parameters
    ----------
    learner_list : list of ActiveLearner
    query_strategy : callable, default=max_std_sampling of modAL
    on_transformed : bool, default=False
        Let modAL's ranked batch measure distances between transformed rows.
    random_state : int, RandomState, Generator or None, default=None
        Draws the bootstrap samples, another for each member. An int draws the same
        ones each time: give a RandomState if `rebag` is called more than once.

    Attributes
    ----------
    X_training, y_training : rows and targets, or None
        Those of the members if all share the same, else None.

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
    ) -> None:
        self.learner_list = learner_list
        self.query_strategy = query_strategy
        self.on_transformed = on_transformed
        self.random_state = random_state

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
                "teach, or give each member X_training and y_training."
            )
        answers = self._member_answers("predict", X, **predict_kwargs)
        columns = [a[:, 0] if a.ndim == 2 and a.shape[1] == 1 else a for a in answers]
        return np.stack(columns, axis=1)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Coefficient of determination R² on labeled rows."""
        return float(
            r2_score(as_array(y), self.predict(X), sample_weight=sample_weight)
        )

    def __sklearn_tags__(self) -> Any:
        tags = input_tags_of(self.learner_list, super().__sklearn_tags__())
        tags.estimator_type = "regressor"
        tags.regressor_tags = RegressorTags()
        tags.target_tags.required = True
        return tags
