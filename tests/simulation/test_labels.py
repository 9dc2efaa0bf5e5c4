from __future__ import annotations

from typing import Any

import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from skal.simulation.labels import ScoreLabel, score_label


def _rmse(estimator: Any, X: Any, y: Any) -> float:
    return 0.0


@pytest.mark.parametrize(
    ("estimator", "scoring", "expected"),
    [
        (Ridge(), None, ScoreLabel("R²")),
        (LogisticRegression(), None, ScoreLabel("accuracy")),
        (Ridge(), "neg_mean_absolute_error", ScoreLabel("MAE", -1)),
        (Ridge(), "neg_median_absolute_error", ScoreLabel("median absolute error", -1)),
        (Ridge(), "explained_variance", ScoreLabel("explained variance")),
        (Ridge(), _rmse, None),
    ],
)
def test_scores_are_named_for_people(
    estimator: Any, scoring: Any, expected: ScoreLabel | None
) -> None:
    expected = expected or ScoreLabel("_rmse")
    assert score_label(estimator, scoring) == expected
    assert (
        expected.direction == f"{'lower' if expected.sign < 0 else 'higher'} is better"
    )
