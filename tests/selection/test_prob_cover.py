"""Cover by balls against plain greedy on the graph of all pairs."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from skal.selection import prob_cover
from skal.selection._prob_cover import pure_radius
from tests.numerics.test_nearest import KINDS, all_sq_dist, features
from tests.selection.ends import assert_begins
from tests.selection.ties import first


def plain_greedy(
    rows: Tensor, n: int, radius: float, labeled: Tensor
) -> tuple[list[int], list[int]]:
    sq_dist = all_sq_dist(rows, rows)
    edges = (sq_dist < radius**2) | (sq_dist == 0)
    to_labeled = all_sq_dist(rows, labeled)
    covered = ((to_labeled < radius**2) | (to_labeled == 0)).any(dim=1)
    picked: list[int] = []
    scores: list[int] = []
    rest: list[int] = []  # once all rows are covered
    while len(picked) < n:
        left = [i for i in range(len(rows)) if i not in picked]
        gain = {i: int((edges[i] & ~covered).sum()) for i in left}
        if covered.all():
            known = torch.cat([labeled, rows[picked]])
            far = all_sq_dist(rows, known).amin(dim=1)
            if far.max() == 0:
                break
            rest = rest or left
            value = {k: float(far[i]) for k, i in enumerate(rest) if i in left}
            best = rest[first(k for k in value if value[k] == max(value.values()))]
        else:
            best = first(i for i in left if gain[i] == max(gain.values()))
        picked.append(best)
        scores.append(gain[best])
        covered |= edges[best]
    return picked, scores


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_labeled", [0, 1, 6])
def test_equals_plain_greedy(kind, n_labeled):
    rows = features(60, 3, kind=kind).double()
    labeled = features(6, 3, seed=1, kind=kind).double()[:n_labeled]
    for radius in (0.5, 1.0, 1.7, 4.0):
        picks = prob_cover(rows, 40, radius, labeled)
        expected, scores = plain_greedy(rows, 40, radius, labeled)
        assert_begins(picks, expected, 40)
        assert picks.scores.tolist() == scores + [0] * (40 - len(scores))
        assert picks.scores.dtype == torch.int64


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), radius=st.floats(0.3, 4.0))
def test_equals_plain_greedy_on_more_draws(seed, radius):
    rows = features(120, 4, seed).mul(3).round()
    expected, _ = plain_greedy(rows, 30, radius, rows[:0])
    assert_begins(prob_cover(rows, 30, radius), expected, 30)


def test_within_the_guarantee_of_the_best():
    rows = features(14, 2)
    edges = all_sq_dist(rows, rows) < 1
    best = max(int(edges[list(s)].any(dim=0).sum()) for s in combinations(range(14), 3))
    found = int(prob_cover(rows, 3, 1.0).scores.sum())
    assert (1 - 1 / math.e) * best <= found <= best


def test_labeled_rows_cover_from_the_beginning():
    rows = torch.tensor([[0.0], [0.1], [0.2], [5.0], [5.1], [9.0]])
    assert prob_cover(rows, 1, 1.0).indices.tolist() == [first([0, 1, 2])]
    picks = prob_cover(rows, 2, 1.0, torch.tensor([[0.3]]))
    assert picks.indices.tolist() == [first([3, 4]), 5]


@pytest.mark.parametrize("kind", KINDS)
def test_distinct_on_any_pool(kind):
    rows = features(50, 3, kind=kind)
    for radius in (1e-3, 1.0, 1e6, math.inf):
        for n in (0, 1, 50):
            picks = prob_cover(rows, n, radius)
            assert len(set(picks.indices.tolist())) == n == len(picks.scores)


def test_equal_rows_do_not_go_in_pool_order():
    picks = prob_cover(torch.ones(9, 2), 9, 1.0)
    assert_begins(picks, [first(range(9))], 9)
    assert picks.scores.tolist() == [9] + [0] * 8


# -- the radius ---------------------------------------------------------------------


def purity_of(
    rows: Tensor, clusters: Tensor, radius: float, looked_at: Tensor
) -> float:
    ball = all_sq_dist(rows, rows).sqrt() < radius
    foreign = clusters[:, None] != clusters
    return float((~(ball & foreign).any(dim=1))[looked_at].double().mean())


@pytest.mark.parametrize("some", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_largest_radius_of_that_purity(some, seed):
    rows = features(40, 2, seed).double()
    clusters = (rows[:, 0] > 0).long() + 5 * (rows[:, 1] > 0.5).long()
    looked_at = torch.arange(1, 40, 2) if some else torch.arange(40)
    for purity in (0.05, 0.5, 0.9, 0.95, 1.0):
        radius = pure_radius(rows, clusters, purity, looked_at if some else None)
        assert purity_of(rows, clusters, radius, looked_at) >= purity - 1e-9
        assert purity_of(rows, clusters, radius * (1 + 1e-9), looked_at) < purity


@pytest.mark.parametrize(("n_rows", "purity"), [(10, 0.9), (20, 0.95), (100, 0.99)])
def test_share_that_is_a_whole_number_of_rows(n_rows, purity):
    # One row may be impure: the second least of the distances 1, 2, ... to the wall.
    rows = torch.cat([torch.zeros(1), torch.arange(1.0, n_rows + 1)])[:, None]
    clusters = torch.ones(n_rows + 1, dtype=torch.long)
    clusters[0] = 0
    looked_at = torch.arange(1, n_rows + 1)
    assert pure_radius(rows, clusters, purity, looked_at) == 2.0


def test_one_cluster_and_duplicates_in_two():
    rows = torch.tensor([[0.0], [0.0], [3.0], [0.0]])
    assert pure_radius(rows, torch.zeros(4, dtype=torch.long)) == math.inf
    assert pure_radius(rows, torch.tensor([0, 1, 0, 0]), 1.0) == 3.0
    assert pure_radius(rows[:2], torch.tensor([0, 1]), 1.0) == math.inf


@pytest.mark.parametrize("purity", [0.0, -1.0, 1.1, math.nan])
def test_bad_purity(purity):
    with pytest.raises(ValueError, match="purity must be above 0 and at most 1"):
        pure_radius(features(4, 2), torch.tensor([0, 0, 1, 1]), purity)
