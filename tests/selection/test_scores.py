"""Batches by scores: the highest, drawn by them, and of several in turn."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skal.selection import Picks, gumbel_top_k, interleave, top_k
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


# -- drawn by their scores ------------------------------------------------------------

KINDS = ("power", "softmax", "softrank")


def weights_of(scores: np.ndarray, beta: float, kind: str) -> np.ndarray:
    """Weights of distinct scores, by their definition."""
    if kind == "power":
        return scores**beta
    if kind == "softmax":
        return np.exp(beta * scores)
    return np.array([1 + (scores > s).sum() for s in scores]) ** -beta


def plackett_luce(weights: np.ndarray, n: int) -> dict[tuple[int, ...], float]:
    """Probability of each sequence of n rows drawn one after the other."""
    law = {}
    for rows in itertools.permutations(range(len(weights)), n):
        left, probability = weights.sum(), 1.0
        for row in rows:
            probability *= weights[row] / left
            left -= weights[row]
        law[rows] = probability
    return law


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beta", [0.5, 1.0, 3.0])
def test_draws_one_after_the_other_without_replacement(kind, beta):
    scores = np.array([0.1, 0.7, 0.3, 0.5])
    if kind != "power":
        scores -= 0.4
    law = plackett_luce(weights_of(scores, beta, kind), 3)
    rng, tensor = gen(1), torch.from_numpy(scores)
    drawn = [
        tuple(gumbel_top_k(tensor, 3, rng, beta=beta, kind=kind).indices.tolist())
        for _ in range(4000)
    ]
    assert_follows(drawn, law)


@pytest.mark.parametrize("kind", KINDS)
def test_without_beta_all_rows_are_drawn_alike(kind):
    scores, rng = torch.tensor([0.0, 9.0, 2.0]), gen(2)
    drawn = [
        tuple(gumbel_top_k(scores, 2, rng, beta=0, kind=kind).indices.tolist())
        for _ in range(1500)
    ]
    pairs = itertools.permutations(range(3), 2)
    assert_follows(drawn, dict.fromkeys(pairs, 1 / 6))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beta", [1e6, 1e300])
def test_with_a_large_beta_the_highest_scores_are_picked(kind, beta):
    scores = torch.rand(40, generator=gen(3)) + 0.01
    picks = gumbel_top_k(scores, 40, gen(4), beta=beta, kind=kind)
    assert torch.equal(picks.indices, top_k(scores, 40).indices)
    assert torch.equal(picks.scores, scores[picks.indices])


def test_a_scale_changes_no_power_and_a_shift_no_softmax():
    scores = torch.rand(50, generator=gen(), dtype=torch.float64)
    for kind, other in [("power", 1e-9 * scores), ("softmax", scores - 7)]:
        one, two = (gumbel_top_k(s, 20, gen(2), kind=kind) for s in (scores, other))
        assert torch.equal(one.indices, two.indices)


def test_softrank_reads_the_order_alone_and_takes_any_scores():
    scores = torch.rand(50, generator=gen(), dtype=torch.float64)
    other = scores.exp() - 1.5
    other[scores.argmax()] = torch.inf
    one, two = (gumbel_top_k(s, 20, gen(2), kind="softrank") for s in (scores, other))
    assert torch.equal(one.indices, two.indices)


def test_softrank_ranks_equal_scores_at_random():
    scores, rng = torch.tensor([2.0, 2.0, 1.0]), gen(6)
    drawn = [
        int(gumbel_top_k(scores, 1, rng, kind="softrank").indices) for _ in range(2000)
    ]
    law = np.array([1, 1 / 2, 1 / 3]) / (11 / 6)
    assert_follows(drawn, {0: law[:2].mean(), 1: law[:2].mean(), 2: law[2]})


@pytest.mark.parametrize("beta", [0.01, 1.0, 8.0])
def test_scores_of_zero_come_last_in_a_random_order(beta):
    scores = torch.tensor([0.0, 1e-3, 0.0, 2.0, 0.0])
    rng, tails = gen(3), []
    for _ in range(600):
        picks = gumbel_top_k(scores, 5, rng, beta=beta).indices.tolist()
        assert set(picks[:2]) == {1, 3}
        few = gumbel_top_k(scores, 2, rng, beta=beta).indices.tolist()
        assert set(few) == {1, 3}
        tails.append(tuple(picks[2:]))
    assert_follows(tails, dict.fromkeys(itertools.permutations((0, 2, 4)), 1 / 6))


def test_all_rows_once_with_the_scores_given():
    scores = torch.rand(30, generator=gen())
    picks = gumbel_top_k(scores, 30, gen(1))
    assert sorted(picks.indices.tolist()) == list(range(30))
    assert torch.equal(picks.scores, scores[picks.indices])


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("scores", "n", "parameters", "message"),
    [
        ([0.1, 0.2], 3, {}, "n must be between 0 and 2"),
        ([0.1, 0.2], 1, {"beta": -1.0}, "beta must be a number of at least 0"),
        ([0.1, 0.2], 1, {"beta": INF}, "beta must be a number of at least 0"),
        ([0.1, 0.2], 1, {"kind": "rank"}, "kind must be one of"),
        ([0.1, -0.2], 1, {}, "got -0.2.* in row 1.*softrank"),
        ([NAN, 0.2], 1, {}, "got nan in row 0"),
        ([0.1, INF], 1, {}, "got inf in row 1"),
        ([0.1, -INF], 1, {"kind": "softmax"}, "got -inf in row 1"),
        ([0.1, NAN], 1, {"kind": "softrank"}, "1 of 2 scores are NaN"),
    ],
)
def test_draws_refuse(scores, n, parameters, message):
    with pytest.raises(ValueError, match=message):
        gumbel_top_k(torch.tensor(scores), n, gen(), **parameters)


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
