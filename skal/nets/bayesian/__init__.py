"""Bayes by backprop: nets with a Gaussian for each weight."""

from skal.nets.bayesian.layers import BayesLinear
from skal.nets.bayesian.likelihood import GaussianNLL
from skal.nets.bayesian.modules import BayesianMLP
from skal.nets.bayesian.weights import (
    bayesian_layers,
    kl_divergence,
    sample_weights,
)

__all__ = [
    "BayesLinear",
    "BayesianMLP",
    "GaussianNLL",
    "bayesian_layers",
    "kl_divergence",
    "sample_weights",
]
