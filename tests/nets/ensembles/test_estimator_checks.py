"""scikit-learn's own checks of an estimator."""

from __future__ import annotations

import warnings

import pytest
from sklearn.utils.estimator_checks import check_estimator

from tests.nets.ensembles.kinds import make
from tests.nets.test_estimator_checks import EXPECTED_FAILED_CHECKS

#: One of each task, and one whose training is led; the others pass, too, in minutes.
CHECKED = [
    *("DeepEnsembleClassifier", "DeepEnsembleRegressor"),
    "SnapshotEnsembleClassifier",
]


@pytest.mark.parametrize("name", CHECKED)
def test_scikit_learns_checks(name: str) -> None:
    ensemble = make(name, n_estimators=2, max_epochs=10, lr=0.05, batch_size=32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # checks warn of themselves
        results = check_estimator(
            ensemble,
            expected_failed_checks=EXPECTED_FAILED_CHECKS,
            on_fail=None,
            on_skip=None,
        )
    failed = {
        r["check_name"]: r["exception"] for r in results if r["status"] == "failed"
    }
    assert failed == {}
    assert sum(r["status"] == "passed" for r in results) > 50
