"""The recipe for TabPFN, on stand-ins with its public methods: it loads weights."""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor

from skal import ActiveLearner
from skal.strategies import (
    LCMD,
    CoreSet,
    Margin,
    PredictiveVariance,
    suitable_strategies,
)
from tests.models import make_data

POOL = make_data("regression", 20, seed=1)[0]


class _Embedding(BaseEstimator):
    """Embeddings of shape (estimators, rows, d), as TabPFN returns."""

    def get_embeddings(self, X, data_source="test"):
        X = np.asarray(X)
        assert data_source == "test"
        return np.stack([X @ self.weights_, np.tanh(X) @ self.weights_])

    def _draw(self, X):
        self.n_features_in_ = X.shape[1]
        self.weights_ = np.random.default_rng(0).normal(size=(X.shape[1], 4))


class TabPFNRegressor(RegressorMixin, _Embedding):
    def fit(self, X, y):
        self.process_ = GaussianProcessRegressor(alpha=0.1).fit(X, y)
        self._draw(X)
        return self

    def predict(self, X, *, output_type="mean", quantiles=None):
        mean, std = self.process_.predict(X, return_std=True)
        if output_type == "mean":
            return mean
        assert output_type == "quantiles"
        return [mean + norm.ppf(level) * std for level in quantiles]


class TabPFNClassifier(ClassifierMixin, _Embedding):
    def fit(self, X, y):
        self.process_ = GaussianProcessClassifier().fit(X, y)
        self.classes_ = self.process_.classes_
        self._draw(X)
        return self

    def predict_proba(self, X):
        return self.process_.predict_proba(X)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def embeddings(estimator, X):
    return np.concatenate(estimator.get_embeddings(X), axis=1)


@pytest.fixture(params=["regression", "classification"])
def learner(request):
    kind = TabPFNRegressor if request.param == "regression" else TabPFNClassifier
    return ActiveLearner(kind(), None, *make_data(request.param))


@pytest.mark.parametrize("cls", [LCMD, CoreSet])
def test_embeddings_are_a_space(learner, cls):
    """The picks are those of the embeddings as inputs."""
    X, y = learner.X_training, learner.y_training
    model = learner.estimator
    plain = ActiveLearner(type(model)(), None, embeddings(model, X), y)
    expected = cls(space="inputs", random_state=0).select(
        plain, embeddings(model, POOL), 5
    )
    picked = cls(space=embeddings, random_state=0).select(learner, POOL, 5)
    np.testing.assert_array_equal(picked.indices, expected.indices)


def test_quantiles_are_the_default_of_a_regressor():
    learner = ActiveLearner(TabPFNRegressor(), None, *make_data("regression"))
    std = learner.estimator.process_.predict(POOL, return_std=True)[1]
    scores = PredictiveVariance(random_state=0).score_samples(learner, POOL)
    np.testing.assert_allclose(scores, std**2, rtol=1e-6)


def test_probabilities_of_a_classifier():
    learner = ActiveLearner(TabPFNClassifier(), None, *make_data("classification"))
    proba = np.sort(learner.predict_proba(POOL), axis=1)
    picked = Margin().select(learner, POOL, 1).indices
    assert picked[0] == (proba[:, -1] - proba[:, -2]).argmin()


def test_the_recipe_of_the_guide(monkeypatch):
    """Its code runs with the stand-ins, and the learners that it makes pick rows."""
    page = Path(__file__).parents[2] / "docs" / "other_learners.rst"
    (block,) = re.findall(r"weights::\n\n(.*?)\n\n(?=\S)", page.read_text(), re.DOTALL)
    stand_in = ModuleType("tabpfn")
    stand_in.TabPFNRegressor = TabPFNRegressor
    stand_in.TabPFNClassifier = TabPFNClassifier
    monkeypatch.setitem(sys.modules, "tabpfn", stand_in)
    X, y = make_data("regression", 60)
    names = {"ActiveLearner": ActiveLearner, "LCMD": LCMD, "X": X, "y": y}
    exec(textwrap.dedent(block), names)
    diverse = names["diverse"].query_strategy
    assert diverse.space_ is names["embeddings"]
    assert len(set(names["positions"].tolist())) == 5
    for name, labels in (("wide_quantiles", y), ("small_margins", y > 0)):
        names[name].teach(X, labels)
        assert len(set(names[name].query(POOL, n_instances=3)[0].tolist())) == 3


def test_many_strategies_answer(learner):
    least = 20 if isinstance(learner.estimator, TabPFNRegressor) else 25
    assert len(suitable_strategies(learner)) >= least
