"""Farthest-first, k-means++ and LCMD, and the nearest centers that they share."""

from __future__ import annotations

import itertools
from collections import Counter
from itertools import permutations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor
from torch.nn.functional import normalize

from skal.selection import k_center, kmeans_pp, lcmd
from skal.selection._centers import NearestCenters
from skal.spaces import Cosine, Dense
from tests.numerics.test_nearest import KINDS, all_sq_dist, features, hardly_apart
from tests.selection.ends import assert_begins
from tests.selection.ties import first

# -- k_center -----------------------------------------------------------------------


def rows_of(seed: int, m: int, d: int = 3) -> torch.Tensor:
    """Integer coordinates, so that distances are exact and often tie."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(-3, 4, (m, d), generator=rng).double()


def slow_k_center(rows: np.ndarray, n: int, start: np.ndarray | None = None):
    distance = (rows**2).sum(1) if start is None else start
    picks, scores = [], []
    for k in range(n):
        if k and distance.max() == 0:
            break
        left = set(range(len(rows))) - set(picks)
        largest = max(distance[j] for j in left)
        i = first(j for j in left if distance[j] == largest)
        picks.append(i)
        scores.append(distance[i])
        to_pick = ((rows - rows[i]) ** 2).sum(1)
        alone = k == 0 and start is None
        distance = to_pick if alone else np.minimum(distance, to_pick)
    return picks, scores


@given(st.integers(0, 10**6), st.integers(1, 30), st.data())
@settings(max_examples=60, deadline=None)
def test_k_center_equals_the_slow_version_with_ties_and_duplicates(seed, m, data):
    rows = rows_of(seed, m)
    n = data.draw(st.integers(1, m))
    picks = k_center(Dense(rows), n)
    indices, scores = slow_k_center(rows.numpy(), n)
    assert_begins(picks, indices, n)
    np.testing.assert_allclose(picks.scores[: len(scores)], scores, rtol=1e-12)
    assert (picks.scores[len(scores) :] == 0).all()
    centers = rows_of(seed + 1, 4)
    start = Dense(rows).nearest(Dense(centers))[0]
    kept = start.clone()
    picks = k_center(Dense(rows), n, start)
    indices, scores = slow_k_center(rows.numpy(), n, start.numpy())
    assert_begins(picks, indices, n)
    assert torch.equal(start, kept)
    assert (picks.scores.diff() <= 0).all()  # distances left never grow


def test_within_twice_the_best_radius():
    for seed in range(10):
        rows = torch.randn(9, 2, generator=torch.Generator().manual_seed(seed)).double()
        pairs = ((rows[:, None] - rows[None]) ** 2).sum(-1).sqrt()
        best = min(
            float(pairs[:, list(chosen)].amin(1).max())
            for chosen in itertools.combinations(range(9), 3)
        )
        chosen = k_center(Dense(rows), 3).indices
        assert float(pairs[:, chosen].amin(1).max()) <= 2 * best + 1e-12


def test_the_origin_as_the_only_center():
    rows = rows_of(3, 40)
    picks = k_center(Dense(rows), 5, Dense(rows).sq_norm())
    zeros = np.zeros((1, 3))
    start = ((rows.numpy()[:, None] - zeros[None]) ** 2).sum(-1).min(1)
    assert picks.indices.tolist() == slow_k_center(rows.numpy(), 5, start)[0]


def test_scale_and_rotation_change_nothing():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 4))
    rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    one, two, three = (
        k_center(Dense(torch.from_numpy(x)), 12).indices.tolist()
        for x in (rows, 100 * rows, rows @ rotation)
    )
    assert one == two == three


@pytest.mark.parametrize("kind", [Dense, Cosine])
def test_a_constant_pool_does_not_go_in_order(kind):
    picks = k_center(kind(torch.full((6, 3), 2.0)), 6)
    assert_begins(picks, [first(range(6))], 6)
    assert picks.indices.tolist() != [0, 1, 2, 3, 4, 5]
    assert (picks.scores[1:] == 0).all()


def test_no_row_comes_before_all_distinct_ones_are_in():
    rows = rows_of(5, 6).repeat(4, 1)
    n_distinct = len(torch.unique(rows, dim=0))
    picks = k_center(Dense(rows), 24).indices
    assert sorted(picks.tolist()) == list(range(24))
    assert len(torch.unique(rows[picks[:n_distinct]], dim=0)) == n_distinct


# -- kmeans_pp ----------------------------------------------------------------------


def law(
    rows: Tensor, centers: Tensor, n: int, cls: type[Dense] | type[Cosine]
) -> dict[tuple[int, ...], float]:
    """Probability of each sequence of picks."""
    power = 1
    if cls is Cosine:  # squares of half the squared distances of unit vectors
        rows, centers, power = normalize(rows), normalize(centers), 2
    m = len(rows)
    first = int(rows.square().sum(dim=1).argmax())
    found = {}
    for sequence in permutations(range(m), n):
        chance = 1.0
        for k, i in enumerate(sequence):
            known = torch.cat([centers, rows[list(sequence[:k])]])
            if len(known):
                near = all_sq_dist(rows, known).amin(dim=1) ** power
                chance *= float(near[i] / near.sum())
            else:
                chance *= i == first
        if chance > 0:
            found[sequence] = chance
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("n_centers", "cls"), [(0, Dense), (2, Dense), (2, Cosine)])
def test_frequencies_follow_the_law(n_centers, cls):
    rows, centers = features(5, 2), features(n_centers, 2, seed=1)
    expected = law(rows, centers, 3, cls)
    assert sum(expected.values()) == pytest.approx(1)
    rng = torch.Generator().manual_seed(0)
    given = cls(centers) if n_centers else None
    counts = Counter(
        tuple(kmeans_pp(cls(rows), 3, rng, given).indices.tolist()) for _ in range(1500)
    )
    assert set(counts) <= set(expected)
    observed = [counts[s] for s in expected]
    assert chisquare(observed, [1500 * p for p in expected.values()]).pvalue > 1e-3


@pytest.mark.slow
def test_frequencies_are_of_squared_distances_late_in_a_batch():
    # The last pick of five, by which proposals are old, given the four before it.
    rows = torch.tensor([[0.0], [1.0], [2.5], [4.5], [7.0], [10.0], [14.0]])
    rng = torch.Generator().manual_seed(0)
    counts: Counter[tuple[int, int]] = Counter()
    for _ in range(2000):
        *head, last = kmeans_pp(Dense(rows), 5, rng).indices.tolist()
        counts[sum(1 << i for i in head), last] += 1
    statistics = []
    for head in {head for head, _ in counts}:
        chosen = [i for i in range(7) if head >> i & 1]
        near = all_sq_dist(rows, rows[chosen]).amin(dim=1)
        others = [i for i in range(7) if i not in chosen]
        observed = [counts[head, i] for i in others]
        if sum(observed) > 100:
            chance = near[others] / near.sum() * sum(observed)
            statistics.append(chisquare(observed, chance.tolist()).pvalue)
    assert len(statistics) > 3
    assert min(statistics) > 1e-3 / len(statistics)


@pytest.mark.parametrize("kind", KINDS)
def test_kmeans_pp_is_distinct_on_any_pool(kind):
    rows = features(30, 4, kind=kind)
    for seed, n in product(range(3), (0, 1, 30)):
        rng = torch.Generator().manual_seed(seed)
        for centers in (None, Dense(rows[:3].clone())):
            picks = kmeans_pp(Dense(rows), n, rng, centers)
            assert len(set(picks.indices.tolist())) == n == len(picks.scores)
            assert picks.scores.isfinite().all()


def test_rows_on_centers_come_last():
    rows = features(5, 2)[torch.arange(15) % 5]
    picks = kmeans_pp(Dense(rows), 15, torch.Generator().manual_seed(3))
    first = {i % 5 for i in picks.indices[:5].tolist()}
    assert len(first) == 5
    assert_begins(picks, picks.indices[:5].tolist(), 15)
    assert (picks.scores[5:] == 0).all()
    assert (picks.scores[:5] > 0).all()


def test_same_seed_same_picks():
    rows = Dense(features(200, 40))
    runs = [
        kmeans_pp(rows, 30, torch.Generator().manual_seed(s)).indices.tolist()
        for s in (1, 1, 2)
    ]
    assert runs[0] == runs[1] != runs[2]


def test_scores_of_kmeans_pp_are_squared_distances_when_picked():
    rows, centers = features(40, 3), features(4, 3, seed=1)
    picks = kmeans_pp(Dense(rows), 10, torch.Generator().manual_seed(0), Dense(centers))
    for k, i in enumerate(picks.indices.tolist()):
        known = torch.cat([centers, rows[picks.indices[:k]]])
        expected = float(all_sq_dist(rows[i : i + 1], known).min())
        assert float(picks.scores[k]) == pytest.approx(expected, rel=1e-5)


def test_squares_that_overflow_are_refused():
    rows = torch.tensor([[1e25], [2e25], [-1e25], [3e24]])
    with pytest.raises(ValueError, match="scale the features"):
        kmeans_pp(Dense(rows), 3, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("n_centers", [0, 3])
@pytest.mark.parametrize("m", [40, 3000])
def test_picks_of_a_small_batch_are_the_first_of_a_larger_one(n_centers, m):
    rows, centers = features(m, 3), Dense(features(3, 3, seed=1))
    picks = [
        kmeans_pp(
            Dense(rows),
            n,
            torch.Generator().manual_seed(5),
            centers if n_centers else None,
        ).indices.tolist()
        for n in (1, 2, 7, 20, 39)
    ]
    for few in picks:
        assert few == picks[-1][: len(few)]


# -- lcmd ---------------------------------------------------------------------------


def slow_lcmd(rows: Tensor, centers: Tensor, n: int) -> list[int]:
    """Compute everything anew for each pick, in float64, while a row is apart."""
    picked: list[int] = []
    if not len(centers):
        norms = rows.double().square().sum(dim=1).tolist()
        picked.append(first(i for i, x in enumerate(norms) if x == max(norms)))
    while len(picked) < n:
        distances = all_sq_dist(rows, torch.cat([centers, rows[picked]]))
        near, cluster = distances.min(dim=1)
        cluster = (distances == near[:, None]).byte().argmax(dim=1)
        weights = [float(near[cluster == c].sum()) for c in range(distances.shape[1])]
        if max(weights) == 0:
            break
        heaviest = first(c for c, x in enumerate(weights) if x == max(weights))
        value = {
            i: float(near[i])
            for i in range(len(rows))
            if i not in picked and cluster[i] == heaviest
        }
        picked.append(first(i for i in value if value[i] == max(value.values())))
    return picked[:n]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_centers", [0, 1, 8])
def test_lcmd_equals_the_slow_version(kind, n_centers):
    rows = features(60, 6, kind=kind)
    centers = features(n_centers, 6, seed=1, kind=kind)
    expected = slow_lcmd(rows, centers, 60)
    for n in (0, 1, 25, 60):
        picks = lcmd(Dense(rows), n, Dense(centers))
        assert_begins(picks, expected, n)
    if n_centers == 0:
        assert picks.scores[0] == pytest.approx(float(rows[expected[0]].norm() ** 2))
        assert_begins(lcmd(Dense(rows), 60), expected, 60)


@pytest.mark.parametrize("seed", range(6))
def test_lcmd_equals_the_slow_version_where_forecasts_matter(seed):
    # Few directions make clusters move a lot, many hardly at all.
    d = [2, 40][seed % 2]
    rows, centers = features(300, d, seed=seed), features(10, d, seed=seed + 100)
    picks = lcmd(Dense(rows), 60, Dense(centers))
    assert picks.indices.tolist() == slow_lcmd(rows, centers, 60)


def test_first_pick_counts_what_is_labeled():
    # A row next to a labeled one is not picked, be its norm the largest.
    rows = torch.tensor([[9.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    assert lcmd(Dense(rows), 1).indices.tolist() == [0]
    labeled = torch.tensor([[9.0, 0.1], [0.0, 0.0]])
    assert lcmd(Dense(rows), 1, Dense(labeled)).indices.tolist() == [1]


def test_one_center_picks_the_farthest_row_first():
    rows, center = features(60, 8), features(1, 8, seed=1)
    farthest = k_center(Dense(rows), 1, Dense(rows).nearest(Dense(center))[0])
    picks = lcmd(Dense(rows), 1, Dense(center))
    assert picks.indices.tolist() == farthest.indices.tolist()
    torch.testing.assert_close(picks.scores, farthest.scores)


def test_scores_of_lcmd_are_squared_distances_when_picked():
    rows, centers = features(40, 3), features(4, 3, seed=1)
    picks = lcmd(Dense(rows), 10, Dense(centers))
    for k, i in enumerate(picks.indices.tolist()):
        known = torch.cat([centers, rows[picks.indices[:k]]])
        expected = float(all_sq_dist(rows[i : i + 1], known).min())
        assert float(picks.scores[k]) == pytest.approx(expected, rel=1e-5)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.sampled_from([0.25, 2.0, 64.0]))
def test_invariant_to_rotation_scale_and_order(seed, scale):
    rows = features(50, 5, seed=seed).double()
    centers = features(6, 5, seed=seed + 1).double()
    expected = lcmd(Dense(rows), 12, Dense(centers)).indices
    scaled = lcmd(Dense(rows * scale), 12, Dense(centers * scale)).indices
    assert torch.equal(scaled, expected)
    turn = torch.linalg.qr(features(5, 5, seed=seed + 2).double()).Q
    turned = lcmd(Dense(rows @ turn), 12, Dense(centers @ turn)).indices
    assert torch.equal(turned, expected)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(seed))
    ordered = lcmd(Dense(rows[order]), 12, Dense(centers)).indices
    assert torch.equal(order[ordered], expected)


def test_embeddings_that_are_not_dense():
    cosine = Cosine(features(30, 4))
    unit = torch.nn.functional.normalize(features(30, 4))
    # Squared cosine distances, brute force.
    distances = (1 - unit.double() @ unit.double().T).square()
    picks = lcmd(cosine, 8).indices.tolist()
    expected = [picks[0]]
    while len(expected) < 8:
        near, cluster = distances[:, expected].min(dim=1)
        weights = torch.zeros(len(expected), dtype=torch.float64)
        weights.index_add_(0, cluster, near)
        value = torch.where(cluster == weights.argmax(), near, -1.0)
        expected.append(int(value.argmax()))
    assert picks == expected


# -- NearestCenters -----------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_given", [0, 4])
@pytest.mark.parametrize("ahead", [True, False])
def test_follows_centers_as_they_are_added(kind, n_given, ahead):
    rows, given_centers = features(60, 7, kind=kind), features(n_given, 7, seed=1)
    near = NearestCenters(Dense(rows), Dense(given_centers))
    order = torch.randperm(60, generator=torch.Generator().manual_seed(2))[:20].tolist()
    for k, i in enumerate(order):
        if ahead and k % 5 == 0:
            near.compare(torch.tensor([*order[k : k + 5], 59]).unique())
        assert near.lacks(i) is (not ahead and near.n_centers > 0)
        near.add(i)
        known = torch.cat([given_centers, rows[order[: k + 1]]])
        expected = all_sq_dist(rows, known)
        close = {"rtol": 1e-5, "atol": 1e-9}
        torch.testing.assert_close(near.sq_dist.double(), expected.amin(dim=1), **close)
        own = expected.gather(1, near.center[:, None])[:, 0]
        torch.testing.assert_close(own, expected.amin(dim=1), **close)
        weights = torch.zeros(len(known)).double()
        weights.index_add_(0, near.center, near.sq_dist.double())
        torch.testing.assert_close(near.weights(), weights)
        assert near.n_centers == len(known)


def test_of_equally_near_centers_the_oldest_is_kept():
    rows = torch.tensor([[0.0], [1.0], [2.0], [1.0]])
    for ahead in (False, True):
        near = NearestCenters(Dense(rows))
        if ahead:
            near.compare(torch.arange(4))
        for i in (0, 2, 3, 1):
            near.add(i)
        assert near.center.tolist() == [0, 2, 1, 2]


def test_distances_that_products_do_not_tell_apart():
    for seed in range(10):
        rows = torch.cat([torch.zeros(1, 156), hardly_apart(seed)])
        expected = all_sq_dist(rows[:1], rows[1:])
        near = NearestCenters(Dense(rows))
        near.compare(torch.arange(1, 8))
        for i in range(1, 8):
            near.add(i)
            assert near.sq_dist[0] == expected[0, :i].min()


def test_starts_from_squared_distances():
    rows = features(20, 3)
    start = torch.full((20,), 0.5)
    near = NearestCenters(Dense(rows), sq_dist=start)
    near.add(3)
    expected = all_sq_dist(rows, rows[3:4])[:, 0].clamp(max=0.5).float()
    torch.testing.assert_close(near.sq_dist, expected)
    assert (start == 0.5).all()
    assert set(near.center.tolist()) == {-1, 0}


@pytest.mark.parametrize("ahead", [True, False])
def test_other_embeddings_are_followed_by_their_own_distances(ahead):
    rows = features(50, 4)
    rows[[3, 9, 20]] = 0.0
    cosine = Cosine(rows)
    near = NearestCenters(cosine, Cosine(features(3, 4, seed=1)))
    expected = near.sq_dist.clone()
    for i in (4, 9, 30, 11):
        if ahead and near.lacks(i):
            near.compare(torch.tensor([4, 9, 11, 30]))
        near.add(i)
        expected = torch.minimum(expected, cosine.sq_dist(i))
        torch.testing.assert_close(near.sq_dist, expected, rtol=0, atol=0)
    with pytest.raises(TypeError, match="Cannot compare Cosine with Dense"):
        NearestCenters(cosine, Dense(features(3, 3)))


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_change_nothing(kind, small_blocks):
    rows, centers = features(60, 7, kind=kind), features(9, 7, seed=1, kind=kind)

    def follow() -> NearestCenters:
        near = NearestCenters(Dense(rows), Dense(centers))
        near.compare(torch.tensor([5, 11]))
        near.add(11)
        return near

    expected = follow()
    small_blocks(50)
    found = follow()
    assert torch.equal(found.center, expected.center)
    torch.testing.assert_close(found.sq_dist, expected.sq_dist)


@settings(max_examples=30, deadline=None)
@given(
    scale=st.sampled_from([1e-12, 1e-3, 1.0, 1e6]),
    offset=st.sampled_from([0.0, 1.0, 1e4]),
    seed=st.integers(0, 1000),
)
def test_duplicates_are_at_exactly_zero(scale, offset, seed):
    rows = features(30, 5, seed=seed) * scale + offset * scale
    rows[17] = rows[3]
    near = NearestCenters(Dense(rows))
    near.add(0)
    near.compare(torch.tensor([3]))
    near.add(3)
    assert near.sq_dist[[0, 3, 17]].tolist() == [0.0, 0.0, 0.0]


def test_never_compares_more_rows_than_will_be_added():
    near = NearestCenters(Dense(features(60, 7)), n_more=2)
    assert near.n_ahead == 2
    near.add(0)
    assert near.n_ahead == 1
