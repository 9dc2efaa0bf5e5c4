"""Loss prediction as a query, and all other queries of nets that predict losses."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import skal
from skal import ActiveLearner, Committee, CommitteeRegressor
from skal.exceptions import UnsuitableLearnerError
from skal.nets import (
    DeepEnsembleClassifier,
    LossPredictionClassifier,
    LossPredictionRegressor,
    NetClassifier,
)
from skal.strategies import LossPrediction
from tests.models import READERS, make_data, make_net, make_strategy

POOL = make_data("regression", 45, seed=1)[0]
TASKS = ["classification", "regression"]


@pytest.mark.parametrize("task", TASKS)
def test_the_largest_predicted_losses(task, device):
    net = make_net(task, device, LossPrediction).fit(*make_data(task))
    expected = net.predict_loss(POOL)
    np.testing.assert_allclose(
        LossPrediction().score_samples(net, POOL), expected, atol=1e-5
    )
    selection = LossPrediction().select(net, POOL, 7)
    np.testing.assert_array_equal(selection.indices, np.argsort(-expected)[:7])


@pytest.mark.parametrize("task", TASKS)
def test_a_committee_is_averaged(task):
    X, y = make_data(task)
    owner = Committee if task == "classification" else CommitteeRegressor
    members = [
        ActiveLearner(
            make_net(task, strategy=LossPrediction, random_state=seed),
            X_training=X,
            y_training=y,
        )
        for seed in range(3)
    ]
    expected = np.mean([m.estimator.predict_loss(POOL) for m in members], axis=0)
    scores = LossPrediction().score_samples(owner(members), POOL)
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_rows_go_through_the_pipeline():
    X, y = make_data("regression")
    net = LossPredictionRegressor(max_epochs=3, random_state=0)
    model = make_pipeline(StandardScaler(), net).fit(100 * X, y)
    expected = model[-1].predict_loss(model[0].transform(100 * POOL))
    scores = LossPrediction().score_samples(model, 100 * POOL)
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_noise_is_queried():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(500, 2))
    noisy = X[:, 0] > 0.5
    y = X[:, 1] + noisy * rng.normal(size=500)
    net = LossPredictionRegressor(lr=0.003, random_state=0).fit(X[:300], y[:300])
    picked = LossPrediction().select(net, X[300:], 20).indices
    assert noisy[300:][picked].mean() > 0.9


@pytest.mark.parametrize("task", TASKS)
def test_a_net_that_was_not_trained_with_the_module(task):
    net = make_net(task).fit(*make_data(task))
    with pytest.raises(
        UnsuitableLearnerError,
        match=rf"{type(net).__name__} was not trained to.*LossPredictionClassifier",
    ):
        LossPrediction().select(net, POOL, 2)


def test_a_committee_of_which_one_net_predicts_no_losses():
    X, y = make_data("classification")
    kinds = [LossPredictionClassifier, NetClassifier]
    members = [
        ActiveLearner(kind(max_epochs=1), X_training=X, y_training=y) for kind in kinds
    ]
    with pytest.raises(UnsuitableLearnerError, match="NetClassifier was not"):
        LossPrediction().select(Committee(members), POOL, 2)


def test_an_ensemble_is_averaged_and_its_nets_must_predict_losses():
    X, y = make_data("classification")
    net = make_net("classification", strategy=LossPrediction, callbacks=None)
    ensemble = DeepEnsembleClassifier(net, 2, random_state=0).fit(X, y)
    expected = np.mean([m.predict_loss(POOL) for m in ensemble.estimators_], axis=0)
    scores = LossPrediction().score_samples(ensemble, POOL)
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    plain = DeepEnsembleClassifier(NetClassifier(max_epochs=1), 2).fit(X, y)
    with pytest.raises(UnsuitableLearnerError, match="NetClassifier was not"):
        LossPrediction().select(plain, POOL, 2)


class SortsLarge(nn.Module):
    """Sorts the rows of large batches, and restores their order at the end."""

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(n_features, 8), nn.Linear(8, n_outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training or len(x) <= 16:
            return self.head(self.body(x).relu())
        order = x[:, 0].argsort()
        return self.head(self.body(x[order]).relu())[order.argsort()]


@pytest.mark.parametrize("task", TASKS)
def test_a_module_that_sorts_rows(task):
    net = make_net(task, strategy=LossPrediction, module=SortsLarge)
    net.fit(*make_data(task))
    assert len(LossPrediction().select(net, POOL[:16], 3).indices) == 3
    with pytest.raises(UnsuitableLearnerError, match=r"SortsLarge sorts .* blocks="):
        LossPrediction().select(net, POOL, 3)


# With detach_after=0 the module is that of a plain net, and what other strategies read
# must be, too: features, head, gradients, weights, dropout, snapshots.
@pytest.mark.parametrize(
    ("name", "task"),
    [
        *READERS.items(),
        ("EGL", "classification"),
        ("EMCM", "regression"),
        ("LDM", "classification"),
        ("LabelDispersion", "classification"),
        ("NoiseStability", "regression"),
    ],
)
def test_other_strategies_do_not_see_the_loss_module(name, task, nets):
    cls = getattr(skal.strategies, name)
    plain, predicting = (copy.deepcopy(net) for net in nets[task])
    X, y = make_data(task)
    picks = []
    for net in (plain, predicting):
        learner = ActiveLearner(net)
        learner.X_training, learner.y_training = X, y
        picks.append(make_strategy(cls).select(learner, POOL, 5))
    np.testing.assert_array_equal(picks[1].indices, picks[0].indices)
    np.testing.assert_array_equal(picks[1].scores, picks[0].scores)


@pytest.fixture(scope="module")
def nets():
    """Two nets of the same module by task, one with a loss module."""
    return {
        task: (
            make_net(task).fit(*make_data(task)),
            make_net(task, strategy=LossPrediction, detach_after=0.0).fit(
                *make_data(task)
            ),
        )
        for task in TASKS
    }
