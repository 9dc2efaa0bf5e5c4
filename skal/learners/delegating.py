"""Methods and attributes that a learner delegates to its estimator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if

from skal.learners.checks import is_fitted, warn_if_permuted
from skal.reading.unwrapping import as_input, transform_inputs
from skal.rows import array_if_tensor, arrays_in

__all__ = ["EstimatorMethods"]


def _estimator_has(method: str) -> Callable[[Any], bool]:
    return lambda learner: hasattr(learner.estimator, method)


class EstimatorMethods:
    """Mixin that delegates predictions, scores, fitted attributes and tags."""

    estimator: Any

    def predict(self, X: Any, **predict_kwargs: Any) -> Any:
        """Predict with the estimator."""
        return self.estimator.predict(as_input(X, self.estimator), **predict_kwargs)

    @available_if(_estimator_has("predict_proba"))
    def predict_proba(self, X: Any, **predict_proba_kwargs: Any) -> Any:
        """Predict class probabilities with the estimator."""
        X = as_input(X, self.estimator)
        return self.estimator.predict_proba(X, **predict_proba_kwargs)

    @available_if(_estimator_has("decision_function"))
    def decision_function(self, X: Any) -> Any:
        """Evaluate the decision function of the estimator."""
        return self.estimator.decision_function(as_input(X, self.estimator))

    def score(self, X: Any, y: Any, **score_kwargs: Any) -> Any:
        """Score the estimator's predictions on labeled rows."""
        warn_if_permuted(X, y, "score")
        # scikit-learn before 1.7 cannot compare tensors with arrays.
        y = arrays_in(y) if isinstance(y, list | tuple) else array_if_tensor(y)
        X = as_input(X, self.estimator)
        return self.estimator.score(X, y, **score_kwargs)

    def transform_without_estimating(self, X: Any) -> Any:
        """Transform rows with all steps of a Pipeline but the last.

        Returns
        -------
        transformed : ndarray or csr_matrix
            `X` itself if the estimator has no such steps.
        """
        return transform_inputs(self.estimator, X)

    @property
    def classes_(self) -> Any:
        """Classes of the fitted estimator."""
        return self.estimator.classes_

    @property
    def n_features_in_(self) -> int:
        """Number of features of the fitted estimator."""
        return self.estimator.n_features_in_

    @property
    def feature_names_in_(self) -> Any:
        """Names of the features of the fitted estimator."""
        return self.estimator.feature_names_in_

    def __sklearn_is_fitted__(self) -> bool:
        return is_fitted(self.estimator)

    def __sklearn_tags__(self) -> Any:
        if hasattr(self.estimator, "__sklearn_tags__"):
            return get_tags(self.estimator)
        return get_tags(BaseEstimator())
