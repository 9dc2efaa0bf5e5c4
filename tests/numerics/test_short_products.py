"""The same answers if torch was told to cut the factors of products to ten bits."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import skal._numerics.products
from skal._numerics import balls, flips, nearest
from skal._numerics.balls import Balls
from skal._numerics.flips import HeadRows
from skal.selection import k_nearest
from skal.selection._centers import NearestCenters
from skal.spaces import Dense, Factors, GradientEmbedding, gradient
from tests.numerics.test_balls import inside
from tests.numerics.test_nearest import all_sq_dist, features
from tests.numerics.test_neighbors import by_sorting


def rounded(elements: Tensor) -> Tensor:
    """Round to ten of the 23 bits of the significand of float32."""
    bits = elements.contiguous().view(torch.int32)
    return ((bits + (1 << 12)) & -(1 << 13)).view(torch.float32)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    def linear(rows, weight, bias=None):
        return F.linear(rounded(rows), rounded(weight), bias)

    monkeypatch.setattr(skal._numerics.products, "_precisions", lambda on_gpu: ["tf32"])
    for module in (balls, flips, gradient, nearest):
        monkeypatch.setattr(module, "linear", linear)


def test_nearest_centers():
    rows, centers = features(2000, 6), features(300, 6, seed=1)
    sq_dist, center = nearest.nearest(rows, centers)
    expected = all_sq_dist(rows, centers).min(dim=1)
    assert torch.equal(center, expected.indices)
    torch.testing.assert_close(sq_dist, expected.values.float())


def test_centers_that_are_compared_ahead():
    rows, order = features(2000, 6), list(range(300))
    near = NearestCenters(Dense(rows))
    for i in order:
        if near.lacks(i):
            near.compare(torch.arange(i, i + near.n_ahead))
        near.add(i)
    assert torch.equal(near.center, all_sq_dist(rows, rows[order]).argmin(dim=1))


def test_nearest_points():
    rows, points = features(200, 16), features(90, 16, seed=1)
    assert k_nearest(rows, points, 10).tolist() == by_sorting(rows, points, 10)


def test_balls():
    rows = features(500, 16)
    everywhere = torch.ones(500, dtype=torch.bool)
    assert torch.equal(Balls(rows, 5.0).count(everywhere), inside(rows, 5.0).sum(dim=1))


def test_nearest_gradients():
    own, theirs = (
        Factors(features(m, 3, seed=m), features(m, 2, seed=m + 1)) for m in (2000, 300)
    )
    flat, points = ((a[:, :, None] * g[:, None]).flatten(1) for a, g in (own, theirs))
    expected = all_sq_dist(flat, points).argmin(dim=1)
    found = GradientEmbedding([own]).nearest(GradientEmbedding([theirs]))[1]
    assert torch.equal(found, expected)


@pytest.mark.parametrize("n_classes", [1, 4])
def test_classes_under_perturbed_heads(n_classes):
    rows, n_heads = features(2000, 16), 60
    head = features(n_classes, 17, seed=1).double()
    noise = 0.01 * features(n_heads * n_classes, 17, seed=2).double()
    noise = noise.view(n_heads, n_classes, 17)
    found = HeadRows(rows, head).flips(noise)
    extended = torch.cat([rows.double(), torch.ones(2000, 1)], dim=1)
    before, after = extended @ head.T, extended @ (head + noise).mT
    if n_classes == 1:
        expected = (before > 0)[:, 0] != (after > 0)[..., 0]
    else:
        expected = before.argmax(dim=1) != after.argmax(dim=2)
    assert torch.equal(found, expected)
