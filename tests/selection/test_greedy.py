from __future__ import annotations

import pytest
import torch
from torch import Tensor

from skal.selection._greedy import Outlook, pick_ahead, products
from skal.selection._picks import first_of_largest
from tests.numerics.test_nearest import features


class Falling(Outlook):
    """Values that fall by what rows have in common with each pick.

    It foretells well or badly, and counts how often it was asked.
    """

    def __init__(self, common: Tensor, guess: str = "well") -> None:
        self.common = common
        self.values = common.diagonal().clone()
        self.guess = guess
        self.ahead: list[int] = []
        self.asked: list[int] = []

    def value(self) -> Tensor:
        return self.values

    def look_ahead(self, rows: Tensor, n: int) -> list[int]:
        assert rows.tolist() == sorted(set(rows.tolist()))
        assert 1 <= n <= len(rows)
        values = self.values[rows].clone()
        self.ahead = []
        for _ in range(n):
            i = first_of_largest(values)
            if self.guess == "badly" and self.ahead:
                i = next(k for k in range(len(rows)) if values[k] > -torch.inf)
            self.ahead.append(int(rows[i]))
            values -= self.common[rows[i], rows]
            values[i] = -torch.inf
        self.asked.append(n)
        return self.ahead

    def take(self) -> None:
        i = self.ahead[0]
        self.ahead = self.ahead[1:]
        self.values = self.values - self.common[i]


def one_by_one(common: Tensor, n: int) -> tuple[list[int], list[float]]:
    values = common.diagonal().tolist()
    picks: list[int] = []
    scores = []
    for _ in range(n):
        rows = [i for i in range(len(values)) if i not in picks]
        i = max(rows, key=lambda i: values[i])
        picks.append(i)
        scores.append(values[i])
        values = [v - c for v, c in zip(values, common[i].tolist(), strict=True)]
    return picks, scores


def common(m: int, seed: int = 0) -> Tensor:
    rows = features(m, 3, seed).double()
    return torch.exp(-torch.cdist(rows, rows).square()) * (1 + rows[:, :1].abs())


@pytest.mark.parametrize("guess", ["well", "badly"])
@pytest.mark.parametrize(("m", "n"), [(1, 1), (5, 5), (90, 60), (600, 40), (600, 0)])
def test_picks_one_by_one(guess, m, n):
    table = common(m)
    picks = pick_ahead(Falling(table, guess), n)
    indices, scores = one_by_one(table, n)
    assert picks.indices.tolist() == indices
    assert picks.scores.tolist() == pytest.approx(scores)


def test_good_guesses_are_made_many_at_a_time():
    outlook = Falling(common(800))
    pick_ahead(outlook, 150)
    assert max(outlook.asked) == 32
    assert len(outlook.asked) < 20
    assert sum(outlook.asked) < 300


def test_bad_guesses_are_made_few_at_a_time():
    outlook = Falling(common(800), guess="badly")
    pick_ahead(outlook, 60)
    assert max(outlook.asked) <= 4


def test_no_pick_is_looked_for_after_the_last():
    outlook = Falling(common(30))
    pick_ahead(outlook, 1)
    assert outlook.asked == []
    pick_ahead(outlook, 3)
    assert sum(outlook.asked) == 2


def test_few_are_looked_ahead_at_where_rows_are_many():
    m = 2**19
    table = torch.rand(m, generator=torch.Generator().manual_seed(0)).double()

    class Plain(Falling):
        def __init__(self) -> None:
            self.values, self.guess, self.asked = table, "well", []

        def look_ahead(self, rows: Tensor, n: int) -> list[int]:
            self.asked.append(n)
            order = table[rows].clone()
            order[self.values[rows] == -1] = -1
            return rows[order.sort(descending=True, stable=True).indices[:n]].tolist()

        def take(self) -> None:
            pass

    outlook = Plain()
    picks = pick_ahead(outlook, 60)
    assert max(outlook.asked) <= 2**23 // m
    assert len(set(picks.indices.tolist())) == 60


def test_ties_go_in_pool_order():
    picks = pick_ahead(Falling(torch.eye(50).double()), 50)
    assert picks.indices.tolist() == list(range(50))


def test_raises_for_more_picks_than_rows():
    with pytest.raises(ValueError, match="n must be between 0 and 3"):
        pick_ahead(Falling(torch.eye(3).double()), 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("m", [0, 1, 700])
def test_products(dtype, m, monkeypatch):
    monkeypatch.setattr("skal.selection._greedy._BLOCK", 1000)
    rows, directions = features(m, 7).to(dtype), features(3, 7, seed=1).double()
    found = products(rows, directions)
    assert found.dtype == torch.float64
    expected = directions.numpy() @ rows.double().numpy().T
    torch.testing.assert_close(found, torch.from_numpy(expected))
