"""Strategies under modAL's own learners, of whichever version is installed.

modAL 0.4.1 wants bare indices of a strategy, 0.4.2 unpacks (indices, metrics), and on
two bare indices would take the first for the indices and the second for the metrics.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import modAL.models
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsRegressor

import skal
from skal.exceptions import UnsuitableLearnerError
from skal.strategies import QueryStrategy, Random
from tests.models import cases, make_data, make_net, make_strategy, net_class

UNPACKS = (
    "return_metrics" in inspect.signature(modAL.models.ActiveLearner.query).parameters
)
CASES = [pytest.param(*case, id=f"{case[0].__name__}-{case[1]}") for case in cases()]
every_case = pytest.mark.parametrize(("cls", "task"), CASES)
POOL = make_data("regression", 50, seed=1)[0]


class Calls:
    """A strategy that counts its calls."""

    def __init__(self, strategy: Any) -> None:
        self.strategy, self.n = strategy, 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.n += 1
        return self.strategy(*args, **kwargs)


@pytest.fixture(scope="module")
def learners() -> Callable[[str, type[QueryStrategy]], modAL.models.ActiveLearner]:
    """Learners of modAL's by task and strategy, fitted on construction."""
    made: dict[type, modAL.models.ActiveLearner] = {}

    def learner(task: str, cls: type[QueryStrategy]) -> modAL.models.ActiveLearner:
        kind = net_class(task, cls)
        if kind not in made:
            made[kind] = modAL.models.ActiveLearner(
                make_net(task, strategy=cls), make_strategy(Random), *make_data(task)
            )
        return made[kind]

    return learner


@every_case
@pytest.mark.parametrize("n", [1, 2, 3, 50])
def test_query_of_modals_learner(cls, task, learners, n):
    learner, strategy = learners(task, cls), make_strategy(cls)
    learner.query_strategy = counted = Calls(strategy)
    expected = strategy.select(learner, POOL, n)
    indices, rows = learner.query(POOL, n_instances=n)
    assert counted.n == 1
    np.testing.assert_array_equal(indices, expected.indices)
    np.testing.assert_array_equal(rows, POOL[expected.indices])
    if UNPACKS:
        indices, rows, metrics = learner.query(POOL, n_instances=n, return_metrics=True)
        assert counted.n == 2
        np.testing.assert_array_equal(metrics, expected.scores)


@every_case
@pytest.mark.parametrize("n", [1, 2, 3])
def test_query_agrees_with_skals_learner(cls, task, learners, n):
    strategy, theirs = make_strategy(cls), learners(task, cls)
    ours = skal.ActiveLearner(theirs.estimator, strategy)
    ours.X_training, ours.y_training = theirs.X_training, theirs.y_training
    theirs.query_strategy = strategy
    indices, rows, scores = ours.query(POOL, n_instances=n, return_metrics=True)
    np.testing.assert_array_equal(theirs.query(POOL, n_instances=n)[0], indices)
    np.testing.assert_array_equal(rows, POOL[indices])
    np.testing.assert_array_equal(strategy.select(ours, POOL, n).scores, scores)


def committee_of(owner: Any, task: str, strategy: Any) -> Any:
    """A committee, of modAL's or skal's, whose members are not nets."""
    kinds = {
        "classification": ("Committee", [GaussianNB(), LogisticRegression()]),
        "regression": ("CommitteeRegressor", [Ridge(), KNeighborsRegressor()]),
    }
    name, estimators = kinds[task]
    X, y = make_data(task)
    members = [
        owner.ActiveLearner(e, Random(0), X_training=X, y_training=y)
        for e in estimators
    ]
    return getattr(owner, name)(members, strategy)


@every_case
@pytest.mark.parametrize("owner", [modAL.models, skal])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_query_of_committees_is_what_the_strategy_selects(cls, task, owner, n):
    strategy = make_strategy(cls)
    committee = committee_of(owner, task, strategy)
    try:
        expected = strategy.select(committee, POOL, n)
    except UnsuitableLearnerError:  # it needs a net, and says so under modAL too
        assert cls._reads not in ("nothing", "proba")
        with pytest.raises(UnsuitableLearnerError):
            committee.query(POOL, n_instances=n)
        return
    indices, rows = committee.query(POOL, n_instances=n)
    np.testing.assert_array_equal(indices, expected.indices)
    np.testing.assert_array_equal(rows, POOL[expected.indices])
    assert len(set(expected.indices.tolist())) == n


def test_version_under_test_is_the_one_that_was_asked_for():
    """A plain strategy of two indices tells the two versions of modAL apart."""
    learner = modAL.models.ActiveLearner(
        GaussianNB(), lambda learner, X: np.array([7, 3])
    )
    indices, _ = learner.query(POOL)
    assert np.size(indices) == (1 if UNPACKS else 2)
    ours = skal.ActiveLearner(GaussianNB(), learner.query_strategy)
    assert ours.query(POOL)[0].tolist() == [7, 3]
