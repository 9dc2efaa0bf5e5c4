from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.utils import get_tags
from torch import nn

from skal.nets import MLP, NetClassifier
from tests.nets.helpers import Softmax, blobs

X, CODES = blobs()
QUICK: dict[str, Any] = {"max_epochs": 40, "lr": 0.01, "random_state": 0}
FULL: dict[str, Any] = {"batch_size": -1, "max_epochs": 30, "random_state": 0}


# -- labels ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [
        [1, 2, 3],
        [-5, 0, 7],
        [0.0, 1.0, 2.0],
        ["cat", "dog", "emu"],
        [False, True, True],
        np.array([3, 200, 7], dtype=np.uint8),
    ],
    ids=str,
)
def test_labels_of_any_values(labels: Any) -> None:
    y = np.array(labels)[CODES]
    net = NetClassifier(**QUICK).fit(X, y)
    assert net.classes_.tolist() == np.unique(y).tolist()
    predicted = net.predict(X)
    assert predicted.dtype == y.dtype
    assert (predicted == y).mean() > 0.9
    assert net.score(X, y) > 0.9


@pytest.mark.parametrize(
    "make",
    [
        list,
        lambda y: y.astype(object),
        lambda y: pd.Series(y, dtype="category"),
        lambda y: pd.Series(y, index=np.arange(60)[::-1]),
    ],
    ids=["list", "object", "category", "index"],
)
def test_strings_in_any_container(make: Any) -> None:
    y = np.array(["cat", "dog", "emu"])[CODES]
    assert NetClassifier(**QUICK).fit(X, make(y)).score(X, y) > 0.9


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.float32])
def test_tensors_of_labels(dtype: torch.dtype) -> None:
    y = torch.from_numpy(CODES).to(dtype) + 1
    net = NetClassifier(**QUICK).fit(torch.from_numpy(X), y)
    assert net.classes_.tolist() == [1, 2, 3]
    assert net.score(X, CODES + 1) > 0.9


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (CODES + 0.5, "Unknown label type"),
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


# -- classes --------------------------------------------------------------------------


def test_classes_determine_the_columns() -> None:
    rows = CODES != 1
    y = np.array(["a", "b", "c"])[CODES]
    net = NetClassifier(classes=["c", "a", "b", "d"], **QUICK).fit(X[rows], y[rows])
    assert net.classes_.tolist() == ["a", "b", "c", "d"]
    proba = net.predict_proba(X[rows])
    assert proba.shape == (rows.sum(), 4)
    assert proba[:, [1, 3]].max() < 0.5
    assert net.score(X[rows], y[rows]) > 0.9


def test_classes_allow_a_single_one_in_y_and_no_others() -> None:
    one = np.ones(60, int)
    net = NetClassifier(classes=[0, 1], max_epochs=200, lr=0.01).fit(X, one)
    assert net.predict(X).tolist() == [1] * 60
    with pytest.raises(ValueError, match=r"\[2\].*not among the classes \[0, 1\]"):
        NetClassifier(classes=[0, 1]).fit(X, CODES)
    with pytest.raises(ValueError, match="two classes"):
        NetClassifier(classes=[1]).fit(X, one)


def test_classes_are_known_before_fit_only_if_given() -> None:
    assert not hasattr(NetClassifier(), "classes_")
    assert NetClassifier(classes=[2, 1]).classes_.tolist() == [1, 2]


def test_outputs_must_match_the_classes() -> None:
    X, y = blobs(n_classes=2)
    with pytest.raises(ValueError, match="3 outputs for 2 classes"):
        NetClassifier(module__n_outputs=3, max_epochs=1).fit(X, y)
    net = NetClassifier(module__n_outputs=3, classes=[0, 1, 2], max_epochs=1).fit(X, y)
    assert net.predict_proba(X).shape == (60, 3)


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
    net = NetClassifier(max_epochs=1).partial_fit(X, CODES)
    assert net.classes_.tolist() == [0, 1, 2]
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


# -- weights of classes ---------------------------------------------------------------


def test_class_weights_are_weights_of_rows() -> None:
    by_row = np.array([1.0, 5.0, 1.0])[CODES]
    other = np.linspace(1, 2, 60)
    labels = np.array(["a", "b", "c"])[CODES]
    by_class = NetClassifier(class_weight={"b": 5}, **FULL)
    plain = NetClassifier(**FULL)
    for weight, product in [(None, by_row), (other, other * by_row)]:
        ours = by_class.fit(X, labels, sample_weight=weight).predict_proba(X)
        expected = plain.fit(X, labels, sample_weight=product).predict_proba(X)
        np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_balanced_weights_count_weighted_rows() -> None:
    weight = np.arange(60) % 7
    net = NetClassifier(class_weight="balanced", **FULL).fit(X, CODES, weight)
    by_weight = net.class_weights_
    rows = np.repeat(np.arange(60), weight)
    net.fit(X[rows], CODES[rows])
    np.testing.assert_allclose(by_weight, net.class_weights_, rtol=1e-6)


def test_balanced_is_unknown_in_partial_fit() -> None:
    with pytest.raises(ValueError, match="'balanced' requires all rows"):
        NetClassifier(class_weight="balanced").partial_fit(X, CODES)


def test_weights_with_probabilities_from_the_module() -> None:
    weight = np.linspace(1, 2, 60)
    nll = NetClassifier(Softmax, criterion=nn.NLLLoss, **FULL)
    ce = NetClassifier(MLP, module__hidden_sizes=(), **FULL)
    for net in (nll, ce):
        net.fit(X, CODES, sample_weight=weight)
    np.testing.assert_allclose(nll.predict_proba(X), ce.predict_proba(X), atol=1e-4)


# -- predictions ----------------------------------------------------------------------


@pytest.mark.on_cpu
def test_probabilities_are_the_softmax_of_the_outputs() -> None:
    net = NetClassifier(max_epochs=2).fit(X, CODES)
    with torch.no_grad():
        logits = net.module_.eval()(torch.from_numpy(X)).numpy().astype(float)
    by_hand = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(net.predict_proba(X), by_hand, atol=1e-6)


def test_defaults_reach_a_decent_score_on_digits() -> None:
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


class UnderAutocast(nn.Module):
    """Computes, and outputs, in half precision."""

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(n_features, n_outputs)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.layer(X)


def test_probabilities_of_half_outputs_are_float32() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4)).astype(np.float32)
    net = NetClassifier(UnderAutocast, max_epochs=20, lr=0.1, random_state=0)
    net.fit(X, X[:, 0] > 0)
    proba = net.predict_proba(X)
    assert proba.dtype == np.float32
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
    assert net.score(X, X[:, 0] > 0) > 0.9
