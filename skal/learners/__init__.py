"""modAL's learners, working with current scikit-learn and every kind of rows."""

from skal.learners.active import ActiveLearner
from skal.learners.bayesian import BayesianOptimizer
from skal.learners.ceal import CEALLearner
from skal.learners.committee import Committee
from skal.learners.committee_regressor import CommitteeRegressor

__all__ = [
    "ActiveLearner",
    "BayesianOptimizer",
    "CEALLearner",
    "Committee",
    "CommitteeRegressor",
]
