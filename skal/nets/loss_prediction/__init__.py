"""Nets that learn to predict the loss of each row along with their task."""

from skal.nets.loss_prediction.nets import (
    LossPredictionClassifier,
    LossPredictionRegressor,
)
from skal.nets.loss_prediction.ranking import ranking_loss

__all__ = ["LossPredictionClassifier", "LossPredictionRegressor", "ranking_loss"]
