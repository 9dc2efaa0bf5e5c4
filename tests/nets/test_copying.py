"""Copies and pickles of nets whose modules Python's pickler does not take."""

from __future__ import annotations

import pickle
from copy import deepcopy
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from torch import nn
from torch.nn.utils import parametrizations

from skal.nets import MLP, DeepEnsembleClassifier, NetClassifier, WeightSnapshots
from skal.nets.copying import copy_estimator, parts_within
from tests.nets.helpers import blobs, states_equal

X, Y = blobs()


def local_module() -> Any:
    class Local(MLP):
        pass

    return Local


class Normed(nn.Module):
    """Has a parametrization, which cannot be pickled."""

    def __init__(self, n_features: int = 4, n_outputs: int = 3) -> None:
        super().__init__()
        self.layer = parametrizations.weight_norm(nn.Linear(n_features, n_outputs))

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.layer(X)


class OldNorm(nn.Module):
    """Keeps a weight that was computed, which can be pickled but not copied."""

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(n_features, n_outputs)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        self.scaled = 2 * self.layer.weight
        return X @ self.scaled.T


def nets() -> dict[str, Any]:
    options = {"max_epochs": 3, "random_state": 0}
    return {
        "plain": NetClassifier(**options),
        "lambda": NetClassifier(module__activation=lambda: nn.Tanh(), **options),
        "local class": NetClassifier(local_module(), **options),
        "parametrization": NetClassifier(Normed, **options),
        "computed weight": NetClassifier(OldNorm, **options),
    }


@pytest.mark.parametrize("kind", list(nets()))
def test_a_copy_is_a_net_of_its_own(kind: str) -> None:
    net = nets()[kind].fit(X, Y)
    expected, state = net.predict_proba(X), net.optimizer_.state_dict()
    for copied in (deepcopy(net), copy_estimator(net)):
        np.testing.assert_array_equal(copied.predict_proba(X), expected)
        assert copied.history == net.history
        ours = copied.optimizer_.state_dict()["state"]
        for k, entries in state["state"].items():
            for name, value in entries.items():
                assert torch.equal(ours[k][name], value)
        parameters = set(map(id, copied.module_.parameters()))
        held = {id(p) for g in copied.optimizer_.param_groups for p in g["params"]}
        assert held == parameters
        copied.partial_fit(X, Y)
        assert not np.array_equal(copied.predict_proba(X), expected)
        assert len(net.history) == 3
        np.testing.assert_array_equal(net.predict_proba(X), expected)


@pytest.mark.parametrize("module", [local_module(), Normed()])
def test_a_net_of_skorch_within_a_pipeline(module: Any) -> None:
    sizes = {"module__n_features": 4, "module__n_outputs": 3}
    net = NeuralNetClassifier(
        module,
        criterion=nn.CrossEntropyLoss,
        train_split=None,
        max_epochs=2,
        verbose=0,
        **({} if isinstance(module, nn.Module) else sizes),
    )
    model = make_pipeline(StandardScaler(), net).fit(X, Y)
    copied = copy_estimator(model)
    np.testing.assert_array_equal(copied.predict(X), model.predict(X))
    before = deepcopy(model[-1].module_)
    copied[-1].partial_fit(X, Y)
    assert states_equal(model[-1].module_, before)


def test_epochs_of_the_past_are_shared_and_the_last_is_not() -> None:
    net = NetClassifier(max_epochs=4).fit(X, Y)
    copied = deepcopy(net)
    copied.history.record("mine", 1)
    copied.history.record_batch("mine", 1)
    copied.history[0]["mine"] = 1
    assert not any("mine" in epoch for epoch in net.history)
    assert "mine" not in net.history[-1, "batches", -1]
    assert copied.history[0]["batches"][0] is net.history[0]["batches"][0]


@pytest.mark.on_cpu
@pytest.mark.parametrize("kind", ["plain", "lambda", "local class"])
def test_processes_take_what_the_standard_pickler_does_not(kind: str) -> None:
    net = nets()[kind]
    alone = cross_val_score(net, X, Y, cv=2)
    np.testing.assert_array_equal(cross_val_score(net, X, Y, cv=2, n_jobs=2), alone)
    predict = joblib.delayed(lambda fitted: fitted.predict_proba(X))
    (proba,) = joblib.Parallel(n_jobs=2)([predict(net.fit(X, Y))])
    np.testing.assert_array_equal(proba, net.predict_proba(X))


def test_pickles() -> None:
    net = NetClassifier(max_epochs=2, callbacks=[WeightSnapshots()]).fit(X, Y)
    again = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(again.predict_proba(X), net.predict_proba(X))
    assert repr(again) == repr(net)
    again.partial_fit(X, Y)
    unfitted = pickle.loads(pickle.dumps(clone(net)))
    assert not unfitted.initialized_


def test_parts_are_found_once() -> None:
    ensemble = DeepEnsembleClassifier(NetClassifier(max_epochs=1), 2).fit(X, Y)
    model = make_pipeline(StandardScaler(), ensemble)
    found = list(parts_within({"a": model, "b": [model]}, NetClassifier))
    assert {id(net) for net in found} == {
        id(net) for net in (ensemble.estimator, *ensemble.estimators_)
    }
    assert len(found) == 3


@pytest.mark.parametrize(
    ("net", "expected"),
    [
        (NetClassifier(), "NetClassifier()"),
        (
            NetClassifier(Normed, lr=0.01, module__hidden_sizes=(3,), verbose=0),
            "NetClassifier(module=Normed, lr=0.01, module__hidden_sizes=(3,))",
        ),
        (
            NetClassifier(optimizer=torch.optim.SGD, callbacks=[WeightSnapshots()]),
            "NetClassifier(optimizer=SGD, "
            "callbacks=[WeightSnapshots(every=1, warmup=0, last=50)])",
        ),
        (NetClassifier(warm_start=True).fit(X, Y), "NetClassifier(warm_start=True)"),
    ],
)
def test_repr_shows_what_was_changed(net: Any, expected: str) -> None:
    assert repr(net) == expected
