from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from skal.nets import NetClassifier
from skal.nets.criteria import check_proba, find_nonlinearity
from tests.nets.data import Softmax, blobs


class Sigmoid(nn.Module):
    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(n_features, n_outputs)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.layer(X).sigmoid()


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    ("module", "criterion"),
    [
        (None, nn.CrossEntropyLoss),
        (None, nn.CrossEntropyLoss(label_smoothing=0.01)),
        (None, lambda: nn.CrossEntropyLoss()),
        (Softmax, nn.NLLLoss),
        (None, nn.BCEWithLogitsLoss),
        (Sigmoid, nn.BCELoss),
    ],
    ids=["cross entropy", "instance", "maker", "nll", "bce logits", "bce"],
)
def test_rows_sum_to_one_and_fit_the_classes(
    module: Any, criterion: Any, n_classes: int
) -> None:
    X, y = blobs(n_classes=n_classes)
    labels = np.array(["x", "y", "z"])[y]
    options = {} if module is None else {"module": module}
    net = NetClassifier(criterion=criterion, lr=0.02, random_state=0, **options)
    if n_classes == 3 and criterion in (nn.BCEWithLogitsLoss, nn.BCELoss):
        with pytest.raises(ValueError, match="two classes"):
            net.fit(X, labels)
        return
    net.fit(X, labels)
    proba = net.predict_proba(X)
    assert proba.shape == (len(X), n_classes)
    assert proba.dtype == np.float32
    np.testing.assert_allclose(proba.sum(1), 1, atol=1e-5)
    assert net.score(X, labels) > 0.9
    assert (net.classes_[proba.argmax(1)] == net.predict(X)).all()


def test_softmax_of_the_modules_outputs() -> None:
    X, y = blobs()
    net = NetClassifier(max_epochs=2).fit(X, y)
    with torch.no_grad():
        logits = net.module_.eval()(torch.from_numpy(X)).numpy().astype(float)
    by_hand = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(net.predict_proba(X), by_hand, atol=1e-6)


def test_unknown_criterion_is_an_error_at_fit_that_says_what_to_do() -> None:
    X, y = blobs()
    with pytest.raises(ValueError, match="predict_nonlinearity"):
        NetClassifier(criterion=nn.MultiMarginLoss, max_epochs=1).fit(X, y)
    net = NetClassifier(
        criterion=nn.MultiMarginLoss,
        predict_nonlinearity=partial(torch.softmax, dim=1),
        max_epochs=2,
    ).fit(X, y)
    np.testing.assert_allclose(net.predict_proba(X).sum(1), 1, atol=1e-5)


def test_logits_are_not_passed_off_as_probabilities() -> None:
    X, y = blobs()
    net = NetClassifier(
        criterion=nn.MultiMarginLoss, predict_nonlinearity=None, random_state=0
    ).fit(X, y)
    with pytest.raises(ValueError, match="not probabilities"):
        net.predict_proba(X)
    assert net.score(X, y) > 0.9  # the largest is the largest all the same


def test_checks_by_hand() -> None:
    check_proba(torch.tensor([[0.25, 0.75]]))
    for bad in ([[0.5, 0.6]], [[-0.5, 1.5]], [[float("nan"), 0.5]]):
        with pytest.raises(ValueError, match="not probabilities"):
            check_proba(torch.tensor(bad))
    with pytest.raises(ValueError, match="softmax"):
        find_nonlinearity("softmax", nn.CrossEntropyLoss)


def test_more_outputs_than_classes() -> None:
    X, y = blobs(n_classes=2)
    with pytest.raises(ValueError, match="3 outputs for 2 classes"):
        NetClassifier(module__n_outputs=3, max_epochs=1).fit(X, y)
    net = NetClassifier(module__n_outputs=3, classes=[0, 1, 2], max_epochs=1).fit(X, y)
    assert net.predict_proba(X).shape == (60, 3)
