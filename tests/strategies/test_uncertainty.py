"""Uncertainty sampling, against the formulas by hand and scipy."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from torch import nn

from skal import ActiveLearner, Committee
from skal.exceptions import UnsuitableLearnerError
from skal.strategies import BADGE, BAIT, Entropy, LeastConfident, Margin, UHerding
from tests.models import make_data, make_net, with_labeled

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
    np.testing.assert_allclose(selection.scores, -np.sort(-expected)[:7], atol=atol)
    np.testing.assert_allclose(selection.scores, expected[selection.indices], atol=atol)


@pytest.mark.parametrize("cls", [LeastConfident, Margin, Entropy])
def test_outputs_of_a_multi_output_classifier_add_up(cls):
    targets = np.column_stack([Y, X[:, 2] > 0])
    model = MultiOutputClassifier(LogisticRegression()).fit(X, targets)
    expected = sum(by_hand(cls(), proba) for proba in model.predict_proba(POOL))
    np.testing.assert_allclose(cls().score_samples(model, POOL), expected)


@pytest.mark.parametrize("cls", [LeastConfident, Margin, Entropy])
def test_one_output_in_a_list_is_one_distribution(cls):
    one = MultiOutputClassifier(LogisticRegression()).fit(X, Y[:, None])
    plain = LogisticRegression().fit(X, Y)
    expected = cls().score_samples(plain, POOL)
    np.testing.assert_allclose(cls().score_samples(one, POOL), expected)


LABELS = np.column_stack([X[:, 0] > 0, X[:, 1] > 0.5, X[:, 0] + X[:, 2] > 0]) * 1


class Sigmoids(ClassifierMixin, BaseEstimator):
    """A classifier from elsewhere, which is multi-label only by what it predicts."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> Sigmoids:
        self.model_ = MultiOutputClassifier(LogisticRegression()).fit(X, y)
        self.classes_ = np.arange(y.shape[1])
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return np.column_stack([p[:, 1] for p in self.model_.predict_proba(X)])

    def predict(self, X: np.ndarray) -> np.ndarray:
        return (self.predict_proba(X) > 0.5).astype(int)


MULTI_LABEL = [
    OneVsRestClassifier(LogisticRegression()),
    ClassifierChain(LogisticRegression(), order=[2, 0, 1]),
    MLPClassifier((4,), max_iter=20, random_state=0),
    make_pipeline(StandardScaler(), OneVsRestClassifier(LogisticRegression())),
    Sigmoids(),
]


def binary(columns: np.ndarray) -> list[np.ndarray]:
    return [np.column_stack([1 - p, p]) for p in columns.T]


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("cls", [LeastConfident, Margin, Entropy])
@pytest.mark.parametrize("model", MULTI_LABEL, ids=lambda m: type(m).__name__)
def test_each_label_of_a_multi_label_model_is_a_binary_output(model, cls):
    model = clone(model).fit(X, LABELS)
    columns = model.predict_proba(POOL)
    assert columns.shape == (40, 3)
    expected = sum(by_hand(cls(), proba) for proba in binary(columns))
    np.testing.assert_allclose(cls().score_samples(model, POOL), expected)


@pytest.mark.parametrize("cls", [LeastConfident, Margin, Entropy])
def test_one_matrix_and_a_list_of_outputs_mean_the_same(cls):
    one = OneVsRestClassifier(LogisticRegression()).fit(X, LABELS)
    several = MultiOutputClassifier(LogisticRegression()).fit(X, LABELS)
    expected = cls().score_samples(several, POOL)
    np.testing.assert_allclose(cls().score_samples(one, POOL), expected)
    committee = Committee([ActiveLearner(one), ActiveLearner(several)])
    np.testing.assert_allclose(cls().score_samples(committee, POOL), expected)


@pytest.mark.parametrize("cls", [LeastConfident, Margin, Entropy])
@pytest.mark.parametrize("criterion", [nn.BCEWithLogitsLoss, nn.BCELoss])
def test_each_label_of_a_multi_label_net_is_a_binary_output(cls, criterion):
    last = nn.Sigmoid() if criterion is nn.BCELoss else nn.Identity()
    net = NeuralNetClassifier(
        nn.Sequential(nn.Linear(5, 3), last),
        criterion=criterion,
        max_epochs=1,
        verbose=0,
        train_split=None,
    )
    net.fit(X.astype(np.float32), LABELS.astype(np.float32))
    rows = POOL.astype(np.float32)
    outputs = net.forward(rows).numpy().astype(float)
    columns = outputs if criterion is nn.BCELoss else 1 / (1 + np.exp(-outputs))
    expected = sum(by_hand(cls(), proba) for proba in binary(columns))
    scores = cls().score_samples(net, rows)
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    with pytest.raises(UnsuitableLearnerError, match="3 binary outputs"):
        BADGE().select(net, rows, 2)


def test_probabilities_that_are_none():
    class Scores(LogisticRegression):
        def predict_proba(self, X: np.ndarray) -> np.ndarray:
            return 2 * super().predict_proba(X)

    class Logits(LogisticRegression):
        def predict_proba(self, X: np.ndarray) -> np.ndarray:
            return self.decision_function(X)

    for kind in (Scores, Logits):
        with pytest.raises(ValueError, match=r"does not return probabilities"):
            Margin().select(kind().fit(X, Y), POOL)


def test_a_row_without_any_probability_is_like_a_uniform_one():
    class Far(LogisticRegression):
        def predict_proba(self, X: np.ndarray) -> np.ndarray:
            proba = super().predict_proba(X)
            proba[7] = 0
            return proba

    model = Far().fit(X, Y)
    for cls in (LeastConfident, Margin, Entropy):
        scores = cls().score_samples(model, POOL)
        assert scores.argmax() == 7
        np.testing.assert_allclose(scores[7], by_hand(cls(), np.full((1, 3), 1 / 3))[0])


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


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("cls", [Margin, Entropy, BAIT, UHerding])
def test_probabilities_that_are_not_finite_are_refused(cls, value):
    class Diverged(LogisticRegression):
        def predict_proba(self, X: np.ndarray) -> np.ndarray:
            proba = super().predict_proba(X)
            proba[POOL[4, 0] == X[:, 0]] = value
            return proba

    learner = with_labeled(Diverged().fit(X, Y), X, Y)
    message = "Diverged returned NaN or infinity for 1 of 40 rows (the first is row 4)"
    with pytest.raises(ValueError, match=re.escape(message)):
        cls(random_state=0).select(learner, POOL, 2)


def test_certain_probabilities_have_no_nan():
    class Certain(LogisticRegression):
        def predict_proba(self, X: np.ndarray) -> np.ndarray:
            return np.eye(3)[np.arange(len(X)) % 3]

    model = Certain().fit(X, Y)
    np.testing.assert_array_equal(Entropy().score_samples(model, POOL), 0)
    np.testing.assert_array_equal(LeastConfident().score_samples(model, POOL), 0)
    np.testing.assert_array_equal(Margin().score_samples(model, POOL), -1)


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
