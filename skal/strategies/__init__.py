"""Query strategies: which rows of a pool are worth a label."""

from skal.strategies.base import (
    QueryStrategy,
    ScoreStrategy,
    Selection,
    all_strategies,
)
from skal.strategies.core_set import CoreSet
from skal.strategies.ldm import LDM, LDMSeeding
from skal.strategies.noise_stability import NoiseStability
from skal.strategies.random import Random
from skal.strategies.uncertainty import Entropy, LeastConfident, Margin

__all__ = [
    "LDM",
    "CoreSet",
    "Entropy",
    "LDMSeeding",
    "LeastConfident",
    "Margin",
    "NoiseStability",
    "QueryStrategy",
    "Random",
    "ScoreStrategy",
    "Selection",
    "all_strategies",
]
