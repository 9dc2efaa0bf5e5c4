"""Nearest points against sorting all distances, and scikit-learn."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from skal.selection import KNearest, k_nearest
from tests.numerics.test_nearest import KINDS, features, hardly_apart

module_under_test = sys.modules["skal._numerics.neighbors"]


def by_sorting(rows: Tensor, points: Tensor, k: int) -> list[list[int]]:
    """Nearest by distances to all points, of equals the first; by position."""
    found = []
    for row in rows:
        distances = [float((row - point).square().sum()) for point in points]
        order = sorted(range(len(points)), key=lambda j: (distances[j], j))
        found.append(sorted(order[:k]))
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 4, 23])
@pytest.mark.parametrize("block", [1, 100, 2**21])
def test_equals_sorting_all_distances(monkeypatch, kind, k, block):
    monkeypatch.setattr(module_under_test, "_BLOCK", block)
    monkeypatch.setattr(module_under_test, "_CACHE", max(7, block // 10))
    rows, points = features(31, 7, kind=kind), features(23, 7, seed=1, kind=kind)
    assert k_nearest(rows, points, k).tolist() == by_sorting(rows, points, k)


def test_agrees_with_scikit_learn():
    rows, points = features(200, 16).double(), features(90, 16, seed=1).double()
    expected = NearestNeighbors(n_neighbors=10).fit(points).kneighbors(rows)[1]
    np.testing.assert_array_equal(k_nearest(rows, points, 10), np.sort(expected))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block", [1, 100, 2**21])
def test_directions_by_dividing_by_lengths(monkeypatch, kind, block):
    monkeypatch.setattr(module_under_test, "_BLOCK", block)
    rows, points = features(31, 7, kind=kind), features(23, 7, seed=1, kind=kind)
    rows[4] = points[3] = points[9] = 0  # without a direction
    unit, units = (torch.nn.functional.normalize(x, dim=1) for x in (rows, points))
    found = k_nearest(rows, points, 4, metric="cosine").tolist()
    assert found == by_sorting(unit, units, 4)


@pytest.mark.parametrize("seed", range(20))
def test_directions_that_products_do_not_tell_apart(seed):
    rng = torch.Generator().manual_seed(seed)
    rows, other = torch.randn(2, 9, 40, generator=rng)
    points = torch.cat([rows[:1] + 2e-4 * other, other])
    found = k_nearest(rows, points, 3, metric="cosine").tolist()
    unit, units = (torch.nn.functional.normalize(x, dim=1) for x in (rows, points))
    assert found == by_sorting(unit, units, 3)


def test_the_cosine_of_scikit_learn():
    rows, points = features(200, 16).double(), features(90, 16, seed=1).double()
    search = NearestNeighbors(n_neighbors=10, metric="cosine").fit(points)
    found = KNearest(points, 10, metric="cosine")(rows)
    np.testing.assert_array_equal(found, np.sort(search.kneighbors(rows)[1]))


def test_of_equally_near_points_the_first():
    points = torch.tensor([[2.0], [-1.0], [1.0], [-1.0], [1.0]])
    assert k_nearest(torch.zeros(1, 1), points, 3).tolist() == [[1, 2, 3]]
    assert (
        k_nearest(torch.ones(2, 3), torch.ones(5, 3), 4).tolist() == [[0, 1, 2, 3]] * 2
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("step", [0.0, 1e-9, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3])
def test_nearly_equal_distances_to_many_points(step, dtype):
    order = torch.randperm(3000, generator=torch.Generator().manual_seed(0))
    points = (1 + step * order.double()) * (-1.0) ** torch.arange(3000)
    points, rows = points.to(dtype)[:, None], torch.tensor([[2.0], [-1.5]], dtype=dtype)
    assert k_nearest(rows, points, 60).tolist() == by_sorting(rows, points, 60)


@pytest.mark.parametrize("seed", range(20))
def test_distances_that_products_do_not_tell_apart(seed):
    rows, points = torch.zeros(1, 156), hardly_apart(seed)
    assert k_nearest(rows, points, 3).tolist() == by_sorting(rows, points, 3)


def test_many_points_without_any_distance():
    found = k_nearest(torch.zeros(2, 4), torch.zeros(300, 4), 3)
    assert found.tolist() == [[0, 1, 2]] * 2


def test_a_row_does_not_depend_on_those_beside_it():
    rows = torch.nn.functional.normalize(features(300, 33).abs(), dim=1)
    points = rows[torch.arange(80) % 20]  # many ties
    together = k_nearest(rows, points, 7)
    for size in (1, 13):
        apart = [k_nearest(part, points, 7) for part in rows.split(size)]
        assert torch.equal(torch.cat(apart), together)
    assert all(
        {j, j + 20, j + 40, j + 60} <= set(together[j].tolist()) for j in range(20)
    )


@pytest.mark.parametrize("block", [60, 2**20])
def test_parts_of_any_size_one_after_the_other(monkeypatch, block):
    monkeypatch.setattr(module_under_test, "_BLOCK", block)
    rows, points = features(31, 7), features(23, 7, seed=1)
    search = KNearest(points, 4)
    found = [search(part) for part in rows.split([2, 0, 20, 1, 8])]
    assert torch.cat(found).tolist() == by_sorting(rows, points, 4)


def test_a_part_that_is_refused_leaves_the_search_as_it_was():
    rows, points = features(9, 3), features(7, 3, seed=1)
    search = KNearest(points, 2)
    with pytest.raises(ValueError, match="must be finite"):
        search(rows * torch.nan)
    with pytest.raises(ValueError, match=r"\(9, 2\) and \(7, 3\)"):
        search(rows[:, :2])
    assert search(rows).tolist() == by_sorting(rows, points, 2)


def test_no_rows():
    assert k_nearest(torch.ones(0, 2), torch.ones(3, 2), 2).shape == (0, 2)


def test_bad_input():
    rows = torch.ones(4, 2)
    for k in (0, 4):
        with pytest.raises(ValueError, match=f"from 1 to the 3 centers, got {k}"):
            k_nearest(rows, torch.ones(3, 2), k)
    with pytest.raises(ValueError, match=r"\(4, 2\) and \(3, 5\)"):
        k_nearest(rows, torch.ones(3, 5), 1)
    with pytest.raises(ValueError, match="shapes"):
        k_nearest(rows[:, 0], torch.ones(3, 2), 1)
    with pytest.raises(ValueError, match=r"shape \(L, d\), got \(3,\)"):
        KNearest(torch.ones(3), 1)
    for metric in ("euclidean", "cosine"):
        for value in (torch.nan, torch.inf, 1e30):
            with pytest.raises(ValueError, match="must be finite"):
                k_nearest(rows * value, torch.ones(3, 2), 1, metric)
            with pytest.raises(ValueError, match="must be finite"):
                k_nearest(rows, torch.full((3, 2), value), 1, metric)
    with pytest.raises(ValueError, match="'euclidean' or 'cosine', got 'dot'"):
        KNearest(rows, 1, metric="dot")


def test_on_the_device_of_the_rows(device):
    rows, points = features(40, 5).to(device), features(30, 5, seed=1).to(device)
    found = k_nearest(rows, points, 6)
    assert found.device == rows.device
    assert found.cpu().tolist() == k_nearest(rows.cpu(), points.cpu(), 6).tolist()
