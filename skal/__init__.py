"""Active learning for PyTorch nets inside the scikit-learn ecosystem."""

from skal._version import __version__
from skal.learners import (
    ActiveLearner,
    BayesianOptimizer,
    CEALLearner,
    Committee,
    CommitteeRegressor,
)
from skal.nets import MLP, NetClassifier, NetRegressor
from skal.simulation import ActiveLearningSimulation, compare_strategies

__all__ = [
    "MLP",
    "ActiveLearner",
    "ActiveLearningSimulation",
    "BayesianOptimizer",
    "CEALLearner",
    "Committee",
    "CommitteeRegressor",
    "NetClassifier",
    "NetRegressor",
    "__version__",
    "compare_strategies",
]
