"""Labeling campaigns on labeled data, and comparisons of query strategies."""

from skal.simulation.campaign import ActiveLearningSimulation
from skal.simulation.comparison import compare_strategies
from skal.simulation.display import (
    CostCurveDisplay,
    GainDisplay,
    LearningCurveDisplay,
)
from skal.simulation.playing import CampaignFailure, PlayedStep
from skal.simulation.result import StrategyComparison

__all__ = [
    "ActiveLearningSimulation",
    "CampaignFailure",
    "CostCurveDisplay",
    "GainDisplay",
    "LearningCurveDisplay",
    "PlayedStep",
    "StrategyComparison",
    "compare_strategies",
]
