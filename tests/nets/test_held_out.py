"""Validation sets of their own are cast and encoded as the training rows are."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Checkpoint, EarlyStopping
from skorch.dataset import Dataset, ValidSplit
from skorch.helper import predefined_split
from torch.utils.data import ConcatDataset, IterableDataset, Subset, TensorDataset

from skal.nets import NetClassifier, NetRegressor
from skal.nets.held_out import is_taken_from
from tests.nets.helpers import blobs, line

X, CODES = blobs(90)
XV, CODES_V = blobs(45, seed=1)
XR, YR = line(60)


class Rows(torch.utils.data.Dataset):
    """Makes its rows itself."""

    def __init__(self, X: Any, y: Any) -> None:
        self.rows, self.labels = X, y

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Any, Any]:
        return self.rows[i], self.labels[i]


class Stream(IterableDataset):
    """Can only be iterated over."""

    def __init__(self, X: Any, y: Any) -> None:
        self.rows, self.labels = X, y

    def __iter__(self) -> Any:
        return iter(zip(self.rows, self.labels, strict=True))


def check(net: Any, labels: np.ndarray) -> None:
    """The scores of the history are those of the fitted net on the same rows."""
    assert net.history[-1, "valid_acc"] == pytest.approx(net.score(XV, labels))
    proba = net.predict_proba(XV)[np.arange(45), CODES_V]
    assert net.history[-1, "valid_loss"] == pytest.approx(
        -np.log(proba).mean(), rel=1e-5
    )


@pytest.mark.parametrize("names", [[0, 1, 2], [1, 2, 3], [-1.0, 4.0, 7.0], list("abc")])
@pytest.mark.parametrize("rows", [XV, XV.astype(np.float64), pd.DataFrame(XV)])
def test_labels_are_encoded_and_rows_cast(names: Any, rows: Any) -> None:
    names = np.array(names)
    split = predefined_split(Dataset(rows, names[CODES_V]))
    net = NetClassifier(train_split=split, max_epochs=20, lr=0.01, random_state=0)
    check(net.fit(X, names[CODES]), names[CODES_V])


@pytest.mark.parametrize(
    "make",
    [
        lambda y: TensorDataset(torch.tensor(XV).double(), torch.tensor(y)),
        lambda y: Subset(Dataset(np.r_[X, XV], np.r_[y, y, y]), range(90, 135)),
        lambda y: Rows(XV.astype(np.float64), y),
        lambda y: Rows(XV, y.tolist()),
        lambda y: Stream(XV, y),
    ],
    ids=["tensors", "subset", "float64 rows made", "ints made", "stream"],
)
def test_kinds_of_datasets(make: Any) -> None:
    labels = CODES_V + 5
    net = NetClassifier(
        train_split=predefined_split(make(labels)),
        max_epochs=20,
        lr=0.01,
        random_state=0,
    )
    check(net.fit(X, CODES + 5), labels)


def test_a_part_of_the_classes() -> None:
    # Without an encoding of its own, 5 and 9 would be positions 0 and 1, or crash.
    names = np.array([2, 5, 9])
    some = CODES_V > 0
    split = predefined_split(Dataset(XV[some], names[CODES_V[some]]))
    net = NetClassifier(train_split=split, max_epochs=20, lr=0.01, random_state=0)
    net.fit(X, names[CODES])
    assert net.history[-1, "valid_acc"] == pytest.approx(
        net.score(XV[some], names[CODES_V[some]])
    )


def test_an_unknown_label_is_refused_unless_its_class_is_named() -> None:
    split = predefined_split(Dataset(XV, CODES_V))
    net = NetClassifier(train_split=split, max_epochs=2)
    with pytest.raises(ValueError, match=r"validation set .*labels \[2\].*classes="):
        net.fit(X[CODES < 2], CODES[CODES < 2])
    assert "module_" not in vars(net)
    net.set_params(classes=[0, 1, 2]).fit(X[CODES < 2], CODES[CODES < 2])
    assert "valid_loss" in net.history[-1]


@pytest.mark.parametrize(
    ("valid", "message"),
    [
        (Dataset(XV), "validation set .*requires y"),
        (Dataset(XV[:, :3], CODES_V), "validation set .*3 features"),
        (Dataset(np.where(XV > 0, np.nan, XV), CODES_V), "validation set .*NaN"),
    ],
)
def test_what_is_wrong_is_said_of_the_validation_set(valid: Any, message: str) -> None:
    net = NetClassifier(train_split=predefined_split(valid), max_epochs=2)
    with pytest.raises(ValueError, match=message):
        net.fit(X, CODES)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_regression(shape: Any) -> None:
    rows, y = line(30, seed=1)
    split = predefined_split(
        Dataset(rows.astype(float), y.astype(float).reshape(shape))
    )
    net = NetRegressor(train_split=split, max_epochs=5, random_state=0).fit(XR, YR)
    assert net.history[-1, "valid_loss"] == pytest.approx(
        np.mean((net.predict(rows) - y) ** 2), rel=1e-5
    )


def test_rows_taken_from_the_training_rows_are_not_encoded_twice() -> None:
    names = np.array([1, 2, 0])  # the codes are labels, too, but other ones

    def split(dataset: Any, y: Any = None, **_: Any) -> Any:
        train, valid = ValidSplit(5, stratified=True)(dataset, y)
        return train, ConcatDataset([valid])

    nets = [
        NetClassifier(train_split=s, max_epochs=5, lr=0.01, random_state=0)
        for s in (split, ValidSplit(5, stratified=True))
    ]
    ours, theirs = (net.fit(X, names[CODES]).history for net in nets)
    assert ours[:, "valid_loss"] == theirs[:, "valid_loss"]
    assert ours[-1, "valid_acc"] > 0.9


def test_where_rows_are_taken_from() -> None:
    whole, other = Dataset(X, CODES), Dataset(XV, CODES_V)
    part = Subset(whole, [0, 1])
    assert is_taken_from(whole, whole)
    assert is_taken_from(Subset(part, [0]), whole)
    assert is_taken_from(ConcatDataset([other, part]), whole)
    assert is_taken_from(whole, part)  # the rest of it, as of rows of zero weight
    assert not is_taken_from(Subset(other, [0]), whole)


NOTHING = dict.fromkeys(["f_params", "f_optimizer", "f_criterion", "f_history"])


@pytest.mark.parametrize("callback", [EarlyStopping(), Checkpoint(**NOTHING)])
def test_a_score_of_missing_validation_rows(callback: Any) -> None:
    net = NetRegressor(callbacks=[callback], max_epochs=2)
    with pytest.raises(ValueError, match=r"'valid_loss.*train_split=ValidSplit\(5\)"):
        net.fit(XR, YR)
    assert "module_" not in vars(net)
    net.set_params(train_split=ValidSplit(3)).fit(XR, YR)
    missing = NetRegressor(callbacks=[EarlyStopping(monitor="mine")], max_epochs=2)
    with pytest.raises(KeyError, match="mine"):
        missing.fit(XR, YR)


def _split(X: Any, y: Any) -> Any:
    return predefined_split(Dataset(X, y))


def test_validation_rows_that_a_pipeline_does_not_transform() -> None:
    raw_X, raw_y = 5000 + 100 * XR, 1e5 + 3e4 * YR
    units_X, units_y = StandardScaler().fit(raw_X), StandardScaler().fit(raw_y[:, None])

    def model(split: Any) -> Any:
        net = NetRegressor(max_epochs=30, batch_size=16, random_state=0)
        net.set_params(train_split=split)
        pipeline = make_pipeline(StandardScaler(), net)
        return TransformedTargetRegressor(pipeline, transformer=StandardScaler())

    new_X = units_X.transform(raw_X)
    new_y = units_y.transform(raw_y[:, None])[:, 0]
    for X_valid, y_valid, name in (
        (raw_X, new_y, "X"),
        (new_X, raw_y, "y"),
        (new_X, new_y + 1000, "y"),
    ):
        with pytest.warns(UserWarning, match=f"{name} of the validation rows .* units"):
            model(_split(X_valid, y_valid)).fit(raw_X, raw_y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model(_split(new_X, new_y)).fit(raw_X, raw_y)
        model(_split(1.5 * new_X + 1, 2 * new_y)).fit(raw_X, raw_y)  # a shift
        model(ValidSplit(5)).fit(raw_X, raw_y)


def test_which_rows_are_compared() -> None:
    constant = np.c_[XR, np.zeros(len(XR))].astype(np.float32)
    options = {"max_epochs": 30, "batch_size": 16, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for last in (0, 100):
            valid = constant.copy()
            valid[:, -1] = last
            NetRegressor(train_split=_split(valid, YR), **options).fit(constant, YR)
        NetClassifier(train_split=_split(XV, CODES_V), **options).fit(X, CODES)
