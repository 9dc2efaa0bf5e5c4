"""Labeling campaigns on labeled data, and comparisons of query strategies."""

from skal.simulation.campaign import ActiveLearningSimulation
from skal.simulation.comparison import compare_strategies
from skal.simulation.display import LearningCurveDisplay
from skal.simulation.result import StrategyComparison

__all__ = [
    "ActiveLearningSimulation",
    "LearningCurveDisplay",
    "StrategyComparison",
    "compare_strategies",
]
