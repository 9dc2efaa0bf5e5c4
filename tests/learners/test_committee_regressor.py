from __future__ import annotations

import pickle

import modAL.models
import numpy as np
import pytest
from modAL.disagreement import max_std_sampling
from sklearn.base import clone, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from skal.learners import ActiveLearner, CommitteeRegressor
from tests.learners.conftest import TABLES, as_dense, convert, same_kind


@pytest.fixture
def targets(data):
    return data[0] @ np.array([1.0, 2.0, 3.0, 4.0])


def pair(**kwargs):
    members = [
        ActiveLearner(Ridge()),
        ActiveLearner(DecisionTreeRegressor(max_depth=2)),
    ]
    return CommitteeRegressor(members, **kwargs)


@pytest.mark.parametrize("kind", TABLES)
def test_a_campaign(kind, data, targets):
    X = data[0]
    start, pool = convert(X[:9], kind), convert(X[9:], kind)
    committee = pair(random_state=0).fit(start, targets[:9])
    mean, std = committee.predict(pool, return_std=True)
    votes = np.column_stack([m.predict(pool) for m in committee])
    assert np.array_equal(committee.vote(pool), votes)
    assert np.allclose(mean, votes.sum(1) / 2)
    assert np.allclose(std, np.abs(votes[:, 0] - votes[:, 1]) / 2)
    for n in (1, 2, 3, 51):
        indices, rows = committee.query(pool, n)
        assert set(indices) == set(np.argsort(-std)[:n])
        assert same_kind(rows, pool)
        assert len(np.unique(as_dense(rows), axis=0)) == n
    committee.teach(rows, targets[9:][indices], bootstrap=True)
    assert same_kind(committee.X_training, start)
    assert committee.score(pool, targets[9:]) == pytest.approx(
        r2_score(targets[9:], committee.predict(pool))
    )
    loaded = pickle.loads(pickle.dumps(committee))
    assert np.array_equal(loaded.predict(pool), committee.predict(pool))


def test_several_outputs_and_columns(data, targets):
    X = data[0]
    committee = pair().fit(X, np.column_stack((targets, -targets)))
    assert committee.vote(X).shape == (60, 2, 2)
    assert committee.predict(X).shape == (60, 2)
    columns = CommitteeRegressor(
        [ActiveLearner(LinearRegression()), ActiveLearner(Ridge())]
    ).fit(X, targets[:, None])
    assert columns.learner_list[0].predict(X).shape == (60, 1)
    assert columns.vote(X).shape == (60, 2)
    assert len(set(columns.query(X, 2)[0])) == 2


def test_as_estimator(data, targets):
    X = data[0]
    committee = pair()
    assert isinstance(committee, modAL.models.CommitteeRegressor)
    assert committee.query_strategy is max_std_sampling
    with pytest.raises(NotFittedError, match="not fitted"):
        committee.predict(X)
    one = CommitteeRegressor([ActiveLearner(Ridge())])
    for scoring in (None, "neg_root_mean_squared_error"):
        assert np.allclose(
            cross_val_score(one, X, targets, cv=3, scoring=scoring),
            cross_val_score(Ridge(), X, targets, cv=3, scoring=scoring),
        )
    pipeline = make_pipeline(StandardScaler(), clone(one)).fit(X, targets)
    expected = make_pipeline(StandardScaler(), Ridge()).fit(X, targets)
    assert pipeline.score(X, targets) == pytest.approx(expected.score(X, targets))
    assert is_regressor(one)
