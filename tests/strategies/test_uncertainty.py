"""Uncertainty sampling, against the formulas by hand and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from torch import nn

from skal import ActiveLearner, Committee
from skal.exceptions import UnsuitableLearnerError
from skal.strategies import Entropy, LeastConfident, Margin
from tests.models import make_data, make_net

X, Y = make_data("classification", 90)
POOL = make_data("classification", 40, seed=1)[0]


def by_hand(strategy: object, proba: np.ndarray) -> np.ndarray:
    ranked = np.sort(proba, axis=1)
    if isinstance(strategy, LeastConfident):
        return 1 - ranked[:, -1]
    if isinstance(strategy, Margin):
        return ranked[:, -2] - ranked[:, -1]
    return entropy(proba, axis=1)


@pytest.mark.parametrize("cls", [LeastConfident, Margin, Entropy])
@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(),
        GaussianNB(),
        RandomForestClassifier(10, random_state=0),
        make_pipeline(StandardScaler(), LogisticRegression()),
        make_net("classification"),
    ],
    ids=lambda m: type(m).__name__,
)
def test_scores_of_any_classifier(cls, model):
    model.fit(X, Y)
    expected = by_hand(cls(), model.predict_proba(POOL).astype(float))
    # Nets round their probabilities to float32; the scores do not.
    atol = 1e-6 if hasattr(model, "module_") else 1e-12
    np.testing.assert_allclose(cls().score_samples(model, POOL), expected, atol=atol)
    selection = cls().select(ActiveLearner(model), POOL, 7)
    np.testing.assert_array_equal(
        selection.indices, np.argsort(-expected, kind="stable")[:7]
    )
    np.testing.assert_allclose(selection.scores, expected[selection.indices], atol=atol)


@pytest.mark.parametrize("cls", [LeastConfident, Margin, Entropy])
def test_outputs_of_a_multi_output_classifier_add_up(cls):
    targets = np.column_stack([Y, X[:, 2] > 0])
    model = MultiOutputClassifier(LogisticRegression()).fit(X, targets)
    expected = sum(by_hand(cls(), proba) for proba in model.predict_proba(POOL))
    np.testing.assert_allclose(cls().score_samples(model, POOL), expected)


@pytest.mark.parametrize("cls", [LeastConfident, Margin, Entropy])
def test_a_committee_is_averaged_by_class(cls):
    known = [np.isin(Y, seen) for seen in (["low", "mid"], ["mid", "top"])]
    members = [
        ActiveLearner(LogisticRegression(), X_training=X[k], y_training=Y[k])
        for k in known
    ]
    low_mid, mid_top = (m.predict_proba(POOL) for m in members)
    mean = np.column_stack(
        [low_mid[:, 0], low_mid[:, 1] + mid_top[:, 0], mid_top[:, 1]]
    )
    scores = cls().score_samples(Committee(members), POOL)
    np.testing.assert_allclose(scores, by_hand(cls(), mean / 2))


def test_certain_probabilities_have_no_nan():
    class Certain(LogisticRegression):
        def predict_proba(self, X: np.ndarray) -> np.ndarray:
            return np.eye(3)[np.arange(len(X)) % 3]

    model = Certain().fit(X, Y)
    np.testing.assert_array_equal(Entropy().score_samples(model, POOL), 0)
    np.testing.assert_array_equal(LeastConfident().score_samples(model, POOL), 0)
    np.testing.assert_array_equal(Margin().score_samples(model, POOL), -1)


def test_a_classifier_without_probabilities():
    with pytest.raises(
        UnsuitableLearnerError, match=r"Margin needs.*RidgeClassifier.*Random"
    ):
        Margin().select(RidgeClassifier().fit(X, Y), POOL)


def test_a_committee_of_skorchs_nets_that_missed_a_class():
    targets = np.arange(90) % 3
    members = []
    for known in (targets < 3, targets != 1):
        net = NeuralNetClassifier(
            nn.Linear(5, 3),
            criterion=nn.CrossEntropyLoss,
            max_epochs=1,
            verbose=0,
            train_split=None,
        )
        rows = X[known].astype(np.float32)
        members.append(ActiveLearner(net, X_training=rows, y_training=targets[known]))
    pool = POOL.astype(np.float32)
    mean = np.mean([m.estimator.predict_proba(pool) for m in members], axis=0)
    scores = Entropy().score_samples(Committee(members), pool)
    np.testing.assert_allclose(scores, entropy(mean, axis=1), atol=1e-6)
