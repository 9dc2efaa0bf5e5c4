from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skal.nets import NetClassifier, NetRegressor
from skal.nets.ensembles import DeepEnsembleClassifier, DeepEnsembleRegressor
from tests.nets.ensembles.helpers import make, small_net
from tests.nets.helpers import blobs, line, states_equal


def test_default_members() -> None:
    X, y = blobs()
    ensemble = DeepEnsembleClassifier(random_state=0).fit(X, y)
    assert [type(m) for m in ensemble.estimators_] == [NetClassifier] * 5
    ensemble = DeepEnsembleRegressor(random_state=0).fit(*line())
    assert [type(m) for m in ensemble.estimators_] == [NetRegressor] * 5


def test_members_are_the_nets_of_their_seeds() -> None:
    X, y = blobs()
    ensemble = make("DeepEnsembleClassifier")
    ensemble.set_params(train_together=False).fit(X, y)
    for member in ensemble.estimators_:
        alone = small_net("DeepEnsembleClassifier", random_state=member.random_state)
        assert states_equal(alone.fit(X, y).module_, member.module_)


def test_larger_ensembles_have_the_members_of_smaller_ones() -> None:
    X, y = blobs()
    few = make("DeepEnsembleClassifier", 2).fit(X, y)
    more = make("DeepEnsembleClassifier", 4).fit(X, y)
    seeds = [m.random_state for m in more.estimators_]
    assert [m.random_state for m in few.estimators_] == seeds[:2]
    assert len(set(seeds)) == 4


def test_members_may_be_pipelines() -> None:
    X, y = blobs()
    model = make_pipeline(StandardScaler(), small_net("DeepEnsembleClassifier"))
    ensemble = DeepEnsembleClassifier(model, 2, random_state=0).fit(1e3 * X, y)
    assert not ensemble.trained_together_
    assert ensemble.score(1e3 * X, y) > 0.9
    one, other = (m[-1].module_ for m in ensemble.estimators_)
    assert not states_equal(one, other)


def test_members_may_scale_their_targets() -> None:
    X, y = line()
    model = TransformedTargetRegressor(
        small_net("DeepEnsembleRegressor", max_epochs=60), transformer=StandardScaler()
    )
    plain = DeepEnsembleRegressor(model, 3, random_state=0).fit(X, y)
    scaled = DeepEnsembleRegressor(model, 3, random_state=0).fit(X, 100 * y + 7)
    mean, std = plain.predict(X, return_std=True)
    scaled_mean, scaled_std = scaled.predict(X, return_std=True)
    np.testing.assert_allclose(scaled_mean, 100 * mean + 7, rtol=1e-2, atol=1)
    np.testing.assert_allclose(scaled_std, 100 * std, rtol=0.1, atol=0.5)


def test_members_without_a_seed_are_accepted() -> None:
    X, y = line()
    ensemble = DeepEnsembleRegressor(Ridge(random_state=None), 2).fit(X, y)
    np.testing.assert_allclose(ensemble.predict(X), y, atol=0.1)
    Xc, yc = blobs()
    other = DeepEnsembleClassifier(LogisticRegression(), 2).fit(Xc, yc)
    single = other.estimators_[0].predict_proba(Xc).astype(float)  # rounded to float32
    exact = single / single.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(other.predict_proba(Xc), exact, rtol=1e-12)


@pytest.mark.on_cpu
def test_stochastic_ensembles_have_members_with_dropout() -> None:
    X, y = blobs()
    ensemble = make("DeepEnsembleClassifier", module__dropout=0.3).fit(X, y)
    assert ensemble.trained_together_
    for member in ensemble.estimators_:
        layers = [m for m in member.module_.modules() if isinstance(m, nn.Dropout)]
        assert [layer.p for layer in layers] == [0.3]
        module = member.module_.train()
        rows = torch.from_numpy(X)
        assert not torch.equal(module(rows), module(rows))


def test_spread_grows_away_from_the_data() -> None:
    X = np.linspace(-1, 1, 40, dtype=np.float32)[:, None]
    net = NetRegressor(module__hidden_sizes=(32,), lr=0.02, max_epochs=60)
    ensemble = DeepEnsembleRegressor(net, 5, random_state=0).fit(X, np.sin(3 * X[:, 0]))
    _, std = ensemble.predict(np.float32([[0.0], [3.0]]), return_std=True)
    assert std[1] > 3 * std[0]


def test_members_that_would_be_equal_are_refused():
    X, y = np.eye(6), np.arange(6.0)
    with pytest.raises(ValueError, match="module is an instance"):
        DeepEnsembleRegressor(NetRegressor(nn.Linear(6, 1))).fit(X, y)
