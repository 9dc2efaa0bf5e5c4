"""Active learning for PyTorch nets inside the scikit-learn ecosystem."""

import importlib
from typing import Any

from skal._version import __version__
from skal.learners import (
    ActiveLearner,
    BayesianOptimizer,
    CEALLearner,
    Committee,
    CommitteeRegressor,
)
from skal.nets import MLP, NetClassifier, NetRegressor
from skal.saving import load, save
from skal.simulation import ActiveLearningSimulation, compare_strategies
from skal.strategies import recommended_strategy

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
    "load",
    "recommended_strategy",
    "save",
]

#: Loaded when they are first used, as ``skal.datasets``.
_SUBMODULES = (
    *(
        "adversarial",
        "campaign",
        "datasets",
        "evaluation",
        "exceptions",
        "learners",
        "measures",
        "nets",
    ),
    *("posteriors", "reading", "saving", "selection", "simulation", "spaces"),
    *("stopping", "strategies", "tabular"),
)


def __dir__() -> list[str]:
    return sorted((*__all__, *_SUBMODULES))


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"skal.{name}")
    raise AttributeError(f"module 'skal' has no attribute {name!r}")
