"""Strategies under modAL's own learners, of whichever version is installed.

modAL 0.4.1 expects bare indices from a strategy; 0.4.2 unpacks (indices, metrics), and
would take the first of two bare indices for the indices and the second for the metrics.
All strategies answer alike, by `QueryStrategy.__call__`.
"""

from __future__ import annotations

import inspect
from typing import Any

import modAL.models
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsRegressor

import skal
from skal.strategies import QueryStrategy, all_strategies
from tests.models import make_data, make_net, make_strategy

UNPACKS = (
    "return_metrics" in inspect.signature(modAL.models.ActiveLearner.query).parameters
)
POOL = make_data("regression", 50, seed=1)[0]
#: A batch, scores, and a strategy within a strategy; all suit learners without a net.
STRATEGIES = {
    "classification": ["Margin", "Subsample", "VoteEntropy"],
    "regression": ["GreedySampling", "Random", "Prefilter"],
}
CASES = [(name, task) for task, names in STRATEGIES.items() for name in names]
every_case = pytest.mark.parametrize(("name", "task"), CASES)


def make(name: str) -> QueryStrategy:
    return make_strategy(getattr(skal.strategies, name))


def test_all_strategies_answer_by_the_call_that_is_tested_here():
    for cls in all_strategies():
        for method in ("__call__", "select"):
            assert getattr(cls, method) is getattr(QueryStrategy, method)


class Calls:
    """A strategy that counts its calls."""

    def __init__(self, strategy: Any) -> None:
        self.strategy, self.n = strategy, 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.n += 1
        return self.strategy(*args, **kwargs)


@pytest.fixture(scope="module")
def learners() -> dict[str, modAL.models.ActiveLearner]:
    """Learners of modAL by task, fitted on construction."""
    return {
        task: modAL.models.ActiveLearner(
            make_net(task), make("Random"), *make_data(task)
        )
        for task in STRATEGIES
    }


@every_case
@pytest.mark.parametrize("n", [1, 2, 3, 50])
def test_query_of_modals_learner(name, task, learners, n):
    learner, strategy = learners[task], make(name)
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
def test_query_agrees_with_skals_learner(name, task, learners, n):
    strategy, theirs = make(name), learners[task]
    ours = skal.ActiveLearner(theirs.estimator, strategy)
    ours.X_training, ours.y_training = theirs.X_training, theirs.y_training
    theirs.query_strategy = strategy
    indices, rows, scores = ours.query(POOL, n_instances=n, return_metrics=True)
    np.testing.assert_array_equal(theirs.query(POOL, n_instances=n)[0], indices)
    np.testing.assert_array_equal(rows, POOL[indices])
    np.testing.assert_array_equal(strategy.select(ours, POOL, n).scores, scores)


@every_case
@pytest.mark.parametrize("owner", [modAL.models, skal])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_query_of_committees_is_what_the_strategy_selects(name, task, owner, n):
    kinds = {
        "classification": ("Committee", [GaussianNB(), LogisticRegression()]),
        "regression": ("CommitteeRegressor", [Ridge(), KNeighborsRegressor()]),
    }
    kind, estimators = kinds[task]
    X, y = make_data(task)
    members = [
        owner.ActiveLearner(e, make("Random"), X_training=X, y_training=y)
        for e in estimators
    ]
    strategy = make(name)
    committee = getattr(owner, kind)(members, strategy)
    expected = strategy.select(committee, POOL, n)
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
