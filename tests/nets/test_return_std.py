"""Standard deviations of a net's predictions, through its posterior."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.ensemble import BaggingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skal import BayesianOptimizer, NetRegressor
from skal.exceptions import UnsuitableLearnerError
from skal.nets import WeightSnapshots
from skal.posteriors import MCDropout, WeightNoise

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = X[:, 0] + X[:, 1] ** 2


def net(**parameters) -> NetRegressor:
    settings = {"max_epochs": 6, "lr": 0.01, "random_state": 0}
    return NetRegressor(**{**settings, **parameters})


def test_standard_deviation_over_the_snapshots_by_hand():
    model = net(callbacks=[WeightSnapshots(warmup=2)]).fit(X, Y)
    mean, std = model.predict(X, return_std=True)
    np.testing.assert_array_equal(mean, model.predict(X))
    predictions = []
    for epochs in range(3, 7):  # the same net, stopped after each epoch
        stopped = net(max_epochs=epochs).fit(X, Y)
        predictions.append(stopped.predict(X))
    np.testing.assert_allclose(std, np.std(predictions, axis=0), atol=1e-5)
    assert std.shape == (40,)


@pytest.mark.parametrize("n_targets", [1, 2])
def test_shape_follows_the_targets(n_targets):
    targets = np.column_stack([Y] * n_targets)
    model = net(module__dropout=0.2).fit(X, targets)
    mean, std = model.predict(X, return_std=True)
    assert mean.shape == std.shape == (40, n_targets)
    assert (std > 0).all()


def test_the_same_models_at_each_call_and_no_change():
    model = net(module__dropout=0.2).fit(X, Y)
    state = torch.get_rng_state()
    first = model.predict(X, return_std=True)[1]
    np.testing.assert_allclose(
        model.predict(X[:5], return_std=True)[1], first[:5], atol=1e-6
    )
    assert torch.equal(torch.get_rng_state(), state)
    other = model.predict(X, return_std=True, posterior=MCDropout(n_draws=50))[1]
    assert not np.array_equal(other, first)
    np.testing.assert_array_equal(model.predict(X, return_std=True)[1], first)


def test_a_net_without_a_posterior_says_what_to_add():
    model = net().fit(X, Y)
    with pytest.raises(UnsuitableLearnerError, match="module__dropout"):
        model.predict(X, return_std=True)
    std = model.predict(X, return_std=True, posterior=WeightNoise(n_draws=5))[1]
    assert std.shape == (40,)


def test_through_a_pipeline_and_in_a_bayesian_optimizer():
    pipeline = make_pipeline(StandardScaler(), net(module__dropout=0.2)).fit(X, Y)
    mean, std = pipeline.predict(X, return_std=True)
    assert mean.shape == std.shape == (40,)
    optimizer = BayesianOptimizer(
        net(module__dropout=0.2), X_training=X[:20], y_training=Y[:20]
    )
    indices, rows = optimizer.query(X[20:], n_instances=2)
    assert len(set(indices.tolist())) == 2
    optimizer.teach(rows, Y[20:][indices])
    assert len(optimizer.X_training) == 22


def test_plain_predictions_in_an_ensemble():
    bagging = BaggingRegressor(net(), n_estimators=2, random_state=0).fit(X, Y)
    assert bagging.predict(X).shape == (40,)
