"""Selectors of batches: pure functions from scores or an embedding to rows."""

from skal._numerics.neighbors import KNearest, k_nearest
from skal.selection._bait import bait
from skal.selection._batch_bald import (
    batch_bald,
    batch_bald_of_covariance,
    gaussian_batch_bald,
)
from skal.selection._batch_epig import (
    batch_epig,
    batch_epig_of_covariance,
    gaussian_batch_epig,
)
from skal.selection._centers import k_center, kmeans_pp, lcmd
from skal.selection._clusters import representatives, round_robin, typi_clust
from skal.selection._fisher_bait import Information, fisher_bait
from skal.selection._frank_wolfe import frank_wolfe
from skal.selection._greedy import Picks
from skal.selection._herding import max_herding
from skal.selection._max_cover import max_cover
from skal.selection._max_det import max_det
from skal.selection._medoids import k_medoids
from skal.selection._prob_cover import prob_cover
from skal.selection._scores import (
    draw_probabilities,
    gumbel_top_k,
    interleave,
    top_k,
)
from skal.selection._seeding import seeding
from skal.selection._tessar import tessar

__all__ = [
    "Information",
    "KNearest",
    "Picks",
    "bait",
    "batch_bald",
    "batch_bald_of_covariance",
    "batch_epig",
    "batch_epig_of_covariance",
    "draw_probabilities",
    "fisher_bait",
    "frank_wolfe",
    "gaussian_batch_bald",
    "gaussian_batch_epig",
    "gumbel_top_k",
    "interleave",
    "k_center",
    "k_medoids",
    "k_nearest",
    "kmeans_pp",
    "lcmd",
    "max_cover",
    "max_det",
    "max_herding",
    "prob_cover",
    "representatives",
    "round_robin",
    "seeding",
    "tessar",
    "top_k",
    "typi_clust",
]
