"""Posteriors: plausible models beside the fitted one."""

from skal.posteriors.auto import predictive_std, resolve_posterior
from skal.posteriors.bagged import Bagged
from skal.posteriors.base import Draws, Posterior
from skal.posteriors.bayes_weights import BayesWeights
from skal.posteriors.distribution import PredictiveDistribution
from skal.posteriors.gaussian import GaussianPredictions
from skal.posteriors.laplace import LastLayerLaplace
from skal.posteriors.mc_dropout import MCDropout
from skal.posteriors.members import Members
from skal.posteriors.quantiles import Quantiles
from skal.posteriors.snapshots import Snapshots
from skal.posteriors.virtual import VirtualEnsemble
from skal.posteriors.weight_noise import WeightNoise, perturb_weights

__all__ = [
    "Bagged",
    "BayesWeights",
    "Draws",
    "GaussianPredictions",
    "LastLayerLaplace",
    "MCDropout",
    "Members",
    "Posterior",
    "PredictiveDistribution",
    "Quantiles",
    "Snapshots",
    "VirtualEnsemble",
    "WeightNoise",
    "perturb_weights",
    "predictive_std",
    "resolve_posterior",
]
