"""The nets in the tools of scikit-learn, and with the parts of skorch."""

from __future__ import annotations

import pickle
from copy import deepcopy
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import AdaBoostClassifier, BaggingRegressor, VotingClassifier
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    cross_val_predict,
    cross_validate,
)
from sklearn.multioutput import MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from skorch import NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import (
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    InputShapeSetter,
    LRScheduler,
    PrintLog,
)
from skorch.dataset import ValidSplit
from skorch.helper import SliceDataset, SliceDict
from torch.utils.data import DataLoader, TensorDataset

from skal.nets import MLP, NetClassifier, NetRegressor
from tests.nets.helpers import TwoInputs, Unsized, blobs, line

X, CODES = blobs(90)
LABELS = np.array(["a", "b", "c"])[CODES]
XR, Y = line()
QUICK: dict[str, Any] = {"max_epochs": 20, "lr": 0.02, "random_state": 0}
CLF = NetClassifier(**QUICK)
REG = NetRegressor(max_epochs=60, lr=0.02, random_state=0)


# -- scikit-learn ---------------------------------------------------------------------


def test_they_are_skorchs() -> None:
    assert isinstance(CLF, NeuralNetClassifier)
    assert isinstance(REG, NeuralNetRegressor)
    assert is_classifier(CLF)
    assert is_regressor(REG)


def test_pipeline_of_float64_and_sparse() -> None:
    model = make_pipeline(StandardScaler(), clone(CLF)).fit(X.astype(float), LABELS)
    assert model.score(X.astype(float), LABELS) > 0.9
    frame = pd.DataFrame({"kind": LABELS})
    model = make_pipeline(OneHotEncoder(), clone(CLF)).fit(frame, LABELS)
    assert model.score(frame, LABELS) == 1


def test_pipeline_passes_weights_and_names() -> None:
    weight = np.arange(60.0)
    frame = pd.DataFrame(XR, columns=list("abcd"))
    scale = StandardScaler().set_output(transform="pandas")
    model = make_pipeline(scale, clone(REG))
    model.fit(frame, Y, netregressor__sample_weight=weight)
    assert model[-1].feature_names_in_.tolist() == list("abcd")
    alone = clone(REG).fit(scale.transform(frame), Y, sample_weight=weight)
    np.testing.assert_array_equal(
        model.predict(frame), alone.predict(scale.transform(frame))
    )


def test_grid_search() -> None:
    grid = {"lr": [1e-6, 0.02], "module__hidden_sizes": [(4,), (8, 8)]}
    search = GridSearchCV(clone(CLF), grid, cv=2, error_score="raise").fit(X, LABELS)
    assert search.best_params_["lr"] == 0.02
    assert search.score(X, LABELS) > 0.9
    best = search.best_estimator_
    assert best.module_.body[1].out_features == best.module__hidden_sizes[0]


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_cross_validate(n_jobs: Any) -> None:
    scoring = ["accuracy", "neg_log_loss", "roc_auc_ovr"]
    scores = cross_validate(
        clone(CLF), X, LABELS, cv=2, scoring=scoring, n_jobs=n_jobs, error_score="raise"
    )
    assert scores["test_accuracy"].mean() > 0.9
    assert scores["test_roc_auc_ovr"].mean() > 0.9
    assert scores["test_neg_log_loss"].mean() > -0.5


def test_cross_val_predict_of_probabilities() -> None:
    proba = cross_val_predict(clone(CLF), X, LABELS, cv=3, method="predict_proba")
    assert (CLF.fit(X, LABELS).classes_[proba.argmax(1)] == LABELS).mean() > 0.9


@pytest.mark.parametrize("scaled", [True, False])
def test_transformed_target(scaled: bool) -> None:
    y = 1000 + 100 * Y
    inner = make_pipeline(StandardScaler(), clone(REG)) if scaled else clone(REG)
    model = TransformedTargetRegressor(inner, transformer=StandardScaler())
    assert model.fit(XR, y).score(XR, y) > 0.95
    both = np.c_[y, -y]
    assert model.fit(XR, both).predict(XR).shape == (60, 2)


def test_calibrated_with_and_without_weights() -> None:
    model = CalibratedClassifierCV(clone(CLF), method="sigmoid", cv=2)
    assert model.fit(X, LABELS).score(X, LABELS) > 0.9
    # With "sigmoid", scikit-learn 1.6 cannot mix float32 and weights.
    model = CalibratedClassifierCV(clone(CLF), method="isotonic", cv=2)
    model.fit(X, LABELS, sample_weight=np.ones(90))
    assert model.score(X, LABELS) > 0.9


def test_bagging_with_and_without_weights() -> None:
    model = BaggingRegressor(clone(REG), n_estimators=2, random_state=0)
    assert model.fit(XR, Y).score(XR, Y) > 0.9
    assert model.fit(XR, Y, sample_weight=np.ones(60)).score(XR, Y) > 0.9


def test_boosting_takes_the_weights() -> None:
    model = AdaBoostClassifier(clone(CLF), n_estimators=2, random_state=0)
    assert model.fit(X, LABELS).score(X, LABELS) > 0.9


@pytest.mark.parametrize("voting", ["hard", "soft"])
def test_voting(voting: str) -> None:
    model = VotingClassifier(
        [("net", clone(CLF)), ("bayes", GaussianNB())], voting=voting
    )
    assert model.fit(X, LABELS).score(X, LABELS) > 0.9


def test_multi_output_wrapper() -> None:
    model = MultiOutputRegressor(clone(REG)).fit(XR, np.c_[Y, -Y])
    assert model.score(XR, np.c_[Y, -Y]) > 0.9


@pytest.mark.parametrize(
    "copy",
    [deepcopy, lambda net: pickle.loads(pickle.dumps(net))],
    ids=["deepcopy", "pickle"],
)
def test_copies(copy: Any) -> None:
    net = NetClassifier(max_epochs=2, random_state=0, class_weight={"b": 2.0})
    assert copy(net).get_params().keys() == net.get_params().keys()
    twin = copy(net.fit(X, LABELS))
    np.testing.assert_array_equal(twin.predict_proba(X), net.predict_proba(X))
    assert twin.predict(X).tolist() == net.predict(X).tolist()
    # Both continue alike.
    np.testing.assert_array_equal(
        twin.partial_fit(X, LABELS).predict_proba(X),
        net.partial_fit(X, LABELS).predict_proba(X),
    )


def test_clone_is_unfitted_and_has_the_parameters_alone() -> None:
    net = NetClassifier(module__hidden_sizes=(5,), max_epochs=1, lr=0.1)
    before = net.get_params()
    net.fit(X, LABELS)
    assert "module__n_features" not in net.get_params()
    shown = {
        k: v for k, v in net.get_params().items() if not k.startswith("callbacks_")
    }
    assert shown == {k: v for k, v in before.items() if not k.startswith("callbacks_")}
    twin = clone(net)
    assert not hasattr(twin, "module_")
    assert not hasattr(twin, "classes_")
    assert twin.module__hidden_sizes == (5,)
    assert twin.fit(X[:, :2], CODES > 0).predict_proba(X[:, :2]).shape == (90, 2)


def test_clone_copies_a_module_instance() -> None:
    net = NetClassifier(Unsized(), max_epochs=1)
    twin = clone(net)
    assert twin.module is not net.module
    assert twin.fit(X, CODES).predict(X).shape == (90,)


def test_repr_and_html() -> None:
    assert "NetClassifier" in repr(clone(CLF))
    assert "NetRegressor" in repr(clone(REG).fit(XR, Y))
    assert "NetClassifier" in make_pipeline(StandardScaler(), CLF)._repr_html_()


# -- skorch ---------------------------------------------------------------------------


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
    net.fit(XR, Y)
    assert len(net.history) < 50
    assert net.history[1, "event_lr"] == pytest.approx(0.5 * net.history[0, "event_lr"])
    assert (tmp_path / "params.pt").exists()


def test_callbacks_see_X_as_it_was_given() -> None:
    setter = InputShapeSetter(param_name="n_features")
    net = NetRegressor(module__n_features=1, callbacks=[setter], max_epochs=1)
    assert net.fit(XR, Y).module_.body[1].in_features == 4


def test_callbacks_can_be_set_and_switched_off() -> None:
    net = NetClassifier(max_epochs=1)
    net.set_params(callbacks=[("log", PrintLog)], callbacks__valid_acc=None)
    net.fit(X, CODES)
    assert "log" in dict(net.callbacks_)
    net.set_params(callbacks=None).fit(X, CODES)
    assert (
        NetClassifier(callbacks="disable", max_epochs=1).fit(X, CODES).callbacks_ == []
    )


def test_optimizers_of_all_kinds() -> None:
    for options in (
        {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.9, "lr": 0.05},
        {
            "optimizer": torch.optim.LBFGS,
            "lr": 0.5,
            "batch_size": -1,
            "max_epochs": 20,
            "module__dropout": 0.0,
        },
        {"optimizer__param_groups": [("head.*", {"lr": 0.01})]},
    ):
        net = NetRegressor(random_state=0, **{"max_epochs": 60, **options}).fit(XR, Y)
        assert net.score(XR, Y) > 0.9


class Own(DataLoader):
    """A user's loader, which counts its passes."""

    used = 0

    def __iter__(self) -> Any:
        Own.used += 1
        return super().__iter__()


def test_own_iterators_are_used() -> None:
    Own.used = 0
    net = NetClassifier(iterator_train=Own, iterator_valid=Own, **QUICK).fit(X, LABELS)
    assert Own.used == 20
    assert net.score(X, LABELS) > 0.9
    assert Own.used == 21


def test_skorchs_helpers() -> None:
    both = SliceDict(numbers=X, kind=CODES)
    net = NetClassifier(TwoInputs, **QUICK).fit(both, LABELS)
    assert net.score(both, LABELS) > 0.9
    dataset = TensorDataset(torch.from_numpy(X), torch.from_numpy(CODES))
    X_slice, y_slice = SliceDataset(dataset, idx=0), SliceDataset(dataset, idx=1)
    net = NetClassifier(**QUICK).fit(X_slice, y_slice)
    assert net.score(X_slice, np.asarray(y_slice)) > 0.9


def test_groups_reach_the_split() -> None:
    groups = np.repeat([0, 1, 2], 30)

    class Takes(MLP):
        def forward(self, X: torch.Tensor, groups: Any = None) -> torch.Tensor:
            return super().forward(X)

    net = NetRegressor(Takes, train_split=ValidSplit(GroupKFold(3)), max_epochs=1)
    net.fit(X, CODES, groups=groups)
    assert net.history[-1, "batches", 1, "valid_batch_size"] == 30
