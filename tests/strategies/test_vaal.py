"""VAAL on data whose unfamiliar rows are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from torch import nn

from skal import ActiveLearner
from skal.exceptions import UnsuitableLearnerError
from skal.strategies import VAAL
from tests.models import make_net


def clusters(seed: int, d: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Labeled rows of one cluster; a pool whose second half is of another."""
    rng = np.random.default_rng(seed)
    labeled, pool = rng.normal(size=(60, d)), rng.normal(size=(400, d))
    pool[200:] += 2.5
    return labeled, pool


def learner_of(labeled: np.ndarray, kind: str = "forest") -> ActiveLearner:
    y = labeled[:, 0]
    if kind == "forest":
        return ActiveLearner(
            RandomForestRegressor(3, random_state=0), X_training=labeled, y_training=y
        )
    if kind == "linear":
        return ActiveLearner(LogisticRegression(), X_training=labeled, y_training=y > 0)
    return ActiveLearner(make_net("regression"), X_training=labeled, y_training=y)


@pytest.mark.parametrize("kind", ["forest", "linear", "net"])
@pytest.mark.parametrize("seed", [0, 1])
def test_picks_are_of_the_unseen_cluster(kind, seed):
    labeled, pool = clusters(seed)
    strategy = VAAL(random_state=0)
    picks = strategy.select(learner_of(labeled, kind), pool, 40).indices
    assert (picks >= 200).mean() >= 0.9
    assert strategy.history_[-1]["auc"] > 0.65  # half of the pool is like the labeled


def test_no_unseen_cluster_no_discrimination():
    pool = clusters(0)[1]
    strategy = VAAL(random_state=0, max_epochs=20)
    strategy.select(learner_of(pool[200:350]), pool[350:], 5)
    assert strategy.history_[-1]["auc"] < 0.65


def test_history_has_an_epoch_each_and_is_of_the_last_query():
    labeled, pool = clusters(0)
    strategy = VAAL(random_state=0, max_epochs=4)
    strategy.select(learner_of(labeled), pool, 2)
    assert len(strategy.history_) == 4
    first = strategy.history_
    strategy.set_params(max_epochs=2).select(learner_of(labeled), pool, 2)
    assert strategy.history_ == first[:2]
    assert first[0].keys() == {"vae_loss", "discriminator_loss", "auc"}


def test_scale_and_constant_columns_of_the_inputs_do_not_matter():
    labeled, pool = clusters(1)
    scores = VAAL(random_state=0, max_epochs=5).score_samples(learner_of(labeled), pool)

    def moved(X):
        return np.column_stack([X * 2.0**10 + 2.0**7, np.full(len(X), 3.0)])[:, :6]

    other = VAAL(random_state=0, max_epochs=5)
    found = other.score_samples(learner_of(moved(labeled)), moved(pool))
    np.testing.assert_allclose(found, scores, rtol=1e-3)
    constant = np.column_stack([labeled, np.ones(60)])
    pool = np.column_stack([pool, np.ones(400)])
    assert np.isfinite(other.score_samples(learner_of(constant), pool)).all()


def test_own_modules_are_copied_and_trained():
    labeled, pool = clusters(0)
    modules = {
        "encoder": nn.Linear(6, 4),
        "decoder": nn.Linear(2, 6),
        "discriminator": nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1)),
    }
    before = {k: [p.clone() for p in m.parameters()] for k, m in modules.items()}
    strategy = VAAL(latent_dim=2, max_epochs=3, random_state=0, **modules)
    scores = strategy.score_samples(learner_of(labeled), pool)
    for name, module in modules.items():
        for p, kept in zip(module.parameters(), before[name], strict=True):
            assert torch.equal(p, kept)
        without = VAAL(latent_dim=2, max_epochs=3, random_state=0, **modules)
        without.set_params(**{name: None})
        other = without.score_samples(learner_of(labeled), pool)
        assert not np.allclose(other, scores)


@pytest.mark.parametrize("name", ["encoder", "decoder", "discriminator"])
@pytest.mark.parametrize("own", ["mlp", nn.Linear])
def test_own_modules_must_be_modules(name, own):
    labeled, pool = clusters(0)
    strategy = VAAL(random_state=0).set_params(**{name: own})
    with pytest.raises(TypeError, match=f"{name} must be a torch.nn.Module"):
        strategy.select(learner_of(labeled), pool, 2)


def test_progress_is_shown_on_demand(capsys):
    labeled, pool = clusters(0)
    VAAL(max_epochs=2, random_state=0).select(learner_of(labeled), pool, 1)
    assert capsys.readouterr().err == ""
    VAAL(max_epochs=2, verbose=1, random_state=0).select(learner_of(labeled), pool, 1)
    assert "VAAL" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"latent_dim": 7}, "latent_dim is 7 and the rows have 6 features"),
        ({"latent_dim": 0}, "latent_dim must be an int"),
        ({"max_epochs": 0}, "max_epochs must be an int"),
        ({"batch_size": 2.5}, "batch_size must be an int"),
        ({"epoch_size": 0}, "epoch_size must be an int"),
        ({"patience": None}, "patience must be an int"),
        ({"beta": -1}, "beta must be a number of at least 0"),
        ({"adversary_weight": "1"}, "adversary_weight must be a number of at least 0"),
        ({"lr": 0}, "lr must be a number above 0"),
        ({"device": "gpu"}, "device must be one that torch knows.*'gpu'"),
        ({"encoder": nn.Linear(6, 5)}, r"encoder must return shape \(b, 12\)"),
        ({"decoder": nn.Linear(5, 6)}, r"decoder must take rows of shape \(b, 6\)"),
        ({"discriminator": nn.Linear(6, 2)}, r"discriminator must return .*\(b, 1\)"),
        ({"lr": 1e30}, r"diverged: vae_loss is (nan|inf) in epoch"),
    ],
)
def test_bad_parameters(parameters, message):
    labeled, pool = clusters(0)
    learner = learner_of(labeled, "net")
    before = [p.clone() for p in learner.estimator.module_.parameters()]
    strategy = VAAL(random_state=0)
    strategy.set_params(**parameters)
    with pytest.raises(ValueError, match=message):
        strategy.select(learner, pool, 2)
    for p, kept in zip(learner.estimator.module_.parameters(), before, strict=True):
        assert torch.equal(p, kept)
    assert not hasattr(strategy, "history_")


def test_no_gpu_is_said(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    labeled, pool = clusters(0)
    with pytest.raises(ValueError, match="torch finds no GPU"):
        VAAL(device="cuda").select(learner_of(labeled, "net"), pool, 2)


def test_a_learner_without_labels_is_refused():
    labeled, pool = clusters(0)
    with pytest.raises(UnsuitableLearnerError, match="labeled"):
        VAAL().select(learner_of(labeled).estimator, pool, 2)
