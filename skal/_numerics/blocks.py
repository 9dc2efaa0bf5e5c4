"""Sizes of the temporary tensors that rows are worked on in."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["CACHE", "MEMORY", "block_size", "blocks", "tiles"]

#: Elements of a temporary that stays in the cache of a core: 1 MiB of float32.
CACHE = 2**18
#: Elements of a temporary that is small beside the data: 4 MiB of float32.
MEMORY = 2**20


def block_size(width: int, *, in_cache: bool = False) -> int:
    """Return the number of rows of a block, at least 1.

    Parameters
    ----------
    width : int
        Elements of the largest temporary, per row.
    in_cache : bool
        Whether the temporary must stay in the cache: worth it where it is read as soon
        as it has been written, such as differences that are then squared and summed.
    """
    return max(1, (CACHE if in_cache else MEMORY) // max(1, width))


def blocks(n_rows: int, width: int, *, in_cache: bool = False) -> Iterator[slice]:
    """Cut rows into consecutive slices of `block_size` rows; the last may be shorter.

    Examples
    --------
    >>> from skal._numerics.blocks import blocks
    >>> list(blocks(5, 2**19))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    step = block_size(width, in_cache=in_cache)
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def tiles(n_rows: int) -> Iterator[slice]:
    """Cut rows into slices, of which any two have a block of pairs."""
    return blocks(n_rows, max(1, int(MEMORY**0.5)))
