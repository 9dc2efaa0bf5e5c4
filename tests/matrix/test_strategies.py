"""Every learner answers a strategy with picks, or the strategy says what is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from skal.strategies import BAIT, LCMD, CoreSet
from tests.matrix.learners import (
    LEARNERS,
    REGRESSORS,
    answering,
    answers,
    ask,
    recorded,
)

#: The space that "auto" chooses.
AUTO = {
    "RandomForestRegressor": "predictions",
    "ExtraTreesRegressor": "predictions",
    "GradientBoostingRegressor": "leaves",
    "HistGradientBoostingRegressor": "inputs",
    "GaussianProcessRegressor": "kernel",
    "BayesianRidge": "inputs",
    "Ridge": "inputs",
    "KNeighborsRegressor": "inputs",
    "SVR": "inputs",
    "CatBoostRegressor": "leaves",
    "LGBMRegressor": "leaves",
    "XGBRegressor": "leaves",
    "NGBRegressor": "inputs",
    "GPyTorchRegressor": "kernel",
    "RandomForestClassifier": "predictions",
    "ExtraTreesClassifier": "predictions",
    "GradientBoostingClassifier": "leaves",
    "HistGradientBoostingClassifier": "inputs",
    "GaussianProcessClassifier": "kernel",
    "KNeighborsClassifier": "inputs",
    "LogisticRegression": "inputs",
    "SVC": "inputs",
    "CatBoostClassifier": "leaves",
    "LGBMClassifier": "leaves",
    "XGBClassifier": "leaves",
    "NGBClassifier": "inputs",
}
#: What a strategy says where it picks, or refuses with advice.
GOOD = ("", "refused")
SPACES = [
    "gradients",
    "last_layer",
    "features",
    "kernel",
    "predictions",
    "leaves",
    "inputs",
]


@pytest.fixture(params=LEARNERS)
def name(request: Any) -> str:
    """Name of a learner of which the package is installed."""
    if not LEARNERS[request.param].is_installed:
        pytest.skip(f"{LEARNERS[request.param].module} is missing: make test-learners")
    return request.param


def test_picks_or_a_refusal_that_says_what_to_do(name):
    wrong = {s: said for s, said in answers(name).items() if said not in GOOD}
    assert wrong == {}


def test_enough_strategies_answer(name):
    assert len(answering(name)) >= LEARNERS[name].least, answering(name)


def test_the_table_of_the_documentation_is_fresh(name):
    """Renew docs/answers.json by ``python -m tests.matrix.learners``."""
    task = "regression" if name in REGRESSORS else "classification"
    assert recorded()[task][name] == answering(name)


def test_space_chosen(name):
    strategy = LCMD(random_state=0)
    assert ask(name, strategy) == ""
    assert strategy.space_ == AUTO[name]


@pytest.mark.parametrize("cls", [LCMD, BAIT, CoreSet])
def test_every_space_is_read_or_refused(name, cls):
    readable = {"inputs", AUTO[name]}
    if AUTO[name] == "predictions":
        readable.add("leaves")
    if "CatBoost" in name:  # its virtual ensembles
        readable.add("predictions")
    if AUTO[name] == "kernel" and name in REGRESSORS:  # functions drawn from it
        readable.add("predictions")
    if name == "SVC" and cls is BAIT:
        pytest.skip("BAIT reads probabilities, which this SVC does not have.")
    for space in SPACES:
        said = ask(name, cls(space=space, random_state=0))
        assert said == ("" if space in readable else "refused"), space
    columns = cls(space=lambda estimator, X: np.asarray(X)[:, :2], random_state=0)
    assert ask(name, columns) == ""
