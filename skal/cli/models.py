"""Models and strategies that the command line can name."""

from __future__ import annotations

from typing import Any

from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, RidgeCV

from skal.strategies import all_strategies, recommended_strategy
from skal.strategies.suitable import summary
from skal.strategies.wrapping import WrappingStrategy
from skal.tabular import make_tabular_classifier, make_tabular_regressor

__all__ = [
    "MODELS",
    "default_strategy",
    "list_strategies",
    "make_model",
    "make_strategy",
]

#: Estimators behind the preprocessing of tables, by name; None is that of skal.
MODELS: dict[str, dict[str, Any]] = {
    "nets": {"classification": None, "regression": None},
    "forest": {
        "classification": RandomForestClassifier,
        "regression": RandomForestRegressor,
    },
    "trees": {
        "classification": ExtraTreesClassifier,
        "regression": ExtraTreesRegressor,
    },
    "linear": {"classification": LogisticRegression, "regression": RidgeCV},
}


def make_model(name: str, task: str) -> Any:
    """Make the model of a task by its name."""
    is_classification = task == "classification"
    make = make_tabular_classifier if is_classification else make_tabular_regressor
    estimator = MODELS[name][task]
    return make() if estimator is None else make(estimator())


def default_strategy(model: str, task: str, n: int) -> str:
    """Name the strategy to start with."""
    return type(recommended_strategy(make_model(model, task), n)).__name__


def list_strategies(task: str | None = None) -> dict[str, str]:
    """List strategies that need no arguments, with a line about each."""
    tasks = ("any", task)
    return {
        cls.__name__: summary(cls)
        for cls in all_strategies()
        if not issubclass(cls, WrappingStrategy)
        and (task is None or cls._task in tasks)
    }


def make_strategy(name: str, task: str) -> Any:
    """Make a strategy by its name, whatever its case.

    Raises
    ------
    ValueError
        If there is none for the task.
    """
    known = list_strategies(task)
    by_name = {cls.__name__.casefold(): cls for cls in all_strategies()}
    cls = by_name.get(name.casefold())
    if cls is None or cls.__name__ not in known:
        raise ValueError(
            f"There is no strategy {name!r} for {task}, only {', '.join(known)}."
        )
    return cls()
