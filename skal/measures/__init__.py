"""Pure functions from tensors to one score per row; higher is more valuable."""

from skal.measures._contrast import contrast
from skal.measures._density import mean_cosine, mean_nearness, not_negative
from skal.measures._disagreement import (
    bald,
    bald_of_variance,
    consensus_entropy,
    gaussian_bald,
    kl_divergence,
    mean_std,
    predictive_variance,
    variation_ratio,
    vote_entropy,
)
from skal.measures._epig import epig, epig_of_covariance, gaussian_epig
from skal.measures._gradient_length import (
    expected_model_change,
    gradient_gram,
    gradient_lengths,
    softmax_gradient_length,
)
from skal.measures._ldm import least_disagree_metric
from skal.measures._uncertainty import (
    decision_margin,
    entropy,
    least_confidence,
    margin,
    smallest_decision,
)

__all__ = [
    "bald",
    "bald_of_variance",
    "consensus_entropy",
    "contrast",
    "decision_margin",
    "entropy",
    "epig",
    "epig_of_covariance",
    "expected_model_change",
    "gaussian_bald",
    "gaussian_epig",
    "gradient_gram",
    "gradient_lengths",
    "kl_divergence",
    "least_confidence",
    "least_disagree_metric",
    "margin",
    "mean_cosine",
    "mean_nearness",
    "mean_std",
    "not_negative",
    "predictive_variance",
    "smallest_decision",
    "softmax_gradient_length",
    "variation_ratio",
    "vote_entropy",
]
