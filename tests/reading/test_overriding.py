"""Wrappers and nets whose classes predict in a way of their own are asked for it."""

from __future__ import annotations

from typing import Any

import modAL.models
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import BayesianRidge, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from skal.learners import ActiveLearner, Committee
from skal.nets import NetClassifier
from skal.posteriors import WeightNoise
from skal.reading.pool import Pool
from skal.strategies import (
    BADGE,
    BALD,
    CAL,
    EGL,
    LCMD,
    LDM,
    ConsensusEntropy,
    Entropy,
    LDMSeeding,
    LeastConfident,
    Margin,
    NoiseStability,
    PredictiveVariance,
)
from tests.models import make_data, make_net, with_labeled

X, Y = make_data("classification")
TARGET = X[:, 0]
POOL = make_data("classification", 30, seed=1)[0]


def own(self: Any, X: Any) -> np.ndarray:
    """Probabilities that depend on the second column as it was given."""
    first = 0.45 + 0.3 * np.tanh(np.abs(np.asarray(X, float)[:, 1]))
    return np.stack([first, 0.7 * (1 - first), 0.3 * (1 - first)], axis=1)


class OwnPipeline(Pipeline):
    predict_proba = own


class OwnSearch(GridSearchCV):
    predict_proba = own


class OwnNet(NetClassifier):
    predict_proba = own


class Renamed(Pipeline):
    """Predicts as its last step does."""


def scaled(inner: Any, cls: Any = OwnPipeline) -> Any:
    return cls([("scale", StandardScaler()), ("last", inner)])


def own_net() -> OwnNet:
    return OwnNet(module__hidden_sizes=(8,), max_epochs=2, random_state=0)


MODELS = {
    "pipeline": lambda: scaled(LogisticRegression()),
    "of a net": lambda: scaled(make_net("classification")),
    "search": lambda: OwnSearch(LogisticRegression(), {"C": [1.0]}, cv=2),
    "in a pipeline": lambda: make_pipeline(StandardScaler(), MODELS["search"]()),
    "net": own_net,
}


@pytest.mark.parametrize("kind", [k for k in MODELS if k != "in a pipeline"])
@pytest.mark.parametrize("Strategy", [Margin, Entropy, LeastConfident])
def test_own_probabilities_are_asked(Strategy: Any, kind: str) -> None:
    model = MODELS[kind]().fit(X, Y)
    p = np.sort(own(None, POOL), axis=1)
    want = {
        Margin: p[:, 1] - p[:, 2],
        Entropy: -(p * np.log(p)).sum(axis=1),
        LeastConfident: 1 - p[:, 2],
    }[Strategy]
    learner = with_labeled(model, X, Y)
    for asked in (model, learner):
        assert_allclose(Strategy().score_samples(asked, POOL), want, rtol=1e-6)


@pytest.mark.parametrize("base", [ActiveLearner, modAL.models.ActiveLearner])
def test_own_probabilities_of_a_learner_are_asked(base: Any) -> None:
    class OwnLearner(base):
        predict_proba = own

    estimator = make_pipeline(StandardScaler(), LogisticRegression())
    learner = OwnLearner(estimator, X_training=X, y_training=Y)
    p = np.sort(own(None, POOL), axis=1)
    scores = Margin().score_samples(learner, POOL)
    assert_allclose(scores, p[:, 1] - p[:, 2], rtol=1e-6)


def test_own_probabilities_within_a_pipeline_see_its_transformed_rows() -> None:
    model = MODELS["in a pipeline"]().fit(X, Y)
    p = np.sort(model.predict_proba(POOL), axis=1)
    assert_allclose(p, np.sort(own(None, model[0].transform(POOL)), axis=1))
    scores = Margin().score_samples(model, POOL)
    assert_allclose(scores, p[:, 1] - p[:, 2], rtol=1e-6)


def test_committees_average_own_probabilities() -> None:
    plain = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    members = [scaled(LogisticRegression()).fit(X, Y), plain]
    p = (own(None, POOL) + plain.predict_proba(POOL)) / 2
    committee = Committee([with_labeled(m, X, Y) for m in members])
    scores = Entropy().score_samples(committee, POOL)
    assert_allclose(scores, -(p * np.log(p)).sum(axis=1), rtol=1e-6)
    with pytest.warns(UserWarning, match="OwnPipeline.predict_proba .* within it"):
        ConsensusEntropy().select(committee, POOL, 2)


@pytest.mark.parametrize("base", [Committee, modAL.models.Committee])
def test_own_probabilities_of_a_committee_are_asked(base: Any) -> None:
    class OwnCommittee(base):
        predict_proba = own

    models = [LogisticRegression(), GaussianNB()]
    learners = [with_labeled(model.fit(X, Y), X, Y) for model in models]
    p = np.sort(own(None, POOL), axis=1)
    scores = Margin().score_samples(OwnCommittee(learners), POOL)
    assert_allclose(scores, p[:, 1] - p[:, 2], rtol=1e-6)
    (labeled,) = Pool(OwnCommittee(learners), POOL).proba(labeled=True)
    assert_allclose(labeled.numpy(), own(None, X), rtol=1e-6)
    with pytest.warns(UserWarning, match="OwnCommittee.predict_proba .* mean of its"):
        ConsensusEntropy().select(OwnCommittee(learners), POOL, 2)


def test_a_committee_that_averages_as_usual_is_not_warned_of() -> None:
    class Weighted(Committee):
        weights = 0.5, 0.5

        def predict_proba(self, X: Any, **kwargs: Any) -> np.ndarray:
            return np.average(
                self.vote_proba(X, **kwargs), axis=1, weights=self.weights
            )

    models = [LogisticRegression(), GaussianNB()]
    learners = [with_labeled(model.fit(X, Y), X, Y) for model in models]
    committee = Weighted(learners)
    assert len(ConsensusEntropy().select(committee, POOL, 2).indices) == 2
    committee.weights = 1.0, 0.0
    with pytest.warns(UserWarning, match="Weighted.predict_proba"):
        ConsensusEntropy().select(committee, POOL, 2)
    want = Margin().score_samples(learners[0], POOL)
    assert_allclose(Margin().score_samples(committee, POOL), want, rtol=1e-6)


@pytest.mark.parametrize(
    "strategy",
    [BADGE(), EGL(), LDM(), LDMSeeding(), CAL(), NoiseStability()],
    ids=lambda s: type(s).__name__,
)
def test_outputs_of_a_net_with_own_probabilities_are_warned_of(strategy: Any) -> None:
    learner = with_labeled(own_net().fit(X, Y), X, Y)
    with pytest.warns(UserWarning, match="OwnNet.predict_proba .* its module"):
        strategy.select(learner, POOL, 2)
    committee = Committee([learner, with_labeled(own_net().fit(X, Y), X, Y)])
    with pytest.warns(UserWarning, match="OwnNet.predict_proba"):
        strategy.select(committee, POOL, 2)


def test_several_models_of_a_net_are_warned_of_unless_they_predict_the_same() -> None:
    class Alike(NetClassifier):
        def predict_proba(self, X: Any) -> np.ndarray:
            return super().predict_proba(X).copy()

    posterior = WeightNoise(3)
    with pytest.warns(UserWarning, match="OwnNet.predict_proba .* its module"):
        BALD(posterior).select(own_net().fit(X, Y), POOL, 2)
    net = Alike(module__hidden_sizes=(8,), max_epochs=2, random_state=0).fit(X, Y)
    assert len(BALD(posterior).select(net, POOL, 2).indices) == 2


def test_labeled_rows_are_asked_in_the_same_way() -> None:
    pool = Pool(with_labeled(scaled(LogisticRegression()).fit(X, Y), X, Y), POOL)
    for rows, labeled in ((POOL, False), (X, True)):
        (found,) = pool.proba(labeled=labeled)
        assert_allclose(found.numpy(), own(None, rows), rtol=1e-6)


def test_own_decision_function() -> None:
    class OwnDecisions(Pipeline):
        def decision_function(self, X: Any) -> np.ndarray:
            return np.stack([X[:, 1], X[:, 2], X[:, 3]], axis=1)

    model = scaled(LinearSVC(), OwnDecisions).fit(X, Y)
    want = -POOL[:, 1:4].max(axis=1)
    assert_allclose(LeastConfident().score_samples(model, POOL), want)


def test_subclasses_that_predict_as_usual_are_unwrapped() -> None:
    usual = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    model = scaled(LogisticRegression(), Renamed).fit(X, Y)
    want = Margin().score_samples(usual, POOL)
    assert_array_equal(Margin().score_samples(model, POOL), want)


def test_gradients_are_those_of_the_net_within() -> None:
    learner = ActiveLearner(scaled(make_net("classification")), LCMD(random_state=0))
    learner.teach(X, Y)
    usual = with_labeled(scaled(learner.estimator[-1], Renamed), X, Y)
    usual.estimator.steps = learner.estimator.steps
    picks = [LCMD(random_state=0).select(e, POOL, 4).indices for e in (learner, usual)]
    assert_array_equal(*picks)


@pytest.mark.parametrize("base", [Pipeline, TransformedTargetRegressor])
def test_own_standard_deviations_of_a_wrapper_are_warned_of(base: Any) -> None:
    class Own(base):
        def predict(self, X: Any, return_std: bool = False) -> Any:
            return super().predict(X, return_std=return_std)

    if base is Pipeline:
        model = scaled(BayesianRidge(), Own)
    else:
        model = Own(BayesianRidge(), transformer=StandardScaler())
    model.fit(X, TARGET)
    with pytest.warns(UserWarning, match=r"Own\.predict .* the BayesianRidge within"):
        PredictiveVariance().select(model, POOL, 2)
