from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import BaseEstimator, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.validation import check_is_fitted

from skal.learners import ActiveLearner


@pytest.mark.parametrize(
    ("estimator", "classifies"),
    [
        (LogisticRegression(), True),
        (make_pipeline(StandardScaler(), LogisticRegression()), True),
        (GridSearchCV(LogisticRegression(), {}), True),
        (Ridge(), False),
        (make_pipeline(StandardScaler(), Ridge()), False),
    ],
)
def test_kind_is_that_of_the_estimator(estimator, classifies):
    learner = ActiveLearner(estimator)
    assert is_classifier(learner) is classifies
    assert is_regressor(learner) is not classifies


def test_estimator_without_tags():
    class Plain:
        def fit(self, X, y):
            self.n = len(X)

        def predict(self, X):
            return np.zeros(len(X))

    learner = ActiveLearner(Plain(), lambda learner, X: [0])
    learner.teach(np.ones((3, 1)), [0, 0, 0])
    assert not is_classifier(learner)
    assert learner.estimator.n == 3
    assert learner.predict(np.ones((2, 1))).tolist() == [0, 0]


def test_fitted_when_the_estimator_is(data):
    learner = ActiveLearner(make_pipeline(StandardScaler(), GaussianNB()))
    with pytest.raises(NotFittedError):
        check_is_fitted(learner)
    for name in ("classes_", "n_features_in_", "feature_names_in_"):
        assert not hasattr(learner, name)
    check_is_fitted(learner.fit(*data))
    assert learner.classes_.tolist() == [0, 1, 2]
    assert learner.n_features_in_ == 4
    assert not hasattr(learner, "feature_names_in_")


def test_last_step_of_a_pipeline(data):
    X, y = data
    pipeline = make_pipeline(StandardScaler(), ActiveLearner(LogisticRegression()))
    with pytest.raises(NotFittedError):
        pipeline.predict(X)
    expected = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    assert pipeline.fit(X, y).score(X, y) == expected.score(X, y)
    assert np.array_equal(pipeline.predict_proba(X), expected.predict_proba(X))
    assert np.array_equal(pipeline.predict(X), expected.predict(X))
    assert pipeline.classes_.tolist() == [0, 1, 2]


def test_arguments_pass(data):
    class Scaled(Ridge):
        def predict(self, X, factor=1):
            return super().predict(X) * factor

        def predict_proba(self, X, factor=1):
            return np.full((len(X), 2), 0.5) * factor

    X, y = data
    learner = ActiveLearner(Scaled(), X_training=X, y_training=y)
    assert np.array_equal(learner.predict(X, factor=2), 2 * learner.predict(X))
    assert learner.predict_proba(X, factor=2).max() == 1
    weight = np.arange(60.0)
    assert learner.score(X, y, sample_weight=weight) == learner.estimator.score(
        X, y, weight
    )


def test_only_what_the_estimator_has():
    assert not hasattr(ActiveLearner(Ridge()), "predict_proba")
    assert not hasattr(ActiveLearner(BaseEstimator()), "decision_function")
    assert hasattr(ActiveLearner(LogisticRegression()), "decision_function")


def test_all_transformers_of_a_pipeline_are_applied_in_order(data):
    X, y = data
    shifts = [
        FunctionTransformer(np.exp),
        StandardScaler(),
        FunctionTransformer(np.sin),
    ]
    inner = make_pipeline(*shifts[:2])
    for steps in (shifts, [inner, shifts[2]], [shifts[0], make_pipeline(*shifts[1:])]):
        pipeline = make_pipeline(*steps, LogisticRegression())
        learner = ActiveLearner(pipeline, X_training=X, y_training=y)
        grown = np.exp(X)
        expected = np.sin((grown - grown.mean(0)) / grown.std(0))
        np.testing.assert_allclose(
            learner.transform_without_estimating(X), expected, atol=1e-6
        )
