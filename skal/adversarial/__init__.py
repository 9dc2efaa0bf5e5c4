"""Small networks that learn to tell labeled rows from unlabeled ones."""

from skal.adversarial.minimax import MinimaxGame
from skal.adversarial.networks import (
    BetaVAE,
    Body,
    CosineClassifier,
    reverse_gradient,
    unfamiliarity_net,
)
from skal.adversarial.training import Batches, DivergedError, History, train
from skal.adversarial.vae import VAEGame

__all__ = [
    "Batches",
    "BetaVAE",
    "Body",
    "CosineClassifier",
    "DivergedError",
    "History",
    "MinimaxGame",
    "VAEGame",
    "reverse_gradient",
    "train",
    "unfamiliarity_net",
]
