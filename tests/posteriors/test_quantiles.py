"""Quantiles as Gaussians: exact for a Gaussian, of any libraries' kinds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, QuantileRegressor, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skal import ActiveLearner
from skal.exceptions import UnsuitableLearnerError
from skal.posteriors import PredictiveDistribution, Quantiles, resolve_posterior
from skal.reading.pool import Pool
from skal.strategies import BALD, BatchBALD, PredictiveVariance

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
Y = X[:, 0] + np.exp(X[:, 1]) * RNG.normal(size=60)
POOL = RNG.normal(size=(20, 3))
LEVELS = [0.05, 0.4, 0.9]


class TabPFN(RegressorMixin, BaseEstimator):
    """The public methods of TabPFN's regressor; its labels are Gaussian."""

    def __init__(self, kind="list", crossed=False):
        self.kind = kind
        self.crossed = crossed

    def fit(self, X, y):
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X, *, output_type="mean", quantiles=None):
        if output_type == "mean":
            return X[:, 0]
        found = [norm.ppf(q, X[:, 0], np.exp(X[:, 1])) for q in quantiles]
        if self.crossed:
            found = found[::-1]
        if self.kind == "matrix":
            return np.column_stack(found)
        if self.kind == "dict":
            return dict(zip(quantiles, found, strict=True))
        return found[:-1] if self.kind == "short" else found


class One(RegressorMixin, BaseEstimator):
    """A regressor of one quantile of the same labels."""

    def __init__(self, quantile=0.5):
        self.quantile = quantile

    def fit(self, X, y):
        self.n_features_in_ = X.shape[1]
        self.seen_ = np.shape(X)
        return self

    def predict(self, X):
        return norm.ppf(self.quantile, X[:, 0], np.exp(X[:, 1]))


def moments(posterior, learner):
    found = posterior.read(Pool(learner, POOL), torch.Generator().manual_seed(0))
    assert found.of_labels
    assert not found.is_joint
    mean, variance = zip(*[part[1:] for part in found.blocks()], strict=True)
    return torch.cat(mean)[:, 0].numpy(), torch.cat(variance)[:, 0].numpy()


def learner(estimator):
    return ActiveLearner(estimator, X_training=X, y_training=Y)


@pytest.mark.parametrize("kind", ["list", "matrix", "dict"])
@pytest.mark.parametrize("levels", [LEVELS, [0.9, 0.1], [0.5, 0.2, 0.3, 0.99]])
def test_quantiles_of_a_gaussian_are_exact(kind, levels):
    model = TabPFN(kind).fit(X, Y)
    mean, variance = moments(Quantiles(levels=levels), model)
    np.testing.assert_allclose(mean, POOL[:, 0], atol=1e-12)
    np.testing.assert_allclose(variance, np.exp(2 * POOL[:, 1]))


def test_crossed_quantiles_are_sorted():
    mean, variance = moments(
        Quantiles(levels=[0.1, 0.4, 0.95]), TabPFN(crossed=True).fit(X, Y)
    )
    np.testing.assert_allclose(mean, POOL[:, 0], atol=1e-12)
    np.testing.assert_allclose(variance, np.exp(2 * POOL[:, 1]))


@pytest.mark.parametrize(
    "estimators",
    [
        [One(q) for q in LEVELS],
        {q: One(q) for q in LEVELS},
        [make_pipeline(FunctionTransformer(), One(q)) for q in LEVELS],
    ],
    ids=["list", "dict", "pipelines"],
)
def test_regressors_of_a_quantile_each(estimators):
    asked = learner(Ridge())
    mean, variance = moments(Quantiles(estimators), asked)
    np.testing.assert_allclose(mean, POOL[:, 0], atol=1e-12)
    np.testing.assert_allclose(variance, np.exp(2 * POOL[:, 1]))
    listed = estimators.values() if isinstance(estimators, dict) else estimators
    assert not any(hasattr(one, "seen_") for one in listed)  # clones are fitted


KINDS = {
    "hist": (HistGradientBoostingRegressor, "quantile", {"max_iter": 9}),
    "boosting": (GradientBoostingRegressor, "alpha", {"n_estimators": 9}),
    "linear": (QuantileRegressor, "quantile", {"alpha": 0}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_those_of_scikit_learn(kind):
    cls, level, parameters = KINDS[kind]
    if kind != "linear":
        parameters = {**parameters, "loss": "quantile", "random_state": 0}
    estimators = [cls(**parameters, **{level: q}) for q in (0.1, 0.9)]
    asked = learner(clone(estimators[0]))
    strategy = PredictiveVariance(Quantiles(estimators), random_state=0)
    scores = strategy.score_samples(asked, POOL)
    low, high = (clone(e).fit(X, Y).predict(POOL) for e in estimators)
    width = np.abs(high - low) / (norm.ppf(0.9) - norm.ppf(0.1))
    np.testing.assert_allclose(scores, width**2, rtol=1e-6)


def test_auto_asks_the_learner_for_quantiles():
    model = TabPFN().fit(X, Y)
    found = resolve_posterior("auto", Pool(model, POOL))
    assert isinstance(found, PredictiveDistribution)
    scores = PredictiveVariance().score_samples(model, POOL)
    np.testing.assert_allclose(scores, np.exp(2 * POOL[:, 1]))
    with pytest.raises(UnsuitableLearnerError, match="Set noise_variance"):
        BALD().select(model, POOL)
    with pytest.raises(UnsuitableLearnerError, match="vary together"):
        BatchBALD(noise_variance=1.0).select(model, POOL)


class Several(RegressorMixin, BaseEstimator):
    """Predicts several quantiles, as XGBoost does with a list of levels."""

    def __init__(self, objective="reg:quantileerror", quantile_alpha=(0.1, 0.9)):
        self.objective = objective
        self.quantile_alpha = quantile_alpha

    def fit(self, X, y):
        return self


@pytest.mark.parametrize(
    "of_another_loss",
    [
        HistGradientBoostingRegressor(quantile=0.1),
        GradientBoostingRegressor(alpha=0.1),
        Several("reg:squarederror", 0.1),
        Several(),
    ],
)
def test_a_level_counts_with_the_loss_alone(of_another_loss):
    """Without it the regressors predict the mean, which has no level."""
    good = HistGradientBoostingRegressor(loss="quantile", quantile=0.9)
    with pytest.raises(ValueError, match="Set that loss, or name the level"):
        moments(Quantiles([of_another_loss, good]), learner(Ridge()))


def test_wrong_quantiles():
    for levels in ([0.5], [0.5, 0.5], [0.0, 0.5], [0.5, 1.2], [0.1, np.nan]):
        with pytest.raises(ValueError, match="at least two different levels"):
            moments(Quantiles(levels=levels), TabPFN().fit(X, Y))
    with pytest.raises(ValueError, match="at least two different levels"):
        moments(Quantiles([One(0.5), One(0.5)]), learner(Ridge()))
    with pytest.raises(ValueError, match="does not name one level"):
        moments(Quantiles([Ridge(alpha=0.3), One(0.5)]), learner(Ridge()))
    with pytest.raises(TypeError, match="estimators of Quantiles must be"):
        moments(Quantiles([One, One(0.5)]), learner(Ridge()))
    with pytest.raises(ValueError, match=r"quantiles of shape .* a list of 5 arrays"):
        moments(Quantiles(), TabPFN("short").fit(X, Y))
    with pytest.raises(UnsuitableLearnerError, match="Ridge does not predict quant"):
        moments(Quantiles(), learner(Ridge()))
    with pytest.raises(UnsuitableLearnerError, match="the learner holds none"):
        moments(Quantiles([One(0.1), One(0.9)]), Ridge().fit(X, Y))
    classifier = ActiveLearner(LogisticRegression(), None, X, (Y > 0) * 1)
    with pytest.raises(UnsuitableLearnerError, match="learner is a classifier"):
        moments(Quantiles([One(0.1), One(0.9)]), classifier)
