"""Small models and data that several test modules use."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from skal.learners import ActiveLearner
from skal.nets import (
    LossPredictionClassifier,
    LossPredictionRegressor,
    NetClassifier,
    NetRegressor,
    WeightSnapshots,
)
from skal.strategies import QueryStrategy, all_strategies

N_FEATURES = 5

#: Parameters that make a strategy quick without changing what it does.
QUICK = {
    "n_draws": 4,
    "n_reference": 40,
    "n_configurations": 200,
    "n_copies": 4,
    "max_epochs": 3,
}

#: Classifier and regressor for the strategies that need nets of their own kind.
NETS = {"LossPrediction": (LossPredictionClassifier, LossPredictionRegressor)}


#: One strategy for each way of reading rows: as inputs, predictions, probabilities,
#: features, gradients, outputs of several models, with labeled rows, in part.
READERS = {
    "Random": "regression",
    "GreedySampling": "regression",
    "Margin": "classification",
    "CoreSet": "regression",
    "BADGE": "classification",
    "LCMD": "regression",
    "BALD": "classification",
    "CAL": "classification",
    "Subsample": "classification",
}


def make_strategy(
    cls: type[QueryStrategy], task: str | None = None, **parameters: Any
) -> QueryStrategy:
    """Construct a strategy, seeded and quick where it has such parameters."""
    known = inspect.signature(cls).parameters
    defaults = {"random_state": 0, **QUICK}
    if task is not None:
        defaults["proxy"] = make_net(task)  # the default one trains for 300 steps
    if cls.__name__ == "UHerding":
        defaults["temperature"] = 1.0  # by default it trains the estimator once more
    chosen = {k: v for k, v in defaults.items() if k in known}
    return cls(**{**chosen, **parameters})


def make_data(task: str, n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw rows with a target that depends on two of the features."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, N_FEATURES))
    signal = X[:, 0] + 0.5 * X[:, 1] ** 2
    if task == "regression":
        return X, signal
    return X, np.array(["low", "mid", "top"])[np.digitize(signal, [0.0, 1.0])]


def net_class(task: str, strategy: type[QueryStrategy] | None = None) -> Any:
    """Class of the nets that a strategy is tested on."""
    name = "" if strategy is None else strategy.__name__
    classifier, regressor = NETS.get(name, (NetClassifier, NetRegressor))
    return classifier if task == "classification" else regressor


def make_net(
    task: str,
    device: str = "cpu",
    strategy: type[QueryStrategy] | None = None,
    **parameters: Any,
) -> Any:
    """Construct a net that trains in a blink, and has all kinds of posteriors."""
    cls = net_class(task, strategy)
    settings: dict[str, Any] = {
        "max_epochs": 4,
        "batch_size": 32,
        "lr": 0.01,
        "random_state": 0,
        "device": device,
        "callbacks": [WeightSnapshots()],
    }
    if "module" not in parameters:
        settings["module__hidden_sizes"] = (16, 12)
        settings["module__dropout"] = 0.2
    return cls(**{**settings, **parameters})


def module_on_cpu(net: Any) -> Any:
    """Copy the module of a net, in eval mode, to run it by hand."""
    return copy.deepcopy(net.module_).cpu().eval()


def with_labeled(estimator: Any, X: Any, y: Any) -> ActiveLearner:
    """Put an estimator, as it is, into a learner with labeled rows."""
    learner = ActiveLearner(estimator)
    learner.X_training, learner.y_training = X, y
    return learner


def task_of(estimator: Any) -> str:
    """Name the task of an estimator."""
    return "classification" if is_classifier(estimator) else "regression"


def cases() -> list[tuple[type[QueryStrategy], str]]:
    """Pair every public strategy with each task it is for."""
    tasks = ["classification", "regression"]
    return [
        (cls, task)
        for cls in all_strategies()
        for task in tasks
        if cls._task in ("any", task)
    ]
