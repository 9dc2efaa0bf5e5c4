from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from skal.nets import NetClassifier, NetRegressor
from skal.nets.criteria import (
    check_proba,
    find_nonlinearity,
    is_binary,
    row_losses,
    weighted_loss,
)
from tests.nets.helpers import Softmax, blobs

LOGITS = torch.tensor([[0.5, -1.0, 2.0], [0.0, 3.0, 1.0]])


class Sigmoid(nn.Module):
    """Returns the probability of the second of two classes."""

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(n_features, n_outputs)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.layer(X).sigmoid()


# -- probabilities --------------------------------------------------------------------


def test_probabilities_follow_from_the_criterion() -> None:
    softmax = LOGITS.exp() / LOGITS.exp().sum(1, keepdim=True)
    column = LOGITS[:, :1]
    second = 1 / (1 + (-column).exp())
    two = torch.cat([1 - second, second], 1)
    for criterion, outputs, expected in [
        (nn.CrossEntropyLoss, LOGITS, softmax),
        (nn.CrossEntropyLoss(label_smoothing=0.1), LOGITS, softmax),
        (nn.NLLLoss, softmax, softmax),
        (nn.BCEWithLogitsLoss, column, two),
        (nn.BCEWithLogitsLoss(), column[:, 0], two),
        (nn.BCELoss, second, two),
    ]:
        proba = find_nonlinearity("auto", criterion)(outputs)
        torch.testing.assert_close(proba, expected)
        assert is_binary(criterion) == (expected is two)


def test_a_nonlinearity_of_the_user_comes_first() -> None:
    convert = partial(torch.softmax, dim=1)
    assert find_nonlinearity(convert, nn.MultiMarginLoss) is convert
    assert torch.equal(find_nonlinearity(None, nn.CrossEntropyLoss)(LOGITS), LOGITS)
    with pytest.raises(ValueError, match="got 'softmax'"):
        find_nonlinearity("softmax", nn.CrossEntropyLoss)
    with pytest.raises(ValueError, match=r"MultiMarginLoss.*predict_nonlinearity"):
        find_nonlinearity("auto", nn.MultiMarginLoss)


@pytest.mark.parametrize("bad", [[0.5, 0.6], [-0.5, 1.5], [float("nan"), 0.5]])
def test_rows_that_are_not_probabilities(bad: list[float]) -> None:
    check_proba(torch.tensor([[0.25, 0.75]]))
    with pytest.raises(ValueError, match="not probabilities"):
        check_proba(torch.tensor([[0.25, 0.75], bad]))


@pytest.mark.parametrize(
    ("options", "n_classes"),
    [
        ({"criterion": lambda: nn.CrossEntropyLoss()}, 3),
        ({"criterion": nn.NLLLoss, "module": Softmax}, 3),
        ({"criterion": nn.BCEWithLogitsLoss}, 2),
        ({"criterion": nn.BCELoss, "module": Sigmoid}, 2),
        (
            {
                "criterion": nn.MultiMarginLoss,
                "predict_nonlinearity": partial(torch.softmax, dim=1),
            },
            3,
        ),
    ],
    ids=["factory", "nll", "bce logits", "bce", "own nonlinearity"],
)
def test_a_net_learns_by_each_criterion(options: Any, n_classes: int) -> None:
    X, y = blobs(n_classes=n_classes)
    labels = np.array(["x", "y", "z"])[y]
    net = NetClassifier(lr=0.02, random_state=0, **options).fit(X, labels)
    proba = net.predict_proba(X)
    assert proba.shape == (len(X), n_classes)
    assert proba.dtype == np.float32
    np.testing.assert_allclose(proba.sum(1), 1, atol=1e-5)
    assert net.score(X, labels) > 0.9
    assert (net.classes_[proba.argmax(1)] == net.predict(X)).all()


@pytest.mark.parametrize("criterion", [nn.BCEWithLogitsLoss, nn.BCELoss])
def test_binary_criteria_are_refused_for_three_classes(criterion: Any) -> None:
    with pytest.raises(ValueError, match="two classes, but y has 3"):
        NetClassifier(criterion=criterion).fit(*blobs())


def test_criteria_that_do_not_fit_the_module_are_errors() -> None:
    X, y = blobs()
    with pytest.raises(ValueError, match="predict_nonlinearity"):  # at fit
        NetClassifier(criterion=nn.MultiMarginLoss, max_epochs=1).fit(X, y)
    net = NetClassifier(
        criterion=nn.MultiMarginLoss, predict_nonlinearity=None, random_state=0
    ).fit(X, y)
    with pytest.raises(ValueError, match="not probabilities"):
        net.predict_proba(X)
    assert net.score(X, y) > 0.9  # the argmax does not depend on the scale


# -- losses ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("criterion", "y_pred", "y_true"),
    [
        (nn.MSELoss(), torch.randn(6, 2), torch.randn(6, 2)),
        (nn.L1Loss(), torch.randn(6), torch.randn(6)),
        (nn.CrossEntropyLoss(), torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])),
        (nn.BCEWithLogitsLoss(), torch.randn(6), torch.tensor([0.0, 1, 1, 0, 0, 1])),
    ],
    ids=["mse", "l1", "cross entropy", "bce"],
)
def test_weight_is_repetition(criterion: Any, y_pred: Any, y_true: Any) -> None:
    weight = torch.tensor([0, 1, 2, 3, 1, 5])
    repeated = criterion(
        y_pred.repeat_interleave(weight, 0), y_true.repeat_interleave(weight, 0)
    )
    loss = weighted_loss(criterion, y_pred, y_true, weight.float())
    torch.testing.assert_close(loss, repeated)
    assert criterion.reduction == "mean"  # the criterion is not changed


def test_a_criterion_that_sums_and_weights_of_zero() -> None:
    y_pred, y_true = torch.zeros(2), torch.tensor([1.0, 2.0])
    weight = torch.tensor([1.0, 3.0])
    assert weighted_loss(nn.MSELoss(reduction="sum"), y_pred, y_true, weight) == 13
    assert weighted_loss(nn.MSELoss(), y_pred, y_true, 0 * weight) == 0
    # Over all targets of a row, too.
    several, summed = (
        torch.tensor([[1.0, 2, 3], [0, 1, 1]]),
        nn.MSELoss(reduction="sum"),
    )
    assert weighted_loss(summed, torch.zeros(2, 3), several, weight) == 14 + 3 * 2


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_losses_of_rows_are_those_of_batches_of_one(reduction: str) -> None:
    y_pred, codes = torch.randn(5, 3), torch.tensor([0, 2, 1, 1, 0])
    criterion = nn.CrossEntropyLoss(reduction=reduction)
    singly = [criterion(y_pred[i : i + 1], codes[i : i + 1]) for i in range(5)]
    losses = row_losses(criterion, y_pred, codes)
    torch.testing.assert_close(losses, torch.stack(singly))
    assert criterion.reduction == reduction  # the criterion is not changed
    several = row_losses(nn.MSELoss(), y_pred, torch.zeros(5, 3))
    torch.testing.assert_close(several, y_pred.square().mean(1))
    # As in skorch, NLLLoss takes probabilities.
    nll = row_losses(nn.NLLLoss(), y_pred.softmax(1), codes)
    torch.testing.assert_close(nll, torch.stack(singly))


class OneLoss(nn.Module):
    """Averages over the batch whatever its reduction is."""

    reduction = "mean"

    def forward(self, y_pred: Any, y_true: Any) -> Any:
        return (y_pred - y_true).square().mean()


def test_a_criterion_that_does_not_reduce_as_it_says() -> None:
    with pytest.raises(ValueError, match=r"OneLoss returns one loss for all rows"):
        row_losses(OneLoss(), torch.zeros(3, 1), torch.ones(3, 1))


class TwoHeads(nn.Module):
    """Returns more than the criterion compares."""

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__()
        self.main = nn.Linear(n_features, n_outputs)

    def forward(self, X: Any) -> Any:
        return self.main(X), X


@pytest.mark.parametrize("kind", [NetClassifier, NetRegressor])
@pytest.mark.parametrize("weight", [None, np.ones(40)])
def test_a_tuple_that_the_criterion_does_not_take(kind: Any, weight: Any) -> None:
    X, y = blobs(40)
    y = y if kind is NetClassifier else X[:, 0]
    with pytest.raises(TypeError, match=r"returns a tuple, .* Override get_loss"):
        kind(TwoHeads, max_epochs=30).fit(X, y, sample_weight=weight)
