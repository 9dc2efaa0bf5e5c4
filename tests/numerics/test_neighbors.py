"""Nearest centers against sorting all distances, and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor
from torch.nn.functional import normalize

from skal._numerics.neighbors import KNearest, k_nearest, smallest
from tests.numerics.test_nearest import KINDS, features, hardly_apart


def by_sorting(rows: Tensor, centers: Tensor, k: int) -> list[list[int]]:
    """Nearest by distances to all centers, of equals the first; by position."""
    found = []
    for row in rows:
        distances = [float((row - center).square().sum()) for center in centers]
        order = sorted(range(len(centers)), key=lambda j: (distances[j], j))
        found.append(sorted(order[:k]))
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block", [1, 100, 2**20])
def test_equals_sorting_all_distances(kind, block, small_blocks):
    small_blocks(block)
    rows, centers = features(31, 7, kind=kind), features(23, 7, seed=1, kind=kind)
    for k in (1, 4, 23):
        assert k_nearest(rows, centers, k).tolist() == by_sorting(rows, centers, k)
    rows[4] = centers[3] = centers[9] = 0  # without a direction
    found = k_nearest(rows, centers, 4, metric="cosine").tolist()
    expected = by_sorting(normalize(rows), normalize(centers), 4)
    # Equally near to the two without a direction, then to all others.
    expected[4] = [0, 1, 3, 9]
    assert found == expected


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_agrees_with_scikit_learn(metric):
    rows, centers = features(200, 16).double(), features(90, 16, seed=1).double()
    search = NearestNeighbors(n_neighbors=10, metric=metric).fit(centers)
    found = k_nearest(rows, centers, 10, metric)
    np.testing.assert_array_equal(found, np.sort(search.kneighbors(rows)[1]))


def test_of_equally_near_centers_the_first():
    centers = torch.tensor([[2.0], [-1.0], [1.0], [-1.0], [1.0]])
    assert k_nearest(torch.zeros(1, 1), centers, 3).tolist() == [[1, 2, 3]]
    alike = k_nearest(torch.ones(2, 3), torch.ones(300, 3), 4)
    assert alike.tolist() == [[0, 1, 2, 3]] * 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("step", [0.0, 1e-9, 1e-7, 1e-6, 1e-5, 1e-3])
def test_nearly_equal_distances_to_many_centers(step, dtype):
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(0))
    centers = (1 + step * order.double()) * (-1.0) ** torch.arange(1000)
    centers = centers.to(dtype)[:, None]
    rows = torch.tensor([[2.0], [-1.5]], dtype=dtype)
    assert k_nearest(rows, centers, 60).tolist() == by_sorting(rows, centers, 60)


def test_what_products_do_not_tell_apart():
    for seed in range(10):
        rows, centers = torch.zeros(1, 156), hardly_apart(seed)
        assert k_nearest(rows, centers, 3).tolist() == by_sorting(rows, centers, 3)
        rng = torch.Generator().manual_seed(seed)
        rows, other = torch.randn(2, 9, 40, generator=rng)
        centers = torch.cat([rows[:1] + 2e-4 * other, other])
        found = k_nearest(rows, centers, 3, metric="cosine").tolist()
        assert found == by_sorting(normalize(rows), normalize(centers), 3)


@pytest.mark.usefixtures("worst_errors")
@pytest.mark.parametrize("k", [1, 6, 30])
def test_products_as_wrong_as_their_bound(k):
    rows, centers = features(200, 5), features(40, 5, seed=1)
    assert k_nearest(rows, centers, k).tolist() == by_sorting(rows, centers, k)


def test_a_row_does_not_depend_on_those_beside_it():
    rows = normalize(features(300, 33).abs())
    centers = rows[torch.arange(80) % 20]  # many ties
    together = k_nearest(rows, centers, 7)
    for size in (1, 13):
        apart = [k_nearest(part, centers, 7) for part in rows.split(size)]
        assert torch.equal(torch.cat(apart), together)
    assert all(
        {j, j + 20, j + 40, j + 60} <= set(together[j].tolist()) for j in range(20)
    )


@pytest.mark.parametrize("block", [60, 2**20])
def test_parts_of_any_size_one_after_the_other(block, small_blocks):
    small_blocks(block)
    rows, centers = features(31, 7), features(23, 7, seed=1)
    search = KNearest(centers, 4)
    found = [search(part) for part in rows.split([2, 0, 20, 1, 8])]
    assert torch.cat(found).tolist() == by_sorting(rows, centers, 4)


def test_a_part_that_is_refused_leaves_the_search_as_it_was():
    rows, centers = features(9, 3), features(7, 3, seed=1)
    search = KNearest(centers, 2)
    with pytest.raises(ValueError, match="must be finite"):
        search(rows * torch.nan)
    with pytest.raises(ValueError, match=r"\(9, 2\) and \(7, 3\)"):
        search(rows[:, :2])
    assert search(rows).tolist() == by_sorting(rows, centers, 2)


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
    rows, centers = features(40, 5).to(device), features(30, 5, seed=1).to(device)
    found = k_nearest(rows, centers, 6)
    assert found.device == rows.device
    assert found.cpu().tolist() == k_nearest(rows.cpu(), centers.cpu(), 6).tolist()


# -- the smallest elements ----------------------------------------------------------

TINY = torch.finfo(torch.float32).tiny


def elements(n: int, seed: int, dtype: torch.dtype) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(60, n, generator=generator, dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("k", [1, 3, 12, 100])
@pytest.mark.parametrize("n", [100, 1001, 8000])
def test_equals_sorting_up_to_the_blur(n, k, dtype):
    for values in (elements(n, n + k, dtype), elements(n, n + k, dtype).round()):
        found, positions, blur = smallest(values, k)
        assert blur <= (2.0**-14 if dtype == torch.float32 else 2 * n * 2.0**-52)
        expected = values.sort(dim=1).values[:, :k].to(found)
        torch.testing.assert_close(found, expected, rtol=blur, atol=TINY)
        taken = values.gather(1, positions).to(found)
        torch.testing.assert_close(taken, expected, rtol=2 * blur, atol=TINY)
        assert bool((found.diff(dim=1) >= 0).all())
        assert all(len(set(row)) == k for row in positions.tolist())


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("n", [12, 97, 500, 1200])
def test_elements_that_differ_are_in_order(n, dtype):
    generator = torch.Generator().manual_seed(n)
    ranks = torch.stack([torch.randperm(n, generator=generator) for _ in range(9)])
    values = (ranks - n // 3).to(dtype)
    kept = values.clone()
    positions = smallest(values, 11)[1]
    assert torch.equal(ranks.gather(1, positions), torch.arange(11).expand(9, 11))
    assert torch.equal(values, kept)


def test_the_last_columns_count_and_no_rows_are_none():
    values = torch.arange(1003.0).flip(0)[None]
    assert smallest(values, 2)[1].tolist() == [[1002, 1001]]
    assert smallest(torch.ones(0, 300), 2)[0].shape == (0, 2)
    assert k_nearest(torch.ones(0, 2), torch.ones(3, 2), 2).shape == (0, 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_without_direction_are_equally_near_to_all(dtype):
    rng = torch.Generator().manual_seed(0)
    centers = torch.randn(40, 9, generator=rng, dtype=dtype)
    rows = torch.zeros(3, 9, dtype=dtype)
    found = k_nearest(rows, centers, 5, metric="cosine")
    assert found.tolist() == [[0, 1, 2, 3, 4]] * 3
    centers[7] = 0  # the only one that is as near as a row of its own kind
    assert k_nearest(rows, centers, 2, metric="cosine").tolist() == [[0, 7]] * 3
