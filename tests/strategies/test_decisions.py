"""Margin and LeastConfident by `decision_function`, against formulas by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from skal import ActiveLearner, ActiveLearningSimulation, Committee
from skal.exceptions import UnsuitableLearnerError
from skal.strategies import (
    BADGE,
    Entropy,
    LeastConfident,
    Margin,
    Prefilter,
    VoteEntropy,
    suitable_strategies,
)
from tests.models import make_data

X, Y = make_data("classification", 90)
POOL = make_data("classification", 40, seed=1)[0]
TWO = np.where(X[:, 0] > 0, "yes", "no")
LABELS = np.column_stack([X[:, 0] > 0, X[:, 1] > 0.5, X[:, 0] + X[:, 2] > 0]) * 1

MODELS = [
    SVC(),
    LinearSVC(random_state=0),
    RidgeClassifier(),
    SGDClassifier(loss="hinge", random_state=0),
    OneVsRestClassifier(LinearSVC(random_state=0)),
    OneVsOneClassifier(LinearSVC(random_state=0)),
    make_pipeline(StandardScaler(), SVC()),
    GridSearchCV(SVC(), {"C": [0.1, 1.0]}, cv=2),
]
both = pytest.mark.parametrize("cls", [LeastConfident, Margin])
every_model = pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)


def by_hand(cls: type, rows: np.ndarray) -> np.ndarray:
    """Scores of decision values, a row at a time."""
    scores = []
    for values in rows:
        if np.ndim(values) == 0:
            scores.append(-abs(values))
            continue
        *_, second, first = sorted(values)
        scores.append(second - first if cls is Margin else -first)
    return np.array(scores)


class Direction(ClassifierMixin, BaseEstimator):
    """A linear classifier of the user's own: the difference of two means."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> Direction:
        self.classes_ = np.unique(y)
        low, high = (np.mean(np.asarray(X)[y == c], axis=0) for c in self.classes_)
        self.w_, self.b_ = high - low, (high @ high - low @ low) / 2
        self.n_features_in_ = np.shape(X)[1]
        return self

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        return np.asarray(X) @ self.w_ - self.b_

    def predict(self, X: np.ndarray) -> np.ndarray:
        return self.classes_[(self.decision_function(X) > 0).astype(int)]


@both
@every_model
@pytest.mark.parametrize("y", [TWO, Y], ids=["two", "three"])
def test_scores_of_any_linear_classifier(cls, model, y):
    model.fit(X, y)
    values = model.decision_function(POOL)
    assert values.ndim == (1 if y is TWO else 2)
    expected = by_hand(cls, values)
    np.testing.assert_allclose(cls().score_samples(model, POOL), expected)
    learner = ActiveLearner(model, cls(), X_training=X, y_training=y)
    indices, _ = learner.query(POOL, 5)
    np.testing.assert_allclose(expected[indices], -np.sort(-expected)[:5])


def test_the_rows_at_the_boundary_are_the_most_uncertain():
    svm = SVC(kernel="linear", C=1e6).fit([[-1.0], [1.0]], [0, 1])
    line = np.array([[-3.0], [0.2], [-0.1], [2.0]])
    # The distance to the boundary at 0, which the margin scales to 1.
    np.testing.assert_allclose(
        Margin().score_samples(svm, line), [-3, -0.2, -0.1, -2], atol=1e-6
    )


@both
def test_probabilities_are_preferred(cls):
    model = LinearDiscriminantAnalysis().fit(X, Y)
    ranked = np.sort(model.predict_proba(POOL), axis=1)
    expected = ranked[:, -2] - ranked[:, -1] if cls is Margin else 1 - ranked[:, -1]
    np.testing.assert_allclose(cls().score_samples(model, POOL), expected)


@both
def test_pairs_of_classes_are_read_as_one_value_for_each_class(cls):
    pairs = SVC(decision_function_shape="ovo").fit(X, Y)
    whole = SVC(decision_function_shape="ovr").fit(X, Y)
    scores = cls().score_samples(pairs, POOL)
    np.testing.assert_array_equal(scores, cls().score_samples(whole, POOL))
    assert pairs.decision_function_shape == "ovo"
    assert not np.allclose(scores, by_hand(cls, pairs.decision_function(POOL)))


@both
@pytest.mark.parametrize(
    "model",
    [RidgeClassifier(), OneVsRestClassifier(LinearSVC(random_state=0))],
    ids=["by predictions", "by attribute"],
)
def test_each_label_is_an_output_of_two_classes(cls, model):
    values = model.fit(X, LABELS).decision_function(POOL)
    assert values.shape == (40, 3)
    expected = -np.abs(values).sum(axis=1)
    np.testing.assert_allclose(cls().score_samples(model, POOL), expected)


@both
def test_a_classifier_of_ones_own(cls):
    model = Direction().fit(X, TWO)
    expected = -np.abs(model.decision_function(POOL))
    np.testing.assert_allclose(cls().score_samples(model, POOL), expected)
    scaled = make_pipeline(StandardScaler(), Direction())
    learner = ActiveLearner(scaled, cls(), X_training=X, y_training=TWO)
    expected = -np.abs(scaled.fit(X, TWO).decision_function(POOL))
    np.testing.assert_allclose(cls().score_samples(learner, POOL), expected)
    simulation = ActiveLearningSimulation(
        Direction(), cls(), n_initial=9, n_instances=4, n_queries=2, random_state=0
    )
    assert simulation.fit(X, TWO).queried_indices_.shape == (2, 4)


def test_sparse_rows():
    rows = sparse.csr_matrix(np.where(POOL > 0, POOL, 0))
    model = LinearSVC(random_state=0).fit(sparse.csr_matrix(X), Y)
    expected = by_hand(Margin, model.decision_function(rows))
    np.testing.assert_allclose(Margin().score_samples(model, rows), expected)


@both
def test_a_committee_has_no_common_scale(cls):
    def committee(*estimators):
        return Committee([ActiveLearner(e, None, X, Y) for e in estimators])

    for members in ([SVC(), SVC(C=9)], [LogisticRegression(), RidgeClassifier()]):
        learner = committee(*members)
        with pytest.raises(UnsuitableLearnerError, match=r"VoteEntropy.*Calibrated"):
            cls().select(learner, POOL)
        assert len(VoteEntropy().select(learner, POOL, 2).indices) == 2
    # A committee of one model has its scale.
    alone = committee(SVC())
    expected = by_hand(cls, SVC().fit(X, Y).decision_function(POOL))
    np.testing.assert_allclose(cls().score_samples(alone, POOL), expected)
    calibrated = committee(CalibratedClassifierCV(SVC()), LogisticRegression())
    assert len(cls().select(calibrated, POOL, 2).indices) == 2


def test_those_that_need_probabilities_name_margin():
    for strategy in (Entropy(), BADGE()):
        with pytest.raises(UnsuitableLearnerError, match=r"RidgeClassifier.* Margin"):
            strategy.select(RidgeClassifier().fit(X, Y), POOL)
    with pytest.raises(UnsuitableLearnerError, match="read its decision_function"):
        Entropy().select(SVC().fit(X, Y), POOL)
    names = list(suitable_strategies(SVC().fit(X, Y), POOL))
    assert names[0] == "Margin"
    assert "LeastConfident" in names
    picks = Prefilter(factor=2, random_state=0).select(SVC().fit(X, Y), POOL, 3)
    assert len(picks.indices) == 3  # by Margin, its default


def test_a_detector_of_outliers_is_no_classifier():
    forest = IsolationForest(n_estimators=5, random_state=0).fit(X)
    with pytest.raises(UnsuitableLearnerError, match="decision_function and classes_"):
        Margin().select(forest, POOL)


def test_values_that_are_not_one_for_each_class():
    class Wrong(RidgeClassifier):
        def decision_function(self, X: np.ndarray) -> np.ndarray:
            return self.change(super().decision_function(X))

    for change, message in [
        (lambda v: v[:, :2], "2 columns for 3 classes"),
        (lambda v: v[:, :, None], r"shape \(40, 3, 1\)"),
        (lambda v: v[:, 0], "1 columns for 3 classes"),
    ]:
        model = Wrong().fit(X, Y)
        model.change = change
        with pytest.raises(ValueError, match=message):
            Margin().select(model, POOL)
    model.change = lambda v: np.where(np.arange(len(v))[:, None] == 3, np.nan, v)
    with pytest.raises(ValueError, match="NaN for 1 of 40 rows"):
        Margin().select(model, POOL)
