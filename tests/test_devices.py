"""Nets on another device (``--device cuda``) do as those on the CPU do."""

from __future__ import annotations

import copy
import importlib
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import EpochScoring
from skorch.dataset import ValidSplit
from torch.utils.data import TensorDataset

import skal
from skal.learners import ActiveLearner, Committee, CommitteeRegressor
from skal.nets.ensembles import (
    DeepEnsembleClassifier,
    DeepEnsembleRegressor,
    FoldEnsembleClassifier,
    FoldEnsembleRegressor,
)
from skal.simulation import ActiveLearningSimulation, compare_strategies
from skal.strategies import BADGE, BALD, LCMD, CoreSet, Distinct, Margin, Random
from tests.models import (
    READERS,
    cases,
    make_data,
    make_net,
    make_strategy,
    with_labeled,
)


def on(device: str, net: Any) -> Any:
    """Copy a net to a device."""
    moved = copy.deepcopy(net).set_params(device=device)
    for part in vars(moved).values():  # its module, and that which predicts losses
        if isinstance(part, torch.nn.Module):
            part.to(device)
    return moved


def asked(cls: Any, task: str, net: Any, pool: Any, n: int = 4) -> Any:
    learner = with_labeled(net, *make_data(task))
    return make_strategy(cls, task).select(learner, pool, n)


every_case = pytest.mark.parametrize(
    ("cls", "task"),
    [pytest.param(*case, id=f"{case[0].__name__}-{case[1]}") for case in cases()],
)


@every_case
def test_picks_and_scores_are_those_of_the_cpu(
    cls: Any, task: str, device: str
) -> None:
    net = make_net(task, "cpu", cls).fit(*make_data(task))
    pool = make_data(task, 50, seed=1)[0]
    want, got = (asked(cls, task, on(d, net), pool) for d in ("cpu", device))
    assert_array_equal(got.indices, want.indices)
    assert_allclose(got.scores, want.scores, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", READERS)
def test_rows_on_the_device_are_picked_as_arrays_are(name: str, device: str) -> None:
    task, cls = READERS[name], getattr(skal.strategies, name)
    net = make_net(task, device, cls).fit(*make_data(task))
    pool = make_data(task, 50, seed=1)[0].astype(np.float32)
    got = asked(cls, task, net, torch.from_numpy(pool).to(device))
    assert_array_equal(got.indices, asked(cls, task, net, pool).indices)


@every_case
def test_labels_on_the_device_are_read_as_arrays_are(
    cls: Any, task: str, device: str
) -> None:
    X, y = make_data(task)
    if task == "classification":
        y = np.unique(y, return_inverse=True)[1]
    X, y = X.astype(np.float32), y.astype(np.float32 if task == "regression" else int)
    net = make_net(task, device, cls).fit(X, y)
    pool = make_data(task, 50, seed=1)[0].astype(np.float32)
    strategy = make_strategy(cls, task)
    want = strategy.select(with_labeled(net, X, y), pool, 4)
    held = [torch.from_numpy(a).to(device) for a in (X, y)]
    got = strategy.select(with_labeled(net, *held), torch.from_numpy(pool), 4)
    assert_array_equal(got.indices, want.indices)


@pytest.mark.parametrize(
    ("task", "scoring"), [("classification", "accuracy"), ("regression", "r2")]
)
def test_epochs_are_scored_on_a_validation_set(
    task: str, scoring: str, device: str
) -> None:
    X, y = make_data(task)
    histories = []
    for where in ("cpu", device):
        net = make_net(
            task,
            where,
            module__dropout=0.0,
            train_split=ValidSplit(3),
            callbacks=[EpochScoring(scoring, lower_is_better=False, name="score")],
        )
        history = net.fit(X, y).history_
        histories.append(history[:, ("score", "train_loss", "valid_loss")])
    assert_allclose(*histories, rtol=1e-3)


@pytest.mark.parametrize("kind", ["list", "dataset"])
def test_nets_learn_from_labels_on_the_device(kind: str, device: str) -> None:
    X, y = make_data("classification")
    rows = torch.from_numpy(X).float()
    labels = torch.from_numpy(np.unique(y, return_inverse=True)[1])
    proba = []
    for where in ("cpu", device):
        x, codes = rows.to(where), labels.to(where)
        net = make_net("classification", device, callbacks=[], module__n_features=5)
        net.fit(*((x, list(codes)) if kind == "list" else [TensorDataset(x, codes)]))
        proba.append(net.predict_proba(x))
    assert_array_equal(*proba)


def test_lists_of_tensors_on_the_device(device: str) -> None:
    X, y = make_data("classification")
    rows = torch.from_numpy(X).float()
    labels = torch.from_numpy(np.unique(y, return_inverse=True)[1])
    found = []
    for where in ("cpu", device):
        x, codes = list(rows.to(where)), list(labels.to(where))
        net = make_net("classification", device, callbacks=[])
        learner = ActiveLearner(net, Distinct(Margin()), x[:40], codes[:40])
        picks, _ = learner.query(x, n_instances=3)
        found.append([*picks, learner.score(x, codes)])
    assert found[0] == found[1]


def test_displays_take_tensors_on_the_device(device: str) -> None:
    pytest.importorskip("matplotlib").use("agg")
    from skal.display import CalibrationDisplay

    X, y = make_data("classification")
    codes = np.unique(y, return_inverse=True)[1]
    net = make_net("classification", device, callbacks=[]).fit(X, codes)
    probs = net.predict_proba(X)
    shown = [
        CalibrationDisplay.from_probabilities(*pair)
        for pair in (
            (codes, probs),
            [torch.from_numpy(a).to(device) for a in (codes, probs)],
        )
    ]
    assert_array_equal(shown[0].observed, shown[1].observed)
    y, std = torch.arange(9.0, device=device), torch.ones(9, device=device)
    assert CalibrationDisplay.from_std(y, y, std).observed.tolist() == [1.0] * 19
    importlib.import_module("matplotlib.pyplot").close("all")


@pytest.mark.parametrize("place", ["cpu", "device"])
def test_query_and_teach_with_tensors(place: str, device: str) -> None:
    where = device if place == "device" else "cpu"
    X, y = make_data("regression")
    X, y = (torch.from_numpy(a).float().to(where) for a in (X, y))
    net = make_net("regression", device)
    learner = ActiveLearner(net, LCMD(random_state=0), X[:20], y[:20])
    positions, rows = learner.query(X[20:], n_instances=3)
    assert_array_equal(rows.cpu(), X[20:][positions].cpu())
    learner.teach(rows, y[20:][positions])
    assert len(learner.X_training) == 23
    assert learner.predict(X[:5]).shape == (5,)


def test_a_saved_net_predicts_the_same_on_the_cpu(device: str, tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    X, y = make_data("classification")
    net = make_net("classification", device, callbacks=[]).fit(X, y)
    skal.save(net, tmp_path / "net.skal")
    for target in ("cpu", device):
        loaded = skal.load(tmp_path / "net.skal", device=target)
        assert next(loaded.module_.parameters()).device.type == target.split(":")[0]
        assert_allclose(
            loaded.predict_proba(X), net.predict_proba(X), rtol=1e-4, atol=1e-6
        )
    unpickled = pickle.loads(pickle.dumps(net))
    assert_array_equal(unpickled.predict_proba(X), net.predict_proba(X))


@pytest.mark.parametrize(
    ("Ensemble", "task"),
    [
        (DeepEnsembleClassifier, "classification"),
        (DeepEnsembleRegressor, "regression"),
    ],
)
def test_ensembles_live_on_the_device(Ensemble: Any, task: str, device: str) -> None:
    X, y = make_data(task)
    net = make_net(task, device, callbacks=[])
    together = Ensemble(net, 3, random_state=0).fit(X, y)
    alone = [copy.deepcopy(member) for member in together.estimators_]
    for member in alone:
        assert next(member.module_.parameters()).device.type == device.split(":")[0]
    if task == "regression":
        means = np.mean([member.predict(X) for member in alone], axis=0)
        assert_allclose(together.predict(X), means, rtol=1e-4, atol=1e-5)
    else:
        means = np.mean([member.predict_proba(X) for member in alone], axis=0)
        assert_allclose(together.predict_proba(X), means, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("Ensemble", "task"),
    [(FoldEnsembleClassifier, "classification"), (FoldEnsembleRegressor, "regression")],
)
def test_fold_ensembles_learn_on_the_device(
    Ensemble: Any, task: str, device: str
) -> None:
    X, y = make_data(task, 120)
    settings = {"hidden_sizes": (32, 32), "others": (), "random_state": 0}
    here = Ensemble(**settings, device="cpu").fit(X[:80], y[:80])
    there = Ensemble(**settings, device=device).fit(X[:80], y[:80])
    # Rounding grows over hundreds of steps; the errors should not.
    assert there.score(X[80:], y[80:]) > here.score(X[80:], y[80:]) - 0.1
    picks = [
        make_strategy(LCMD).select(with_labeled(e, X[:80], y[:80]), X[80:], 5).indices
        for e in (there, there)
    ]
    assert_array_equal(*picks)


@every_case
def test_nets_of_a_committee_may_live_on_several_devices(
    cls: Any, task: str, device: str
) -> None:
    X, y = make_data(task)
    nets = [make_net(task, "cpu", cls, random_state=k).fit(X, y) for k in range(2)]
    kind = Committee if task == "classification" else CommitteeRegressor
    found = []
    for devices in (("cpu", "cpu"), (device, "cpu")):
        members = [on(d, net) for d, net in zip(devices, nets, strict=True)]
        committee = kind([with_labeled(net, X, y) for net in members])
        found.append(make_strategy(cls, task).select(committee, X, 4).indices)
        kept = [next(net.module_.parameters()).device.type for net in members]
        assert kept == [torch.device(d).type for d in devices]
    assert_array_equal(*found)


def test_committee_of_nets(device: str) -> None:
    X, y = make_data("classification")
    learners = [
        ActiveLearner(
            make_net("classification", device, random_state=k),
            X_training=X,
            y_training=y,
        )
        for k in range(2)
    ]
    positions, _ = Committee(learners, BALD()).query(X, n_instances=3)
    assert len(set(positions)) == 3


PROGRAM = """
import torch
from tests.models import make_data, make_net
torch.manual_seed(3)
if {fits}:
    make_net("regression", "{device}").fit(*make_data("regression"))
print(torch.rand(4, device="{device}").tolist())
"""


@pytest.mark.slow
def test_the_first_fit_on_the_device_does_not_seed_it(device: str) -> None:
    drawn = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM.format(device=device, fits=fits)],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[1],
        ).stdout
        for fits in (True, False)
    ]
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_simulations_and_searches_in_processes(n_jobs: int, device: str) -> None:
    X, y = make_data("classification", 80)
    net = make_pipeline(StandardScaler(), make_net("classification", device))
    found = compare_strategies(
        net,
        {"Random": Random(), "Margin": Margin(), "BADGE": BADGE()},
        X,
        y,
        cv=2,
        n_initial=20,
        n_instances=5,
        n_queries=2,
        random_state=0,
        n_jobs=n_jobs,
    )
    assert np.isfinite(found.table([20, 30]).to_numpy()).all()
    search = GridSearchCV(
        ActiveLearningSimulation(
            net, Margin(), n_initial=10, n_queries=1, n_instances=5, random_state=0
        ),
        {"query_strategy": [Margin(), CoreSet()]},
        cv=2,
        n_jobs=n_jobs,
        error_score="raise",
    ).fit(X, y)
    assert np.isfinite(search.best_score_)
