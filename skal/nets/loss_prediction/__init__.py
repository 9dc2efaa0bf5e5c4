"""Nets that learn to predict the loss of each row beside their task."""

from skal.nets.loss_prediction.loss import ranking_loss
from skal.nets.loss_prediction.nets import (
    LossPredictionClassifier,
    LossPredictionRegressor,
)

__all__ = ["LossPredictionClassifier", "LossPredictionRegressor", "ranking_loss"]
