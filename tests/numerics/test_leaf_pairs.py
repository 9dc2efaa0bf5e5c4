"""Gains from listed pairs against sums over all pairs of rows."""

from __future__ import annotations

import numpy as np
import pytest

from skal._numerics import leaf_pairs
from skal._numerics.leaf_coverage import LeafCoverage
from skal._numerics.leaf_pairs import LeafPairs
from skal._numerics.shared_leaves import SharedLeaves
from tests.numerics.leaves import count_shared, draw_codes

M = 250  # more rows than are compared at a time
CODES = draw_codes(M)
COUNTS = count_shared(CODES, CODES)
SHARED = SharedLeaves(CODES, int(CODES.max()) + 1)
WEIGHTS = np.random.default_rng(0).random(M)
KERNEL = np.exp(-(1 - np.arange(9) / 8) / 0.5)


def make_coverage(n_covered: int) -> LeafCoverage:
    covered = COUNTS[:n_covered].max(axis=0) if n_covered else None
    return LeafCoverage(SHARED, KERNEL, WEIGHTS, covered)


@pytest.mark.parametrize("n_covered", [0, 4])
def test_gains_and_falls(n_covered: int) -> None:
    pairs = LeafPairs(make_coverage(n_covered))
    assert pairs.fill()
    chosen = list(range(n_covered))

    def value(rows: list[int]) -> float:
        return float(WEIGHTS @ KERNEL[COUNTS[rows].max(axis=0)]) if rows else 0.0

    followed = pairs.gains()
    for row in (50, 7, 231):
        expected = [value([*chosen, i]) - value(chosen) for i in range(M)]
        np.testing.assert_allclose(pairs.gains(), expected, atol=1e-12)
        np.testing.assert_allclose(followed, expected, atol=1e-12)
        followed -= pairs.add(row)
        chosen.append(row)


def test_too_many_pairs_are_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two bytes for a pair of fewer than 256 rows and trees.
    n_bytes = 2 * int((COUNTS[:4].max(axis=0)[:, None] < COUNTS).sum())
    for most in (0, n_bytes - 1, n_bytes):
        monkeypatch.setattr(leaf_pairs, "_MOST", most)
        assert LeafPairs(make_coverage(4)).fill() == (most == n_bytes)
