from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from skorch import NeuralNetClassifier

from skal.learners.checks import check_labeled, is_fitted
from tests.learners.conftest import convert

X = np.arange(20.0).reshape(5, 4) + 1
y = np.arange(5)


def check(X, y, allow_nan=False):
    check_labeled(X, y, finite=True, allow_nan=allow_nan)


KINDS = ["ndarray", "list", "tensor", "csr_array", "dict"]


@pytest.mark.parametrize("kind", KINDS)
def test_bad_values_are_counted_and_located(kind):
    check(convert(X, kind), y)
    bad = X.copy()
    bad[2, 1] = bad[2, 3] = bad[4, 0] = np.nan
    with pytest.raises(ValueError, match=r"NaN .* in 2 rows; the first is row 2"):
        check(convert(bad, kind), y)
    check(convert(bad, kind), y, allow_nan=True)
    bad[4, 1] = np.inf
    with pytest.raises(ValueError, match="X holds infinite values in 1 rows"):
        check(convert(bad, kind), y, allow_nan=True)
    check_labeled(convert(bad, kind), y, finite=False, allow_nan=False)


def test_missing_values_of_a_frame_are_left_to_the_estimator():
    frame = pd.DataFrame({"a": [1.0, np.nan], "b": ["x", None]})
    check(frame, [0, 1])
    with pytest.raises(ValueError, match="infinite values in 1 rows"):
        check(frame.assign(c=[1.0, np.inf]), [0, 1])


def test_targets_must_be_finite():
    with pytest.raises(ValueError, match=r"y has no label .* belong to the pool"):
        check(X, np.array([0, 1, np.nan, 2, 3]))
    with pytest.raises(ValueError, match=r"y has no label .* belong to the pool"):
        check(X, pd.Series([0, 1, np.nan, 2, 3]))
    with pytest.raises(ValueError, match="y holds NaN"):
        check(X, [0, 1, float("inf"), 2, 3])


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
        ValueError, match=r"y has no label .* in 1 of 3 rows; the first is row 1"
    ):
        check_labeled(X, ["a", float("nan"), "b"], finite=True, allow_nan=False)
    with pytest.raises(ValueError, match="single value 'cat'"):
        check_labeled(X, "cat", finite=True, allow_nan=False)
