"""Slices of rows cover them all, and are as large as the elements allow."""

from __future__ import annotations

import pytest

from skal._numerics import blocks as module
from skal._numerics.blocks import block_size, blocks, tiles


@pytest.mark.parametrize("n_rows", [0, 1, 7, 50])
@pytest.mark.parametrize("width", [0, 1, 13, 50, 51])
@pytest.mark.parametrize("in_cache", [False, True])
def test_slices_are_consecutive_and_full(n_rows, width, in_cache, monkeypatch):
    monkeypatch.setattr(module, "MEMORY", 50)
    monkeypatch.setattr(module, "CACHE", 20)
    size = block_size(width, in_cache=in_cache)
    limit = 20 if in_cache else 50
    assert size == 1 or size * width <= limit < (size + 1) * max(width, 1)
    parts = list(blocks(n_rows, width, in_cache=in_cache))
    rows = [i for part in parts for i in range(part.start, part.stop)]
    assert rows == list(range(n_rows))
    assert all(part.stop - part.start == size for part in parts[:-1])


def test_pairs_of_two_tiles_are_a_block(small_blocks):
    small_blocks(50)
    sizes = [part.stop - part.start for part in tiles(30)]
    assert sizes == [7, 7, 7, 7, 2]
