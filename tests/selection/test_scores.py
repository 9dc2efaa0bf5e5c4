"""Batches by scores: the highest, drawn by them, and of several in turn."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skal.selection import Picks, interleave, power_bald, top_k
from tests.statistics import assert_follows


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30), st.data())
@settings(max_examples=60, deadline=None)
def test_as_sorting_by_score_then_index(values, data):
    n = data.draw(st.integers(1, len(values)))
    scores = torch.tensor(values, dtype=torch.float32)
    picks = top_k(scores, n)
    slow = sorted(range(len(values)), key=lambda i: (-values[i], i))[:n]
    assert picks.indices.tolist() == slow
    assert torch.equal(picks.scores, scores[picks.indices])
    seeded = top_k(scores, n, gen(0))
    assert torch.equal(seeded.scores, picks.scores)
    assert len(set(seeded.indices.tolist())) == n


def test_none_and_all():
    scores = torch.tensor([1.0, 3.0, 2.0, 3.0])
    for rng in (None, gen(0)):
        assert top_k(scores, 0, rng).indices.tolist() == []
        assert set(top_k(scores, 4, rng).indices.tolist()) == {0, 1, 2, 3}
        assert top_k(torch.empty(0), 0, rng).scores.tolist() == []


def test_many_equal_scores_keep_their_order():
    scores = torch.arange(5000) % 3 == 1
    assert top_k(scores.double(), 1500).indices.tolist() == list(range(1, 4500, 3))


def test_random_ties_are_uniform():
    scores = torch.tensor([1.0, 5.0, 2.0, 2.0, 2.0, 0.0])
    rng = gen(1)
    draws = [tuple(top_k(scores, 3, rng).indices.tolist()) for _ in range(3000)]
    pairs = [(i, j) for i in (2, 3, 4) for j in (2, 3, 4) if i != j]
    assert_follows(draws, {(1, *pair): 1 / 6 for pair in pairs})


def test_same_seed_same_ties():
    scores = torch.zeros(50)
    one, two, other = (top_k(scores, 9, gen(s)).indices.tolist() for s in (0, 0, 1))
    assert one == two
    assert one != other
    assert Counter(one).most_common(1)[0][1] == 1


def test_infinities_have_their_place():
    scores = torch.tensor([0.0, -torch.inf, torch.inf, 1.0])
    assert top_k(scores, 4).indices.tolist() == [2, 3, 0, 1]


@pytest.mark.parametrize("n", [-1, 5])
def test_bad_n(n):
    with pytest.raises(ValueError, match=r"between 0 and 4, the number of rows"):
        top_k(torch.zeros(4), n)


def test_nan_is_refused_and_counted():
    with pytest.raises(ValueError, match="2 of 4 scores are NaN"):
        top_k(torch.tensor([0.0, torch.nan, 1.0, torch.nan]), 1)


# -- drawn by a power of the scores --------------------------------------------------


@pytest.mark.parametrize("power", [0.5, 1.0, 3.0])
def test_draws_one_after_the_other_without_replacement(power):
    scores = np.array([0.1, 0.7, 0.3, 0.5])
    weights = scores**power
    law = {
        (a, b): weights[a] / weights.sum() * weights[b] / (weights.sum() - weights[a])
        for a, b in itertools.permutations(range(4), 2)
    }
    rng, tensor = gen(1), torch.from_numpy(scores)
    drawn = [
        tuple(power_bald(tensor, 2, rng, power=power).indices.tolist())
        for _ in range(4000)
    ]
    assert_follows(drawn, law)


def test_a_scale_changes_nothing():
    scores = torch.rand(50, generator=gen(), dtype=torch.float64)
    one, two = (power_bald(s, 20, gen(2)).indices for s in (scores, 1e-9 * scores))
    assert torch.equal(one, two)


@pytest.mark.parametrize("power", [0.01, 1.0, 8.0])
def test_scores_of_zero_come_last_in_a_random_order(power):
    scores = torch.tensor([0.0, 1e-3, 0.0, 2.0, 0.0])
    rng, tails = gen(3), []
    for _ in range(600):
        picks = power_bald(scores, 5, rng, power=power).indices.tolist()
        assert set(picks[:2]) == {1, 3}
        few = power_bald(scores, 2, rng, power=power).indices.tolist()
        assert set(few) == {1, 3}
        tails.append(tuple(picks[2:]))
    assert_follows(tails, dict.fromkeys(itertools.permutations((0, 2, 4)), 1 / 6))


def test_all_rows_once_with_the_scores_given():
    scores = torch.rand(30, generator=gen())
    picks = power_bald(scores, 30, gen(1))
    assert sorted(picks.indices.tolist()) == list(range(30))
    assert torch.equal(picks.scores, scores[picks.indices])


@pytest.mark.parametrize(
    ("scores", "n", "power", "message"),
    [
        ([0.1, 0.2], 3, 1.0, "n must be between 0 and 2"),
        ([0.1, 0.2], 1, 0.0, "power must be a number above 0"),
        ([0.1, -0.2], 1, 1.0, "got -0.2.* in row 1"),
        ([float("nan"), 0.2], 1, 1.0, "got nan in row 0"),
        ([0.1, float("inf")], 1, 1.0, "got inf in row 1"),
    ],
)
def test_power_bald_refuses(scores, n, power, message):
    with pytest.raises(ValueError, match=message):
        power_bald(torch.tensor(scores), n, gen(), power=power)


# -- several batches in turn ----------------------------------------------------------


def by_hand(lists: list[list[int]], turns: list[int]) -> list[int]:
    """Cross out what is taken, everywhere, after each pick."""
    lists, taken = [list(rows) for rows in lists], []
    for turn in turns:
        row = lists[turn][0]
        taken.append(row)
        lists = [[r for r in rows if r != row] for rows in lists]
    return taken


def test_equals_crossing_out():
    rng = np.random.default_rng(0)
    for _ in range(30):
        n, n_lists = int(rng.integers(1, 12)), int(rng.integers(1, 4))
        lists = torch.stack(
            [torch.from_numpy(rng.permutation(15)[:n]) for _ in range(n_lists)]
        )
        turns = torch.from_numpy(rng.integers(n_lists, size=n))
        picks = interleave([Picks(rows, 100.0 * rows) for rows in lists], turns)
        assert picks.indices.tolist() == by_hand(lists.tolist(), turns.tolist())
        assert picks.scores.tolist() == [100.0 * i for i in picks.indices.tolist()]
        assert picks.indices.dtype == torch.int64
        assert picks.scores.dtype == torch.float64


def test_scores_are_those_of_the_batch_that_gave_the_row():
    first = Picks(torch.tensor([0, 1]), torch.tensor([1.0, 2.0]))
    second = Picks(torch.tensor([0, 1]), torch.tensor([10.0, 20.0]))
    picks = interleave([first, second], torch.tensor([1, 0]))
    assert picks.indices.tolist() == [0, 1]
    assert picks.scores.tolist() == [10.0, 2.0]


def test_a_batch_without_turns_may_be_empty():
    none = Picks(torch.empty(0), torch.empty(0))
    some = Picks(torch.tensor([3, 1]), torch.zeros(2))
    assert interleave([none, some], torch.tensor([1, 1])).indices.tolist() == [3, 1]
    assert interleave([none], torch.tensor([], dtype=torch.long)).indices.shape == (0,)


def test_a_batch_that_runs_out_is_named():
    some = Picks(torch.tensor([3]), torch.zeros(1))
    with pytest.raises(ValueError, match="Batch 1 has no row left after 1 of 2"):
        interleave([some, some], torch.tensor([0, 1]))
