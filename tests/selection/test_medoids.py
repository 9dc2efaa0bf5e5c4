"""K-medoids against plain greedy selection with the whole matrix of distances."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from skal._numerics import products
from skal.selection import _medoids, k_medoids
from tests.selection.ends import assert_begins
from tests.selection.ties import first, in_turn

NONE = np.empty((0, 1))


def start(rows: np.ndarray, labeled: np.ndarray) -> np.ndarray:
    """Distance of each row to the nearest medoid before the first pick."""
    if len(labeled):
        return cdist(rows, labeled).min(axis=1)
    bound = 2 * np.linalg.norm(rows - rows.mean(axis=0), axis=1).max()
    return np.full(len(rows), bound)


def check_greedy(rows, picks, labeled=NONE, tolerance=1e-9) -> None:
    """Each pick takes off the most at the time, and its score is what it takes off.

    Of rows that take off the same, it is the first in the fixed random order.
    """
    rows = np.asarray(rows, dtype=np.float64)
    apart, nearest = cdist(rows, rows), start(rows, np.asarray(labeled, np.float64))
    size = nearest.max()
    chosen: list[int] = []
    for row, score in zip(picks.indices.tolist(), picks.scores.tolist(), strict=True):
        gains = np.maximum(nearest[:, None] - apart, 0).mean(axis=0)
        gains[chosen] = -1
        np.testing.assert_allclose(score, gains[row], rtol=1e-9, atol=1e-13 * size)
        if gains.max() > 1e-12 * size:
            best = np.flatnonzero(gains >= gains.max() * (1 - tolerance))
            assert row == first(best.tolist())
        nearest = np.minimum(nearest, apart[row])
        chosen.append(row)
    assert len(set(chosen)) == len(chosen)


@given(
    st.integers(0, 10_000),
    st.booleans(),
    st.sampled_from([torch.float32, torch.float64]),
)
@settings(max_examples=60, deadline=None)
def test_as_greedy_selection_with_all_distances(seed, with_labels, dtype):
    rng = np.random.default_rng(seed)
    m, d = rng.integers(1, 50), rng.integers(1, 6)
    rows = rng.normal(size=(m, d)) * 10.0 ** rng.integers(-3, 4, size=(1, d))
    if rng.random() < 0.3:
        rows = rows.round()  # ties and copies
    rows += rng.integers(0, 3, size=(m, 1)) * 4.0
    labeled = rng.normal(size=(5 * with_labels, d))
    rows, labeled = (
        torch.from_numpy(rows).to(dtype),
        torch.from_numpy(labeled).to(dtype),
    )
    n = int(rng.integers(0, m + 1))
    picks = k_medoids(rows, n, labeled if with_labels else None)
    assert len(picks.indices) == n
    check_greedy(rows, picks, labeled)


def test_the_first_pick_is_the_row_of_least_mean_distance():
    rows = torch.randn(300, 4, generator=torch.Generator().manual_seed(0)).double()
    expected = int(torch.cdist(rows, rows).mean(dim=1).argmin())
    assert k_medoids(rows, 1).indices.tolist() == [expected]
    # Of a line, it is the median.
    line = torch.tensor([[0.0], [3.0], [100.0], [1.0], [7.0]])
    assert k_medoids(line, 1).indices.tolist() == [1]


def test_scores_add_up_to_the_mean_distance():
    rng = np.random.default_rng(2)
    rows, labeled = rng.normal(size=(200, 3)), rng.normal(size=(4, 3))
    for known in (NONE, labeled):
        given = torch.from_numpy(known) if len(known) else None
        picks = k_medoids(torch.from_numpy(rows), 20, given)
        chosen = rows[picks.indices.numpy()]
        medoids = np.concatenate([known, chosen]) if len(known) else chosen
        left = cdist(rows, medoids).min(axis=1).mean()
        total = float(picks.scores.sum())
        np.testing.assert_allclose(start(rows, known).mean() - total, left)
        assert (np.diff(picks.scores.numpy()) <= 0).all()


def test_it_is_near_the_best_there_is():
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(12, 2))
    apart = cdist(rows, rows)
    best = min(
        apart[list(s)].min(axis=0).mean() for s in itertools.combinations(range(12), 3)
    )
    found = float(k_medoids(torch.from_numpy(rows), 3).scores.sum())
    assert found >= (1 - np.exp(-1)) * (start(rows, NONE)[0] - best)


def test_one_medoid_for_each_heap():
    rng = np.random.default_rng(1)
    heaps = np.repeat(np.arange(4) * 100.0, [9, 7, 5, 2])[:, None]
    rows = torch.from_numpy(heaps + rng.normal(size=heaps.shape))
    picks = k_medoids(rows, 4).indices
    assert sorted(heaps[picks.numpy(), 0]) == [0, 100, 200, 300]
    labeled = torch.tensor([[0.5], [300.5]], dtype=torch.float64)
    assert sorted(heaps[k_medoids(rows, 2, labeled).indices.numpy(), 0]) == [100, 200]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shift", [0.0, 1e7, -1e7])
def test_rows_far_from_the_origin(dtype, shift):
    rng = np.random.default_rng(4)
    rows = rng.integers(0, 40, size=(300, 3)) + shift  # exact in float32
    labeled = rng.integers(0, 40, size=(3, 3)) + shift
    for known in (None, torch.from_numpy(labeled).to(dtype)):
        picks = k_medoids(torch.from_numpy(rows).to(dtype), 40, known)
        check_greedy(rows, picks, NONE if known is None else labeled)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [2.0**-100, 2.0**-60, 2.0**60, 2.0**100, 2.0**120])
def test_units_change_no_pick(dtype, scale):
    rows = torch.randn(150, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    labeled = torch.randn(3, 4, generator=torch.Generator().manual_seed(1)).to(dtype)
    for known in (None, labeled):
        expected = k_medoids(rows, 20, known)
        got = k_medoids(rows * scale, 20, None if known is None else known * scale)
        assert torch.equal(got.indices, expected.indices)
        assert torch.equal(got.scores / scale, expected.scores)


@pytest.mark.parametrize("width", [1e-3, 1e-5, 1e-7])
def test_tight_heaps_are_told_apart(width):
    """Products in float32, and at last those in float64, cannot compare their rows."""
    rng = np.random.default_rng(5)
    centers = rng.normal(size=(4, 3))
    rows = np.repeat(centers, 50, axis=0) + width * rng.normal(size=(200, 3))
    picks = k_medoids(torch.from_numpy(rows), 60)
    check_greedy(rows, picks, tolerance=1e-10)
    assert sorted(picks.indices[:4].numpy() // 50) == [0, 1, 2, 3]


def test_all_rows_can_be_picked():
    rows = torch.randn(80, 3, generator=torch.Generator().manual_seed(0))
    picks = k_medoids(rows, 80)
    assert picks.indices.sort().values.tolist() == list(range(80))
    assert bool((picks.scores > 0).all())
    check_greedy(rows, picks)
    assert k_medoids(rows, 0).indices.tolist() == []
    assert k_medoids(rows[:0], 0).indices.tolist() == []
    assert k_medoids(rows[:1], 1).indices.tolist() == [0]


def test_the_first_picks_do_not_depend_on_how_many():
    rows = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    every = k_medoids(rows, 50)
    few = k_medoids(rows, 7)
    assert torch.equal(few.indices, every.indices[:7])
    assert torch.equal(few.scores, every.scores[:7])


def test_copies_of_medoids_come_last():
    rows = torch.tensor([[1.0], [1.0], [1.0], [7.0], [4.0]])
    picks = k_medoids(rows, 5, labeled=torch.tensor([[7.0]]))
    assert_begins(picks, [first([0, 1, 2]), 4], 5)
    np.testing.assert_allclose(picks.scores, [18 / 5, 3 / 5, 0, 0, 0], rtol=1e-15)


def test_equal_rows():
    picks = k_medoids(torch.ones(9, 2), 9)
    assert_begins(picks, [], 9)
    assert picks.scores.tolist() == [0] * 9


def test_copies_count_each():
    rng = np.random.default_rng(6)
    kinds = rng.normal(size=(6, 2))
    rows = kinds[rng.integers(0, 6, 400)]
    check_greedy(rows, k_medoids(torch.from_numpy(rows), 12))


def test_ties_are_not_in_pool_order():
    """A category of many levels, sorted: all rows are equally far from each other."""
    picks = k_medoids(torch.eye(120), 12, torch.zeros(1, 120))
    assert picks.indices.tolist() == in_turn(range(120))[:12]


def test_blocks_and_rows_of_the_pool_change_nothing(monkeypatch):
    rows = torch.randn(300, 5, generator=torch.Generator().manual_seed(0))
    expected = k_medoids(rows, 40)
    monkeypatch.setattr(products, "CACHE", 1000)
    monkeypatch.setattr(products, "MEMORY", 2000)
    monkeypatch.setattr(_medoids, "_TOGETHER", 7)
    got = k_medoids(rows, 40)
    assert torch.equal(got.indices, expected.indices)
    torch.testing.assert_close(got.scores, expected.scores, rtol=1e-12, atol=0)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(1))
    moved = k_medoids(rows[order], 40).indices
    assert torch.equal(order[moved], expected.indices)


def test_rounded_factors_change_no_pick(monkeypatch):
    """The bound holds where torch was told to cut the factors of products."""
    rows = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
    expected = k_medoids(rows, 30).indices
    linear = _medoids.linear

    def cut(rows, weight, bias):
        cuts = (x.to(torch.bfloat16).to(x.dtype) for x in (rows, weight))
        return linear(*cuts, bias)

    monkeypatch.setattr(products, "_precisions", lambda on_gpu: ["bf16"])
    monkeypatch.setattr(_medoids, "linear", cut)
    monkeypatch.setattr(_medoids, "_MANY", 10**9)
    assert torch.equal(k_medoids(rows, 30).indices, expected)


HEAPS = np.random.default_rng(0).normal(size=(30, 8)).repeat(50, axis=0)
SPREAD = np.random.default_rng(1).normal(size=(1500, 8))


@pytest.mark.parametrize(
    "rows",
    [
        *(SPREAD, HEAPS + SPREAD / 1e3, HEAPS + SPREAD / 1e5, HEAPS),
        np.concatenate([SPREAD[:1490] / 1e4, HEAPS[::150]]),
    ],
    ids=["spread", "heaps", "tight heaps", "copies", "one tight heap"],
)
def test_few_distances_are_computed(monkeypatch, rows):
    """Lazily: a hundred picks cost a few passes of the first one."""
    n_pairs, n_exact = [0], [0]
    linear, sq_dist_to = _medoids.linear, _medoids.sq_dist_to

    def counting(rows, weight, bias):
        n_pairs[0] += len(rows) * len(weight)
        return linear(rows, weight, bias)

    def exact(features, center, rows):
        n_exact[0] += 1
        return sq_dist_to(features, center, rows)

    monkeypatch.setattr(_medoids, "linear", counting)
    monkeypatch.setattr(_medoids, "sq_dist_to", exact)
    k_medoids(torch.from_numpy(rows), 100)
    assert n_pairs[0] < 12 * 1500 * max(100, len(np.unique(rows, axis=0)))
    assert n_exact[0] < 4 * 100  # two for each pick, and few for rows that are not


def test_what_it_refuses():
    rows = torch.ones(3, 1)
    with pytest.raises(ValueError, match="n must be between 0 and 3"):
        k_medoids(rows, 4)
    with pytest.raises(ValueError, match="their squares overflow"):
        k_medoids(1e200 * rows.double(), 1)
    with pytest.raises(ValueError, match="their squares overflow"):
        k_medoids(rows.double(), 1, 1e200 * rows.double())
