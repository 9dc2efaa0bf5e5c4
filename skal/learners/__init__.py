"""Subclasses of modAL's learners, for current scikit-learn and any kind of rows."""

from skal.learners.active import ActiveLearner
from skal.learners.bayesian import BayesianOptimizer
from skal.learners.ceal import CEALLearner
from skal.learners.committee import Committee, CommitteeRegressor

__all__ = [
    "ActiveLearner",
    "BayesianOptimizer",
    "CEALLearner",
    "Committee",
    "CommitteeRegressor",
]
