"""What strategies of the user return: converted, or refused with the reason."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.dummy import DummyClassifier

from skal import ActiveLearner
from skal.strategies import QueryStrategy, ScoreStrategy

X = np.arange(6.0)[:, None]
LEARNER = DummyClassifier().fit(X, X[:, 0] > 2)
VALUES = np.array([1.0, 3.0, 0.0, 5.0, 4.0, 2.0])


class Scores(ScoreStrategy):
    def __init__(self, values):
        self.values = values

    def _score(self, pool, rng):
        return self.values


class Selects(QueryStrategy):
    def __init__(self, picks):
        self.picks = picks

    def _select(self, pool, n, rng):
        return self.picks


@pytest.mark.parametrize(
    "values",
    [
        VALUES,
        VALUES.tolist(),
        VALUES.astype(object),
        VALUES.astype("uint64"),
        VALUES.astype(">f8"),
        VALUES[::-1][::-1],
        pd.Series(VALUES, dtype="Float64"),
        np.ma.array(VALUES),
        torch.tensor(VALUES, dtype=torch.bfloat16),
        torch.tensor(VALUES, dtype=torch.uint8),
        torch.tensor(VALUES, requires_grad=True) * 2,
        torch.tensor(VALUES).to_sparse(),
    ],
)
def test_scores_of_any_kind(values):
    picked = Scores(values).select(LEARNER, X, 3)
    assert picked.indices.tolist() == [3, 4, 1]
    assert (np.diff(picked.scores) < 0).all()
    assert Scores(values).score_samples(LEARNER, X).argsort().tolist()[-1] == 3


def test_scores_in_a_list_keep_their_precision():
    close = [1 + 1e-12 * k for k in range(6)]
    assert Scores(close).select(LEARNER, X, 2).indices.tolist() == [5, 4]


def test_boolean_scores():
    picked = Scores(VALUES > 3).select(LEARNER, X, 2)
    assert sorted(picked.indices) == [3, 4]


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (np.ma.array(VALUES, mask=VALUES > 3), ValueError, "masked scores in 2 of 6"),
        (VALUES + 1j, TypeError, "real numbers as scores, got complex"),
        (list("abcdef"), TypeError, "Scores must return real numbers .* got list"),
        (None, TypeError, "Scores must return real numbers .* got None"),
        (torch.tensor(VALUES, device="meta"), TypeError, "without values"),
    ],
)
def test_scores_that_have_no_order(values, error, message):
    with pytest.raises(error, match=message):
        Scores(values).select(LEARNER, X, 3)


def test_a_missing_score_is_not_blamed_on_training():
    values = np.where(VALUES == 5, np.nan, VALUES)
    for strategy in (Scores(values), Selects(([0, 1], [1.0, np.nan]))):
        name = type(strategy).__name__
        with pytest.raises(ValueError, match=rf"{name} .* NaN for 1 of") as info:
            strategy.select(LEARNER, X, 2)
        assert "training" not in str(info.value)
        assert "such as -inf" in str(info.value)


@pytest.mark.parametrize(
    "indices",
    [
        [4, 0],
        np.array([4.0, 0.0]),
        pd.Index([4, 0]),
        torch.tensor([4, 0], dtype=torch.int16),
        torch.tensor([4, 0]).to_sparse(),
    ],
)
def test_positions_of_any_kind(indices):
    picked = Selects((indices, [2.0, 1.0])).select(LEARNER, X, 2)
    assert picked.indices.tolist() == [4, 0]


@pytest.mark.parametrize(
    ("indices", "error", "message"),
    [
        ([1.5, 2.0], TypeError, r"positions of rows as integers, got .*\[1.5, 2.0\]"),
        ([True, False], TypeError, r"got torch.bool: \[True, False\]"),
        (["1", "2"], TypeError, "positions of rows as integers, got list"),
        (
            torch.tensor([1, 2], device="meta"),
            TypeError,
            "integers, got .* without values",
        ),
        (np.ma.array([1, 2], mask=[0, 1]), ValueError, "masked positions in 1 of 2"),
    ],
)
def test_positions_that_are_none(indices, error, message):
    with pytest.raises(error, match=message):
        Selects((indices, [2.0, 1.0])).select(LEARNER, X, 2)


def test_masked_indices_of_a_function():
    def strategy(learner, X):
        return np.ma.array([1, 2, 3], mask=[False, False, True])

    learner = ActiveLearner(LEARNER, strategy)
    with pytest.raises(ValueError, match=r"masked indices: .* indices.compressed\(\)"):
        learner.query(X)
