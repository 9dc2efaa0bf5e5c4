"""Small nets that learn to tell labeled rows from unlabeled ones."""

from skal.adversarial.batches import Batches
from skal.adversarial.mal import Body, Mal
from skal.adversarial.networks import (
    BetaVAE,
    CosineClassifier,
    reverse_gradient,
    unfamiliarity_net,
)
from skal.adversarial.training import DivergedError, History, train
from skal.adversarial.vaal import Vaal

__all__ = [
    "Batches",
    "BetaVAE",
    "Body",
    "CosineClassifier",
    "DivergedError",
    "History",
    "Mal",
    "Vaal",
    "reverse_gradient",
    "train",
    "unfamiliarity_net",
]
