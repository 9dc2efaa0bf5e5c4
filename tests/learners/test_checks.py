from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier

from skal.learners.checks import accepts_nan, check_labeled, is_fitted
from tests.learners.conftest import TABLES, convert

X = np.arange(20.0).reshape(5, 4) + 1
y = np.arange(5)


def check(X, y, allow_nan=False):
    check_labeled(X, y, finite=True, allow_nan=allow_nan)


@pytest.mark.parametrize("kind", [*TABLES, "dict"])
def test_good_rows_pass(kind):
    check(convert(X, kind), y)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *((kind, np.inf) for kind in [*TABLES, "dict"]),
        *((kind, np.nan) for kind in [*TABLES, "dict"] if "frame" not in kind),
    ],
)
def test_what_is_not_finite_is_counted_and_located(kind, value):
    bad = X.copy()
    bad[2, 1] = bad[2, 3] = bad[4, 0] = value
    with pytest.raises(ValueError, match="in 2 rows, the first is row 2"):
        check(convert(bad, kind), y)


def test_missing_values_of_a_frame_are_left_to_the_estimator():
    check(pd.DataFrame({"a": [1.0, np.nan], "b": ["x", None]}), [0, 1])


@pytest.mark.parametrize("kind", [*TABLES, "dict"])
def test_nan_may_be_allowed_but_not_infinity(kind):
    bad = X.copy()
    bad[2, 1] = np.nan
    check(convert(bad, kind), y, allow_nan=True)
    bad[4, 1] = np.inf
    with pytest.raises(ValueError, match="X holds infinite values in 1 rows"):
        check(convert(bad, kind), y, allow_nan=True)
    check_labeled(bad, y, finite=False, allow_nan=False)


def test_targets_must_be_finite():
    with pytest.raises(ValueError, match="y holds NaN"):
        check(X, np.array([0, 1, np.nan, 2, 3]))
    with pytest.raises(ValueError, match="y holds NaN"):
        check(X, pd.Series([0, 1, np.nan, 2, 3]))
    with pytest.raises(ValueError, match="y holds NaN"):
        check(X, [0, 1, float("inf"), 2, 3])


def test_what_cannot_be_asked_is_not_asked():
    check(["some text", "more text"], ["a", "b"])
    check([[1, 2], [3]], [0, 1])
    check(torch.ones(5, 4, device="meta"), y)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (X, y[:3], "X has 5 rows, but y has 3 labels"),
        (X[:0], y[:0], "no rows"),
        (None, y, "X is None"),
        (X, None, "y is None"),
        (X[0], y[:1], "reshape"),
    ],
)
def test_what_is_wrong_is_named(X, y, message):
    with pytest.raises(ValueError, match=message):
        check(X, y)


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        (Ridge(), False),
        (HistGradientBoostingRegressor(), True),
        (make_pipeline(SimpleImputer(), Ridge()), True),
        (make_pipeline(StandardScaler(), SimpleImputer(), Ridge()), True),
        (make_pipeline(StandardScaler(), Ridge()), False),
        (make_pipeline("passthrough", HistGradientBoostingRegressor()), True),
        (TransformedTargetRegressor(make_pipeline(SimpleImputer(), Ridge())), True),
        (TransformedTargetRegressor(Ridge()), False),
        (TransformedTargetRegressor(), False),
        (GridSearchCV(HistGradientBoostingRegressor(), {}), True),
        (object(), False),
    ],
)
def test_who_takes_missing_values(estimator, expected):
    assert accepts_nan(estimator) is expected


def test_is_fitted():
    class Unknown:
        pass

    class Simple(BaseEstimator):
        def fit(self, X, y):
            self.done_ = True

    net = NeuralNetClassifier(torch.nn.Linear, module__in_features=4)
    assert not is_fitted(net)
    assert not is_fitted(LogisticRegression())
    assert is_fitted(LogisticRegression().fit(np.eye(5), y))
    assert not is_fitted(Simple())
    assert is_fitted(Unknown())


def test_a_missing_label_does_not_become_a_string():
    X = np.eye(3)
    with pytest.raises(
        ValueError, match=r"y holds NaN .* in 1 rows, the first is row 1"
    ):
        check_labeled(X, ["a", float("nan"), "b"], finite=True, allow_nan=False)
    with pytest.raises(ValueError, match="single value 'cat'"):
        check_labeled(X, "cat", finite=True, allow_nan=False)
