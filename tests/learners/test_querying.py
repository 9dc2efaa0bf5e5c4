from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from modAL.uncertainty import uncertainty_sampling
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression

from skal.learners import ActiveLearner
from skal.strategies import Random

POOL = np.arange(40.0).reshape(10, 4)


def query(strategy, *args, pool=POOL, **kwargs):
    return ActiveLearner(LogisticRegression(), strategy).query(pool, *args, **kwargs)


@pytest.mark.parametrize("strategy", ["uncertainty", 3, ActiveLearner, Random])
def test_strategy_must_be_callable_and_not_a_class(strategy):
    with pytest.raises(TypeError, match="query_strategy must be"):
        query(strategy)


STRATEGIES = pytest.mark.parametrize("strategy", [uncertainty_sampling, Random()])


@STRATEGIES
@pytest.mark.parametrize("pool", [POOL[:0], [], pd.DataFrame(POOL[:0])])
def test_empty_pool(strategy, pool):
    with pytest.raises(ValueError, match="The pool is empty"):
        query(strategy, pool=pool)


@STRATEGIES
@pytest.mark.parametrize("n", [0, 11, 2.0, "2", True])
def test_n_instances_must_be_an_int_that_fits_the_pool(strategy, n):
    for call in (lambda: query(strategy, n), lambda: query(strategy, n_instances=n)):
        with pytest.raises(ValueError, match=r"n_instances must be (an int|from 1 to)"):
            call()


@pytest.mark.parametrize("n", [2, np.int64(2)])
def test_strategies_of_skal_are_selected_from(n):
    strategy, pool = Random(random_state=0), pd.DataFrame(POOL)
    expected = strategy.select(LogisticRegression(), pool, n)
    indices, rows = query(strategy, n, pool=pool)
    assert indices.tolist() == expected.indices.tolist()
    pd.testing.assert_frame_equal(rows, pool.iloc[indices])
    *_, metrics = query(strategy, n_instances=n, pool=pool, return_metrics=True)
    assert np.array_equal(metrics, expected.scores)


class Lists(BaseEstimator):
    """A strategy with a method `select` of another meaning."""

    def select(self, numbers):
        return sorted(numbers)

    def __call__(self, learner, X, n_instances=1):
        return self.select(range(n_instances))


class Last(Random):
    """A strategy of skal that is called in another way."""

    def __call__(self, learner, X, n_instances=1):
        return np.arange(len(X))[-n_instances:]


def test_other_strategies_are_called():
    assert query(Lists(), 2)[0].tolist() == [0, 1]
    assert query(Last(), 2)[0].tolist() == [8, 9]
