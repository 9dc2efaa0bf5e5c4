"""Rows as vectors seen through norms and distances: features, gradients, sketches."""

from skal.spaces.cosine import Cosine
from skal.spaces.dense import Dense, Embedding
from skal.spaces.gaussian import OfProcess, feature_scale, posterior_features
from skal.spaces.gradient import Factors, GradientEmbedding
from skal.spaces.leaves import Leaves
from skal.spaces.sketch import Sketch

__all__ = [
    "Cosine",
    "Dense",
    "Embedding",
    "Factors",
    "GradientEmbedding",
    "Leaves",
    "OfProcess",
    "Sketch",
    "feature_scale",
    "posterior_features",
]
