"""Gradients of rows as an embedding: factored, sketched, or after an update."""

from skal.kernels.gradient import GradientEmbedding
from skal.kernels.posterior import feature_scale, posterior_features
from skal.kernels.sketch import Sketch

__all__ = ["GradientEmbedding", "Sketch", "feature_scale", "posterior_features"]
