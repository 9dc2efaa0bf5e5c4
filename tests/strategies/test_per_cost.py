"""Scores per cost, against the scores divided by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skal import ActiveLearner
from skal.strategies import (
    LCMD,
    Entropy,
    Margin,
    PerCost,
    Stochastic,
    Subsample,
)
from skal.strategies.per_cost import _column
from tests.models import make_data

X, Y = make_data("classification")
POOL = make_data("classification", 40, seed=1)[0]
POOL[:, 2] = 0.1 + np.abs(POOL[:, 2])
COSTS = POOL[:, 2]


@pytest.fixture(scope="module")
def model() -> Any:
    return LogisticRegression().fit(X, Y)


def test_highest_scores_per_cost(model):
    expected = Entropy().score_samples(model, POOL) / COSTS
    strategy = PerCost(Entropy(), COSTS)
    np.testing.assert_allclose(strategy.score_samples(model, POOL), expected)
    picks = strategy.select(model, POOL, 7)
    assert picks.indices.tolist() == np.argsort(-expected)[:7].tolist()
    np.testing.assert_allclose(picks.scores, expected[picks.indices])
    assert picks.indices.tolist() != Entropy().select(model, POOL, 7).indices.tolist()


def test_the_more_a_label_costs_the_less_it_is_worth_if_scores_are_negative(model):
    scores = Margin().score_samples(model, POOL)
    expected = (scores - scores.min()) / COSTS
    np.testing.assert_allclose(
        PerCost(Margin(), COSTS).score_samples(model, POOL), expected
    )
    row = scores.argmax()
    cheap = PerCost(Margin(), np.where(np.arange(40) == row, 1e3, 1.0))
    assert cheap.select(model, POOL).indices[0] != row


def test_equal_costs_change_no_pick(model):
    expected = Margin().select(model, POOL, 40).indices
    for costs in (None, np.full(40, 3.0)):
        picks = PerCost(Margin(), costs).select(model, POOL, 40)
        np.testing.assert_array_equal(picks.indices, expected)


@pytest.mark.parametrize(
    ("kind", "column"),
    [
        (np.asarray, 2),
        (lambda A: A.tolist(), 2),
        (torch.as_tensor, np.int64(2)),
        (sparse.csr_matrix, 2),
        (sparse.coo_matrix, 2),
        (lambda A: pd.DataFrame(A, columns=list("abcde")), "c"),
        (pd.DataFrame, 2),
    ],
)
def test_costs_are_a_column_of_the_pool(kind, column):
    pool = kind(POOL)
    rows = kind(X) if isinstance(pool, pd.DataFrame) else X
    model = LogisticRegression().fit(rows, Y)
    expected = PerCost(Entropy(), COSTS).score_samples(model, pool)
    got = PerCost(Entropy(), column).score_samples(model, pool)
    np.testing.assert_allclose(got, expected)


def test_a_pipeline_drops_a_column_that_only_holds_costs():
    names = list("abcde")
    rows, pool = (pd.DataFrame(A, columns=names) for A in (X, POOL))
    some = ColumnTransformer([("some", "passthrough", names)])
    model = make_pipeline(some, LogisticRegression()).fit(rows.assign(price=1.0), Y)
    expected = PerCost(Entropy(), COSTS).select(model, pool.assign(price=2.0), 5)
    got = PerCost(Entropy(), "price").select(model, pool.assign(price=COSTS), 5)
    np.testing.assert_array_equal(got.indices, expected.indices)


def test_costs_with_an_index_follow_the_rows_of_a_table():
    names = [f"house {k}" for k in range(40)]
    pool = pd.DataFrame(POOL, names)
    model = LogisticRegression().fit(X, Y)
    costs = pd.Series(COSTS, names)
    strategy = PerCost(Entropy(), costs.iloc[::-1])
    expected = PerCost(Entropy(), COSTS).score_samples(model, POOL)
    np.testing.assert_allclose(strategy.score_samples(model, pool), expected)
    few = pool.iloc[[7, 30, 2]]  # the rows that are left
    got = strategy.score_samples(model, few)
    np.testing.assert_allclose(got, expected[[7, 30, 2]])
    with pytest.raises(ValueError, match=r"shape \(3,\).*a Series with its index"):
        strategy.score_samples(model, few.rename({names[2]: "unknown"}))
    for unnamed in (pd.Series(COSTS), pd.Series(COSTS, list(range(50, 90)))):
        got = PerCost(Entropy(), unnamed).score_samples(model, pool)
        np.testing.assert_allclose(got, expected)  # by position


def test_costs_are_a_function_of_the_pool(model):
    seen = []

    def costs(rows: Any) -> Any:
        seen.append(rows)
        return rows[:, 2].tolist()

    strategy = PerCost(Entropy(), costs)
    expected = PerCost(Entropy(), COSTS).select(model, POOL, 5).indices
    np.testing.assert_array_equal(strategy.select(model, POOL, 5).indices, expected)
    assert seen[0] is POOL
    # The function is called with the rows that are looked at.
    Subsample(strategy, 10, random_state=0).select(model, POOL, 2)
    assert len(seen[1]) == 10


def test_in_a_campaign_costs_follow_the_rows():
    learner = ActiveLearner(
        LogisticRegression(), PerCost(Entropy(), 2), X_training=X, y_training=Y
    )
    left = POOL
    for _ in range(3):
        (picked,), _ = learner.query(left, n_instances=1)
        scores = Entropy().score_samples(learner, left) / left[:, 2]
        assert picked == scores.argmax()
        learner.teach(left[[picked]], [Y[0]])
        left = np.delete(left, picked, axis=0)


@pytest.mark.parametrize(
    ("costs", "message"),
    [
        (np.ones(39), r"shape \(40,\).*got \(39,\).*name a column"),
        (np.ones((40, 1)), r"got \(40, 1\)"),
        (lambda rows: 1.0, r"got \(\)"),
        (np.where(np.arange(40) > 37, -1.0, 1.0), "2 of 40 .*first is -1.0 in row 38"),
        (np.where(np.arange(40) == 3, 0.0, 1.0), "1 of 40 .*first is 0.0 in row 3"),
        (np.where(np.arange(40) == 3, np.nan, 1.0), "first is nan in row 3"),
        (np.where(np.arange(40) == 3, np.inf, 1.0), "first is inf in row 3"),
        (["a"] * 40, "costs must be numbers"),
        (np.ones(40) + 1j, "Complex numbers are not supported"),
        (5, r"costs=5 is not a column .*shape \(40, 5\)"),
        (-1, "costs=-1 is not a column"),
        ("price", "costs='price' is not a column"),
        (True, r"got \(\)"),
    ],
)
def test_costs_that_are_none(model, costs, message):
    with pytest.raises(ValueError, match=message):
        PerCost(Entropy(), costs).select(model, POOL, 2)


def test_costs_are_a_key_of_a_pool_that_is_a_dict():
    costs = np.array([2.0, 3.0])
    assert _column("cost", {"image": np.zeros((2, 4)), "cost": costs}) is costs
    with pytest.raises(
        ValueError, match=r"'price' is not a key of the pool: \['cost'\]"
    ):
        _column("price", {"cost": costs})


def test_columns_that_are_not_there():
    frame = pd.DataFrame(X, columns=list("abcde"))
    model = LogisticRegression().fit(frame, Y)
    with pytest.raises(ValueError, match=r"costs='f' is not a column .*'a', 'b'"):
        PerCost(Entropy(), "f").select(model, frame, 2)
    with pytest.raises(ValueError, match="costs=2 is not a column"):
        PerCost(Entropy(), 2).select(model, frame, 2)


def test_it_wraps_and_is_wrapped(model):
    with pytest.raises(TypeError, match=r"strategy of PerCost must be .*scores every"):
        PerCost(LCMD()).select(model, POOL, 1)  # type: ignore[arg-type]
    strategy = Stochastic(PerCost(Entropy(), COSTS), random_state=0)
    scores = PerCost(Entropy(), COSTS).score_samples(model, POOL)
    picks = strategy.select(model, POOL, 4)
    np.testing.assert_array_equal(picks.scores, scores[picks.indices])
    copied = clone(strategy).set_params(strategy__costs=2)
    np.testing.assert_array_equal(copied.select(model, POOL, 4).indices, picks.indices)
