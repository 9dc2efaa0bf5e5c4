"""Shared leaves against comparisons of one pair of rows at a time."""

from __future__ import annotations

import numpy as np
import pytest

from skal._numerics import shared_leaves
from skal._numerics.shared_leaves import SharedLeaves
from tests.numerics.leaves import count_shared, draw_codes


@pytest.mark.parametrize("cost", [0.0, 1e9])
@pytest.mark.parametrize("gap", [0, 70_000])
def test_counts_by_lists_and_by_comparisons(
    cost: float, gap: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_leaves, "LISTED", cost)  # lists are for free, or dear
    codes, others = draw_codes(70, gap=gap), draw_codes(20, 8, 9, seed=1, gap=gap)
    if not gap:  # other leaves must not be those of the next tree
        others = draw_codes(20, seed=1)
    n_codes = int(max(codes.max(), others.max())) + 1
    shared = SharedLeaves(codes, n_codes)
    both = np.concatenate([codes, others])
    for own, expected in zip(both, count_shared(both, codes), strict=True):
        assert np.array_equal(shared.with_all(own), expected)
    for first in (0, 13):
        counts, column = shared.with_several(both, first)
        expected = count_shared(codes[first:], both)
        assert np.array_equal(counts[:, column], expected)
        assert counts.sum() == expected.sum()  # other columns are 0
    sizes = [[int((codes == c).sum()) for c in row] for row in both]
    assert np.array_equal(shared.sizes(both), sizes)


@pytest.mark.parametrize("n_trees", [1, 255, 300])
def test_all_trees_are_counted(n_trees: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than fit into a byte, by comparisons as by lists."""
    codes = np.arange(n_trees, dtype=np.int32)[None].repeat(3, axis=0)
    for cost in (0.0, 1e9):
        monkeypatch.setattr(shared_leaves, "LISTED", cost)
        shared = SharedLeaves(codes, n_trees)
        assert shared.with_all(codes[0]).tolist() == [n_trees] * 3
        counts, column = shared.with_several(codes)
        assert (counts[:, column] == n_trees).all()


def test_no_rows() -> None:
    codes = draw_codes(9)
    counts, column = SharedLeaves(codes, int(codes.max()) + 1).with_several(codes[:0])
    assert counts.shape == (9, 0)
    assert len(column) == 0


def test_a_row_whose_leaves_are_of_no_other_row() -> None:
    codes = draw_codes(30)
    shared = SharedLeaves(codes, int(codes.max()) + 2)
    none = np.full(8, codes.max() + 1, dtype=np.int32)
    assert not shared.with_all(none).any()
    assert not shared._compare(none).any()
