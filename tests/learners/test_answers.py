from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from skal.learners import ActiveLearner
from skal.learners.answers import read_answer

POOL = np.arange(40.0).reshape(10, 4)


def query(strategy, *args, pool=POOL, **kwargs):
    return ActiveLearner(LogisticRegression(), strategy).query(pool, *args, **kwargs)


def constant(answer):
    return lambda learner, X: answer


@pytest.mark.parametrize(
    "answer",
    [
        np.array([7, 3]),
        np.array([[7], [3]]),
        np.array([7, 3], dtype=np.uint8),
        [7, 3],
        (7, 3),
        (np.int64(7), np.int64(3)),
        torch.tensor([7, 3]),
        pd.Series([7, 3], index=[50, 60]),
        pd.Index([7, 3]),
        (np.array([7, 3]), np.array([0.5, 0.4])),
        ([7, 3], [0.5, 0.4]),
        (np.array([7, 3]), POOL[[7, 3]]),  # old style: instances
        (np.array([7, 3]), None),
    ],
)
def test_two_indices_are_two_rows(answer):
    indices, rows = query(constant(answer))
    assert indices.tolist() == [7, 3]
    assert indices.dtype == np.int64
    assert np.array_equal(rows, POOL[[7, 3]])


@pytest.mark.parametrize("answer", [3, np.int64(3), np.array(3), torch.tensor(3), [3]])
def test_one_index_is_one_row(answer):
    indices, rows = query(constant(answer))
    assert indices.tolist() == [3]
    assert rows.shape == (1, 4)


def test_one_index_with_its_metric():
    indices, metrics = read_answer((3, 0.5), 10, "strategy")
    assert indices.tolist() == [3]
    assert metrics == 0.5


def test_metrics_are_returned_when_asked():
    scores = np.array([0.5, 0.4])
    strategy = constant((np.array([7, 3]), scores))
    indices, rows, metrics = query(strategy, return_metrics=True)
    assert indices.tolist() == [7, 3]
    assert rows.shape == (2, 4)
    assert metrics is scores


def test_missing_metrics_are_told():
    with pytest.warns(UserWarning, match="gives no metrics"):
        *_, metrics = query(constant(np.array([7, 3])), return_metrics=True)
    assert metrics is None


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (np.array([1.0, 2.0]), TypeError, "float64"),
        (np.arange(10) > 6, TypeError, "bool"),
        (None, TypeError, "must return positions"),
        (np.array([[1, 2], [3, 4]]), TypeError, "2-dimensional"),
        ((np.array([1]), 0, 0), TypeError, "returned 3 things"),
        ([1, 10], ValueError, "index 10, but the pool's rows are 0 to 9"),
        ([-1, 2], ValueError, "index -1"),
        ([1, 2, 1], ValueError, "twice"),
    ],
)
def test_wrong_answers_are_refused(answer, error, message):
    with pytest.raises(error, match=message):
        query(constant(answer))


def test_no_rows_wanted_is_an_answer():
    indices, rows = query(constant([]))
    assert indices.shape == (0,)
    assert rows.shape == (0, 4)


def first(learner, X, n_instances=1, *, offset=0):
    return np.arange(n_instances) + offset


@pytest.mark.parametrize("n", [1, 2, 3, 10])
def test_arguments_reach_the_strategy(n):
    assert query(first, n)[0].tolist() == list(range(n))
    assert query(first, n_instances=n)[0].tolist() == list(range(n))
    assert query(partial(first, n_instances=n))[0].tolist() == list(range(n))
    assert query(first, offset=4)[0].tolist() == [4]


@pytest.mark.parametrize("n", [0, -1, 11])
def test_n_instances_must_fit_the_pool(n):
    for arguments in ({"n_instances": n}, {}):
        with pytest.raises(ValueError, match="between 1 and the 10 rows"):
            query(first, *([] if arguments else [n]), **arguments)


@pytest.mark.parametrize("n", [2.0, "2", True])
def test_n_instances_must_be_an_int(n):
    with pytest.raises(ValueError, match="n_instances must be an int"):
        query(first, n_instances=n)


def test_n_instances_is_found_among_collected_arguments():
    def collects(learner, X, **kwargs):
        return np.arange(kwargs["n_instances"])

    assert query(collects, n_instances=2)[0].tolist() == [0, 1]
    with pytest.raises(ValueError, match="between 1"):
        query(collects, n_instances=11)


def test_unknown_argument_of_the_strategy_is_its_own_error():
    with pytest.raises(TypeError, match="unexpected keyword argument 'typo'"):
        query(first, typo=1)


def test_strategy_is_called_once_and_its_error_passes():
    calls = []

    def failing(learner, X):
        calls.append(learner)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        query(failing)
    assert len(calls) == 1


@pytest.mark.parametrize("pool", [POOL[:0], [], pd.DataFrame(POOL[:0])])
def test_empty_pool(pool):
    with pytest.raises(ValueError, match="no rows"):
        query(first, pool=pool)


@pytest.mark.parametrize("strategy", ["uncertainty", None, ActiveLearner])
def test_strategy_must_be_callable_and_no_class(strategy):
    with pytest.raises(TypeError, match="an instance of a strategy"):
        query(strategy)


def test_learner_and_pool_reach_the_strategy_untouched():
    seen = []

    def look(learner, X):
        seen.append((learner, X))
        return [0]

    pool = POOL.tolist()
    learner = ActiveLearner(LogisticRegression(), look)
    learner.query(pool)
    assert seen[0][0] is learner
    assert seen[0][1] is pool
