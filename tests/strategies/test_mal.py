"""MAL on data whose unfamiliar rows are known."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

import skal
from skal import ActiveLearner
from skal.exceptions import UnsuitableLearnerError
from skal.nets import NetClassifier
from skal.strategies import MAL
from tests.models import make_data, make_net, with_labeled


def problem(seed: int, d: int = 4) -> tuple[ActiveLearner, np.ndarray]:
    """Two classes in one cluster; the second half of the pool is another cluster."""
    rng = np.random.default_rng(seed)
    labeled, pool = rng.normal(size=(60, d)), rng.normal(size=(400, d))
    pool[200:, 1:] += 4
    net = NetClassifier(max_epochs=20, random_state=0)
    return ActiveLearner(net, X_training=labeled, y_training=labeled[:, 0] > 0), pool


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_unseen_cluster_is_preferred(seed):
    learner, pool = problem(seed)
    strategy = MAL(random_state=0)
    picks = strategy.select(learner, pool, 40).indices
    assert (picks >= 200).mean() >= 0.8
    assert strategy.history_[-1]["auc"] > 0.6


@pytest.mark.on_cpu
def test_scores_are_the_mean_of_two_ranks(monkeypatch):
    learner, pool = problem(0)
    strategy = MAL(random_state=0, max_epochs=2)
    read = {}
    play = MAL._play

    def record(self, *args):
        read["unfamiliar"], read["entropy"], _ = result = play(self, *args)
        return result

    monkeypatch.setattr(MAL, "_play", record)
    scores = strategy.score_samples(learner, pool)
    ranks = [read[k].argsort().argsort().numpy() + 1 for k in ("unfamiliar", "entropy")]
    np.testing.assert_allclose(scores, sum(ranks) / 2 / len(pool))
    assert 0 < scores.min() <= scores.max() <= 1


def test_the_nets_of_a_committee_have_their_ranks_averaged():
    learner, pool = problem(0)
    other = copy.deepcopy(learner)
    other.estimator.set_params(random_state=5).fit(
        learner.X_training, learner.y_training
    )
    strategy = MAL(random_state=0, max_epochs=2)
    both = strategy.score_samples(
        skal.Committee([learner, copy.deepcopy(learner)]), pool
    )
    assert np.corrcoef(both, strategy.score_samples(learner, pool))[0, 1] > 0.8
    mixed = strategy.score_samples(skal.Committee([learner, other]), pool)
    assert not np.array_equal(both, mixed)


def test_history_and_the_net_as_it_was():
    learner, pool = problem(0)
    before = copy.deepcopy(learner.estimator.module_.state_dict())
    strategy = MAL(random_state=0, max_epochs=3).set_params(verbose=0)
    strategy.select(learner, pool, 2)
    assert len(strategy.history_) == 3
    assert strategy.history_[0].keys() == {
        *("classification_loss", "entropy", "discriminator_loss", "auc")
    }
    for name, value in learner.estimator.module_.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_frozen_net_is_trained_in_the_copy_alone():
    learner, pool = problem(0)
    expected = MAL(random_state=0, max_epochs=2).select(learner, pool, 5).indices
    learner.estimator.module_.requires_grad_(False)
    found = MAL(random_state=0, max_epochs=2).select(learner, pool, 5).indices
    np.testing.assert_array_equal(found, expected)
    assert not any(p.requires_grad for p in learner.estimator.module_.parameters())


def test_no_gpu_is_said(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    learner, pool = problem(0)
    with pytest.raises(ValueError, match="torch finds no GPU"):
        MAL(device="cuda").select(learner, pool, 1)


def test_bad_input():
    learner, pool = problem(0)
    with pytest.raises(ValueError, match="temperature must be"):
        MAL(temperature=0).select(learner, pool, 1)
    with pytest.raises(ValueError, match="entropy_weight must be"):
        MAL(entropy_weight=-1).select(learner, pool, 1)
    with pytest.raises(ValueError, match="max_epochs must be"):
        MAL(max_epochs=0).select(learner, pool, 1)
    with pytest.raises(ValueError, match="device must be one that torch knows"):
        MAL(device="gpu").select(learner, pool, 1)
    strategy = MAL(lr=1e30, random_state=0)
    with pytest.raises(ValueError, match=r"diverged.*learner is unchanged"):
        strategy.select(learner, pool, 1)
    with pytest.raises(UnsuitableLearnerError, match="labeled"):
        MAL().select(learner.estimator, pool, 1)
    X = learner.X_training
    regressor = make_net("regression").fit(X, X[:, 0])
    with pytest.raises(UnsuitableLearnerError, match="MAL is for classification"):
        MAL().select(regressor, pool, 1)
    learner.y_training = np.full(60, True)
    with pytest.raises(ValueError, match="all of the class True"):
        MAL().select(learner, pool, 1)


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(5, 2)

    def forward(self, a, b):
        return self.head(torch.cat([a, b], dim=1))


def test_a_net_of_several_inputs_is_refused():
    X = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    data, y = {"a": X[:, :2], "b": X[:, 2:]}, X[:, 0] > 0
    net = NetClassifier(TwoInputs, max_epochs=1, random_state=0)
    learner = ActiveLearner(net, X_training=data, y_training=y)
    with pytest.raises(UnsuitableLearnerError, match="rows of one tensor"):
        MAL().select(learner, data, 2)


def test_features_without_gradients_are_refused():
    class Detached(nn.Module):
        def __init__(self, n_features: int, n_outputs: int) -> None:
            super().__init__()
            self.body, self.head = nn.Linear(n_features, 4), nn.Linear(4, n_outputs)

        def forward(self, X: torch.Tensor) -> torch.Tensor:
            hidden = self.body(X).relu()
            return self.head(hidden if self.training else hidden.detach())

    X, y = make_data("classification")
    learner = with_labeled(make_net("classification", module=Detached).fit(X, y), X, y)
    with pytest.raises(
        UnsuitableLearnerError, match="features of Detached have no gradient"
    ):
        MAL(max_epochs=1).select(learner, X + 0.1, 2)
