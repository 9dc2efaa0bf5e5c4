"""Labels of any kind, fixed classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import get_tags

from skal.nets import NetClassifier
from tests.nets.data import blobs

X, CODES = blobs()
QUICK = {"max_epochs": 40, "lr": 0.01, "random_state": 0}


@pytest.mark.parametrize(
    "labels",
    [
        [0, 1, 2],
        [1, 2, 3],
        [10, 20, 30],
        [-5, 0, 7],
        [0.0, 1.0, 2.0],
        ["cat", "dog", "emu"],
        [False, True, True],
        np.array([3, 200, 7], dtype=np.uint8),
    ],
    ids=str,
)
@pytest.mark.parametrize("make", [np.asarray, list, pd.Series], ids=["a", "list", "s"])
def test_labels_of_any_values(labels: Any, make: Any) -> None:
    y = np.array(labels)[CODES]
    net = NetClassifier(**QUICK).fit(X, make(y))
    assert net.classes_.tolist() == np.unique(y).tolist()
    predicted = net.predict(X)
    assert predicted.dtype == np.asarray(make(y)).dtype
    assert (predicted == y).mean() > 0.9
    assert net.score(X, y) > 0.9


@pytest.mark.parametrize(
    "make",
    [
        lambda y: y.astype(object),
        lambda y: pd.Series(y, dtype="category"),
        lambda y: pd.Series(y, index=np.arange(60)[::-1]),
    ],
    ids=["object", "category", "index"],
)
def test_strings_in_other_clothes(make: Any) -> None:
    y = np.array(["cat", "dog", "emu"])[CODES]
    assert NetClassifier(**QUICK).fit(X, make(y)).score(X, y) > 0.9


@pytest.mark.parametrize(
    "dtype", [torch.int64, torch.int32, torch.uint8, torch.float32]
)
def test_tensors_of_labels(dtype: torch.dtype) -> None:
    y = torch.from_numpy(CODES).to(dtype) + 1
    net = NetClassifier(**QUICK).fit(torch.from_numpy(X), y)
    assert net.classes_.tolist() == [1, 2, 3]
    assert net.score(X, CODES + 1) > 0.9


def test_a_column_of_labels_is_taken_with_a_warning() -> None:
    with pytest.warns(DataConversionWarning):
        net = NetClassifier(**QUICK).fit(X, CODES[:, None])
    assert net.predict(X).shape == (60,)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (CODES + 0.5, "Unknown label type"),
        (np.where(CODES == 0, np.nan, CODES), "NaN"),
        (np.c_[CODES, CODES], "1d array"),
        (CODES[:-1], "different numbers of rows"),
        (np.zeros(60, dtype=int), "two classes"),
        (["only"] * 60, r"two classes.*\['only'\]"),
    ],
)
def test_bad_labels_change_nothing(y: Any, message: str) -> None:
    net = NetClassifier(max_epochs=1).fit(X, CODES)
    before = net.predict_proba(X)
    with pytest.raises(ValueError, match=message):
        net.fit(X, y)
    np.testing.assert_array_equal(net.predict_proba(X), before)


def test_classes_fix_the_columns() -> None:
    rows = CODES != 1
    y = np.array(["a", "b", "c"])[CODES]
    net = NetClassifier(classes=["c", "a", "b", "d"], **QUICK).fit(X[rows], y[rows])
    assert net.classes_.tolist() == ["a", "b", "c", "d"]
    proba = net.predict_proba(X[rows])
    assert proba.shape == (rows.sum(), 4)
    assert proba[:, [1, 3]].max() < 0.5
    assert net.score(X[rows], y[rows]) > 0.9


def test_classes_allow_a_single_one_in_y() -> None:
    net = NetClassifier(classes=[0, 1], max_epochs=200, lr=0.01).fit(
        X, np.ones(60, int)
    )
    assert net.predict(X).tolist() == [1] * 60


def test_labels_outside_of_classes() -> None:
    with pytest.raises(ValueError, match=r"\[2\].*not among the classes \[0, 1\]"):
        NetClassifier(classes=[0, 1]).fit(X, CODES)
    with pytest.raises(ValueError, match="two classes"):
        NetClassifier(classes=[1]).fit(X, np.ones(60, int))


def test_classes_are_known_before_fit_only_if_given() -> None:
    assert not hasattr(NetClassifier(), "classes_")
    assert NetClassifier(classes=[2, 1]).classes_.tolist() == [1, 2]


def test_partial_fit_keeps_the_classes() -> None:
    net = NetClassifier(**QUICK)
    net.partial_fit(X[CODES == 0], CODES[CODES == 0], classes=[0, 1, 2])
    assert net.classes_.tolist() == [0, 1, 2]
    for code in (1, 2):
        net.partial_fit(X[code == CODES], CODES[code == CODES])
        assert net.classes_.tolist() == [0, 1, 2]
    net.partial_fit(X, CODES)
    assert net.score(X, CODES) > 0.9
    assert net.predict_proba(X).shape == (60, 3)


def test_partial_fit_takes_classes_from_y_or_the_parameter() -> None:
    assert NetClassifier(max_epochs=1).partial_fit(X, CODES).classes_.tolist() == [
        0,
        1,
        2,
    ]
    net = NetClassifier(max_epochs=1, classes=[0, 1, 2, 3])
    assert net.partial_fit(X, CODES).classes_.tolist() == [0, 1, 2, 3]


def test_partial_fit_refuses_new_classes() -> None:
    net = NetClassifier(max_epochs=1).partial_fit(X, CODES)
    before = net.predict_proba(X)
    with pytest.raises(ValueError, match=r"\[9\]"):
        net.partial_fit(X, np.where(CODES == 0, 9, CODES))
    with pytest.raises(ValueError, match="differ from those of the first call"):
        net.partial_fit(X, CODES, classes=[0, 1])
    np.testing.assert_array_equal(net.predict_proba(X), before)
    with pytest.raises(ValueError, match="two classes"):
        NetClassifier().partial_fit(X[:3], [1, 1, 1])


def test_defaults_reach_a_decent_score_on_digits() -> None:
    from sklearn.datasets import load_digits

    digits, y = load_digits(return_X_y=True)
    net = NetClassifier(random_state=0).fit(digits[:1000] / 16, y[:1000])
    assert net.score(digits[1000:] / 16, y[1000:]) > 0.9


def test_tags() -> None:
    tags = get_tags(NetClassifier())
    assert tags.estimator_type == "classifier"
    assert tags.input_tags.sparse
    assert not tags.input_tags.allow_nan
    assert tags.target_tags.required
    assert not tags.target_tags.multi_output


@pytest.mark.parametrize("missing", [float("nan"), None])
def test_a_missing_label_in_a_list_is_refused(missing):
    with pytest.raises(ValueError, match=r"1 of 3 labels, the first is that of row 1"):
        NetClassifier().fit(np.eye(3), ["a", missing, "b"])
