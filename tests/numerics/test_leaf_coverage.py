"""Coverage by leaves against sums over all pairs of rows."""

from __future__ import annotations

import numpy as np
import pytest

from skal._numerics import leaf_coverage
from skal._numerics.leaf_coverage import LeafCoverage, pair_sums
from skal._numerics.shared_leaves import SharedLeaves
from tests.numerics.leaves import count_shared, draw_codes

CODES = draw_codes(60)
COUNTS = count_shared(CODES, CODES)
SHARED = SharedLeaves(CODES, int(CODES.max()) + 1)
WEIGHTS = np.random.default_rng(0).random(60)


def test_sums_of_pairs_of_trees() -> None:
    linear, quadratic = np.random.default_rng(1).random((2, 60))
    expected = COUNTS @ linear + (COUNTS * (COUNTS - 1)) @ quadratic
    many = 10**9  # rows that would be compared otherwise
    np.testing.assert_allclose(pair_sums(SHARED, linear, quadratic, many), expected)
    zeros = np.zeros(60)
    np.testing.assert_allclose(pair_sums(SHARED, linear, zeros, 1), COUNTS @ linear)
    assert pair_sums(SHARED, linear, quadratic, 1) is None  # takes longer than one row


@pytest.mark.parametrize("kept", [0, 100, 10**6])
@pytest.mark.parametrize("width", [0.2, 0.7, 3.0])
@pytest.mark.parametrize("n_covered", [0, 4])
def test_gains_and_their_bounds(
    kept: int, width: float, n_covered: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaf_coverage, "_KEPT", kept)
    kernel = np.exp(-(1 - np.arange(9) / 8) / width**2)
    chosen = list(range(n_covered))
    covered = COUNTS[chosen].max(axis=0) if chosen else None
    coverage = LeafCoverage(SHARED, kernel, WEIGHTS, covered)

    def value(rows: list[int]) -> float:
        if not rows:
            return 0.0
        return float(WEIGHTS @ kernel[COUNTS[rows].max(axis=0)])

    bounds = coverage.bounds(10**9)
    assert bounds is not None
    for row in (50, 7, 31):
        gains = np.array([coverage.gain(i) for i in range(60)])
        expected = [value([*chosen, i]) - value(chosen) for i in range(60)]
        np.testing.assert_allclose(gains, expected, atol=1e-12)
        assert (gains <= bounds + 1e-12).all()
        coverage.add(row)
        chosen.append(row)
