"""The loss module, and the ranking loss against its definition pair by pair."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skal.nets.loss_prediction.blocks import Block
from skal.nets.loss_prediction.ranking import LossModule, ranking_loss


def pair_by_pair(predicted: list[float], losses: list[float], margin: float) -> float:
    n, costs = len(losses), []
    for i in range(n // 2):
        j = n - 1 - i
        sign = 1 if losses[i] > losses[j] else -1
        costs.append(max(0.0, -sign * (predicted[i] - predicted[j]) + margin))
    return sum(costs) / len(costs) if costs else 0.0


@pytest.mark.parametrize("n", [1, 2, 3, 7, 64])
def test_ranking_loss_is_its_definition(n: int) -> None:
    rng = torch.Generator().manual_seed(n)
    predicted = torch.randn(n, generator=rng, dtype=torch.float64)
    losses = torch.randint(4, (n,), generator=rng).double()  # with ties
    for margin in (0.25, 1.0, 3.0):
        expected = pair_by_pair(predicted.tolist(), losses.tolist(), margin)
        loss = ranking_loss(predicted, losses, margin).item()
        assert loss == pytest.approx(expected), margin


def test_ranking_loss_by_hand() -> None:
    for predicted, losses, expected in [
        ([2.0, 0.0], [1.0, 0.0], 0.0),  # right, by more than the margin
        ([0.5, 0.0], [1.0, 0.0], 0.5),  # right, by less
        ([0.0, 0.5], [1.0, 0.0], 1.5),  # wrong
        ([0.0, 0.5], [0.0, 1.0], 0.5),
        ([0.0, 0.0], [1.0, 1.0], 1.0),
        ([0.0, 0.5], [1.0, 1.0], 0.5),  # a tie counts as the second being larger
        ([0.5, 0.0], [1.0, 1.0], 1.5),
        ([0.0, 99.0, 3.0], [0.0, -5.0, 1.0], 0.0),  # the middle row has no partner
        ([0.0, 0.0, 5.0, 0.0], [1.0, 0.0, 1.0, 0.0], 0.5),  # the mean over pairs
        ([2.0, 0.0], [torch.inf, 1.0], 0.0),  # infinite losses have an order
    ]:
        loss = ranking_loss(torch.tensor(predicted), torch.tensor(losses))
        assert loss.item() == pytest.approx(expected), (predicted, losses)


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


def test_bad_margin() -> None:
    with pytest.raises(ValueError, match="margin must be a number above 0"):
        ranking_loss(torch.zeros(2), torch.zeros(2), 0)


def test_loss_module_is_its_formula() -> None:
    module = LossModule([Block("a", 0, 1, 4), Block("b", 0, -1, 3)], width=5)
    outputs = [torch.randn(6, 4), torch.randn(6, 3)]
    w = {name: p.detach().numpy() for name, p in module.named_parameters()}
    hidden = [
        np.maximum(x.numpy() @ w[f"layers.{k}.weight"].T + w[f"layers.{k}.bias"], 0)
        for k, x in enumerate(outputs)
    ]
    expected = np.hstack(hidden) @ w["head.weight"][0] + w["head.bias"]
    np.testing.assert_allclose(module(outputs).detach(), expected, atol=1e-5)
    assert w["layers.0.weight"].shape == (5, 4)
    assert w["head.weight"].shape == (1, 10)


def test_one_row_keeps_its_axis() -> None:
    assert LossModule([Block("a", 0, 1, 4)])([torch.zeros(1, 4)]).shape == (1,)
