"""scikit-learn's own checks of an estimator."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from sklearn.utils.estimator_checks import check_estimator

from skal.nets import LossPredictionClassifier, LossPredictionRegressor
from tests.nets.test_estimator_checks import EXPECTED_FAILED_CHECKS


@pytest.mark.parametrize(
    "net",
    # A small module beside the net: the checks fit a hundred times.
    [LossPredictionClassifier(width=8), LossPredictionRegressor(width=8)],
    ids=["classifier", "regressor"],
)
def test_scikit_learns_checks(net: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # checks warn of themselves
        results = check_estimator(
            net,
            expected_failed_checks=EXPECTED_FAILED_CHECKS,
            on_fail=None,
            on_skip=None,
        )
    failed = {
        r["check_name"]: r["exception"] for r in results if r["status"] == "failed"
    }
    assert failed == {}
    assert sum(r["status"] == "passed" for r in results) > 50
