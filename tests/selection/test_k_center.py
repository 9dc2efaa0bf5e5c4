from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skal.selection import k_center
from skal.spaces import Cosine, Dense


def rows_of(seed: int, m: int, d: int = 3) -> torch.Tensor:
    """Integer coordinates, so that distances are exact and often tie."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(-3, 4, (m, d), generator=rng).double()


def slow(rows: np.ndarray, n: int, start: np.ndarray | None = None):
    distance = (rows**2).sum(1) if start is None else start
    picks, scores = [], []
    for k in range(n):
        i = max(set(range(len(rows))) - set(picks), key=lambda j: (distance[j], -j))
        picks.append(i)
        scores.append(distance[i])
        to_pick = ((rows - rows[i]) ** 2).sum(1)
        first = k == 0 and start is None
        distance = to_pick if first else np.minimum(distance, to_pick)
    return picks, scores


@given(st.integers(0, 10**6), st.integers(1, 30), st.data())
@settings(max_examples=60, deadline=None)
def test_equals_the_slow_version_with_ties_and_duplicates(seed, m, data):
    rows = rows_of(seed, m)
    n = data.draw(st.integers(1, m))
    picks = k_center(Dense(rows), n)
    indices, scores = slow(rows.numpy(), n)
    assert picks.indices.tolist() == indices
    np.testing.assert_allclose(picks.scores, scores, rtol=1e-12)
    centers = rows_of(seed + 1, 4)
    start = Dense(rows).nearest(Dense(centers))[0]
    kept = start.clone()
    picks = k_center(Dense(rows), n, start)
    indices, scores = slow(rows.numpy(), n, start.numpy())
    assert picks.indices.tolist() == indices
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
    assert picks.indices.tolist() == slow(rows.numpy(), 5, start)[0]


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
def test_a_constant_pool_goes_in_order(kind):
    picks = k_center(kind(torch.full((6, 3), 2.0)), 6)
    assert picks.indices.tolist() == [0, 1, 2, 3, 4, 5]
    assert (picks.scores[1:] == 0).all()


def test_no_row_comes_before_all_distinct_ones_are_in():
    rows = rows_of(5, 6).repeat(4, 1)
    n_distinct = len(torch.unique(rows, dim=0))
    picks = k_center(Dense(rows), 24).indices
    assert sorted(picks.tolist()) == list(range(24))
    assert len(torch.unique(rows[picks[:n_distinct]], dim=0)) == n_distinct
