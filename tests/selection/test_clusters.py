"""Rows of clusters: the typical ones, and those nearest to the centers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from skal.selection import representatives, round_robin
from skal.selection import typi_clust as selector
from skal.selection._clusters import typicality
from tests.numerics.test_nearest import KINDS, all_sq_dist, features
from tests.statistics import assert_follows


def slow_typicality(rows: Tensor, k: int) -> list[float]:
    result = []
    for i, distances in enumerate(all_sq_dist(rows, rows).sqrt().numpy()):
        nearest = np.sort(np.delete(distances, i))[:k]
        mean = nearest.mean() if len(nearest) else math.inf
        result.append(1 / mean if mean > 0 else math.inf)
    return result


@pytest.mark.parametrize("kind", KINDS)
def test_typicality_is_that_of_sorted_distances(kind, small_blocks):
    small_blocks(300)
    rows = features(40, 4, kind=kind)
    for k in (1, 3, 20, 99):
        expected = torch.tensor(slow_typicality(rows, k), dtype=torch.float64)
        torch.testing.assert_close(typicality(rows, k), expected, rtol=1e-5, atol=0)


def test_typicality_of_one_row_and_of_duplicates():
    assert typicality(torch.ones(1, 3), 5).tolist() == [0.0]
    assert typicality(torch.ones(3, 2), 2).tolist() == [math.inf] * 3
    with pytest.raises(ValueError, match="n_neighbors must be at least 1"):
        typicality(torch.ones(3, 2), 0)


def slow(
    rows: Tensor, clusters: list[int], n: int, k: int, n_labeled: list[int]
) -> list[int]:
    """Walk from pick to pick."""
    n_clusters = len(n_labeled)
    members = {
        c: [i for i, own in enumerate(clusters) if own == c] for c in range(n_clusters)
    }
    size = {c: len(members[c]) + n_labeled[c] for c in members}
    value = {}
    for own in members.values():
        found = slow_typicality(rows[own], min(k, max(1, len(own) // 2)))
        value.update(zip(own, found, strict=True))
    taken, picked = list(n_labeled), []
    while len(picked) < n:
        open_ = [c for c in members if set(members[c]) - set(picked)]
        large = [c for c in open_ if size[c] > 5] or open_
        cluster = min(large, key=lambda c: (taken[c], -size[c], c))
        left = [i for i in members[cluster] if i not in picked]
        picked.append(max(left, key=lambda i: (np.float32(value[i]), -i)))
        taken[cluster] += 1
    return picked


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 999),
    n_clusters=st.integers(1, 12),
    n=st.integers(0, 60),
    k=st.integers(1, 8),
)
def test_equals_the_walk(seed, n_clusters, n, k):
    rng = torch.Generator().manual_seed(seed)
    rows = features(60, 3, seed).double()
    clusters = torch.randint(n_clusters, (60,), generator=rng).square() // n_clusters
    n_labeled = torch.randint(4, (n_clusters,), generator=rng)
    picks = selector(rows, clusters, n, k, n_labeled)
    expected = slow(rows, clusters.tolist(), n, k, n_labeled.tolist())
    assert picks.indices.tolist() == expected


@pytest.mark.parametrize("block", [1, 400, 3000])
def test_clusters_are_worked_on_in_any_parts(block, small_blocks):
    small_blocks(block)
    rows = features(70, 3).double()
    clusters = torch.tensor([0] * 31 + [1] * 19 + [2] * 8 + [3] * 7 + [4] * 4 + [5])
    clusters = clusters[torch.randperm(70, generator=torch.Generator().manual_seed(0))]
    none = [0] * 6
    for n in (3, 40, 70):
        picks = selector(rows, clusters, n, 6)
        assert picks.indices.tolist() == slow(rows, clusters.tolist(), n, 6, none)
        alone = clusters[picks.indices] == 5  # a row without others has no density
        assert (picks.scores == 0).tolist() == alone.tolist()


def test_scores_are_typicalities_among_the_rows_of_the_cluster():
    rows, clusters = features(40, 3), torch.arange(40) % 3
    picks = selector(rows, clusters, 5, n_neighbors=4)
    for i, score in zip(picks.indices.tolist(), picks.scores.tolist(), strict=True):
        own = torch.nonzero(clusters == clusters[i])[:, 0].tolist()
        expected = slow_typicality(rows[own], 4)[own.index(i)]
        assert score == pytest.approx(expected, rel=1e-5)


def test_labels_decide_which_cluster_then_size():
    rows = torch.arange(30.0)[:, None]
    clusters = torch.tensor([0] * 12 + [1] * 10 + [2] * 8)
    given = torch.tensor([1, 0, 0])
    picked = selector(rows, clusters, 4, n_labeled=given).indices
    assert clusters[picked].tolist() == [1, 2, 0, 1]
    # Labeled rows count in the size: cluster 2 has eleven rows.
    given = torch.tensor([3, 3, 3, 0])
    assert clusters[selector(rows, clusters, 1, n_labeled=given).indices] == 0
    given = torch.tensor([5, 3, 6])
    picked = selector(rows, clusters, 3, n_labeled=given).indices
    assert clusters[picked].tolist() == [1, 1, 0]


def test_small_clusters_come_last():
    clusters = torch.tensor([0] * 5 + [1] * 7)
    picked = selector(torch.arange(12.0)[:, None], clusters, 12).indices
    assert clusters[picked].tolist() == [1] * 7 + [0] * 5
    # A sixth row, labeled, makes it a cluster like others.
    given = torch.tensor([1, 1])
    picked = selector(torch.arange(12.0)[:, None], clusters, 4, n_labeled=given).indices
    assert clusters[picked].tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_clusters", [1, 4, 50])
def test_distinct_on_any_pool(kind, n_clusters):
    rows = features(50, 3, kind=kind)
    for n in (0, 1, 49, 50):
        picks = selector(rows, torch.arange(50) % n_clusters, n)
        assert len(set(picks.indices.tolist())) == n == len(picks.scores)
        assert not picks.scores.isnan().any()


def test_rows_that_nothing_tells_apart_go_in_pool_order():
    zeros = torch.zeros(9, dtype=torch.long)
    assert selector(torch.ones(9, 2), zeros, 9).indices.tolist() == list(range(9))


def test_duplicates_go_in_pool_order(small_blocks):
    # Their neighbors may come in another order, and so does the rounding of the mean.
    small_blocks(900)
    for seed in range(5):
        rng = torch.Generator().manual_seed(seed)
        rows = torch.randint(-2, 3, (40, 6), generator=rng).double() * 0.1
        rows = rows.repeat(2, 1)[torch.randperm(80, generator=rng)]
        place = selector(rows, torch.zeros(80, dtype=torch.long), 80).indices.argsort()
        for i in range(80):
            same = torch.nonzero((rows == rows[i]).all(dim=1))[:, 0]
            assert (place[same].diff() > 0).all()


def test_bad_input():
    zeros = torch.zeros(5, dtype=torch.long)
    with pytest.raises(ValueError, match="n must be between 0 and 5"):
        selector(features(5, 2), zeros, 6)
    with pytest.raises(ValueError, match="n_neighbors must be at least 1"):
        selector(features(5, 2), zeros, 1, n_neighbors=0)


# -- the row nearest to each center ---------------------------------------------------


def slow_representatives(
    rows: Tensor, clusters: Tensor, centers: Tensor, scores: Tensor, n: int
) -> list[int]:
    first = []
    for cluster in clusters.unique():
        own = torch.nonzero(clusters == cluster)[:, 0].tolist()
        distance = {
            i: round(float((rows[i] - centers[cluster]).norm()), 9) for i in own
        }
        first.append(min(own, key=lambda i: (distance[i], -scores[i], i)))
    first.sort(key=lambda i: (-scores[i], clusters[i]))
    rest = [i for i in range(len(rows)) if i not in first[:n]]
    rest.sort(key=lambda i: (-scores[i], i))
    return [*first[:n], *rest][:n]


@pytest.mark.parametrize("seed", range(3))
def test_representatives_equal_a_loop_over_clusters(seed, small_blocks):
    small_blocks(30)
    rows = features(50, 3, seed).double()
    clusters = (torch.arange(50) * 7 + seed) % 6
    clusters[clusters == 4] = 5  # one is empty
    centers = torch.stack(
        [rows[clusters == c].mean(dim=0).nan_to_num() for c in range(6)]
    )
    scores = torch.rand(50, generator=torch.Generator().manual_seed(seed))
    for n in (0, 1, 5, 6, 20, 50):
        picks = representatives(rows, clusters, centers, scores, n)
        expected = slow_representatives(rows, clusters, centers, scores, n)
        assert picks.indices.tolist() == expected
        assert torch.equal(picks.scores, scores[picks.indices])


def test_of_two_equally_near_the_higher_score():
    # Both lie as far from the middle, but for rounding.
    rows = features(200, 5, seed=3).double() * 1e3 + 77
    clusters = torch.arange(100).repeat_interleave(2)
    centers = (rows[::2] * 0.3 + rows[1::2] * 0.3) / 0.6
    distance = (rows - centers[clusters]).norm(dim=1)
    assert (distance[::2] != distance[1::2]).any()
    higher = torch.arange(200) % 2 * 1.0
    picks = representatives(rows, clusters, centers, higher, 100)
    assert sorted(picks.indices.tolist()) == list(range(1, 200, 2))
    picks = representatives(rows, clusters, centers, torch.zeros(200), 100)
    assert sorted((picks.indices // 2).tolist()) == list(range(100))
    assert 30 < int((picks.indices % 2).sum()) < 70  # neither the first nor the second


@pytest.mark.parametrize("kind", KINDS)
def test_representatives_are_distinct_on_any_pool(kind):
    rows = features(50, 3, kind=kind)
    zeros = torch.zeros(50, dtype=torch.long)
    for n in (0, 1, 50):
        picks = representatives(rows, zeros, rows[:1], torch.zeros(50), n)
        assert len(set(picks.indices.tolist())) == n


def test_representatives_refuse_n_out_of_range():
    zeros = torch.zeros(5, dtype=torch.long)
    with pytest.raises(ValueError, match="n must be between 0 and 5"):
        representatives(features(5, 2), zeros, torch.zeros(1, 2), torch.zeros(5), 6)


# -- in turn ---------------------------------------------------------------------------


def in_turn(clusters: list[int], n: int) -> list[int]:
    """Go around the clusters, the smallest first, as one would by hand."""
    rows = {c: [i for i, k in enumerate(clusters) if k == c] for c in clusters}
    queue = sorted(rows.values(), key=lambda own: (len(own), own[0]))
    picks: list[int] = []
    while len(picks) < n:
        for own in queue:
            if own and len(picks) < n:
                picks.append(own.pop(0))
    return picks


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.data())
@settings(max_examples=80, deadline=None)
def test_clusters_in_turn_from_the_smallest(clusters, data):
    n = data.draw(st.integers(0, len(clusters)))
    scores = torch.arange(len(clusters)).double() / 7
    picks = round_robin(torch.tensor(clusters), scores, n)
    assert picks.indices.tolist() == in_turn(clusters, n)
    assert torch.equal(picks.scores, scores[picks.indices])
    rng = torch.Generator().manual_seed(0)
    drawn = round_robin(torch.tensor(clusters), scores, n, rng).indices.tolist()
    assert len(set(drawn)) == n
    sizes = [clusters.count(clusters[i]) for i in drawn]
    expected = [clusters.count(clusters[i]) for i in picks.indices.tolist()]
    assert sizes == expected


def test_rows_of_a_cluster_and_equal_clusters_are_drawn_alike():
    clusters, rng = (
        torch.tensor([0, 0, 1, 1, 2, 2, 2]),
        torch.Generator().manual_seed(1),
    )
    drawn = [
        tuple(round_robin(clusters, torch.zeros(7), 3, rng).indices.tolist())
        for _ in range(2000)
    ]
    pairs = [p for a in (0, 1) for b in (2, 3) for p in ((a, b), (b, a))]
    law = {(*pair, last): 1 / 24 for pair in pairs for last in (4, 5, 6)}
    assert_follows(drawn, law)


def test_round_robin_refuses_more_rows_than_there_are():
    with pytest.raises(ValueError, match="n must be between 0 and 2"):
        round_robin(torch.zeros(2).long(), torch.zeros(2), 3)
