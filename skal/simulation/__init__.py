"""Labeling campaigns on labeled data, and query strategies compared by them."""

from skal.simulation.campaign import ActiveLearningSimulation
from skal.simulation.comparison import compare_strategies
from skal.simulation.result import StrategyComparison

__all__ = ["ActiveLearningSimulation", "StrategyComparison", "compare_strategies"]
