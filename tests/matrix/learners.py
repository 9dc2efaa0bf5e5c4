"""The learners of the matrix, and what each of them answers.

Run as ``python -m tests.matrix.learners`` to write the strategies that answer each
learner installed to docs/answers.json, of which `docs.tables` makes a table; a test
fails when the file is out of date.
"""

from __future__ import annotations

import functools
import json
import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from skal import ActiveLearner, NetClassifier, NetRegressor
from skal.exceptions import UnsuitableLearnerError
from skal.strategies import QueryStrategy, all_strategies
from tests.models import make_data, make_strategy

#: Strategies that have to answer a regressor, a classifier, and an SVC.
REGRESSOR, CLASSIFIER, SVM = 20, 25, 15


class Learner(NamedTuple):
    """A class of learners: its module, small parameters, how many must answer.

    `package` is what has to be installed, if it is not that of the module.
    """

    module: str
    parameters: dict[str, Any]
    least: int
    package: str = ""

    @property
    def is_installed(self) -> bool:
        package = self.package or self.module.partition(".")[0]
        return find_spec(package) is not None


_FEW, _SEED = {"n_estimators": 6}, {"random_state": 0}
_QUIET = {"n_jobs": 1}
_LIGHT = {**_FEW, **_SEED, **_QUIET, "verbose": -1, "min_child_samples": 4}
_CAT = {
    "iterations": 20,
    "depth": 3,
    "random_seed": 0,
    "thread_count": 1,
    "verbose": 0,
    "allow_writing_files": False,
}
_NATURAL = {**_FEW, **_SEED, "verbose": False}
_HIST = {"max_iter": 6, "min_samples_leaf": 4, **_SEED}

REGRESSORS = {
    "RandomForestRegressor": Learner("sklearn.ensemble", {**_FEW, **_SEED}, REGRESSOR),
    "ExtraTreesRegressor": Learner("sklearn.ensemble", {**_FEW, **_SEED}, REGRESSOR),
    "GradientBoostingRegressor": Learner(
        "sklearn.ensemble", {**_FEW, **_SEED}, REGRESSOR
    ),
    "HistGradientBoostingRegressor": Learner("sklearn.ensemble", _HIST, REGRESSOR),
    "GaussianProcessRegressor": Learner(
        "sklearn.gaussian_process", {"alpha": 0.1, **_SEED}, REGRESSOR
    ),
    "BayesianRidge": Learner("sklearn.linear_model", {}, REGRESSOR),
    "Ridge": Learner("sklearn.linear_model", {}, REGRESSOR),
    "KNeighborsRegressor": Learner("sklearn.neighbors", {}, REGRESSOR),
    "SVR": Learner("sklearn.svm", {}, REGRESSOR),
    "CatBoostRegressor": Learner("catboost", _CAT, REGRESSOR),
    "LGBMRegressor": Learner("lightgbm", _LIGHT, REGRESSOR),
    "XGBRegressor": Learner("xgboost", {**_FEW, **_SEED, **_QUIET}, REGRESSOR),
    # Its variance is that of labels, which fewer strategies can read.
    "NGBRegressor": Learner("ngboost", _NATURAL, SVM),
    "GPyTorchRegressor": Learner(
        "tests.matrix.processes", {"max_epochs": 3, "verbose": 0}, REGRESSOR, "gpytorch"
    ),
}
CLASSIFIERS = {
    "RandomForestClassifier": Learner(
        "sklearn.ensemble", {**_FEW, **_SEED}, CLASSIFIER
    ),
    "ExtraTreesClassifier": Learner("sklearn.ensemble", {**_FEW, **_SEED}, CLASSIFIER),
    "GradientBoostingClassifier": Learner(
        "sklearn.ensemble", {**_FEW, **_SEED}, CLASSIFIER
    ),
    "HistGradientBoostingClassifier": Learner("sklearn.ensemble", _HIST, CLASSIFIER),
    "GaussianProcessClassifier": Learner("sklearn.gaussian_process", _SEED, CLASSIFIER),
    "KNeighborsClassifier": Learner("sklearn.neighbors", {}, CLASSIFIER),
    "LogisticRegression": Learner("sklearn.linear_model", {}, CLASSIFIER),
    "SVC": Learner("sklearn.svm", {}, SVM),
    "CatBoostClassifier": Learner("catboost", _CAT, CLASSIFIER),
    "LGBMClassifier": Learner("lightgbm", _LIGHT, CLASSIFIER),
    "XGBClassifier": Learner("xgboost", {**_FEW, **_SEED, **_QUIET}, CLASSIFIER),
    "NGBClassifier": Learner("tests.matrix.natural", _NATURAL, CLASSIFIER, "ngboost"),
}
LEARNERS = {**REGRESSORS, **CLASSIFIERS}
#: Rows of the pool, and how many of them are picked.
N_POOL, N_PICKS = 16, 3


def make(name: str) -> Any:
    """Construct the estimator of a name, not fitted."""
    learner = LEARNERS[name]
    return getattr(import_module(learner.module), name)(**learner.parameters)


def data_for(name: str, n: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Labeled rows for the learner of a name; classes are numbers, as XGBoost needs."""
    X, y = make_data("regression" if name in REGRESSORS else "classification", n)
    return X, y if name in REGRESSORS else np.unique(y, return_inverse=True)[1]


@functools.cache
def fitted(name: str) -> ActiveLearner:
    """Learner with labeled rows."""
    return ActiveLearner(make(name), None, *data_for(name))


def pool_rows() -> np.ndarray:
    """Rows that are not labeled."""
    return make_data("regression", N_POOL, seed=1)[0]


def ask(name: str, strategy: QueryStrategy) -> str:
    """Ask a learner twice; what went wrong, "refused", or "" for good picks."""
    X, picked = pool_rows(), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(2):
            try:
                picked.append(strategy.select(fitted(name), X, N_PICKS))
            except UnsuitableLearnerError as error:
                return "refused" if _is_instructive(str(error)) else f"bare: {error}"
            except Exception as error:
                return f"{type(error).__name__}: {error}"
    (first, scores), (second, _) = picked
    if len(set(first.tolist())) != N_PICKS or np.isnan(scores).any():
        return f"picks {first} with scores {scores}"
    if first.tolist() != second.tolist():
        return f"picks {first}, then {second}"
    return ""


def _is_instructive(message: str) -> bool:
    """Whether an error says what is missing, and what to do."""
    remedies = ("Use ", "Strategies that suit this learner: ", "Pass ", "Set ")
    return any(remedy in message for remedy in remedies)


@functools.cache
def answers(name: str) -> dict[str, str]:
    """What each strategy with default parameters says to a learner; see `ask`."""
    return {
        cls.__name__: ask(name, make_strategy(cls, **_quick(cls, name)))
        for cls in all_strategies()
    }


def answering(name: str) -> list[str]:
    """Names of the strategies that answer a learner."""
    return [strategy for strategy, said in answers(name).items() if not said]


def _quick(cls: type[QueryStrategy], name: str) -> dict[str, Any]:
    """Parameters by which nets that a strategy trains itself are trained in a blink."""
    if cls.__name__ == "ViaProxy":
        proxy = NetRegressor if name in REGRESSORS else NetClassifier
        return {"proxy": proxy(max_epochs=2, random_state=0)}
    if cls.__name__ in ("VAAL", "MAL"):
        return {"max_epochs": 1, "epoch_size": 32}
    return {}


#: What each learner answered where its package was installed last.
ANSWERS = Path(__file__).parents[2] / "docs" / "answers.json"


def recorded() -> dict[str, dict[str, list[str]]]:
    """Read the strategies that answer each learner, by task and name."""
    found: dict[str, dict[str, list[str]]] = json.loads(ANSWERS.read_text())
    return found


def main() -> None:
    """Write what the learners installed answer; others stay as they are."""
    before = recorded() if ANSWERS.exists() else {}
    found = {}
    for task, learners in (("regression", REGRESSORS), ("classification", CLASSIFIERS)):
        known = before.get(task, {})
        known |= {n: answering(n) for n in learners if learners[n].is_installed}
        found[task] = {name: known[name] for name in learners if name in known}
    ANSWERS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
