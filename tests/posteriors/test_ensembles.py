"""Posteriors over skal's ensembles of nets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skal.nets import NetClassifier, NetRegressor, ensembles
from skal.posteriors import MCDropout, Members, resolve_posterior
from skal.reading.pool import Pool
from tests.posteriors.helpers import TARGET, X, Y, collect, draw

CLASSIFIERS = [name for name in ensembles.__all__ if name.endswith("Classifier")]
REGRESSORS = [name for name in ensembles.__all__ if name.endswith("Regressor")]
LABELS = np.array(["a", "b", "c"])[Y]
QUICK = {"max_epochs": 4, "module__hidden_sizes": (8,), "random_state": 0}


def test_there_are_ensembles_of_both_kinds():
    assert len(CLASSIFIERS) == len(REGRESSORS) > 1


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_members_of_classifiers_average_to_what_the_ensemble_says(name):
    net = NetClassifier(**QUICK, module__dropout=0.2)
    ensemble = getattr(ensembles, name)(net, n_estimators=2, random_state=0)
    ensemble.fit(X, LABELS)
    assert isinstance(resolve_posterior("auto", Pool(ensemble, X)), Members)
    draws = draw(Members(), ensemble)
    assert draws.classes.tolist() == ["a", "b", "c"]
    mean = draws.collect().mean(0)
    np.testing.assert_allclose(mean, ensemble.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize("name", REGRESSORS)
def test_members_of_regressors_average_to_what_the_ensemble_says(name):
    net = NetRegressor(**QUICK, module__dropout=0.2)
    ensemble = getattr(ensembles, name)(net, n_estimators=2, random_state=0)
    model = TransformedTargetRegressor(
        make_pipeline(StandardScaler(), ensemble), transformer=StandardScaler()
    ).fit(X, 100 * TARGET[:, 0])
    outputs = collect(Members(), model)
    assert outputs.shape == (2, 60, 1)
    own = model.regressor_.predict(X)
    np.testing.assert_allclose(outputs.mean(0)[:, 0], own, atol=1e-5)


def test_a_stochastic_ensemble_is_an_ensemble_by_dropout():
    net = NetClassifier(**QUICK, module__dropout=0.3)
    ensemble = ensembles.DeepEnsembleClassifier(net, n_estimators=3, random_state=0)
    proba = collect(MCDropout(n_draws=4), ensemble.fit(X, LABELS))
    assert proba.shape == (12, 60, 3)
    assert torch.allclose(proba.sum(2), torch.ones(12, 60).double())
    assert proba.flatten(1).unique(dim=0).shape[0] == 12
