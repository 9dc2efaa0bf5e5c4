from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skal.learners.transforming import hstack_rows, transform_inputs
from tests.learners.conftest import convert


def scaled(estimator, **kwargs):
    return make_pipeline(StandardScaler(**kwargs), estimator)


@pytest.mark.parametrize(
    "estimator",
    [
        scaled(LogisticRegression()),
        GridSearchCV(scaled(LogisticRegression()), {}, cv=2),
        TransformedTargetRegressor(scaled(Ridge())),
        VotingClassifier(
            [("a", scaled(LogisticRegression())), ("b", LogisticRegression())]
        ),
    ],
)
def test_all_steps_but_the_last(estimator, data):
    X, y = data
    got = transform_inputs(estimator.fit(X, y), X)
    assert np.allclose(got, (X - X.mean(0)) / X.std(0))


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        make_pipeline(LogisticRegression()),
        RandomForestClassifier(3),
    ],
)
def test_nothing_to_transform(estimator, data):
    X, y = data
    assert transform_inputs(estimator.fit(X, y), X) is X


def test_members_stand_side_by_side(data):
    X, y = data
    members = [
        ("a", scaled(LogisticRegression())),
        ("b", scaled(LogisticRegression(), with_std=False)),
    ]
    got = transform_inputs(VotingClassifier(members).fit(X, y), X)
    centered = X - X.mean(0)
    assert np.allclose(got, np.hstack((centered / X.std(0), centered)))


def test_frames_become_arrays_and_sparse_becomes_csr(data):
    X, y = data
    scaler = StandardScaler().set_output(transform="pandas")
    frame = convert(X, "frame")
    pipeline = make_pipeline(scaler, LogisticRegression()).fit(frame, y)
    assert isinstance(transform_inputs(pipeline, frame), np.ndarray)
    pipeline = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(y[:, None], y)
    codes = transform_inputs(pipeline, y[:, None])
    assert sp.isspmatrix_csr(codes)
    assert hstack_rows([codes, X]).shape == (60, 7)
    assert np.array_equal(hstack_rows([codes, X]).toarray()[:, 3:], X)
