"""How a batch is chosen: pure functions from scores or an embedding to rows."""

from skal.selection.base import Picks
from skal.selection.batchbald import batch_bald
from skal.selection.gaussian import gaussian_batch_bald
from skal.selection.k_center import k_center
from skal.selection.seeding import seeding
from skal.selection.stochastic import power_bald
from skal.selection.top_k import top_k

__all__ = [
    "Picks",
    "batch_bald",
    "gaussian_batch_bald",
    "k_center",
    "power_bald",
    "seeding",
    "top_k",
]
