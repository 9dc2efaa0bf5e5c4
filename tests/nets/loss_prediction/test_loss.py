"""The ranking loss, against its definition pair by pair."""

from __future__ import annotations

import pytest
import torch

from skal.nets.loss_prediction import ranking_loss


def pair_by_pair(predicted: list[float], losses: list[float], margin: float) -> float:
    n, costs = len(losses), []
    for i in range(n // 2):
        j = n - 1 - i
        sign = 1 if losses[i] > losses[j] else -1
        costs.append(max(0.0, -sign * (predicted[i] - predicted[j]) + margin))
    return sum(costs) / len(costs) if costs else 0.0


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 64, 65])
@pytest.mark.parametrize("margin", [0.25, 1.0, 3.0])
def test_is_its_definition(n: int, margin: float) -> None:
    rng = torch.Generator().manual_seed(n)
    predicted = torch.randn(n, generator=rng, dtype=torch.float64)
    losses = torch.randint(4, (n,), generator=rng).double()  # with ties
    expected = pair_by_pair(predicted.tolist(), losses.tolist(), margin)
    assert ranking_loss(predicted, losses, margin).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("predicted", "losses", "expected"),
    [
        ([2.0, 0.0], [1.0, 0.0], 0.0),  # right, by more than the margin
        ([0.5, 0.0], [1.0, 0.0], 0.5),  # right, by less
        ([0.0, 0.5], [1.0, 0.0], 1.5),  # wrong
        ([0.0, 0.5], [0.0, 1.0], 0.5),
        ([0.0, 0.0], [1.0, 1.0], 1.0),
        ([0.0, 0.5], [1.0, 1.0], 0.5),  # a tie counts as the second being larger
        ([0.5, 0.0], [1.0, 1.0], 1.5),
        ([0.0, 99.0, 3.0], [0.0, -5.0, 1.0], 0.0),  # the middle row has no partner
        ([0.0, 0.0, 5.0, 0.0], [1.0, 0.0, 1.0, 0.0], 0.5),  # the mean over pairs
    ],
)
def test_by_hand(predicted: list[float], losses: list[float], expected: float) -> None:
    loss = ranking_loss(torch.tensor(predicted), torch.tensor(losses))
    assert loss.item() == pytest.approx(expected)


def test_losses_are_constants_and_predictions_are_pulled_apart() -> None:
    predicted = torch.zeros(4, requires_grad=True)
    losses = torch.tensor([3.0, 0.0, 1.0, 2.0], requires_grad=True)
    ranking_loss(predicted, losses).backward()
    assert losses.grad is None
    assert predicted.grad.tolist() == [-0.5, 0.5, -0.5, 0.5]


def test_a_shift_of_all_predictions_changes_nothing() -> None:
    rng = torch.Generator().manual_seed(0)
    predicted, losses = torch.randn(2, 9, generator=rng)
    expected = ranking_loss(predicted, losses)
    torch.testing.assert_close(ranking_loss(predicted + 8, losses), expected)


def test_one_row_has_no_pair_and_no_gradient() -> None:
    predicted = torch.ones(1, requires_grad=True)
    loss = ranking_loss(predicted, torch.ones(1))
    loss.backward()
    assert loss == 0
    assert predicted.grad.tolist() == [0.0]


def test_infinite_losses_have_an_order() -> None:
    losses = torch.tensor([torch.inf, 1.0])
    assert ranking_loss(torch.tensor([2.0, 0.0]), losses) == 0


@pytest.mark.parametrize(
    ("predicted", "losses", "message"),
    [
        (torch.zeros(3), torch.tensor([0, torch.nan, torch.nan]), "2 of 3 losses are"),
        (torch.tensor([0, torch.nan]), torch.zeros(2), "1 of 2 predicted losses are"),
        (torch.zeros(3, 1), torch.zeros(3), r"\(3, 1\) and \(3,\)"),
        (torch.zeros(3, 1), torch.zeros(3, 1), "one element for each row"),
        (torch.zeros(3), torch.zeros(2), r"\(3,\) and \(2,\)"),
    ],
)
def test_bad_input(predicted: torch.Tensor, losses: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ranking_loss(predicted, losses)


@pytest.mark.parametrize("margin", [0, -1.0, torch.inf, "1"])
def test_bad_margin(margin: float) -> None:
    with pytest.raises(ValueError, match="margin must be a number above 0"):
        ranking_loss(torch.zeros(2), torch.zeros(2), margin)
