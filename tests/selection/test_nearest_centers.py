"""Nearest centers, as they are added, against all distances."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skal.selection._nearest_centers import NearestCenters
from skal.spaces import Cosine, Dense
from tests.numerics.test_nearest import KINDS, all_sq_dist, features, hardly_apart


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
