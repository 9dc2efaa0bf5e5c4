"""Draws that are variants of every net of a learner."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skal.exceptions import UnsuitableLearnerError
from skal.nets import DeepEnsembleClassifier, NetClassifier, NetRegressor
from skal.posteriors import (
    BayesWeights,
    LastLayerLaplace,
    MCDropout,
    Snapshots,
    WeightNoise,
)
from tests.posteriors.helpers import TARGET, X, Y, collect, draw, fit

LABELS = np.array(["a", "b", "c"])[Y]


@pytest.mark.on_cpu
def test_several_nets_give_the_draws_of_all():
    bagging = BaggingClassifier(
        NetClassifier(module__dropout=0.3, max_epochs=1, random_state=0),
        n_estimators=3,
        max_features=0.6,
        random_state=0,
    ).fit(X, LABELS)
    draws = draw(MCDropout(n_draws=4), bagging)
    assert draws.n_draws == 12
    assert draws.classes.tolist() == ["a", "b", "c"]
    proba = draws.collect()
    assert torch.allclose(proba.sum(2), torch.ones(12, 60).double())
    # The nets see the columns that they were trained on: undropped, they are as they
    # predict.
    for i, net in enumerate(bagging.estimators_):
        mean = proba[4 * i : 4 * i + 4].mean(0)
        own = net.predict_proba(X[:, bagging.estimators_features_[i]])
        assert float((mean - torch.from_numpy(own)).abs().mean()) < 0.1


@pytest.mark.on_cpu
def test_a_stochastic_ensemble_is_an_ensemble_by_dropout():
    net = NetClassifier(module__dropout=0.3, max_epochs=2, random_state=0)
    ensemble = DeepEnsembleClassifier(net, n_estimators=3, random_state=0)
    proba = collect(MCDropout(n_draws=4), ensemble.fit(X, LABELS))
    assert proba.shape == (12, 60, 3)
    assert torch.allclose(proba.sum(2), torch.ones(12, 60).double())
    assert proba.flatten(1).unique(dim=0).shape[0] == 12


def test_regression_in_a_pipeline():
    model = make_pipeline(
        StandardScaler(), NetRegressor(module__dropout=0.2, max_epochs=1)
    ).fit(X, TARGET[:, 0])
    draws = draw(MCDropout(n_draws=3), model)
    assert draws.task == "regression"
    assert draws.classes is None
    outputs = draws.collect()
    assert outputs.shape == (3, 60, 1)
    assert outputs.std(0).min() > 0


def test_other_estimators_are_refused():
    forest = RandomForestClassifier(2, max_depth=2).fit(X, Y)
    with pytest.raises(UnsuitableLearnerError, match="RandomForestClassifier is not"):
        collect(MCDropout(), forest)


def test_one_draw_cannot_disagree():
    with pytest.raises(ValueError, match="gives 1 model"):
        collect(MCDropout(n_draws=1), fit())


@pytest.mark.parametrize(
    ("posterior", "least"),
    [
        *((BayesWeights, 1), (LastLayerLaplace, 1), (MCDropout, 1), (Snapshots, 2)),
        (WeightNoise, 1),
    ],
)
def test_numbers_of_draws_are_checked_before_the_net_is_read(posterior, least):
    net = fit()
    for wrong in (0, least - 1, 2.5, True, "3"):
        with pytest.raises(
            ValueError, match=f"n_draws must be an int of at least {least}"
        ):
            draw(posterior(n_draws=wrong), net)
