"""Virtual ensembles of CatBoost, and of a stand-in with its public method."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skal.exceptions import UnsuitableLearnerError
from skal.posteriors import (
    PredictiveDistribution,
    VirtualEnsemble,
    predictive_std,
    resolve_posterior,
)
from skal.reading.pool import Pool
from skal.strategies import BALD, EPIG, BatchBALD, PredictiveVariance
from tests.posteriors.helpers import collect

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 3))
Y = X[:, 0] + 0.3 * RNG.normal(size=80)
CLASSES = np.array(["low", "mid", "top"])[np.digitize(Y, [-0.5, 0.5])]
POOL = RNG.normal(size=(20, 3))


class Boosting(BaseEstimator):
    """Each part is a multiple of the first feature."""

    def __init__(self, loss_function=None, n_columns=1, most=40):
        self.loss_function = loss_function
        self.n_columns = n_columns
        self.most = most

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.n_features_in_ = X.shape[1]
        return self

    def virtual_ensembles_predict(self, X, prediction_type, virtual_ensembles_count):
        assert prediction_type == "VirtEnsembles"
        if virtual_ensembles_count > self.most:
            raise RuntimeError("Not enough trees")
        parts = 1 / np.arange(virtual_ensembles_count, 0, -1)
        columns = np.arange(1, self.n_columns + 1)
        return X[:, :1, None] * parts[:, None] * columns


class Regressor(RegressorMixin, Boosting):
    def predict(self, X):
        return X[:, 0]


class Classifier(ClassifierMixin, Boosting):
    def predict_proba(self, X):
        raw = self.virtual_ensembles_predict(X, "VirtEnsembles", 1)[:, 0]
        if self.n_columns == 1:
            raw = np.column_stack([0 * raw, raw])
        shares = np.exp(raw)
        return shares / shares.sum(axis=1, keepdims=True)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


PARTS = 1 / np.arange(4, 0, -1)


def test_regression():
    model = Regressor().fit(X, Y)
    expected = PARTS[:, None] * POOL[:, 0]
    outputs = collect(VirtualEnsemble(4), model, POOL)
    np.testing.assert_allclose(outputs[:, :, 0], expected)
    assert isinstance(resolve_posterior("auto", Pool(model, POOL)), VirtualEnsemble)
    scaled = make_pipeline(StandardScaler(), Regressor()).fit(X, Y)
    expected = PARTS[:, None] * scaled[0].transform(POOL)[:, 0]
    outputs = collect(VirtualEnsemble(4), scaled, POOL)
    np.testing.assert_allclose(outputs[:, :, 0], expected)


def test_the_means_of_those_that_predict_a_variance():
    model = Regressor("RMSEWithUncertainty", n_columns=2).fit(X, Y)
    outputs = collect(VirtualEnsemble(4), model, POOL)
    np.testing.assert_allclose(outputs[:, :, 0], PARTS[:, None] * POOL[:, 0])
    assert outputs.shape == (4, 20, 1)


@pytest.mark.parametrize("n_columns", [1, 3])
def test_classification(n_columns):
    y = CLASSES if n_columns == 3 else CLASSES == "top"
    model = Classifier(n_columns=n_columns).fit(X, y)
    outputs = collect(VirtualEnsemble(4), model, POOL)
    raw = PARTS[:, None, None] * POOL[:, :1] * np.arange(1, n_columns + 1)
    if n_columns == 1:
        raw = np.concatenate([0 * raw, raw], axis=2)
    expected = np.exp(raw) / np.exp(raw).sum(axis=2, keepdims=True)
    np.testing.assert_allclose(outputs, expected)
    assert len(BALD().select(model, POOL, 3).indices) == 3


def test_losses_whose_probabilities_are_others():
    class Sigmoids(Classifier):
        def predict_proba(self, X):
            return 1 / (1 + np.exp(-np.outer(X[:, 0], np.arange(1, 4))))

    model = Sigmoids("MultiClassOneVsAll", n_columns=3).fit(X, CLASSES)
    with pytest.raises(UnsuitableLearnerError, match="loss MultiClassOneVsAll are not"):
        BALD().select(model, POOL)


def test_predictions_by_a_logarithm():
    class Rates(Regressor):
        def predict(self, X):
            return np.exp(X[:, 0])

    model = Rates("Poisson").fit(X, Y)
    outputs = collect(VirtualEnsemble(4), model, POOL)
    np.testing.assert_allclose(outputs[:, :, 0], np.exp(PARTS[:, None] * POOL[:, 0]))


def test_sums_of_which_predictions_are_made_otherwise():
    class Logistic(Regressor):
        def predict(self, X):
            return 1 / (1 + np.exp(-X[:, 0]))

    model = Logistic("Other").fit(X, Y)
    with pytest.raises(UnsuitableLearnerError, match=r"loss Other .* its predictions"):
        PredictiveVariance().select(model, POOL)


def test_what_has_no_parts():
    with pytest.raises(UnsuitableLearnerError, match="Ridge has no virtual ensembles"):
        collect(VirtualEnsemble(), Ridge().fit(X, Y), POOL)
    with pytest.raises(UnsuitableLearnerError, match=r"more trees .* Not enough trees"):
        collect(VirtualEnsemble(41), Regressor().fit(X, Y), POOL)
    with pytest.raises(ValueError, match="n_draws must be an int of at least 2"):
        collect(VirtualEnsemble(1), Regressor().fit(X, Y), POOL)


# -- CatBoost itself ------------------------------------------------------------------


def boosted(kind="Regressor", y=Y, **parameters):
    catboost = pytest.importorskip("catboost")
    settings = {"verbose": 0, "allow_writing_files": False, "thread_count": 1}
    settings |= {"iterations": 60, "random_seed": 0, **parameters}
    return getattr(catboost, f"CatBoost{kind}")(**settings).fit(X, y)


@pytest.mark.parametrize("loss", ["RMSE", "RMSEWithUncertainty"])
def test_knowledge_uncertainty_of_catboost(loss):
    model = boosted(loss_function=loss, posterior_sampling=True)
    known = model.virtual_ensembles_predict(
        POOL, prediction_type="TotalUncertainty", virtual_ensembles_count=10
    )
    scores = PredictiveVariance().score_samples(model, POOL)
    np.testing.assert_allclose(scores, known[:, 1], rtol=1e-5)
    std = predictive_std(model, POOL)[:, 0]
    np.testing.assert_allclose(std**2, known[:, 1], rtol=1e-5)
    for strategy in (EPIG(random_state=0), BatchBALD(random_state=0)):
        assert len(strategy.select(model, POOL, 3).indices) == 3


def test_variance_of_labels_of_catboost():
    model = boosted(loss_function="RMSEWithUncertainty")
    strategy = PredictiveVariance(PredictiveDistribution())
    scores = strategy.score_samples(model, POOL)
    np.testing.assert_allclose(scores, model.predict(POOL)[:, 1])


@pytest.mark.parametrize("loss", ["Poisson", "Tweedie:variance_power=1.5", "MAE"])
def test_models_of_catboost_predict_as_it_does(loss):
    y = np.exp(Y)
    model = boosted(y=y, loss_function=loss)
    outputs = collect(VirtualEnsemble(5), model, POOL)
    np.testing.assert_allclose(outputs[-1, :, 0], model.predict(POOL))
    std = predictive_std(model, POOL, VirtualEnsemble(5))
    torch.testing.assert_close(std, outputs.std(dim=0, correction=0))


@pytest.mark.parametrize("y", [CLASSES, (Y > 0) * 1], ids=["three", "two"])
def test_classes_of_catboost(y):
    model = boosted("Classifier", y)
    outputs = collect(VirtualEnsemble(5), model, POOL)
    torch.testing.assert_close(outputs.sum(2), torch.ones(5, 20).double())
    np.testing.assert_allclose(outputs[-1], model.predict_proba(POOL), atol=1e-9)
    assert len(BALD().select(model, POOL, 3).indices) == 3
