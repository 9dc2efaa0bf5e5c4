from __future__ import annotations

import pytest
import torch
from torch import Tensor

from skal.selection import bait
from tests.numerics.test_nearest import KINDS, features
from tests.selection.ties import first, in_turn


def total_variance(rows: Tensor, everything: Tensor, noise: float) -> float:
    """Sum of the variances given labels of some rows."""
    d = everything.shape[1]
    inverse = torch.linalg.inv(rows.T @ rows / noise**2 + torch.eye(d).double())
    return float(((everything @ inverse) * everything).sum())


def slow_bait(
    rows: Tensor, n: int, noise: float, labeled: Tensor, backward: bool
) -> list[int]:
    rows = rows.double()
    everything = torch.cat([rows, labeled.double()])
    picked: list[int] = []
    while len(picked) < (min(2 * n, len(rows)) if backward else n):
        totals = [
            torch.inf
            if i in picked
            else total_variance(rows[[*picked, i]], everything, noise)
            for i in range(len(rows))
        ]
        least = min(totals)
        picked.append(first(i for i, t in enumerate(totals) if t <= least * (1 + 1e-9)))
    places = list(range(len(picked)))  # which decide ties
    while len(picked) > n:
        totals = [
            total_variance(rows[picked[:k] + picked[k + 1 :]], everything, noise)
            for k in range(len(picked))
        ]
        least = min(totals)
        tied = [places[k] for k, t in enumerate(totals) if t <= least * (1 + 1e-9)]
        gone = places.index(first(tied))
        del picked[gone], places[gone]
    return picked


@pytest.mark.parametrize("kind", KINDS[:4])
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("n_labeled", [0, 7])
def test_equals_the_slow_version(kind, backward, n_labeled):
    rows, labeled = features(24, 5, kind=kind), features(n_labeled, 5, seed=1) * 2
    given = labeled if n_labeled else None
    picks = bait(rows.double(), 6, 0.3, given, backward=backward)
    expected = slow_bait(rows, 6, 0.3, labeled, backward)
    assert picks.indices.tolist() == expected


@pytest.mark.parametrize("seed", range(5))
def test_equals_the_slow_version_on_more_draws(seed):
    rows, labeled = features(30, 4, seed).double(), features(3, 4, seed + 99)
    for backward in (False, True):
        picks = bait(rows, 5, 0.1, labeled, backward=backward)
        assert picks.indices.tolist() == slow_bait(rows, 5, 0.1, labeled, backward)


def test_scores_are_what_is_taken_from_the_sum():
    rows = features(30, 4).double()
    picks = bait(rows, 6, noise_std=0.5)
    for k in range(6):
        before = total_variance(rows[picks.indices[:k]], rows, 0.5)
        after = total_variance(rows[picks.indices[: k + 1]], rows, 0.5)
        assert float(picks.scores[k]) == pytest.approx(before - after)


def test_labeled_rows_count_but_are_not_picked():
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.01]])
    assert bait(rows, 1, noise_std=1.0).indices.tolist() == [1]
    labeled = torch.tensor([[1.0, 0.0]] * 5)
    assert bait(rows, 1, 1.0, labeled).indices.tolist() == [0]


def test_float32_picks_the_same():
    rows = features(500, 20)
    expected = bait(rows.double(), 40, noise_std=0.05).indices
    assert torch.equal(bait(rows, 40, noise_std=0.05).indices, expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backward", [False, True])
def test_distinct_on_any_pool(kind, backward):
    rows = features(40, 3, kind=kind)
    for scale in (0.0, 1e-8, 1.0, 1e4):
        for n in (0, 1, 15, 25, 40):
            picks = bait(rows * scale, n, backward=backward)
            assert len(set(picks.indices.tolist())) == n == len(picks.scores)
            assert picks.scores.isfinite().all()


def test_rows_that_nothing_tells_apart_go_in_no_order():
    assert bait(torch.ones(9, 2), 9).indices.tolist() == in_turn(range(9))


@pytest.mark.parametrize("seed", range(3))
def test_looking_ahead_changes_nothing(seed):
    rows = features(1500, 6, seed).double()
    rows *= torch.linspace(0.1, 1, 1500)[:, None].double()
    fisher = rows.T @ rows
    inverse = torch.eye(6, dtype=torch.float64)
    picked: list[int] = []
    for _ in range(70):
        moved = rows @ inverse
        gain = ((moved @ fisher) * moved).sum(dim=1)
        gain /= 0.04 + (moved * rows).sum(dim=1)
        gain[picked] = -torch.inf
        i = int(gain.argmax())
        picked.append(i)
        inverse = inverse - torch.outer(moved[i], moved[i]) / (
            0.04 + rows[i] @ moved[i]
        )
    assert bait(rows, 70, noise_std=0.2).indices.tolist() == picked
