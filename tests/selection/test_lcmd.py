from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from skal.selection import k_center, lcmd
from skal.spaces import Cosine, Dense
from tests.numerics.test_nearest import KINDS, all_sq_dist, features


def slow_lcmd(rows: Tensor, centers: Tensor, n: int) -> list[int]:
    """Compute everything anew for each pick, in float64."""
    picked: list[int] = []
    if not len(centers):
        picked.append(int(rows.double().square().sum(dim=1).argmax()))
    while len(picked) < n:
        distances = all_sq_dist(rows, torch.cat([centers, rows[picked]]))
        near, cluster = distances.min(dim=1)
        cluster = (distances == near[:, None]).byte().argmax(dim=1)
        weights = [float(near[cluster == c].sum()) for c in range(distances.shape[1])]
        heaviest = weights.index(max(weights))
        best = [
            (-float(near[i]), i)
            for i in range(len(rows))
            if i not in picked and (cluster[i] == heaviest or max(weights) == 0)
        ]
        picked.append(min(best)[1])
    return picked[:n]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_centers", [0, 1, 8])
def test_equals_the_slow_version(kind, n_centers):
    rows = features(60, 6, kind=kind)
    centers = features(n_centers, 6, seed=1, kind=kind)
    expected = slow_lcmd(rows, centers, 60)
    for n in (0, 1, 25, 60):
        picks = lcmd(Dense(rows), n, Dense(centers))
        assert picks.indices.tolist() == expected[:n]
    if n_centers == 0:
        assert picks.scores[0] == pytest.approx(float(rows[expected[0]].norm() ** 2))
        assert lcmd(Dense(rows), 60).indices.tolist() == expected


@pytest.mark.parametrize("seed", range(6))
def test_equals_the_slow_version_where_forecasts_matter(seed):
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


def test_scores_are_squared_distances_when_picked():
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
