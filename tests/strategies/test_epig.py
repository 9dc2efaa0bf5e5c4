"""EPIG against the mutual information of two labels, computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF

from skal.selection import batch_epig, gaussian_batch_epig
from skal.strategies import EPIG, BatchEPIG
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


# -- batches ---------------------------------------------------------------------------


def test_a_batch_of_a_forest(forest):
    probs = np.stack([tree.predict_proba(POOL) for tree in forest.estimators_])
    probs = torch.from_numpy(probs)
    strategy = BatchEPIG(X_target=POOL[:5], n_configurations=1000, random_state=0)
    found = strategy.select(forest, POOL, 4)
    wanted = batch_epig(
        probs, probs[:, :5], 4, torch.Generator(), n_configurations=1000
    )
    assert found.indices.tolist() == wanted.indices.tolist()
    np.testing.assert_allclose(found.scores, wanted.scores)
    assert found.scores[0] == pytest.approx(
        EPIG(X_target=POOL[:5]).score_samples(forest, POOL).max()
    )


def test_a_batch_of_a_regressor():
    forest = RandomForestRegressor(6, random_state=0).fit(*make_data("regression"))
    outputs = np.stack([tree.predict(POOL) for tree in forest.estimators_])
    outputs = torch.from_numpy(outputs)[..., None]
    found = BatchEPIG(X_target=POOL[:9], noise_variance=0.5).select(forest, POOL, 5)
    wanted = gaussian_batch_epig(outputs, outputs[:, :9], 5, 0.5)
    assert found.indices.tolist() == wanted.indices.tolist()


def test_a_batch_of_a_gaussian_process_is_that_of_its_covariances():
    X, y = make_data("regression")
    process = GaussianProcessRegressor(RBF(2.0), alpha=0.1, optimizer=None).fit(X, y)
    targets, noise = POOL[::7], 0.2
    rows = np.concatenate([POOL, targets])
    cov = process.predict(rows, return_cov=True)[1]
    m, chosen, scores = len(POOL), [], []

    def logdet(rows):
        own = cov[np.ix_(rows, rows)] + noise * np.eye(len(rows))
        return np.linalg.slogdet(own)[1]

    for _ in range(4):
        gains = np.full(m, -np.inf)
        for x in set(range(m)) - set(chosen):
            gains[x] = np.mean(
                [
                    logdet([*chosen, x])
                    + logdet([*chosen, z])
                    - logdet([*chosen, x, z])
                    - logdet(chosen)
                    for z in range(m, len(rows))
                ]
            )
        chosen.append(int(gains.argmax()))
        scores.append(gains.max() / 2)
    found = BatchEPIG(X_target=targets, noise_variance=noise).select(process, POOL, 4)
    assert found.indices.tolist() == chosen
    np.testing.assert_allclose(found.scores, scores, rtol=1e-8)


def test_bad_numbers_of_a_batch(forest):
    for wrong in ({"n_targets": 0}, {"n_configurations": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            BatchEPIG(**wrong).select(forest, POOL, 2)


@pytest.mark.parametrize(
    ("targets", "match"),
    [
        (POOL[:, :2], "X_target has 2 features"),
        (POOL[:0], "X_target is empty"),
        (POOL[0], "X_target must have rows and columns"),
    ],
)
def test_errors_name_the_targets(forest, targets, match):
    for cls in (EPIG, BatchEPIG):
        with pytest.raises(ValueError, match=match):
            cls(X_target=targets).select(forest, POOL, 2)
