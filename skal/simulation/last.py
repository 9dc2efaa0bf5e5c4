"""The last fitted estimator of a campaign, under the campaign's own name."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

__all__ = ["LastEstimatorMixin"]


def _last_estimator_has(method: str) -> Any:
    """Offer a method where the wrapped estimator offers it."""

    def check(campaign: Any) -> bool:
        getattr(getattr(campaign, "estimator_", campaign.estimator), method)
        return True

    return available_if(check)


class LastEstimatorMixin:
    """Predict with ``estimator_``, and be of the kind that ``estimator`` is."""

    estimator: Any
    estimator_: Any

    def predict(self, X: Any) -> Any:
        """Predict with the estimator of the last step."""
        check_is_fitted(self, "estimators_")
        return self.estimator_.predict(X)

    @_last_estimator_has("predict_proba")
    def predict_proba(self, X: Any) -> Any:
        """Class probabilities of the estimator of the last step."""
        check_is_fitted(self, "estimators_")
        return self.estimator_.predict_proba(X)

    @_last_estimator_has("decision_function")
    def decision_function(self, X: Any) -> Any:
        """Decision function of the estimator of the last step."""
        check_is_fitted(self, "estimators_")
        return self.estimator_.decision_function(X)

    @property
    def classes_(self) -> Any:
        """Classes that the estimator of the last step knows."""
        return self._of_last("classes_")

    @property
    def n_features_in_(self) -> int:
        """Number of features seen in `fit`."""
        return int(self._of_last("n_features_in_"))

    @property
    def feature_names_in_(self) -> Any:
        """Names of the features seen in `fit`."""
        return self._of_last("feature_names_in_")

    def _of_last(self, name: str) -> Any:
        if "estimator_" not in vars(self):
            raise AttributeError(f"{type(self).__name__} has no {name} before fit.")
        return getattr(self.estimator_, name)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        inner = get_tags(self.estimator)
        tags.estimator_type = inner.estimator_type
        tags.classifier_tags = deepcopy(inner.classifier_tags)
        tags.regressor_tags = deepcopy(inner.regressor_tags)
        for own in (tags.classifier_tags, tags.regressor_tags):
            if own is not None:
                own.poor_score = True  # a few labels, and the mean over fewer
        tags.target_tags = deepcopy(inner.target_tags)
        tags.target_tags.required = True
        tags.input_tags = deepcopy(inner.input_tags)
        return tags
