"""Exact distances, and the bounds of products, against all distances in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from skal._numerics.nearest import (
    ApproximateDistances,
    LowerBounds,
    first_of_copies,
    nearest,
    sq_dist_of_pairs,
    sq_dist_to,
)


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


@pytest.mark.parametrize("n_rows", [0, 1, 60])
@pytest.mark.parametrize("signs", [False, True])
def test_first_of_copies(n_rows, signs):
    """Also of rows that are no copies, but have equal norms."""
    rows = torch.randint(0, 3, (n_rows, 3), generator=torch.Generator().manual_seed(0))
    if signs:
        rows[::2] *= -1
    order = torch.randperm(n_rows, generator=torch.Generator().manual_seed(1))
    for keys in (None, order):
        ranks = range(n_rows) if keys is None else keys.tolist()
        first: dict[tuple[int, ...], int] = {}
        for i in sorted(range(n_rows), key=ranks.__getitem__):
            first.setdefault(tuple(rows[i].tolist()), i)
        found = first_of_copies(rows.float(), keys)
        assert found.tolist() == sorted(first.values())


def hardly_apart(seed: int) -> Tensor:
    """Centers whose squared distances from 0 are near 2**24, all but the last's.

    They are integers that differ by 1, which float32 holds and products lose: the mean
    of all centers lies where these products are about 0, so that little is left.
    """
    rng = torch.Generator().manual_seed(seed)
    values = torch.randint(200, 400, (150,), generator=rng).float()
    centers = torch.empty(7, 156)
    for j, units in enumerate(torch.randperm(6, generator=rng)):
        centers[j, :150] = values[torch.randperm(150, generator=rng)]
        centers[j, 150:] = (torch.arange(6) < units).float()
    centers[6] = -centers[:6].sum(dim=0)
    centers[6, :150] -= 7 * values
    return centers


KINDS = ["continuous", "tied", "duplicated", "constant", "far"]


def all_sq_dist(rows: Tensor, centers: Tensor) -> Tensor:
    return (rows[:, None].double() - centers[None].double()).square().sum(dim=2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block", [1, 50, 2**20])
def test_nearest_of_all(kind, block, small_blocks):
    small_blocks(block)
    rows, centers = features(60, 7, kind=kind), features(9, 7, seed=1, kind=kind)
    expected = all_sq_dist(rows, centers).min(dim=1)
    sq_dist, center = nearest(rows, centers)
    assert sq_dist.dtype == torch.float32
    torch.testing.assert_close(sq_dist.double(), expected.values, rtol=1e-5, atol=0)
    exact = nearest(rows.double(), centers.double())
    torch.testing.assert_close(exact[0], expected.values, rtol=1e-12, atol=0)
    assert torch.equal(exact[1], expected.indices)
    if kind != "far":  # where float32 makes ties of its own
        assert torch.equal(center, expected.indices)


def test_of_equally_near_centers_the_first():
    centers = torch.tensor([[5.0], [2.0], [0.0], [2.0]])
    assert nearest(torch.ones(1, 1), centers)[1].tolist() == [1]


def test_distances_that_products_do_not_tell_apart():
    rows = torch.zeros(1, 156)
    for seed in range(10):
        expected = all_sq_dist(rows, hardly_apart(seed))
        sq_dist, center = nearest(rows, hardly_apart(seed))
        assert sq_dist.tolist() == expected.amin(dim=1).tolist()
        assert center.tolist() == expected.argmin(dim=1).tolist()


@pytest.mark.usefixtures("worst_errors")
def test_products_as_wrong_as_their_bound():
    rows, centers = features(500, 5), features(40, 5, seed=1)
    expected = all_sq_dist(rows, centers).min(dim=1)
    sq_dist, center = nearest(rows, centers)
    assert torch.equal(center, expected.indices)
    torch.testing.assert_close(sq_dist, expected.values.float())


@settings(max_examples=30, deadline=None)
@given(
    scale=st.sampled_from([1e-12, 1e-3, 1.0, 1e6]),
    offset=st.sampled_from([0.0, 1.0, 1e4]),
    seed=st.integers(0, 1000),
)
def test_duplicates_are_at_exactly_zero(scale, offset, seed):
    rows = features(30, 5, seed=seed) * scale + offset * scale
    rows[17] = rows[3]
    assert sq_dist_to(rows, rows[3])[[3, 17]].tolist() == [0.0, 0.0]
    sq_dist, center = nearest(rows, rows[[5, 3]].clone())
    assert (float(sq_dist[17]), int(center[17])) == (0.0, 1)


@pytest.mark.parametrize("block", [1, 30, 2**18])
def test_distances_to_a_center_and_of_pairs(block, small_blocks):
    small_blocks(block)
    rows, centers = features(40, 6), features(11, 6, seed=1)
    expected = all_sq_dist(rows, centers).float()
    some = torch.tensor([7, 0, 7, 39])
    close = {"rtol": 1e-6, "atol": 0}
    torch.testing.assert_close(sq_dist_to(rows, centers[3]), expected[:, 3], **close)
    torch.testing.assert_close(
        sq_dist_to(rows, centers[3], some), expected[some, 3], **close
    )
    row, center = torch.arange(40).repeat(11), torch.arange(11).repeat_interleave(40)
    found = sq_dist_of_pairs(rows, centers, row, center)
    torch.testing.assert_close(found, expected.T.flatten(), **close)
    in_order = sq_dist_of_pairs(rows, centers, None, center[:40])
    torch.testing.assert_close(in_order, expected[:, 0], **close)
    assert sq_dist_of_pairs(rows, centers, row[:0], center[:0]).shape == (0,)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shrunk", [1.0, 1e-3])
@pytest.mark.parametrize("with_lengths", [False, True])
def test_approximate_differences_are_within_the_error(kind, shrunk, with_lengths):
    centers, rows = features(23, 5, kind=kind), shrunk * features(31, 5, seed=1)
    lengths = torch.arange(1.0, 32)[:, None] if with_lengths else None
    values, errors = ApproximateDistances(centers)(rows, lengths)
    scaled = rows.double() if lengths is None else rows.double() / lengths
    exact = torch.cdist(scaled, centers.double()).square() / 2
    wrong = (values - values[:, :1]) - (exact - exact[:, :1])
    assert bool((wrong.abs().amax(dim=1) <= 2 * errors).all())
    assert bool((errors < 1e-3 * (1 + exact.amax(dim=1))).all())


def test_the_error_counts_the_norms_of_the_centers():
    centers = 1000 * features(40, 5)
    values, errors = ApproximateDistances(centers)(centers.mean(dim=0, keepdim=True))
    exact = (centers - centers.mean(dim=0)).double().square().sum(dim=1) / 2
    wrong = (values[0] - exact).abs().max()
    assert 1e-3 < float(wrong) < float(errors)


def test_few_rows_after_many_and_rows_of_another_dtype():
    centers, rows = features(23, 5), features(31, 5, seed=1)
    approximate = ApproximateDistances(centers)
    many = [part.clone() for part in approximate(rows)]
    few = [part.clone() for part in approximate(rows[7:9])]
    for found, expected in zip(few, many, strict=True):
        torch.testing.assert_close(found, expected[7:9])
    assert approximate(rows[:0])[0].shape == (0, 23)
    wide = approximate(rows.double())
    assert wide[0].dtype == torch.float32
    torch.testing.assert_close(wide, tuple(many))


@pytest.mark.parametrize("kind", KINDS)
def test_lower_bounds_of_any_part(kind, small_blocks):
    small_blocks(40)
    rows, centers = features(60, 7, kind=kind), features(9, 7, seed=1, kind=kind)
    bounds, sq_dist = LowerBounds(rows), all_sq_dist(centers, rows)
    found = bounds(centers).double()
    assert bool((found <= sq_dist).all())
    assert bool((sq_dist - found <= 1e-3 * rows.double().square().sum(dim=1)).all())
    part = bounds(centers, slice(20, 33)).double()
    assert bool((part <= sq_dist[:, 20:33]).all())
    torch.testing.assert_close(part, found[:, 20:33], rtol=0, atol=1e-3)


@pytest.mark.parametrize("d", [3, 512, 32768])
def test_lower_bounds_of_rows_whose_errors_all_go_one_way(d):
    values = torch.linspace(0.1, 3, 60)
    rows = values[:, None].repeat(1, d)
    bounds = LowerBounds(rows)(rows)
    sq_dist = d * (values[:, None].double() - values.double()).square()
    assert bool((bounds.double() <= sq_dist).all())
    assert bool((sq_dist - bounds < 0.05 * d).all())  # squared norms are up to 9 d
