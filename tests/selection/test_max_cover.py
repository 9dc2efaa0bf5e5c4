from __future__ import annotations

from itertools import combinations
from math import e

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from skal.selection import max_cover
from tests.numerics.test_nearest import KINDS, features
from tests.selection.ties import first, in_turn


def cosines(rows: Tensor) -> Tensor:
    rows = rows.double()
    norm = rows.norm(dim=1, keepdim=True)
    unit = rows / torch.where(norm > 0, norm, 1.0)
    return unit @ unit.T


def cover(similarity: Tensor, chosen: list[int]) -> float:
    return float((1 + similarity[:, chosen].amax(dim=1)).sum()) if chosen else 0.0


def plain_greedy(rows: Tensor, n: int, candidates: list[int]) -> list[int]:
    similarity = cosines(rows)
    picked: list[int] = []
    for _ in range(n):
        values = {i: cover(similarity, [*picked, i]) for i in candidates}
        largest = max(v for i, v in values.items() if i not in picked)
        picked.append(
            first(
                i
                for i in candidates
                if i not in picked and values[i] >= largest - 1e-10 * len(rows)
            )
        )
    return picked


@pytest.mark.parametrize("kind", KINDS[:4])
@pytest.mark.parametrize("some", [False, True])
def test_lazy_equals_plain_greedy(kind, some):
    rows = features(60, 3, kind=kind)
    candidates = list(range(5, 60, 4)) if some else list(range(60))
    given = torch.tensor(candidates[::-1]) if some else None
    picks = max_cover(rows, 10, given)
    assert picks.indices.tolist() == plain_greedy(rows, 10, candidates)


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), d=st.integers(1, 9))
def test_lazy_equals_plain_greedy_on_more_draws(seed, d):
    rows = features(150, d, seed) + 0.5
    rows[::10] = 0.0
    picks = max_cover(rows.double(), 12)
    assert picks.indices.tolist() == plain_greedy(rows, 12, list(range(150)))


def test_scores_sum_to_the_cover():
    rows = features(40, 4)
    picks = max_cover(rows, 7)
    similarity = cosines(rows)
    for k in range(1, 8):
        expected = cover(similarity, picks.indices[:k].tolist())
        assert float(picks.scores[:k].sum()) == pytest.approx(expected, rel=1e-6)
    assert (picks.scores.diff() <= 1e-4).all()


def test_within_the_guarantee_of_the_best():
    rows = features(12, 2)
    similarity = cosines(rows)
    best = max(cover(similarity, list(s)) for s in combinations(range(12), 3))
    found = cover(similarity, max_cover(rows, 3).indices.tolist())
    assert (1 - 1 / e) * best <= found <= best + 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_distinct_on_any_pool(kind):
    rows = features(50, 3, kind=kind)
    for scale in (0.0, 1e-8, 1.0, 1e4):
        for n in (0, 1, 50):
            picks = max_cover(rows * scale, n)
            assert len(set(picks.indices.tolist())) == n == len(picks.scores)
            assert picks.scores.isfinite().all()


def test_rows_that_nothing_tells_apart_go_in_no_order():
    assert max_cover(torch.ones(9, 2), 9).indices.tolist() == in_turn(range(9))


def test_too_few_candidates():
    with pytest.raises(ValueError, match="Cannot pick 3 of 2 candidates"):
        max_cover(features(9, 2), 3, torch.tensor([4, 4, 1]))
