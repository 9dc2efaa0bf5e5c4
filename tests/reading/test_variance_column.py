"""A variance beside the mean is never read as a second target."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skal.learners import ActiveLearner, CommitteeRegressor
from skal.nets import FoldEnsembleRegressor
from skal.posteriors import Bagged, predictive_std
from skal.reading.variance_column import gives_variance
from skal.strategies import GreedySampling, PredictiveVariance

RNG = np.random.default_rng(0)
X, POOL = RNG.normal(size=(30, 3)), RNG.normal(size=(20, 3))
Y = 100 + 10 * X[:, 0] + X[:, 1]


class Boosted(RegressorMixin, BaseEstimator):
    """Predicts as CatBoost does with a loss that is named by either parameter."""

    def __init__(self, loss_function="RMSE", objective=None, l2=0.0):
        self.loss_function = loss_function
        self.objective = objective
        self.l2 = l2

    def fit(self, X, y):
        self.line_ = LinearRegression().fit(X, y)
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X):
        mean = self.line_.predict(X)
        if "Uncertainty" not in f"{self.loss_function} {self.objective}":
            return mean
        return np.column_stack([mean, 1000 * np.asarray(X)[:, 2] ** 2])

    def score(self, X, y):
        return -float(np.square(np.ravel(self.predict(X)[:, 0]) - y).mean())


LOSS = {"loss_function": "RMSEWithUncertainty"}


@pytest.mark.parametrize("params", [LOSS, {"objective": "RMSEWithUncertainty"}])
def test_both_names_of_the_loss_are_known(params):
    for model in (
        Boosted(**params),
        make_pipeline(StandardScaler(), Boosted(**params)),
        GridSearchCV(make_pipeline(Boosted(**params)), {}),
        TransformedTargetRegressor(Boosted(**params), transformer=StandardScaler()),
    ):
        assert gives_variance(model)


def test_other_models_give_none():
    other = Boosted("RMSEWithUncertainty", objective="RMSE")
    for model in (Boosted(), other, LinearRegression(), object()):
        assert not gives_variance(model)


def wrapped(kind, **params):
    model = Boosted(**params)
    if kind == "pipeline":
        return make_pipeline(StandardScaler(), model)
    if kind == "search":
        return GridSearchCV(model, {"l2": [0.0, 1.0]}, cv=2)
    if kind == "target":
        return TransformedTargetRegressor(model, transformer=StandardScaler())
    return model


@pytest.mark.parametrize("kind", ["plain", "pipeline", "search", "target"])
def test_picks_are_those_of_the_means(kind):
    models = [wrapped(kind, **params) for params in (LOSS, {})]
    if kind == "search":  # whose score is that of a single column
        models[1] = wrapped("plain")
    learners = [ActiveLearner(m, X_training=X, y_training=Y) for m in models]
    for space in ("outputs", "both"):
        strategy = GreedySampling(space)
        two, one = (strategy.select(learner, POOL, 6) for learner in learners)
        assert two.indices.tolist() == one.indices.tolist()
        np.testing.assert_allclose(two.scores, one.scores)


@pytest.mark.parametrize("kind", ["plain", "pipeline", "target"])
def test_a_committee_has_one_target(kind):
    def committee(**params):
        rows = (slice(0, 10), slice(10, 20), slice(20, 30))
        return CommitteeRegressor(
            [
                ActiveLearner(wrapped(kind, **params), X_training=X[r], y_training=Y[r])
                for r in rows
            ]
        )

    two, one = committee(**LOSS), committee()
    np.testing.assert_allclose(two.predict(POOL), one.predict(POOL))
    assert two.predict(POOL).shape == (20,)
    np.testing.assert_allclose(predictive_std(two, POOL), predictive_std(one, POOL))


def test_copies_in_bagged_have_one_target():
    learners = [
        ActiveLearner(Boosted(**p), X_training=X, y_training=Y) for p in (LOSS, {})
    ]
    strategy = PredictiveVariance(Bagged(n_estimators=3), random_state=0)
    two, one = (strategy.score_samples(a, POOL) for a in learners)
    np.testing.assert_allclose(two, one)


def test_others_of_a_fold_ensemble_need_one_column():
    ensemble = FoldEnsembleRegressor(max_steps=2, others=[Boosted(**LOSS)])
    with pytest.raises(ValueError, match="Boosted predicts 2 columns"):
        ensemble.fit(X.astype(np.float32), Y.astype(np.float32))
