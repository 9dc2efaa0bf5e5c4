"""Memory of the process."""

from __future__ import annotations

from functools import cache

import torch

__all__ = ["keep_freed_memory"]


@cache
def keep_freed_memory() -> None:
    """Let memory that is given back stay with the process, to be taken again.

    Otherwise results of each batch lie in pages that are new each time, which costs
    up to a third of a query.  The C library of Linux takes blocks from its heap up to
    the size of the largest one, of at most 32 MiB, that was ever freed, and keeps
    twice as much at the heap's end (mallopt(3), M_MMAP_THRESHOLD): 64 MiB, or more
    where blocks in use lie behind.  So one is taken and freed.  Elsewhere this does
    nothing.
    """
    torch.empty(2**25 - 2**12, dtype=torch.uint8, device="cpu")
