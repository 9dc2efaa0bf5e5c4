"""Warnings of training that was too short, or came to nothing."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import EarlyStopping
from skorch.dataset import ValidSplit
from torch import nn

from skal.exceptions import TrainingWarning
from skal.nets import (
    DeepEnsembleClassifier,
    DiversityEncouragingEnsembleClassifier,
    NetClassifier,
    NetRegressor,
    SnapshotEnsembleClassifier,
    SplitHeadEnsembleClassifier,
)
from tests.nets.helpers import blobs, line

X, Y = blobs(40)
short = pytest.warns(TrainingWarning, match="Too little training")


@pytest.fixture(autouse=True)
def _every_warning() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_it_is_a_warning_of_convergence() -> None:
    assert issubclass(TrainingWarning, ConvergenceWarning)


def test_few_steps() -> None:
    with pytest.warns(TrainingWarning, match=r"made 29 steps.*40 rows are a single"):
        NetClassifier(max_epochs=29).fit(X, Y)
    NetClassifier(max_epochs=30).fit(X, Y)
    NetClassifier(max_epochs=8, batch_size=10).fit(X, Y)  # 32 steps
    with pytest.warns(TrainingWarning) as caught:
        NetClassifier(max_epochs=7, batch_size=10).fit(X, Y)
    assert "Raise max_epochs." in str(caught[0].message)
    assert "batch_size" not in str(caught[0].message)


@pytest.mark.parametrize(
    "net",
    [
        NetClassifier(),
        DeepEnsembleClassifier(n_estimators=2),
        DeepEnsembleClassifier(n_estimators=2, train_together=False),
        DiversityEncouragingEnsembleClassifier(n_estimators=2),
        SnapshotEnsembleClassifier(n_estimators=2),
        SplitHeadEnsembleClassifier(n_estimators=2),
    ],
    ids=lambda net: type(net).__name__,
)
def test_defaults_do_not_warn_and_fewer_epochs_do(net: Any) -> None:
    net.fit(X, Y)
    inner = {"estimator__"} if hasattr(net, "n_estimators") else {""}
    if inner == {"estimator__"}:
        net.set_params(estimator=NetClassifier(module__dropout=0.1))
    with short:
        net.set_params(**{f"{prefix}max_epochs": 10 for prefix in inner}).fit(X, Y)


def test_epochs_of_a_warm_start_add_up_and_partial_fit_is_free() -> None:
    net = NetClassifier(max_epochs=20, warm_start=True)
    with short:
        net.fit(X, Y)
    net.fit(X, Y)
    NetClassifier(max_epochs=1).partial_fit(X, Y)
    NetClassifier(max_epochs=0).fit(X, Y)  # untrained on purpose


def test_training_that_a_callback_ends_and_lbfgs() -> None:
    stop = EarlyStopping(patience=2, threshold=1e9)
    seeded = partial(NetClassifier, random_state=0)
    net = seeded(callbacks=[stop], train_split=ValidSplit(3)).fit(X, Y)
    assert len(net.history) < 20
    # From some weights, steps of LBFGS without a line search diverge.
    seeded(optimizer=torch.optim.LBFGS, lr=0.1, max_epochs=3).fit(X, Y)


def test_a_loss_of_nan() -> None:
    module = nn.Sequential(
        nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3), nn.LogSoftmax(1)
    )
    net = NetClassifier(module, criterion=nn.NLLLoss, max_epochs=50, random_state=0)
    with pytest.warns(TrainingWarning, match=r"is nan after 50 epochs.*NLLLoss"):
        net.fit(X, Y)
    rows, y = line()
    diverging = NetRegressor(
        optimizer=torch.optim.SGD, lr=100.0, max_epochs=50, random_state=0
    )
    with pytest.warns(TrainingWarning, match=r"is (nan|inf) after 50 epochs.*lower lr"):
        diverging.fit(rows, y)


def test_a_loss_that_never_fell() -> None:
    # One output for all rows: a step too large from its best value, and back again.
    module = nn.Sequential(nn.Linear(4, 1, bias=False))
    with torch.no_grad():
        module[0].weight.zero_()
    rows, y = np.zeros((40, 4), np.float32), np.ones(40, np.float32)
    net = NetRegressor(module, max_epochs=40)  # nothing to learn from zeros
    with pytest.warns(TrainingWarning, match="was 1 in its first epoch, and never"):
        net.fit(rows, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.set_params(lr=0.0).fit(rows, y)
        net.set_params(lr=0.1, max_epochs=40).fit(rows, np.zeros(40, np.float32))


def test_a_loss_that_never_fell_in_four_epochs_may_be_chance() -> None:
    rows, y = np.zeros((40, 4), np.float32), np.ones(40, np.float32)
    module = nn.Sequential(nn.Linear(4, 1, bias=False))
    net = NetRegressor(module, max_epochs=4, batch_size=4)  # 40 steps
    net.fit(rows, y)
    with pytest.warns(TrainingWarning, match="never below that in the other 4"):
        net.set_params(max_epochs=5).fit(rows, y)


# -- weights that the loss does not read ----------------------------------------------


class OwnLoss(NetClassifier):
    """Computes its loss without weights."""

    def get_loss(
        self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False
    ) -> Any:
        return nn.functional.cross_entropy(y_pred, y_true)


class OwnStep(NetClassifier):
    """Computes its training steps without weights."""

    def train_step_single(self, batch: Any, **fit_params: Any) -> Any:
        self._set_training(True)
        y_pred = self.infer(batch[0])
        loss = nn.functional.cross_entropy(y_pred, batch[1])
        loss.backward()
        return {"loss": loss, "y_pred": y_pred}


class Smoothed(NetClassifier):
    """Adds a term to skal's loss."""

    def get_loss(
        self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False
    ) -> Any:
        loss = super().get_loss(y_pred, y_true, X, training)
        return loss - 0.01 * y_pred.log_softmax(dim=1).mean()


@pytest.mark.on_cpu
@pytest.mark.parametrize("kind", [OwnLoss, OwnStep])
def test_weights_that_a_loss_does_not_read(kind: type[NetClassifier]) -> None:
    weight = np.linspace(0.1, 3, len(Y))
    plain = kind(max_epochs=30, random_state=0).fit(X, Y)
    with pytest.warns(UserWarning, match="sample_weight has no effect"):
        net = kind(max_epochs=30, random_state=0).fit(X, Y, sample_weight=weight)
    assert (net.predict_proba(X) == plain.predict_proba(X)).all()
    balanced = kind(max_epochs=30, class_weight="balanced")
    with pytest.warns(UserWarning, match="class_weight has no effect"):
        balanced.fit(X, Y)
    with pytest.warns(UserWarning, match="sample_weight and class_weight have"):
        balanced.fit(X, Y, sample_weight=weight)
    assert vars(net).keys() == vars(plain).keys()


def test_weights_that_a_loss_reads() -> None:
    weight = np.where(Y[0] == Y, 5.0, 0.1)
    plain = Smoothed(max_epochs=30, random_state=0).fit(X, Y)
    net = Smoothed(max_epochs=30, random_state=0, class_weight="balanced")
    net.fit(X, Y, sample_weight=weight)
    assert not np.allclose(net.predict_proba(X), plain.predict_proba(X))
