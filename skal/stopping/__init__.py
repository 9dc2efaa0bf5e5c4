"""When to stop labeling: rules for simulations, campaigns and your own loops."""

from skal.stopping.base import AllOf, AnyOf, StoppingRule
from skal.stopping.curves import (
    Forecast,
    LearningCurve,
    fit_learning_curve,
    forecast_labels,
)
from skal.stopping.rules import (
    Budget,
    ConfidentPredictions,
    SmallGain,
    StablePredictions,
    TargetScore,
)

__all__ = [
    "AllOf",
    "AnyOf",
    "Budget",
    "ConfidentPredictions",
    "Forecast",
    "LearningCurve",
    "SmallGain",
    "StablePredictions",
    "StoppingRule",
    "TargetScore",
    "fit_learning_curve",
    "forecast_labels",
]
