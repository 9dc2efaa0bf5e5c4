"""Strategies under modAL's own learners, of whichever version is installed.

modAL 0.4.1 wants bare indices of a strategy, 0.4.2 unpacks (indices, metrics), and on
two bare indices would take the first for the indices and the second for the metrics.
"""

from __future__ import annotations

import inspect
from typing import Any

import modAL.models
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

import skal
from skal.exceptions import UnsuitableLearnerError
from skal.strategies import Random
from tests.models import cases, make_data, make_net, make_strategy

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
def learners() -> dict[str, modAL.models.ActiveLearner]:
    """A learner of modAL's by task, fitted on construction."""
    return {
        task: modAL.models.ActiveLearner(
            make_net(task), make_strategy(Random), *make_data(task)
        )
        for task in ("classification", "regression")
    }


@every_case
@pytest.mark.parametrize("n", [1, 2, 3, 50])
def test_query_of_modals_learner(cls, task, learners, n):
    learner, strategy = learners[task], make_strategy(cls)
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
    strategy, theirs = make_strategy(cls), learners[task]
    ours = skal.ActiveLearner(theirs.estimator, strategy)
    ours.X_training, ours.y_training = theirs.X_training, theirs.y_training
    theirs.query_strategy = strategy
    indices, rows, scores = ours.query(POOL, n_instances=n, return_metrics=True)
    np.testing.assert_array_equal(theirs.query(POOL, n_instances=n)[0], indices)
    np.testing.assert_array_equal(rows, POOL[indices])
    np.testing.assert_array_equal(strategy.select(ours, POOL, n).scores, scores)


@pytest.mark.parametrize(
    "cls", sorted({case[0] for case in cases()}, key=lambda cls: cls.__name__)
)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_query_of_committees(cls, n):
    """A committee gives probabilities; what needs one net says so."""
    X, y = make_data("classification")
    members = [GaussianNB(), LogisticRegression()]
    strategy = make_strategy(cls)
    answers = []
    for owner in (modAL.models, skal):
        committee = owner.Committee(
            [
                owner.ActiveLearner(clone(m), X_training=X, y_training=y)
                for m in members
            ],
            strategy,
        )
        if cls._reads == "net":
            with pytest.raises(UnsuitableLearnerError):
                committee.query(POOL, n_instances=n)
            continue
        indices, rows = committee.query(POOL, n_instances=n)
        np.testing.assert_array_equal(rows, POOL[indices])
        assert len(set(np.asarray(indices).tolist())) == n
        answers.append(indices.tolist())
    assert len({tuple(answer) for answer in answers}) <= 1


def test_version_under_test_is_the_one_that_was_asked_for():
    """A plain strategy of two indices tells the two versions of modAL apart."""
    learner = modAL.models.ActiveLearner(
        GaussianNB(), lambda learner, X: np.array([7, 3])
    )
    indices, _ = learner.query(POOL)
    assert np.size(indices) == (1 if UNPACKS else 2)
    ours = skal.ActiveLearner(GaussianNB(), learner.query_strategy)
    assert ours.query(POOL)[0].tolist() == [7, 3]
