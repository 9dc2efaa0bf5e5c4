"""Memory of the process."""

from __future__ import annotations

from functools import cache

import torch

__all__ = ["keep_freed_memory"]


@cache
def keep_freed_memory() -> None:
    """Let up to 64 MiB that are given back stay with the process, to be taken again.

    Otherwise results of each batch lie in pages that are new each time, which costs
    up to a third of a query.  The C library of Linux keeps twice the largest block
    that was ever freed, if that had at most 32 MiB (mallopt(3), M_MMAP_THRESHOLD); so
    one is taken and freed, never touched.  Elsewhere this does nothing.
    """
    torch.empty(2**25 - 2**12, dtype=torch.uint8)
