from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skal.selection import top_k
from tests.statistics import assert_follows


def gen(seed: int) -> torch.Generator:
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
