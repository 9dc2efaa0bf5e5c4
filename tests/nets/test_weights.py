"""Weights of rows and classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from skal.nets import NetClassifier, NetRegressor
from skal.nets.criteria import row_losses, weighted_loss
from skal.nets.validation import check_classes, class_weights, encode
from tests.nets.data import Softmax, blobs, line

FULL = {"batch_size": -1, "max_epochs": 30, "random_state": 0}


@pytest.mark.parametrize(
    ("criterion", "y_pred", "y_true"),
    [
        (nn.MSELoss(), torch.randn(6, 2), torch.randn(6, 2)),
        (nn.L1Loss(), torch.randn(6), torch.randn(6)),
        (nn.CrossEntropyLoss(), torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])),
        (nn.BCEWithLogitsLoss(), torch.randn(6), torch.tensor([0.0, 1, 1, 0, 0, 1])),
    ],
)
def test_weight_is_repetition(criterion: Any, y_pred: Any, y_true: Any) -> None:
    weight = torch.tensor([0, 1, 2, 3, 1, 5])
    loss = weighted_loss(criterion, y_pred, y_true, weight.float())
    repeated = criterion(
        y_pred.repeat_interleave(weight, 0), y_true.repeat_interleave(weight, 0)
    )
    torch.testing.assert_close(loss, repeated)
    assert criterion.reduction == "mean"  # the criterion itself is left alone


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_losses_of_rows_are_those_of_batches_of_one(reduction: str) -> None:
    y_pred, codes = torch.randn(5, 3), torch.tensor([0, 2, 1, 1, 0])
    criterion = nn.CrossEntropyLoss(reduction=reduction)
    singly = [criterion(y_pred[i : i + 1], codes[i : i + 1]) for i in range(5)]
    torch.testing.assert_close(
        row_losses(criterion, y_pred, codes), torch.stack(singly)
    )
    assert criterion.reduction == reduction  # the criterion itself is left alone
    several = row_losses(nn.MSELoss(), y_pred, torch.zeros(5, 3))
    torch.testing.assert_close(several, y_pred.square().mean(1))


@pytest.mark.parametrize("options", [{}, {"criterion": nn.NLLLoss, "module": Softmax}])
def test_a_net_gives_the_losses_of_rows_without_weights(options: Any) -> None:
    X, y = blobs(20)
    net = NetClassifier(class_weight={1: 5}, **options, **FULL).fit(X, y)
    losses = net.row_losses(net.forward(X), torch.from_numpy(y))
    expected = -np.log(net.predict_proba(X)[np.arange(20), y])
    np.testing.assert_allclose(losses, expected, rtol=1e-4, atol=1e-6)
    X, y = line(20)
    net = NetRegressor(**FULL).fit(X, y)
    losses = net.row_losses(net.forward(X), torch.from_numpy(y))
    np.testing.assert_allclose(losses, (net.predict(X) - y) ** 2, rtol=1e-4, atol=1e-6)


def test_summing_criterion_sums() -> None:
    y_pred, y_true = torch.zeros(2), torch.tensor([1.0, 2.0])
    loss = weighted_loss(
        nn.MSELoss(reduction="sum"), y_pred, y_true, torch.tensor([1.0, 3])
    )
    assert loss == 13


def test_no_weight_at_all_is_no_loss() -> None:
    assert (
        weighted_loss(nn.MSELoss(), torch.ones(2), torch.zeros(2), torch.zeros(2)) == 0
    )


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
@pytest.mark.parametrize("batch", [-1, 128])
def test_fit_with_weights_is_fit_on_repeated_rows(kind: str, batch: int) -> None:
    X, y = blobs(20) if kind == "classifier" else line(20)
    net = NetClassifier if kind == "classifier" else NetRegressor
    net = net(**{**FULL, "batch_size": batch})
    weight = np.random.default_rng(0).integers(0, 4, 20)
    weighted = net.fit(X, y, sample_weight=weight).module_
    repeated = net.fit(X.repeat(weight, 0), y.repeat(weight)).module_
    plain = net.fit(X, y).module_
    given = torch.from_numpy(X)
    torch.testing.assert_close(weighted(given), repeated(given), rtol=1e-4, atol=1e-5)
    assert (weighted(given) - plain(given)).abs().max() > 1e-2


def test_balanced_is_scikit_learns() -> None:
    codes = np.array([0, 0, 0, 2, 2, 1])
    ours = class_weights("balanced", np.array([10, 20, 30]), codes)
    theirs = compute_class_weight("balanced", classes=np.arange(3), y=codes)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    # A class that y lacks counts for nothing.
    ours = class_weights("balanced", np.array([10, 20, 30]), codes[codes != 1])
    theirs = compute_class_weight(
        "balanced", classes=np.array([0, 2]), y=codes[codes != 1]
    )
    np.testing.assert_allclose(ours[[0, 2]], theirs, rtol=1e-6)


def test_class_weight_is_a_weight_of_rows() -> None:
    X, y = blobs()
    rows = np.array([1.0, 5.0, 1.0])[y]
    labels = np.array(["a", "b", "c"])[y]
    by_class = NetClassifier(class_weight={"b": 5}, **FULL).fit(X, labels)
    by_row = NetClassifier(**FULL).fit(X, labels, sample_weight=rows)
    np.testing.assert_allclose(
        by_class.predict_proba(X), by_row.predict_proba(X), atol=1e-5
    )


def test_class_weight_counts_together_with_row_weights() -> None:
    X, y = blobs()
    rows = np.linspace(1, 2, len(y))
    both = NetClassifier(class_weight={1: 5}, **FULL).fit(X, y, sample_weight=rows)
    product = NetClassifier(**FULL).fit(
        X, y, sample_weight=rows * np.array([1, 5, 1])[y]
    )
    np.testing.assert_allclose(
        both.predict_proba(X), product.predict_proba(X), atol=1e-5
    )


def test_weights_with_probabilities_from_the_module() -> None:
    X, y = blobs()
    rows = np.linspace(1, 2, len(y))
    nll = NetClassifier(Softmax, criterion=nn.NLLLoss, **FULL)
    ce = NetClassifier(module__hidden_sizes=(), **FULL)
    for net in (nll, ce):
        net.fit(X, y, sample_weight=rows)
    np.testing.assert_allclose(nll.predict_proba(X), ce.predict_proba(X), atol=1e-4)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.full(60, -1.0), "negative"),
        (np.zeros(60), "zero for every row"),
        (np.ones(59), "inconsistent"),
        (np.ones((60, 2)), "1D"),
        (np.full(60, np.nan), "NaN"),
    ],
)
def test_bad_sample_weight(weight: Any, message: str) -> None:
    X, y = blobs()
    net = NetClassifier(max_epochs=1).fit(X, y)
    before = net.predict_proba(X)
    with pytest.raises(ValueError, match=message):
        net.fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(net.predict_proba(X), before)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ({7: 1.0}, r"\[7\].*not among the classes"),
        ({0: -1.0}, "negative"),
        ("equal", "'balanced'"),
        (3, "'balanced'"),
    ],
)
def test_bad_class_weight(weight: Any, message: str) -> None:
    X, y = blobs()
    with pytest.raises(ValueError, match=message):
        NetClassifier(class_weight=weight).fit(X, y)


def test_balanced_cannot_be_known_in_partial_fit() -> None:
    X, y = blobs()
    with pytest.raises(ValueError, match="balanced"):
        NetClassifier(class_weight="balanced").partial_fit(X, y)


def test_weights_need_a_criterion_that_can_be_unreduced() -> None:
    class OwnLoss(nn.Module):
        def forward(self, y_pred: Any, y_true: Any) -> Any:
            return (y_pred - y_true).abs().mean()

    X, y = line()
    net = NetRegressor(criterion=OwnLoss, max_epochs=1).fit(X, y)
    with pytest.raises(ValueError, match="reduction"):
        net.fit(X, y, sample_weight=np.ones(len(y)))


def test_encode_is_the_place_among_classes() -> None:
    classes = check_classes(["c", "a", "b", "a"])
    assert classes.tolist() == ["a", "b", "c"]
    assert encode(np.array(["c", "a"], dtype=object), classes).tolist() == [2, 0]
    with pytest.raises(ValueError, match=r"\['d'\]"):
        encode(np.array(["d"]), classes)
    with pytest.raises(ValueError, match="two classes"):
        check_classes(["a", "a"])
