"""MaxHerding against greedy selection with the whole kernel matrix."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skal.selection import max_herding, prob_cover
from skal.selection._herding import spread
from tests.selection.ends import assert_begins
from tests.selection.ties import first


def kernel(rows: np.ndarray, others: np.ndarray, bandwidth: float) -> np.ndarray:
    apart = rows[:, None, :] - others[None, :, :]
    return np.exp(-(apart**2).sum(axis=2) / bandwidth**2)


def coverage(rows, chosen, bandwidth, labeled, weights) -> float:
    centers = np.concatenate([labeled, rows[list(chosen)]])
    if not len(centers):
        return 0.0
    return float((weights * kernel(rows, centers, bandwidth).max(axis=1)).mean())


def check_greedy(rows, picks, bandwidth, labeled, weights, tolerance=2e-6) -> None:
    """Each pick adds the most at the time, and its score is what it adds."""
    # What differs by rounding alone counts as equal, measured by the first gain.
    equal = 64 * np.finfo(np.float32).eps * float(picks.scores.max())
    chosen: list[int] = []
    for row, score in zip(picks.indices.tolist(), picks.scores.tolist(), strict=True):
        before = coverage(rows, chosen, bandwidth, labeled, weights)
        gains = [
            coverage(rows, [*chosen, i], bandwidth, labeled, weights) - before
            for i in range(len(rows))
        ]
        assert gains[row] >= max(gains) - tolerance * max(1.0, max(weights)) - equal
        np.testing.assert_allclose(score, gains[row], atol=tolerance)
        chosen.append(row)


@given(st.integers(0, 10_000), st.booleans(), st.booleans())
@settings(max_examples=40, deadline=None)
def test_as_greedy_selection_with_all_of_the_kernel(seed, with_labels, with_weights):
    rng = np.random.default_rng(seed)
    m, d = rng.integers(2, 40), rng.integers(1, 5)
    rows = rng.normal(size=(m, d)) + rng.integers(0, 3, size=(m, 1)) * 4
    labeled = rng.normal(size=(5 * with_labels, d))
    weights = rng.random(m) if with_weights else np.ones(m)
    bandwidth = float(rng.choice([0.05, 0.5, 2.0, 20.0]))
    picks = max_herding(
        torch.from_numpy(rows),
        min(m, 8),
        bandwidth,
        torch.from_numpy(labeled),
        torch.from_numpy(weights) if with_weights else None,
    )
    assert len(set(picks.indices.tolist())) == min(m, 8)
    check_greedy(rows, picks, bandwidth, labeled, weights)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_units_and_origin_change_no_pick(scale, shift):
    rows = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)).double()
    expected = max_herding(rows, 20, 0.7)
    got = max_herding((rows + shift) * scale, 20, 0.7 * scale)
    assert torch.equal(got.indices, expected.indices)
    torch.testing.assert_close(got.scores, expected.scores, rtol=1e-4, atol=1e-7)


def test_a_narrow_kernel_far_from_the_middle_keeps_its_precision():
    """Rows in pairs: float32 could not tell how near the two of a pair are."""
    rng = np.random.default_rng(0)
    firsts = 1e3 * rng.normal(size=(30, 2))
    rows = np.concatenate([firsts, firsts + rng.normal(size=(30, 2)) / 10])
    picks = max_herding(torch.from_numpy(rows), 30, 0.2)
    check_greedy(rows, picks, 0.2, np.empty((0, 2)), np.ones(60), tolerance=1e-9)
    assert {i % 30 for i in picks.indices.tolist()} == set(range(30))


def test_the_coverage_is_near_the_best_there_is():
    rng = np.random.default_rng(3)
    rows, none, ones = rng.normal(size=(12, 2)), np.empty((0, 2)), np.ones(12)
    picks = max_herding(torch.from_numpy(rows), 3, 1.0)
    best = max(
        coverage(rows, chosen, 1.0, none, ones)
        for chosen in itertools.combinations(range(12), 3)
    )
    assert float(picks.scores.sum()) >= (1 - np.exp(-1)) * best
    np.testing.assert_allclose(
        float(picks.scores.sum()),
        coverage(rows, picks.indices.tolist(), 1.0, none, ones),
        atol=1e-6,
    )


def test_heaps_far_apart_are_counted_as_by_balls():
    """Where rows are very near or very far, the kernel counts those that are near."""
    rng = np.random.default_rng(1)
    sizes = [9, 7, 5, 2]
    heaps = np.repeat(np.arange(4) * 100.0, sizes)[:, None]
    rows = torch.from_numpy(heaps + 1e-3 * rng.normal(size=heaps.shape))
    picks, balls = max_herding(rows, 4, 1.0), prob_cover(rows, 4, radius=1.0)
    heap = torch.from_numpy(np.repeat(np.arange(4), sizes))
    assert heap[picks.indices].tolist() == heap[balls.indices].tolist() == [0, 1, 2, 3]
    torch.testing.assert_close(
        picks.scores * 23, torch.tensor([9.0, 7, 5, 2]).double(), rtol=1e-3, atol=0
    )


def test_rows_of_no_weight_need_no_cover():
    rows = torch.tensor([[0.0], [0.1], [0.2], [50.0], [90.0]])
    weights = torch.tensor([0.0, 0.0, 0.0, 1.0, 0.5])
    assert max_herding(rows, 2, 1.0, weights=weights).indices.tolist() == [3, 4]


def test_duplicates_of_picks_and_labeled_rows_come_last():
    rows = torch.tensor([[1.0], [1.0], [1.0], [7.0], [4.0]])
    picks = max_herding(rows, 5, 0.5, labeled=torch.tensor([[7.0]]))
    assert_begins(picks, [first([0, 1, 2]), 4], 5)
    assert picks.scores[2:].tolist() == [0, 0, 0]


def test_equal_rows():
    picks = max_herding(torch.ones(9, 2), 9)
    assert_begins(picks, [first(range(9))], 9)
    assert picks.scores.tolist() == [1] + [0] * 8


def test_the_spread_is_the_mean_distance_between_rows():
    rows = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) + 5
    expected = (torch.cdist(rows, rows) ** 2).mean() / 2
    assert spread(rows) == pytest.approx(float(expected) ** 0.5, rel=1e-5)
    unit = rows / rows.norm(dim=1, keepdim=True)
    both = torch.cat([unit, -unit])
    assert spread(both) == pytest.approx(1.0)
    picks = [max_herding(rows, 5, b).indices for b in (None, spread(rows))]
    assert torch.equal(*picks)


def test_few_kernels_are_computed(monkeypatch):
    """Lazily: a hundred picks cost a few passes of the first one."""
    from skal.selection import _herding

    n_pairs = [0]
    linear = _herding.linear

    def counting(rows, weight, bias=None):
        n_pairs[0] += len(rows) * len(weight)
        return linear(rows, weight, bias)

    monkeypatch.setattr(_herding, "linear", counting)
    rows = torch.randn(1500, 8, generator=torch.Generator().manual_seed(0))
    for bandwidth in (spread(rows), 0.5, 0.01):
        n_pairs[0] = 0
        max_herding(rows, 100, bandwidth)
        assert n_pairs[0] < 12 * 1500**2


def test_what_it_refuses():
    rows = torch.ones(3, 1)
    with pytest.raises(ValueError, match="n must be between 0 and 3"):
        max_herding(rows, 4)
    for bandwidth in (0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="bandwidth must be a number above 0"):
            max_herding(rows, 1, bandwidth)
    for bad in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="weights must be finite and not negative"):
            max_herding(rows, 1, weights=torch.tensor([1.0, bad, 1.0]))
    assert max_herding(torch.empty(0, 2), 0).indices.tolist() == []
