"""skorch's own arguments, callbacks and iterators go on working."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from skorch.callbacks import (
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    InputShapeSetter,
    LRScheduler,
    PrintLog,
)
from skorch.dataset import Dataset, ValidSplit
from skorch.helper import SliceDataset, SliceDict
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

from skal.nets import MLP, NetClassifier, NetRegressor
from tests.nets.data import TwoInputs, Unsized, blobs, line

X, CODES = blobs(90)
LABELS = np.array(["a", "b", "c"])[CODES]
QUICK = {"max_epochs": 30, "lr": 0.02, "random_state": 0}


@pytest.mark.parametrize("caching", [True, False])
def test_scores_of_callbacks_are_right_with_string_labels(caching: bool) -> None:
    scores = [
        ("acc", EpochScoring("accuracy", lower_is_better=False, use_caching=caching)),
        ("auc", EpochScoring("roc_auc_ovr", name="auc", use_caching=caching)),
        ("train", EpochScoring("accuracy", name="train", on_train=True)),
    ]
    net = NetClassifier(callbacks=scores, train_split=ValidSplit(3, stratified=True))
    net.set_params(**QUICK).fit(X, LABELS)
    for name in ("valid_acc", "accuracy", "auc", "train"):
        assert net.history[-1, name] > 0.9
    assert net.classes_.tolist() == ["a", "b", "c"]


def test_scores_with_weights_on_rows() -> None:
    score = EpochScoring("accuracy", name="train", on_train=True)
    net = NetClassifier(callbacks=[score], train_split=ValidSplit(3), **QUICK)
    net.fit(X, LABELS, sample_weight=np.where(CODES == 0, 0, 1))
    assert net.history[-1, "train"] > 0.9
    assert net.history[-1, "batches", 0, "train_batch_size"] == 40
    assert net.history[-1, "batches", 1, "valid_batch_size"] == 20


def test_validation_loss_is_over_all_of_its_rows() -> None:
    Xr, y = line(40)
    net = NetRegressor(train_split=ValidSplit(4), max_epochs=1, random_state=0).fit(
        Xr, y
    )
    rows = np.arange(10)  # the first fold of a KFold without shuffling
    by_hand = np.mean((net.predict(Xr[rows]) - y[rows]) ** 2)
    assert net.history[-1, "valid_loss"] == pytest.approx(by_hand, rel=1e-5)


def test_early_stopping_schedules_and_checkpoints(tmp_path: Any) -> None:
    net = NetRegressor(
        train_split=ValidSplit(3),
        callbacks=[
            ("stop", EarlyStopping(patience=2, monitor="train_loss", threshold=10)),
            ("schedule", LRScheduler("StepLR", step_size=1, gamma=0.5)),
            ("save", Checkpoint(dirname=tmp_path)),
        ],
        max_epochs=50,
        verbose=0,
    )
    net.set_params(callbacks__stop__sink=lambda *_: None)
    Xr, y = line()
    net.fit(Xr, y)
    assert len(net.history) < 50
    assert net.history[1, "event_lr"] == pytest.approx(0.5 * net.history[0, "event_lr"])
    assert (tmp_path / "params.pt").exists()


def test_callbacks_see_X_as_it_was_given() -> None:
    setter = InputShapeSetter(param_name="n_features")
    net = NetRegressor(module__n_features=1, callbacks=[setter], max_epochs=1)
    Xr, y = line()
    assert net.fit(Xr, y).module_.body[0].in_features == 4


def test_callbacks_can_be_set_and_switched_off() -> None:
    net = NetClassifier(max_epochs=1)
    net.set_params(callbacks=[("log", PrintLog)], callbacks__valid_acc=None)
    net.fit(X, CODES)
    assert "log" in dict(net.callbacks_)
    net.set_params(callbacks=None).fit(X, CODES)
    assert (
        NetClassifier(callbacks="disable", max_epochs=1).fit(X, CODES).callbacks_ == []
    )


def test_parameters_of_a_fitted_net_are_set_as_in_skorch() -> None:
    net = NetClassifier(**QUICK).fit(X, CODES)
    net.set_params(lr=0.5)
    assert net.optimizer_.param_groups[0]["lr"] == 0.5
    net.set_params(optimizer__weight_decay=0.25)
    assert net.optimizer_.param_groups[0]["weight_decay"] == 0.25
    net.set_params(module__hidden_sizes=(3,))
    assert net.module_.body[0].out_features == 3  # at once, and still sized
    assert net.module_.head.out_features == 3
    net.set_params(iterator_valid__batch_size=10, iterator_train__shuffle=False)
    assert net.get_params()["iterator_valid__batch_size"] == 10
    net.fit(X, CODES)
    assert net.module_.body[0].out_features == 3


def test_a_module_instance_can_be_set() -> None:
    module = Unsized()
    net = NetClassifier(**QUICK).set_params(module=module)
    assert net.get_params()["module"] is module
    assert net.fit(X, CODES).module_.layers[0].out_features == 8


def test_parameters_that_cannot_be_set_change_nothing() -> None:
    net = NetClassifier(**QUICK).fit(X, CODES)
    before = net.predict_proba(X)
    with pytest.raises(TypeError, match="hidden"):
        net.set_params(module__hidden=3, iterator_train__shuffle=False)
    assert "module__hidden" not in net.get_params()
    assert "iterator_train__shuffle" not in net.get_params()
    np.testing.assert_array_equal(net.predict_proba(X), before)


def test_optimizers_of_all_kinds() -> None:
    Xr, y = line()
    for options in (
        {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.9, "lr": 0.05},
        {"optimizer": torch.optim.LBFGS, "lr": 0.5, "batch_size": -1, "max_epochs": 20},
        {"optimizer__param_groups": [("head.*", {"lr": 0.01})]},
    ):
        net = NetRegressor(random_state=0, **{"max_epochs": 60, **options}).fit(Xr, y)
        assert net.score(Xr, y) > 0.9


class Own(DataLoader):
    """A user's own loader."""

    used = 0

    def __iter__(self) -> Any:
        Own.used += 1
        return super().__iter__()


def test_own_iterators_are_used() -> None:
    Own.used = 0
    net = NetClassifier(iterator_train=Own, iterator_valid=Own, **QUICK).fit(X, LABELS)
    assert Own.used == 30
    assert net.score(X, LABELS) > 0.9
    assert Own.used == 31
    with pytest.raises(ValueError, match="sample_weight"):
        net.fit(X, LABELS, sample_weight=np.ones(90))


class Shuffles(DataLoader):
    """A user's loader that shuffles."""

    def __init__(self, dataset: Any, batch_size: int) -> None:
        super().__init__(dataset, batch_size=batch_size, shuffle=True)


@pytest.mark.parametrize(
    "options",
    [
        {"iterator_valid__shuffle": True},
        {"iterator_valid__drop_last": True},
        {"iterator_valid": Shuffles},
        {"iterator_valid__sampler": RandomSampler(range(90))},
    ],
    ids=["shuffle", "drop_last", "own", "sampler"],
)
def test_iterators_that_would_scramble_predictions_are_refused(options: Any) -> None:
    net = NetClassifier(**QUICK).fit(X, CODES).set_params(**options)
    with pytest.raises(ValueError, match="order"):
        net.predict(X)
    with pytest.raises(ValueError, match="order"):
        net.predict_proba(X)


class Doubling(Dataset):
    """A user's own dataset."""

    def __init__(self, X: Any, y: Any = None, factor: float = 1.0) -> None:
        super().__init__(X, y)
        self.factor = np.float32(factor)

    def transform(self, X: Any, y: Any) -> Any:
        X, y = super().transform(X, y)
        return X * self.factor, y


def test_own_datasets_are_used() -> None:
    net = NetRegressor(dataset=Doubling, dataset__factor=2.0, max_epochs=60, lr=0.02)
    Xr, y = line()
    assert net.fit(Xr, y).score(Xr, y) > 0.9
    with torch.no_grad():
        by_hand = net.module_.eval()(2 * torch.from_numpy(Xr))[:, 0]
    np.testing.assert_allclose(net.predict(Xr), by_hand, atol=1e-5)
    with pytest.raises(ValueError, match="sample_weight"):
        net.fit(Xr, y, sample_weight=np.ones(60))


def test_skorchs_helpers() -> None:
    both = SliceDict(numbers=X, kind=CODES)
    net = NetClassifier(TwoInputs, **QUICK).fit(both, LABELS)
    assert net.score(both, LABELS) > 0.9
    dataset = TensorDataset(torch.from_numpy(X), torch.from_numpy(CODES))
    X_slice, y_slice = SliceDataset(dataset, idx=0), SliceDataset(dataset, idx=1)
    net = NetClassifier(**QUICK).fit(X_slice, y_slice)
    assert net.score(X_slice, np.asarray(y_slice)) > 0.9


def test_groups_reach_the_split() -> None:
    from sklearn.model_selection import GroupKFold

    groups = np.repeat([0, 1, 2], 30)

    class Takes(MLP):
        def forward(self, X: torch.Tensor, groups: Any = None) -> torch.Tensor:
            return super().forward(X)

    net = NetRegressor(Takes, train_split=ValidSplit(GroupKFold(3)), max_epochs=1)
    net.fit(X, CODES, groups=groups)
    assert net.history[-1, "batches", 1, "valid_batch_size"] == 30


def test_history_can_be_plotted_from() -> None:
    net = NetClassifier(**QUICK).fit(X, CODES)
    losses = net.history[:, "train_loss"]
    assert len(losses) == 30
    assert losses[-1] < losses[0]
