from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from skorch import NeuralNetClassifier
from torch import nn

from skal.exceptions import UnsuitableLearnerError
from skal.learners.pseudo_labels import check_gives_pseudo_labels, pseudo_label
from tests.learners.conftest import KINDS, DictClassifier, convert


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
    named = ["ant", "cat", "ant", "bee", "cat"]  # of two equal ones the first
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
def test_every_kind_of_rows(kind, data):
    X, y = data
    frames = kind in ("frame", "dict")  # their names are checked
    model = DictClassifier() if kind == "dict" else LogisticRegression()
    model.fit(convert(X, kind) if frames else X, y)
    proba = LogisticRegression().fit(X, y).predict_proba(X)
    entropies = [slow_entropy(row) for row in proba]
    threshold = float(np.median(entropies)) + 1e-9
    indices, labels = pseudo_label(model, convert(X, kind), threshold)
    assert indices.tolist() == [i for i, e in enumerate(entropies) if e < threshold]
    assert labels.tolist() == proba[indices].argmax(1).tolist()


def test_no_row_is_nan_and_sure():
    class Sometimes(Known):
        def predict_proba(self, X):
            return np.where(np.asarray(X) == 1, np.nan, X)

    indices, _ = pseudo_label(Sometimes(), PROBA, 5.0)
    assert indices.tolist() == [2, 3, 4]


def test_float32_probabilities_are_taken():
    proba = torch.rand(50, 3).mul(9).softmax(1).numpy()
    assert len(pseudo_label(Known(), proba, 9.0)[0]) == 50


def test_generators_are_left_alone(data):
    X, y = data[0].astype(np.float32), data[1]
    net = NeuralNetClassifier(
        nn.Sequential(nn.Linear(4, 3), nn.Softmax(1)), max_epochs=1, verbose=0
    ).fit(X, y)
    before = torch.get_rng_state()
    pseudo_label(net, X, 1.0)
    assert torch.equal(torch.get_rng_state(), before)


class TestUnsuitable:
    def test_no_probabilities(self):
        for call in (
            lambda: check_gives_pseudo_labels(Ridge()),
            lambda: pseudo_label(Ridge(), PROBA, 1.0),
        ):
            with pytest.raises(UnsuitableLearnerError, match="Ridge has no predict_pr"):
                call()

    def test_several_outputs(self, data):
        X, y = data
        model = KNeighborsClassifier().fit(X, np.column_stack((y, y)))
        with pytest.raises(UnsuitableLearnerError, match=r"one label a row.*KNeig"):
            pseudo_label(model, X, 1.0)

    @pytest.mark.parametrize("rows", [[[0.9, 0.9]], [[-1.0, 2.0]], [[0.0, 0.0]]])
    def test_what_is_no_distribution(self, rows):
        with pytest.raises(UnsuitableLearnerError, match="sum to 1"):
            pseudo_label(Known(("a", "b")), rows, 1.0)

    def test_columns_without_a_name(self):
        with pytest.raises(ValueError, match=r"3 probabilities for the 2 classes"):
            pseudo_label(Known(("a", "b")), PROBA, 1.0)
