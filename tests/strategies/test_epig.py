"""EPIG against the mutual information of two labels, computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from skal.strategies import EPIG
from tests.models import make_data

X, Y = make_data("classification")
POOL = make_data("classification", 40, seed=1)[0]


@pytest.fixture(scope="module")
def forest() -> RandomForestClassifier:
    return RandomForestClassifier(9, max_depth=3, random_state=0).fit(X, Y)


def test_information_about_the_targets(forest):
    near = EPIG(X_target=POOL[:1], random_state=0)
    scores = near.score_samples(forest, POOL)
    p = np.stack([tree.predict_proba(POOL) for tree in forest.estimators_])
    joint = np.einsum("kic,kd->icd", p, p[:, 0]) / len(p)
    expected = (
        entropy(p.mean(0), axis=1)
        + entropy(p.mean(0)[0])
        - entropy(joint.reshape(40, -1), axis=1)
    )
    np.testing.assert_allclose(scores, expected, atol=1e-9)
    everything = EPIG(n_targets=1000, random_state=0).score_samples(forest, POOL)
    by_target = [
        EPIG(X_target=POOL[[i]]).score_samples(forest, POOL) for i in range(40)
    ]
    np.testing.assert_allclose(everything, np.mean(by_target, axis=0), atol=1e-9)


def test_several_targets_of_regression():
    X, y = make_data("regression")
    targets = np.column_stack([y, 3 * y[::-1]])
    forest = RandomForestRegressor(6, random_state=0).fit(X, targets)
    assert len(set(EPIG(random_state=0).select(forest, POOL, 8).indices)) == 8


def test_bad_number_of_targets(forest):
    with pytest.raises(ValueError, match="n_targets"):
        EPIG(n_targets=0).select(forest, POOL)
