"""No copies of rows that are picked or labeled, as long as others are left."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from torch.utils.data import TensorDataset

from skal import ActiveLearner
from skal._equal_rows import row_codes
from skal.strategies import Distinct, Entropy, PredictiveVariance, Random

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 3))
Y = X[:, 0] + X[:, 1] ** 2
BASE = RNG.normal(size=(20, 3))
POOL = np.tile(BASE, (10, 1))


def same(codes):
    return codes[:, None] == codes


@pytest.mark.parametrize(
    "kind",
    [
        np.asarray,
        np.asfortranarray,
        pd.DataFrame,
        sparse.csr_matrix,
        sparse.coo_array,
        torch.from_numpy,
        np.ndarray.tolist,
        lambda rows: {"a": rows[:, :1], "b": torch.from_numpy(rows[:, 1:])},
        lambda rows: TensorDataset(torch.from_numpy(rows)),
        lambda rows: rows.reshape(len(rows), 3, 1).astype(np.float32),
        lambda rows: [str(row) for row in rows],
        lambda rows: rows.astype(object),
        lambda rows: pd.DataFrame({"a": rows[:, 0], "s": [str(r) for r in rows]}),
    ],
)
def test_equal_rows_have_equal_numbers(kind):
    rows = RNG.integers(0, 2, (50, 3)).astype(float)
    expected = (rows[:, None] == rows).all(axis=2)
    assert np.array_equal(same(row_codes(kind(rows))), expected)


def test_zeros_and_gaps_are_equal():
    rows = np.array([[0.0, np.nan], [-0.0, -np.nan], [0.0, 1.0]])
    one, two, other = row_codes(rows).tolist()
    assert one == two != other
    assert row_codes([None, "a", None, "b"]).tolist() == [0, 1, 0, 2]


def test_a_batch_has_no_copies():
    forest = RandomForestRegressor(20, random_state=0).fit(X, Y)
    strategy = PredictiveVariance()
    plain = strategy.select(forest, POOL, 20).indices
    assert len(np.unique(POOL[plain], axis=0)) == 2
    picked = Distinct(strategy).select(forest, POOL, 20)
    ranked = strategy.select(forest, BASE, 20)
    assert np.array_equal(POOL[picked.indices], BASE[ranked.indices])
    assert len(set(picked.indices // 20)) > 3  # not the first of each
    assert np.array_equal(picked.scores, ranked.scores)


def test_copies_come_when_nothing_else_is_left():
    model = LogisticRegression().fit(X, Y > 0)
    picks = Distinct(Entropy()).select(model, POOL[:50], 45).indices
    assert len(set(picks)) == 45
    for part in (picks[:20], picks[20:40]):
        assert len(np.unique(POOL[part], axis=0)) == 20
    everything = Distinct(Entropy()).select(model, POOL, 200).indices
    assert sorted(everything) == list(range(200))


@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame, sparse.csr_matrix])
def test_labeled_rows_are_not_asked_again(kind):
    rows = kind(np.vstack([X, BASE]))
    learner = ActiveLearner(LogisticRegression(), Distinct(Entropy()), rows[:30], Y > 0)
    pool = kind(np.vstack([X, BASE, X, BASE]))
    picked, taken = learner.query(pool, 5)
    assert set(picked % 50) <= set(range(30, 50))
    learner.teach(taken, [0] * 5)
    again = learner.query(pool, 15)[0]
    assert sorted({*picked % 50, *again % 50}) == list(range(30, 50))
    assert len(learner.query(pool, 60)[0]) == 60


def test_nothing_changes_without_copies():
    model = LogisticRegression().fit(X, Y > 0)
    for strategy in (Entropy(), Random(3)):
        expected = strategy.select(model, BASE, 6).indices
        assert np.array_equal(
            Distinct(strategy).select(model, BASE, 6).indices, expected
        )
    inner = [Distinct(Random(), seed).select(model, BASE, 9).indices for seed in (0, 1)]
    assert not np.array_equal(*inner)
