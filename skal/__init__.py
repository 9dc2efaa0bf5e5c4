"""Active learning for PyTorch nets inside the scikit-learn ecosystem."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from skal._version import __version__

if TYPE_CHECKING:
    from skal.learners import (
        ActiveLearner,
        BayesianOptimizer,
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
    "Committee",
    "CommitteeRegressor",
    "NetClassifier",
    "NetRegressor",
    "__version__",
    "compare_strategies",
]

# Loaded when first asked for: strategies work without modAL, and nets without both.
_HOME = {
    "MLP": "skal.nets",
    "ActiveLearner": "skal.learners",
    "ActiveLearningSimulation": "skal.simulation",
    "BayesianOptimizer": "skal.learners",
    "Committee": "skal.learners",
    "CommitteeRegressor": "skal.learners",
    "NetClassifier": "skal.nets",
    "NetRegressor": "skal.nets",
    "compare_strategies": "skal.simulation",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'skal' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
