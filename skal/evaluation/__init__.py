"""How good a model is: its mean loss over a pool, from some labels, with intervals."""

from skal.evaluation.cross_validation import cross_validated_loss
from skal.evaluation.losses import row_losses
from skal.evaluation.risk import RiskEstimate, lure, mean_loss

__all__ = [
    "RiskEstimate",
    "cross_validated_loss",
    "lure",
    "mean_loss",
    "row_losses",
]
