from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from skal._numerics import distances, tables
from skal._numerics import nearest as module
from skal._numerics.distances import sq_dist_to
from skal._numerics.nearest import NearestCenters, nearest
from skal._numerics.tables import DenseTable
from skal.spaces import Cosine, Dense


def features(m: int, d: int, seed: int = 0, kind: str = "continuous") -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(m, d, generator=rng)
    if kind == "tied":
        return x.mul(0.8).round()
    if kind == "duplicated":
        return x[torch.arange(m) % 5]
    if kind == "constant":
        return torch.ones(m, d)
    if kind == "far":
        return x + 100
    return x


def hardly_apart(seed: int) -> Tensor:
    """Points whose squared distances from 0 are near 2**24, all but the last's.

    They are whole numbers that differ by 1, which float32 holds and products lose: the
    mean of all points lies where these products are about 0, so that little is left.
    """
    rng = torch.Generator().manual_seed(seed)
    numbers = torch.randint(200, 400, (150,), generator=rng).float()
    points = torch.empty(7, 156)
    for j, units in enumerate(torch.randperm(6, generator=rng)):
        points[j, :150] = numbers[torch.randperm(150, generator=rng)]
        points[j, 150:] = (torch.arange(6) < units).float()
    points[6] = -points[:6].sum(dim=0)
    points[6, :150] -= 7 * numbers
    return points


KINDS = ["continuous", "tied", "duplicated", "constant", "far"]


def all_sq_dist(rows: Tensor, centers: Tensor) -> Tensor:
    return (rows[:, None].double() - centers[None].double()).square().sum(dim=2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("with_centers", [True, False])
@pytest.mark.parametrize("guessed", [True, False])
def test_follows_centers_as_they_are_added(kind, with_centers, guessed):
    rows, given_centers = features(60, 7, kind=kind), features(4, 7, seed=1)
    centers = Dense(given_centers) if with_centers else None
    near = NearestCenters(Dense(rows), centers)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(2))[:20].tolist()
    for k, i in enumerate(order):
        if guessed and k % 5 == 0:
            near.guess(torch.tensor([*order[k : k + 5], 59]).unique())
        assert near.knows(i) is guessed
        near.add(i)
        known = torch.cat([given_centers[: 4 * with_centers], rows[order[: k + 1]]])
        expected = all_sq_dist(rows, known)
        torch.testing.assert_close(
            near.sq_dist.double(), expected.amin(dim=1), rtol=1e-5, atol=1e-9
        )
        own = expected.gather(1, near.center[:, None])[:, 0]
        torch.testing.assert_close(own, expected.amin(dim=1), rtol=1e-5, atol=1e-9)
        assert near.n_centers == len(known)


def test_of_equally_near_centers_the_older_is_kept():
    rows = torch.tensor([[0.0], [1.0], [2.0], [1.0]])
    near = NearestCenters(Dense(rows))
    for i in (0, 2, 3, 1):
        near.add(i)
    assert near.center.tolist() == [0, 2, 1, 2]
    assert nearest(Dense(rows[1:2]), Dense(rows[[2, 0]]))[1].tolist() == [0]


@pytest.mark.parametrize("seed", range(20))
def test_distances_that_products_do_not_tell_apart(seed):
    rows, points = torch.zeros(1, 156), hardly_apart(seed)
    expected = all_sq_dist(rows, points)
    sq_dist, center = nearest(Dense(rows), Dense(points))
    assert sq_dist.tolist() == expected.amin(dim=1).tolist()
    assert center.tolist() == expected.argmin(dim=1).tolist()
    near = NearestCenters(Dense(torch.cat([rows, points])))
    near.guess(torch.arange(1, 8))
    for i in range(1, 8):
        near.add(i)
        assert near.sq_dist[0] == expected[0, :i].min()


@pytest.mark.parametrize("d", [3, 512, 32768])
def test_bounds_of_rows_whose_errors_all_go_one_way(d):
    numbers = torch.linspace(0.1, 3, 60)
    bounds = DenseTable(numbers[:, None].repeat(1, d)).bounds(torch.arange(60))
    sq_dist = d * (numbers[:, None].double() - numbers.double()).square()
    assert bool((bounds.double() <= sq_dist).all())
    assert bool((sq_dist - bounds < 0.05 * d).all())  # squared norms are up to 9 d


def test_starts_from_squared_distances():
    rows = features(20, 3)
    start = torch.full((20,), 0.5)
    near = NearestCenters(Dense(rows), sq_dist=start)
    near.add(3)
    expected = all_sq_dist(rows, rows[3:4])[:, 0].clamp(max=0.5).float()
    torch.testing.assert_close(near.sq_dist, expected)
    assert (start == 0.5).all()
    assert set(near.center.tolist()) == {-1, 0}


def test_other_embeddings_are_followed_by_their_own_distances():
    cosine = Cosine(features(20, 3))
    near = NearestCenters(cosine)
    near.guess(torch.tensor([4]))
    assert near.knows(0)
    near.add(4)
    near.add(9)
    expected = torch.minimum(cosine.sq_dist(4), cosine.sq_dist(9))
    torch.testing.assert_close(near.sq_dist, expected, rtol=0, atol=0)
    with pytest.raises(TypeError, match=r"nearest of Dense to rows of Cosine"):
        NearestCenters(cosine, Dense(features(3, 3)))


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_change_nothing(kind, monkeypatch):
    rows, centers = features(60, 7, kind=kind), features(9, 7, seed=1, kind=kind)

    def follow() -> NearestCenters:
        near = NearestCenters(Dense(rows), Dense(centers))
        near.guess(torch.tensor([5, 11]))
        near.add(11)
        return near

    expected = follow()
    for part in (module, tables):
        monkeypatch.setattr(part, "_BLOCK", 50)
    for part in (module, distances):
        monkeypatch.setattr(part, "_CACHE", 50)
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
    assert sq_dist_to(rows, 3)[[3, 17]].tolist() == [0.0, 0.0]
    assert nearest(Dense(rows), Dense(rows[[3]].clone()))[0][17] == 0
    near = NearestCenters(Dense(rows))
    near.add(0)
    near.guess(torch.tensor([3]))
    near.add(3)
    assert near.sq_dist[[0, 3, 17]].tolist() == [0.0, 0.0, 0.0]


def test_good_guesses_make_for_more():
    near = NearestCenters(Dense(features(60, 7)))
    near.add(0)
    few = near.n_guesses
    near.guess(torch.arange(1, 1 + few))
    for i in range(1, 1 + few):
        near.add(i)
    near.guess(torch.arange(10, 14))
    assert near.n_guesses == 2 * few
    near.guess(torch.arange(20, 24))  # none of the last was of use
    assert near.n_guesses == few
