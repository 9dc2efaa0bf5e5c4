"""How a batch is chosen: pure functions from scores or an embedding to rows."""

from skal.selection.base import Picks
from skal.selection.k_center import k_center
from skal.selection.seeding import seeding
from skal.selection.top_k import top_k

__all__ = ["Picks", "k_center", "seeding", "top_k"]
