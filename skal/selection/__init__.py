"""How a batch is chosen: pure functions from scores or an embedding to rows."""

from skal.selection.bait import bait
from skal.selection.base import Picks
from skal.selection.batchbald import batch_bald
from skal.selection.fisher_bait import Information, fisher_bait
from skal.selection.frank_wolfe import frank_wolfe
from skal.selection.gaussian import gaussian_batch_bald
from skal.selection.interleave import interleave
from skal.selection.k_center import k_center
from skal.selection.k_nearest import KNearest, k_nearest
from skal.selection.kmeans_pp import kmeans_pp
from skal.selection.lcmd import lcmd
from skal.selection.max_cover import max_cover
from skal.selection.max_det import max_det
from skal.selection.prob_cover import prob_cover
from skal.selection.representatives import representatives
from skal.selection.seeding import seeding
from skal.selection.stochastic import power_bald
from skal.selection.tessar import tessar
from skal.selection.top_k import top_k
from skal.selection.typi_clust import typi_clust

__all__ = [
    "Information",
    "KNearest",
    "Picks",
    "bait",
    "batch_bald",
    "fisher_bait",
    "frank_wolfe",
    "gaussian_batch_bald",
    "interleave",
    "k_center",
    "k_nearest",
    "kmeans_pp",
    "lcmd",
    "max_cover",
    "max_det",
    "power_bald",
    "prob_cover",
    "representatives",
    "seeding",
    "tessar",
    "top_k",
    "typi_clust",
]
