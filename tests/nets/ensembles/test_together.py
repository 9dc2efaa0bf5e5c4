from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from skorch.callbacks import EpochTimer
from skorch.dataset import ValidSplit
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from skal.nets import NetClassifier, NetRegressor
from skal.nets.ensembles import DeepEnsembleClassifier, DeepEnsembleRegressor
from skal.nets.ensembles.together import can_train_together
from tests.nets.helpers import Unsized, blobs, line

# 61 rows in batches of 20 leave a single one, which joins the batch before.
X, CODES = blobs(61)
Y = line(61)[1]
OPTIONS = {
    "module__hidden_sizes": (16, 8),
    "batch_size": 20,
    "lr": 0.01,
    "max_epochs": 3,
}

SAME = [
    {},
    {"module__dropout": 0.4},
    {"module__hidden_sizes": ()},
    {"module__activation": nn.Tanh},
    {"batch_size": -1},
    {"batch_size": 100},
    {"max_epochs": 0},
    {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.9},
    {"optimizer": torch.optim.AdamW, "optimizer__weight_decay": 0.1},
    {"optimizer": torch.optim.Adam, "optimizer__amsgrad": True},
    {"optimizer": torch.optim.RMSprop},
    {"optimizer": torch.optim.Adagrad},
]
SAME_CLASSIFIERS = [
    {"class_weight": {0: 3.0, 2: 0.0}},
    {"class_weight": "balanced"},
    {"classes": [0, 1, 2, 7]},
]
SAME_REGRESSORS = [
    {},
    {"module__dropout": 0.4},
    {"criterion": nn.L1Loss},
    {"criterion": nn.HuberLoss},
    {"criterion": nn.SmoothL1Loss},
]


def options_id(options: dict[str, Any]) -> str:
    return ",".join(f"{k}={v}" for k, v in options.items()) or "usual"


def check_like_alone(ensemble: Any, X: Any, y: Any) -> None:
    """Check that each member equals a net that is fitted alone."""
    ensemble.fit(X, y)
    assert ensemble.trained_together_
    for member in ensemble.estimators_:
        alone = clone(member).fit(X, y)
        check_same(member, alone)
        assert member.seed_ == alone.seed_
        assert len(member.history) == len(alone.history)
        for row, expected in zip(member.history, alone.history, strict=True):
            assert row.keys() == expected.keys()
            for name in ("epoch", "train_batch_count", "train_loss_best"):
                assert row[name] == expected[name]
            assert row["train_loss"] == pytest.approx(expected["train_loss"], rel=1e-4)
            for batch, other in zip(row["batches"], expected["batches"], strict=True):
                assert batch["train_batch_size"] == other["train_batch_size"]
                assert batch["train_loss"] == pytest.approx(
                    other["train_loss"], rel=1e-3, abs=1e-6
                )
        # Training continues with the same weights, state of the optimizer and seeds.
        member.partial_fit(X, y)
        check_same(member, alone.partial_fit(X, y))


def check_same(net: Any, expected: Any) -> None:
    parts = zip(
        net.module_.named_parameters(), expected.module_.named_parameters(), strict=True
    )
    for (name, value), (other_name, other) in parts:
        assert name == other_name
        torch.testing.assert_close(value, other, rtol=1e-3, atol=1e-5)


@pytest.mark.on_cpu
@pytest.mark.parametrize("options", [*SAME, *SAME_CLASSIFIERS], ids=options_id)
def test_classifiers_equal_those_fitted_alone(options: dict[str, Any]) -> None:
    net = NetClassifier(**{**OPTIONS, **options})
    ensemble = DeepEnsembleClassifier(net, 3, random_state=0)
    if options.get("class_weight") == "balanced":  # which partial_fit refuses
        ensemble.fit(X, CODES)
        for member in ensemble.estimators_:
            check_same(member, clone(member).fit(X, CODES))
    else:
        check_like_alone(ensemble, X, CODES)


@pytest.mark.on_cpu
@pytest.mark.parametrize("options", SAME_REGRESSORS, ids=options_id)
def test_regressors_equal_those_fitted_alone(options: dict[str, Any]) -> None:
    net = NetRegressor(**{**OPTIONS, **options})
    check_like_alone(DeepEnsembleRegressor(net, 3, random_state=0), X, Y)


@pytest.mark.on_cpu
def test_two_classes_by_one_output() -> None:
    net = NetClassifier(criterion=nn.BCEWithLogitsLoss, **OPTIONS)
    labels = np.where(CODES == 1, "yes", "no")
    check_like_alone(DeepEnsembleClassifier(net, 3, random_state=0), X, labels)


@pytest.mark.on_cpu
def test_several_targets() -> None:
    ensemble = DeepEnsembleRegressor(NetRegressor(**OPTIONS), 3, random_state=0)
    check_like_alone(ensemble, X, np.stack([Y, -Y, Y**2], 1))


@pytest.mark.on_cpu
@pytest.mark.parametrize(
    "rows",
    [sparse.csr_matrix(X), sparse.coo_matrix(X), X.reshape(61, 2, 2), X.astype("f8")],
    ids=["csr", "coo", "images", "float64"],
)
def test_rows_of_every_kind(rows: Any) -> None:
    ensemble = DeepEnsembleClassifier(NetClassifier(**OPTIONS), 2, random_state=0)
    check_like_alone(ensemble, rows, CODES)


class OwnClassifier(NetClassifier):
    """Could train in any way."""


class Loader(DataLoader):
    """Could give batches in any way."""


class Smoothed(nn.CrossEntropyLoss):
    """Could treat a batch in any way."""


ALONE: list[dict[str, Any]] = [
    {"criterion": Smoothed},
    {"callbacks": [EpochTimer()]},
    {"callbacks": "disable"},
    {"train_split": ValidSplit(3)},
    {"iterator_train__shuffle": False},
    {"iterator_train": Loader},
    {"dataset__length": 61},
    {"optimizer": torch.optim.NAdam},
    {"optimizer__param_groups": [("head.*", {"lr": 0.1})]},
    {"criterion__label_smoothing": 0.1},
    {"module": Unsized},
    {"module__activation": lambda: nn.ReLU()},
    {"module__activation": nn.PReLU},
    {"module__dropout": 1.0},
    {"verbose": 1},
]


@pytest.mark.on_cpu
def test_only_plain_nets_can_be_trained_simultaneously() -> None:
    assert can_train_together(NetClassifier(), X)
    for options in ALONE:
        assert not can_train_together(NetClassifier(**options), X), options
    assert not can_train_together(OwnClassifier(), X)
    assert not can_train_together(make_pipeline(NetClassifier()), X)
    assert not can_train_together(NetClassifier(), {"X": X})


@pytest.mark.parametrize("cause", ["net", "weights", "dataset"])
def test_otherwise_members_are_fitted_one_after_the_other(cause: str) -> None:
    options = {"callbacks": [EpochTimer()]} if cause == "net" else {}
    weights = {"sample_weight": np.linspace(0, 1, 61)} if cause == "weights" else {}
    rows: Any = X
    if cause == "dataset":
        rows = TensorDataset(torch.from_numpy(X), torch.from_numpy(CODES))
    net = NetClassifier(**OPTIONS, **options)
    ensemble = DeepEnsembleClassifier(net, 2, random_state=0)
    ensemble.fit(rows, CODES, **weights)
    assert ensemble.trained_together_ is False
    for member in ensemble.estimators_:
        alone = clone(member).fit(rows, CODES, **weights)
        np.testing.assert_array_equal(member.predict_proba(X), alone.predict_proba(X))


@pytest.mark.on_cpu
def test_training_one_after_the_other_can_be_requested() -> None:
    net = NetClassifier(**OPTIONS)
    fitted = [
        DeepEnsembleClassifier(net, 2, train_together=t, random_state=0).fit(X, CODES)
        for t in (True, False)
    ]
    assert [e.trained_together_ for e in fitted] == [True, False]
    for member, alone in zip(*(e.estimators_ for e in fitted), strict=True):
        check_same(member, alone)
