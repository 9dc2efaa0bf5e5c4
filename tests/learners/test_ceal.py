from __future__ import annotations

import copy
import math
import pickle

import modAL.models
import numpy as np
import pytest
import torch
from modAL.uncertainty import entropy_sampling
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from torch import nn

from skal import NetClassifier
from skal.exceptions import UnsuitableLearnerError
from skal.learners import ActiveLearner, CEALLearner
from skal.learners.ceal import pseudo_label
from skal.strategies import CoreSet, Entropy, LeastConfident, Margin, Random
from tests.learners.conftest import (
    KINDS,
    LABELS,
    DictClassifier,
    as_dense,
    convert,
    convert_labels,
    same_kind,
)


class Recording(ClassifierMixin, BaseEstimator):
    """Predicts class 1 with the probability in the first column; records each fit."""

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails

    def fit(self, X, y, sample_weight=None):
        if self.fails:
            raise RuntimeError("no training today")
        self.seen_ = np.asarray(X), np.asarray(y), sample_weight
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X):
        p = np.clip(np.asarray(X)[:, 0], 0, 1)
        return np.column_stack((1 - p, p))

    def predict(self, X):
        return self.predict_proba(X).argmax(1)


def rows_of(*probabilities: float) -> np.ndarray:
    """Distinct rows, of which some may have the same probability."""
    p = np.array(probabilities)
    return np.column_stack((p, np.arange(len(p))))


def entropy_of(p: float) -> float:
    return -sum(q * math.log(q) for q in (p, 1 - p) if q > 0)


START = rows_of(0.5, 0.5), np.array([0, 1])
#: Certain for rows 0 and 3, less so for 1 and 4, uncertain for 2 and 5.
POOL = rows_of(0.0001, 0.01, 0.5, 0.9999, 0.99, 0.45)


def learner_of(strategy=None, **options) -> CEALLearner:
    options.setdefault("decay", 0.0)
    strategy = Entropy() if strategy is None else strategy
    return CEALLearner(Recording(), strategy, *START, **options)


class TestTheNextFit:
    @pytest.mark.parametrize(
        ("threshold", "expected"),
        [(0.0, []), (0.01, [0, 3]), (0.1, [0, 1, 3, 4]), (0.7, [0, 1, 3, 4, 5])],
    )
    def test_sees_labeled_and_pseudo_labeled_rows_and_nothing_else(
        self, threshold, expected
    ):
        learner = learner_of(threshold=threshold)
        indices, rows = learner.query(POOL)
        assert indices.tolist() == [2]  # picked, and so never pseudo-labeled
        assert expected == [
            i for i, p in enumerate(POOL[:, 0]) if entropy_of(p) < threshold and i != 2
        ]
        assert np.array_equal(learner.X_pseudo, POOL[expected])
        assert np.array_equal(learner.y_pseudo, POOL[expected, 0] > 0.5)
        learner.teach(rows, [1])
        X, y, weights = learner.estimator.seen_
        assert np.array_equal(X, np.vstack((START[0], rows, POOL[expected])))
        assert y.tolist() == [0, 1, 1, *(POOL[expected, 0] > 0.5)]
        assert weights is None

    def test_alone_sees_them(self):
        learner = learner_of(threshold=0.1)
        _, rows = learner.query(POOL)
        learner.teach(rows, [1])
        assert learner.X_pseudo is learner.y_pseudo is None
        learner.teach(POOL[:1], [1])  # contradicts its pseudo-label
        X, y, _ = learner.estimator.seen_
        assert np.array_equal(X, np.vstack((START[0], rows, POOL[:1])))
        assert y.tolist() == [0, 1, 1, 1]

    def test_rows_and_labels_of_the_learner_are_the_true_ones(self):
        learner = learner_of(threshold=0.7)
        labeled = list(START[1])
        for answer in (0, 1, 0):
            _, rows = learner.query(POOL)
            learner.teach(rows, [answer])
            labeled.append(answer)
            assert len(learner.estimator.seen_[0]) == len(labeled) + 5
            assert learner.y_training.tolist() == labeled
            assert len(learner.X_training) == len(labeled)

    def test_a_second_query_replaces_the_first(self):
        learner = learner_of(threshold=0.1)
        learner.query(POOL)
        indices, rows = learner.query(POOL[:3], n_instances=2)
        assert sorted(indices) == [1, 2]
        assert np.array_equal(learner.X_pseudo, POOL[:1])
        learner.teach(rows, [0, 0])
        assert len(learner.estimator.seen_[0]) == 5
        assert learner.n_rounds == 1

    def test_no_row_is_certain(self):
        learner = learner_of(threshold=1e-9)
        _, rows = learner.query(POOL)
        assert len(learner.X_pseudo) == len(learner.y_pseudo) == 0
        learner.teach(rows, [1])
        assert len(learner.estimator.seen_[0]) == 3
        assert learner.n_rounds == 1

    def test_all_rows_are_picked(self):
        learner = learner_of(threshold=9.0)
        learner.query(POOL, n_instances=len(POOL))
        assert len(learner.y_pseudo) == 0

    def test_only_new_and_bootstrap(self):
        learner = learner_of(threshold=0.1, random_state=0)
        _, rows = learner.query(POOL)
        learner.teach(rows, [1], only_new=True)
        assert np.array_equal(
            learner.estimator.seen_[0], np.vstack((rows, POOL[[0, 1, 3, 4]]))
        )
        _, rows = learner.query(POOL)
        learner.teach(rows, [1], bootstrap=True)
        assert len(learner.estimator.seen_[0]) == 4 + 4
        assert len(learner.X_training) == 4

    def test_weights_are_those_of_labeled_rows(self):
        learner = learner_of(threshold=0.01)
        _, rows = learner.query(POOL)
        learner.teach(rows, [1], sample_weight=[5, 6, 7])
        assert list(learner.estimator.seen_[2]) == [5, 6, 7, 1, 1]
        learner.teach(rows, [1], sample_weight=None)
        assert learner.estimator.seen_[2] is None

    @pytest.mark.parametrize("kind", KINDS)
    def test_every_kind_of_rows(self, kind, data):
        X, y = data
        estimator = DictClassifier() if kind == "dict" else LogisticRegression()
        start, pool = convert(X[:9], kind), convert(X[9:], kind)
        learner = CEALLearner(estimator, entropy_sampling, start, y[:9], threshold=0.3)
        proba = LogisticRegression().fit(X[:9], y[:9]).predict_proba(X[9:])
        entropies = -(proba * np.log(proba)).sum(1)
        indices, rows = learner.query(pool, n_instances=2)
        assert sorted(indices) == sorted(np.argsort(entropies)[-2:])
        sure = np.flatnonzero(entropies < 0.3)
        assert len(sure) > 5
        assert np.array_equal(as_dense(learner.X_pseudo), X[9:][sure])
        learner.teach(rows, y[9:][indices])
        assert same_kind(learner.X_training, start)
        assert len(as_dense(learner.X_training)) == 11
        expected = LogisticRegression().fit(
            np.vstack((X[:9], X[9:][indices], X[9:][sure])),
            np.concatenate((y[:9], y[9:][indices], proba[sure].argmax(1))),
        )
        assert np.allclose(
            learner.predict_proba(pool), expected.predict_proba(X[9:]), atol=1e-5
        )

    @pytest.mark.parametrize("kind", LABELS)
    def test_every_kind_of_labels(self, kind, data):
        X, y = data
        labels = convert_labels(y, kind)
        learner = CEALLearner(
            LogisticRegression(), Margin(), X[:9], labels[:9], threshold=0.3
        )
        indices, rows = learner.query(X[9:], n_instances=3)
        assert len(learner.y_pseudo) > 5
        learner.teach(rows, convert_labels(y[9:][indices], kind))
        assert type(learner.y_training) is type(labels)
        assert len(learner.y_training) == 12
        assert learner.score(X, labels) > 0.6
        assert set(learner.classes_) == set(np.asarray(labels))

    def test_a_column_of_labels_and_a_net_in_a_pipeline(self, data):
        X, y = data
        net = NetClassifier(max_epochs=30, lr=0.01, random_state=0)
        learner = CEALLearner(
            make_pipeline(StandardScaler(), net), Margin(), X[:9], y[:9], threshold=0.3
        )
        indices, rows = learner.query(X[9:], n_instances=3)
        assert 0 < len(learner.y_pseudo) < 49
        learner.teach(rows, y[9:][indices])
        assert learner.X_training.shape == (12, 4)


class TestThreshold:
    def test_falls_with_each_round_and_not_below_zero(self):
        learner = learner_of(threshold=0.005, decay=0.002)
        for t, expected in enumerate([0.005, 0.003, 0.001, 0.0, 0.0]):
            assert learner.n_rounds == t
            assert learner.current_threshold == pytest.approx(expected, abs=1e-15)
            _, rows = learner.query(POOL)
            sure = [p for p in POOL[:, 0] if entropy_of(p) < expected]
            assert len(learner.y_pseudo) == len(sure)
            learner.teach(rows, [1])

    def test_a_round_is_a_query_and_a_teach(self):
        learner = learner_of(threshold=0.005, decay=0.001)
        learner.query(POOL)
        learner.query(POOL)
        assert learner.n_rounds == 0
        learner.teach(POOL[:1], [0])
        learner.teach(POOL[:1], [0])
        assert learner.n_rounds == 1

    def test_starts_over_with_fit(self):
        learner = learner_of()
        for _ in range(2):
            learner.query(POOL)
            learner.teach(POOL[2:3], [0])
        learner.query(POOL)
        assert learner.fit(*START) is learner
        assert learner.n_rounds == 0
        assert learner.X_pseudo is learner.y_pseudo is None
        assert len(learner.estimator.seen_[0]) == 2

    @pytest.mark.parametrize("name", ["threshold", "decay"])
    @pytest.mark.parametrize("value", [-0.1, np.nan, np.inf, "0.1", None, True])
    def test_wrong_values(self, name, value):
        learner = learner_of().set_params(**{name: value})
        with pytest.raises(ValueError, match=f"{name} must be a number of at least 0"):
            learner.query(POOL)
        assert learner.X_pseudo is None


class TestStrategies:
    @pytest.mark.parametrize("strategy", [Entropy(), Margin(), LeastConfident()])
    def test_pick_as_without_pseudo_labels(self, strategy, data):
        X, y = data
        learners = [
            make(LogisticRegression(), strategy, X[:9], y[:9])
            for make in (CEALLearner, ActiveLearner)
        ]
        learners[0].set_params(threshold=0.3)
        picked = [
            learner.query(X[9:], n_instances=5, return_metrics=True)
            for learner in learners
        ]
        for own, other in zip(*picked, strict=True):
            assert np.array_equal(own, other)
        assert len(learners[0].y_pseudo) > 5

    def test_without_a_threshold_nothing_differs(self, data):
        X, y = data
        net = NetClassifier(max_epochs=3, random_state=0)
        learners = [
            CEALLearner(clone(net), CoreSet(), X[:9], y[:9], threshold=0),
            ActiveLearner(clone(net), CoreSet(), X[:9], y[:9]),
        ]
        for _ in range(2):
            for learner in learners:
                indices, rows = learner.query(X[9:], 4)
                learner.teach(rows, y[9:][indices])
        own, other = (learner.predict_proba(X) for learner in learners)
        assert np.array_equal(own, other)

    def test_those_that_read_labels_see_no_pseudo_labels(self, data):
        X, y = data
        seen = []

        def strategy(learner, X_pool):
            seen.append(len(learner.X_training))
            return [0]

        learner = CEALLearner(LogisticRegression(), strategy, X[:9], y[:9], threshold=1)
        learner.query(X[9:])
        learner.query(X[9:])
        learner.teach(X[9:10], y[9:10])
        learner.query(X[9:])
        assert seen == [9, 9, 10]

    def test_before_the_first_label(self):
        learner = CEALLearner(Recording(), Random(random_state=0), threshold=0.1)
        _, rows = learner.query(POOL, n_instances=2)
        assert len(learner.y_pseudo) == 0
        learner.teach(rows, [0, 1])
        assert len(learner.estimator.seen_[0]) == 2

    def test_global_generators_do_not_change(self, data):
        X, y = data
        net = NetClassifier(max_epochs=1, random_state=0)
        learner = CEALLearner(net, Margin(), X, y, threshold=1.0)
        before = torch.get_rng_state()
        learner.query(X)
        assert torch.equal(torch.get_rng_state(), before)


class TestAllOrNothing:
    @pytest.mark.parametrize(
        ("X", "y", "message"),
        [
            (POOL[:1], [0, 1], "1 rows, but y has 2"),
            (POOL[:1, :1], [0], "shape"),
            (np.full((1, 2), np.inf), [0], "NaN or infinite"),
            (POOL[:1], ["a"], "do not mix"),
            (POOL[:1], [0], "no training today"),
        ],
    )
    def test_a_failed_teach_changes_nothing(self, X, y, message):
        learner = learner_of(threshold=0.1)
        _, rows = learner.query(POOL)
        fitted, kept = learner.estimator.seen_, (learner.X_training, learner.X_pseudo)
        learner.estimator.fails = message == "no training today"
        with pytest.raises((ValueError, RuntimeError), match=message):
            learner.teach(X, y)
        assert learner.X_training is kept[0]
        assert learner.X_pseudo is kept[1]
        assert learner.n_rounds == 0
        assert np.array_equal(learner.estimator.seen_[0], fitted[0])
        learner.estimator.fails = False
        learner.teach(rows, [1])
        assert len(learner.estimator.seen_[0]) == 2 + 1 + 4

    def test_a_failed_fit_changes_nothing(self):
        learner = learner_of(threshold=0.1)
        learner.query(POOL)
        learner.estimator.fails = True
        with pytest.raises(RuntimeError, match="no training today"):
            learner.fit(POOL, POOL[:, 0] > 0.5)
        assert len(learner.y_pseudo) == 4
        assert len(learner.X_training) == 2

    def test_an_unsuitable_estimator_is_refused_before_the_strategy_is_asked(self):
        asked = []
        learner = CEALLearner(
            Ridge(), lambda learner, X: asked.append(1), POOL, POOL[:, 0]
        )
        with pytest.raises(UnsuitableLearnerError, match="Ridge has no predict_proba"):
            learner.query(POOL)
        assert not asked
        assert learner.X_pseudo is None

    def test_a_failed_query_changes_nothing(self):
        learner = learner_of(threshold=0.1)
        learner.query(POOL)
        kept = learner.X_pseudo
        with pytest.raises(ValueError, match="n_instances"):
            learner.query(POOL, n_instances=99)
        assert learner.X_pseudo is kept


class TestAsEstimator:
    def test_parameters_and_clone(self):
        learner = learner_of(threshold=0.3, decay=0.1)
        learner.query(POOL)
        assert isinstance(learner, modAL.models.ActiveLearner)
        params = learner.get_params(deep=False)
        assert params["threshold"] == 0.3
        assert params["decay"] == 0.1
        assert not {"X_training", "X_pseudo", "n_rounds"} & set(params)
        copied = clone(learner)
        assert copied.get_params(deep=False).keys() == params.keys()
        assert copied.threshold == 0.3
        assert copied.X_training is copied.X_pseudo is None
        assert "threshold=0.3" in repr(learner)

    def test_pickle_and_deepcopy_keep_what_was_set_aside(self):
        learner = learner_of(threshold=0.1)
        _, rows = learner.query(POOL)
        for other in (pickle.loads(pickle.dumps(learner)), copy.deepcopy(learner)):
            other.teach(rows, [1])
            assert len(other.estimator.seen_[0]) == 2 + 1 + 4
        assert len(learner.y_pseudo) == 4

    def test_cross_validation_and_search(self, data):
        X, y = data
        learner = CEALLearner(LogisticRegression(), Margin(), threshold=0.1)
        assert np.array_equal(
            cross_val_score(learner, X, y), cross_val_score(LogisticRegression(), X, y)
        )
        grid = {"threshold": [0.1, 0.2], "estimator__C": [1e-4, 1.0]}
        assert GridSearchCV(learner, grid, cv=3).fit(X, y).best_params_["estimator__C"]

    def test_fit_arguments_are_passed_on(self):
        learner = CEALLearner(Recording(), Entropy(), *START, sample_weight=[1, 2])
        assert learner.estimator.seen_[2] == [1, 2]
        with pytest.raises(TypeError, match="sample_weight"):
            CEALLearner(Recording(), sample_weight=[1, 2])


class Known(ClassifierMixin, BaseEstimator):
    """A classifier whose rows are their probabilities."""

    def __init__(self, classes=("ant", "bee", "cat")):
        self.classes = classes

    @property
    def classes_(self):
        return np.array(self.classes)

    def predict_proba(self, X):
        return np.asarray(X)


PROBA = np.array(
    [
        [1.0, 0.0, 0.0],
        [0.0, 0.0, 1.0],
        [0.5, 0.5, 0.0],
        [0.01, 0.99, 0.0],
        [0.3, 0.3, 0.4],
    ]
)


def slow_entropy(row):
    return -sum(p * math.log(p) for p in row if p > 0)


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (0.0, []),
        (1e-9, [0, 1]),
        (slow_entropy(PROBA[3]) * 1.0001, [0, 1, 3]),
        (slow_entropy(PROBA[3]) * 0.9999, [0, 1]),
        (math.log(2) * 1.0001, [0, 1, 2, 3]),
        (math.log(3), [0, 1, 2, 3, 4]),
    ],
)
def test_rows_below_the_threshold(threshold, expected):
    indices, labels = pseudo_label(Known(), PROBA, threshold)
    assert indices.tolist() == expected
    assert indices.dtype == np.int64
    named = ["ant", "cat", "ant", "bee", "cat"]  # ties: the first class
    assert labels.tolist() == [named[i] for i in expected]


def test_the_threshold_itself_is_not_below():
    entropy = float(np.log(2))
    exactly = [[0.5, 0.5]]
    assert len(pseudo_label(Known(("a", "b")), exactly, entropy)[0]) == 0
    assert len(pseudo_label(Known(("a", "b")), exactly, np.nextafter(1, 2))[0]) == 1


def test_blocks_change_nothing():
    rng = np.random.default_rng(0)
    proba = rng.dirichlet([0.2, 0.2, 0.2], size=1000)
    expected = [i for i, row in enumerate(proba) if slow_entropy(row) < 0.1]
    assert 50 < len(expected) < 950
    for memory in (0.002, 1024):
        with config_context(working_memory=memory):
            indices, labels = pseudo_label(Known(), proba, 0.1)
        assert indices.tolist() == expected
        assert labels.tolist() == [Known().classes[proba[i].argmax()] for i in expected]


@pytest.mark.parametrize("kind", KINDS)
def test_pseudo_labels_of_every_kind_of_rows(kind, data):
    X, y = data
    frames = kind in ("frame", "dict")  # scikit-learn checks their names
    model = DictClassifier() if kind == "dict" else LogisticRegression()
    model.fit(convert(X, kind) if frames else X, y)
    proba = LogisticRegression().fit(X, y).predict_proba(X)
    entropies = [slow_entropy(row) for row in proba]
    threshold = float(np.median(entropies)) + 1e-9
    indices, labels = pseudo_label(model, convert(X, kind), threshold)
    assert indices.tolist() == [i for i, e in enumerate(entropies) if e < threshold]
    assert labels.tolist() == proba[indices].argmax(1).tolist()


def test_rows_with_nan_get_no_pseudo_label():
    class Sometimes(Known):
        def predict_proba(self, X):
            return np.where(np.asarray(X) == 1, np.nan, X)

    indices, _ = pseudo_label(Sometimes(), PROBA, 5.0)
    assert indices.tolist() == [2, 3, 4]


def test_float32_probabilities_are_taken():
    proba = torch.rand(50, 3).mul(9).softmax(1).numpy()
    assert len(pseudo_label(Known(), proba, 9.0)[0]) == 50


def test_global_generators_do_not_change(data):
    X, y = data[0].astype(np.float32), data[1]
    net = NeuralNetClassifier(
        nn.Sequential(nn.Linear(4, 3), nn.Softmax(1)), max_epochs=1, verbose=0
    ).fit(X, y)
    before = torch.get_rng_state()
    pseudo_label(net, X, 1.0)
    assert torch.equal(torch.get_rng_state(), before)


class TestUnsuitable:
    def test_no_probabilities(self):
        with pytest.raises(UnsuitableLearnerError, match="Ridge has no predict_proba"):
            pseudo_label(Ridge(), PROBA, 1.0)

    def test_several_outputs(self, data):
        X, y = data
        model = KNeighborsClassifier().fit(X, np.column_stack((y, y)))
        with pytest.raises(UnsuitableLearnerError, match=r"one label per row.*KNeig"):
            pseudo_label(model, X, 1.0)

    @pytest.mark.parametrize("rows", [[[0.9, 0.9]], [[-1.0, 2.0]], [[0.0, 0.0]]])
    def test_rows_that_are_not_distributions(self, rows):
        with pytest.raises(UnsuitableLearnerError, match="sum to 1"):
            pseudo_label(Known(("a", "b")), rows, 1.0)

    def test_columns_of_unknown_classes(self):
        with pytest.raises(ValueError, match="3 probabilities per row for the 2"):
            pseudo_label(Known(("a", "b")), PROBA, 1.0)


def test_a_threshold_of_zero_gives_no_pseudo_labels():
    X = rows_of(0.01, 0.99, 0.5, 0.6)
    learner = CEALLearner(
        Recording(), Random(), X[:2], [0, 1], threshold=0.0, decay=0.0
    )
    picked, _ = learner.query(X)
    assert picked.shape == (1,)
    assert len(learner.X_pseudo) == len(learner.y_pseudo) == 0
