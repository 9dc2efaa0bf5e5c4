"""The greedy loop, with and without looking ahead, against picks one by one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from skal.selection import (
    bait,
    fisher_bait,
    frank_wolfe,
    gaussian_batch_bald,
    k_center,
    k_medoids,
    kmeans_pp,
    lcmd,
    max_det,
    prob_cover,
)
from skal.selection._fisher_bait import Information
from skal.selection._greedy import Greedy, Horizon, LookAhead, best_of
from skal.spaces import Dense
from tests.numerics.test_nearest import features
from tests.selection.ends import assert_begins
from tests.selection.ties import in_turn


class Falling(Greedy):
    """Values that fall by what rows have in common with each pick."""

    is_rounded = True

    def __init__(self, common: Tensor, value: Tensor | None = None) -> None:
        self.common = common
        self.value = common.diagonal() if value is None else value

    def update(self, i: int) -> None:
        self.value = self.value - self.common[i]


class FallingAhead(LookAhead):
    """The same with forecasts, good or bad; it records how many it was asked for."""

    def __init__(self, common: Tensor, n: int, bad: bool = False) -> None:
        super().__init__(n)
        self.common, self.bad = common, bad
        self.value = common.diagonal()
        self.asked: list[int] = []

    def look_ahead(self, rows: Tensor, n: int) -> Tensor:
        assert rows.tolist() == sorted(set(rows.tolist()))
        assert 1 <= n <= len(rows)
        self.asked.append(n)
        few = Falling(self.common[rows][:, rows], self.value[rows])
        few.numbers = rows
        picks = few.pick(n).indices
        if self.bad:
            picks[1:] = picks[1:].flip(0)
        self.ahead = rows[picks].tolist()
        return rows[picks]

    def take(self) -> None:
        self.value = self.value - self.common[self.ahead.pop(0)]


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


@pytest.mark.parametrize(("m", "n"), [(1, 1), (5, 5), (90, 60), (600, 40), (600, 0)])
def test_picks_one_by_one(m, n):
    table = common(m)
    indices, scores = one_by_one(table, n)
    states = Falling(table), FallingAhead(table, n), FallingAhead(table, n, bad=True)
    for state in states:
        picks = state.pick(n)
        assert picks.indices.tolist() == indices
        assert picks.scores.tolist() == pytest.approx(scores)
        assert picks.scores.dtype == torch.float64


def test_the_last_update_is_made_if_asked_for():
    table = common(30)
    for update_last in (False, True):
        plain, ahead = Falling(table), FallingAhead(table, 7)
        picks = plain.pick(7, update_last=update_last)
        assert torch.equal(
            ahead.pick(7, update_last=update_last).indices, picks.indices
        )
        known = picks.indices[: 7 if update_last else 6]
        expected = table.diagonal() - table[known].sum(dim=0)
        torch.testing.assert_close(plain.value, expected)
        torch.testing.assert_close(ahead.value, expected)


def test_forecasts_grow_while_they_come_true():
    good, bad = FallingAhead(common(800), 150), FallingAhead(common(800), 150, bad=True)
    assert torch.equal(good.pick(150).indices, bad.pick(150).indices)
    assert len(good.asked) < len(bad.asked) / 2
    assert sum(good.asked) < 300


def test_no_pick_is_looked_for_after_the_last():
    state = FallingAhead(common(30), 1)
    state.pick(1)
    assert state.asked == []
    state = FallingAhead(common(30), 3)
    state.pick(3)
    assert sum(state.asked) == 2


def test_ties_go_in_no_order_and_differ_if_values_are_exact():
    values = torch.tensor([1.0, 1.0 + 1e-14, 1.0], dtype=torch.float64)

    class Exact(Falling):
        is_rounded = False

    nothing = torch.zeros(3, 3).double()
    assert Falling(nothing, values).pick(3).indices.tolist() == in_turn([0, 1, 2])
    assert Exact(nothing, values).pick(3).indices.tolist() == [1, *in_turn([0, 2])]
    alike = torch.eye(50).double()
    for state in (Falling(alike), Exact(alike), FallingAhead(alike, 50)):
        assert state.pick(50).indices.tolist() == in_turn(range(50))


def test_rest_once_no_row_is_worth_anything():
    class One(Falling):
        def choose(self):
            return (3, self.open[3]) if self.open[3] > -torch.inf else None

    class Backwards(One):
        def rest(self, left, n):
            return torch.nonzero(left)[:, 0].flip(0)[:n]

    picks = Backwards(torch.eye(6).double()).pick(3)
    assert picks.indices.tolist() == [3, 5, 4]
    assert picks.scores.tolist() == [1.0, 0.0, 0.0]
    picks = One(torch.eye(6).double()).pick(3)
    assert_begins(picks, [3], 3)
    assert picks.scores.tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("n", [1, 30, 100])
def test_the_rest_is_not_the_beginning_of_the_pool(n):
    class One(Falling):
        def choose(self):
            return (50, self.open[50]) if self.open[50] > -torch.inf else None

    found = [One(torch.eye(101).double()).pick(n + 1).indices for _ in range(2)]
    assert torch.equal(*found)
    rest = found[0][1:].double()
    assert len(rest.unique()) == n
    assert 50 not in rest
    # The mean place of n of 100 rows in random order, within three standard errors.
    error = (100**2 / 12 * (100 - n) / 99 / n) ** 0.5
    assert abs(float(rest.mean()) - 50) <= 3 * error
    assert n == 1 or (rest.diff() < 0).any()


def test_best_of_those_left_with_ties_in_no_order():
    left = torch.arange(60) % 3 > 0
    scores = (torch.arange(60) >= 30).double()
    rows = best_of(left, scores, 30)
    assert (left[rows]).all()
    assert (scores[rows[:20]] == 1).all()
    assert (scores[rows[20:]] == 0).all()
    for part in (rows[:20], rows[20:]):
        assert len(part.unique()) == len(part)
        assert (part.diff() < 0).any()


def test_horizon_follows_the_share_of_hits():
    horizon = Horizon()
    first = horizon.n
    horizon.adapt(most=3 * first)
    assert horizon.n == first  # there was no forecast
    for n_used, expected in [(10, 2), (10, 3), (5, 3), (0, 1.5), (0, 1), (0, 1)]:
        horizon.n_compared, horizon.n_used = 10, n_used
        horizon.adapt(most=3 * first)
        assert horizon.n == expected * first


ROWS = torch.arange(10.0).reshape(5, 2)


@pytest.mark.parametrize("n", [-1, 6])
@pytest.mark.parametrize(
    "select",
    [
        lambda n: bait(ROWS, n),
        lambda n: fisher_bait([Information(ROWS, ROWS[:, None])], n),
        lambda n: frank_wolfe(ROWS, n),
        lambda n: gaussian_batch_bald(ROWS.T[..., None], n, 1.0),
        lambda n: k_center(Dense(ROWS), n),
        lambda n: k_medoids(ROWS, n),
        lambda n: kmeans_pp(Dense(ROWS), n, torch.Generator()),
        lambda n: lcmd(Dense(ROWS), n),
        lambda n: max_det(ROWS, n),
        lambda n: prob_cover(ROWS, n, 1.0),
    ],
)
def test_n_out_of_range(select, n):
    with pytest.raises(ValueError, match="n must be between 0 and 5"):
        select(n)
