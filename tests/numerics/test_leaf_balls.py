"""Balls of leaves against all pairs of rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from skal._numerics import leaf_balls
from skal._numerics.leaf_balls import LeafBalls
from skal._numerics.shared_leaves import SharedLeaves
from tests.numerics.leaves import count_shared, draw_codes


@pytest.mark.parametrize("n_trees", [1, 8, 24])
@pytest.mark.parametrize("kept", [0, 10**6])
def test_balls_of_every_radius(
    n_trees: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaf_balls, "_KEPT", kept)
    codes = draw_codes(80, n_trees)
    shared = SharedLeaves(codes, int(codes.max()) + 1)
    sq_dist = 1 - count_shared(codes, codes) / n_trees
    rng = torch.Generator().manual_seed(0)
    few, most = (torch.rand(80, generator=rng) < share for share in (0.2, 0.8))
    # Also the roots of shares, at which rows are outside.
    shares = [*np.arange(n_trees + 1) / n_trees, 0.01, 0.3, 2.0]
    for radius in [*(share**0.5 for share in shares), math.inf]:
        balls = LeafBalls(shared, radius)
        outside = sq_dist >= radius**2 * (1 - 1e-12)
        inside = torch.from_numpy(~outside | (sq_dist == 0))
        for i in (0, 13, 79):
            assert torch.equal(balls.ball(i), inside[i])
        for among in (few, most, few):
            expected = (inside & among).sum(dim=1)
            assert torch.equal(balls.count(among), expected)


def test_lists_and_sums_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = draw_codes(500, 24, 40)  # more rows than are compared at a time
    shared = SharedLeaves(codes, int(codes.max()) + 1)
    among = torch.arange(500) % 7 > 0
    found = []
    for cost in (0.0, 1e9):
        monkeypatch.setattr("skal._numerics.shared_leaves.LISTED", cost)
        balls = [LeafBalls(shared, r) for r in (0.3, 0.6, 0.9)]
        found += [
            torch.stack([b.count(mask) for b in balls]) for mask in (among, ~among)
        ]
    assert torch.equal(found[0], found[2])
    assert torch.equal(found[1], found[3])
    assert len(found[0].unique()) > 9


@pytest.mark.parametrize("radius", [-1.0, math.nan])
def test_bad_radius(radius: float) -> None:
    codes = draw_codes(9)
    with pytest.raises(ValueError, match="radius must be a number of at least 0"):
        LeafBalls(SharedLeaves(codes, int(codes.max()) + 1), radius)
