"""Learners fitted on tables are asked by tables: warnings are errors here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    BaggingRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import BayesianRidge, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skal import ActiveLearner
from skal.exceptions import UnsuitableLearnerError
from skal.strategies import BAIT, BALD, EPIG, LCMD, PredictiveVariance

RNG = np.random.default_rng(0)
X = pd.DataFrame(RNG.normal(size=(50, 3)), columns=list("abc"))
Y = X["a"].to_numpy() - X["b"].to_numpy()
SCALER = StandardScaler().set_output(transform="pandas")
PROCESS = GaussianProcessRegressor(alpha=0.1)
LEARNERS = {
    "process": PROCESS,
    "process of named columns": make_pipeline(SCALER, PROCESS),
    "process of a scaled target": TransformedTargetRegressor(
        PROCESS, transformer=StandardScaler()
    ),
    "Bayesian ridge": BayesianRidge(),
    "forest": RandomForestRegressor(6, random_state=0),
    "boosting": GradientBoostingRegressor(n_estimators=6, random_state=0),
    "boosting of named columns": make_pipeline(
        SCALER, GradientBoostingRegressor(n_estimators=6, random_state=0)
    ),
    "boosted classes": GradientBoostingClassifier(n_estimators=6, random_state=0),
    "bagging": BaggingRegressor(Ridge(), 6, random_state=0),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_names_of_columns_are_passed_on(name: str) -> None:
    labels = np.digitize(Y, [0.0]) if "classes" in name else Y
    learner = ActiveLearner(clone(LEARNERS[name]), LCMD(), X[:25], labels[:25])
    rows = X.to_numpy()
    arrays = ActiveLearner(clone(LEARNERS[name]), LCMD(), rows[:25], labels[:25])
    n_answers = 0
    for strategy in (LCMD(), BAIT(), PredictiveVariance(), BALD(), EPIG()):
        if "random_state" in strategy.get_params():
            strategy.set_params(random_state=0)
        try:
            found = strategy.select(learner, X[25:], 4).indices
        except UnsuitableLearnerError:
            continue
        expected = strategy.select(arrays, rows[25:], 4).indices
        np.testing.assert_array_equal(found, expected)
        n_answers += 1
    assert n_answers >= 2


def test_leaves_of_sparse_rows() -> None:
    rows: Any = sparse.csr_matrix(X.to_numpy())
    boosting = LEARNERS["boosting"]
    learner = ActiveLearner(clone(boosting), LCMD(), rows[:25], Y[:25])
    dense = ActiveLearner(clone(boosting), LCMD(), X[:25].to_numpy(), Y[:25])
    found = LCMD(space="leaves", random_state=0).select(learner, rows[25:], 4).indices
    expected = LCMD(space="leaves", random_state=0)
    expected_rows = expected.select(dense, X[25:].to_numpy(), 4).indices
    np.testing.assert_array_equal(found, expected_rows)
