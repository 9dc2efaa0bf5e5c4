"""Balls against all distances."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from skal._numerics.balls import Balls
from tests.numerics.test_nearest import KINDS, all_sq_dist, features


def inside(rows: Tensor, radius: float) -> Tensor:
    sq_dist = all_sq_dist(rows, rows)
    return (sq_dist < radius**2) | (sq_dist == 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block", [50, 2**20])
def test_counts_are_those_of_all_distances(kind, block, small_blocks):
    small_blocks(block)
    rows = features(60, 5, kind=kind)
    draws = torch.rand(60, generator=torch.Generator().manual_seed(1))
    for radius in (0.5, 2.0, 3.3):
        balls, expected = Balls(rows, radius), inside(rows, radius)
        for share in (0.0, 0.1, 0.5, 0.9, 1.0):
            among = draws < share
            found = balls.count(among)
            assert torch.equal(found, (expected & among).sum(dim=1))
        for i in range(0, 60, 7):
            assert torch.equal(balls.ball(i), expected[i])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), shift=st.sampled_from([0, 1000]))
def test_a_distance_equal_to_the_radius_is_outside(seed, shift):
    # Integers: the distances are exact, and many equal the radius.
    rng = torch.Generator().manual_seed(seed)
    rows = (torch.randint(-3, 4, (50, 3), generator=rng) + shift).float()
    among = torch.rand(50, generator=rng) < 0.7
    for radius in (1.0, 3.0, 5.0):
        expected = (inside(rows, radius) & among).sum(dim=1)
        assert torch.equal(Balls(rows, radius).count(among), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_infinite_radius_and_radius_zero(kind):
    rows = features(30, 4, kind=kind)
    all_rows = torch.ones(30, dtype=torch.bool)
    assert Balls(rows, math.inf).count(all_rows).tolist() == [30] * 30
    duplicates = (all_sq_dist(rows, rows) == 0).sum(dim=1)
    assert torch.equal(Balls(rows, 0.0).count(all_rows), duplicates)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_pair_whose_distance_is_the_radius_is_outside(dtype):
    # The square of a rounded root is above or below the squared distance.
    rows = features(60, 3).to(dtype)
    distances = (rows[:, None] - rows).square().sum(dim=2).sqrt()
    inside = 0
    for i, j in torch.triu_indices(60, 60, 1).T.tolist():
        balls = Balls(rows[[i, j]], float(distances[i, j]))
        inside += int(balls.ball(0)[1])
        inside += int(balls.count(torch.tensor([True, True])).sum()) - 2
    assert inside == 0


@pytest.mark.parametrize("radius", [-1.0, math.nan])
def test_bad_radius(radius):
    with pytest.raises(ValueError, match="radius must be a number of at least 0"):
        Balls(features(3, 2), radius)
