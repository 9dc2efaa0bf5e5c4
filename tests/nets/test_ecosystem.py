"""The nets inside scikit-learn's own tools."""

from __future__ import annotations

import pickle
from copy import deepcopy
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import AdaBoostClassifier, BaggingRegressor, VotingClassifier
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_validate
from sklearn.multioutput import MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from skorch import NeuralNetClassifier, NeuralNetRegressor

from skal.nets import NetClassifier, NetRegressor
from tests.nets.data import Unsized, blobs, line

X, CODES = blobs()
LABELS = np.array(["a", "b", "c"])[CODES]
XR, Y = line()
CLF = NetClassifier(max_epochs=20, lr=0.02, random_state=0)
REG = NetRegressor(max_epochs=60, lr=0.02, random_state=0)


def test_they_are_skorchs() -> None:
    assert isinstance(CLF, NeuralNetClassifier)
    assert isinstance(REG, NeuralNetRegressor)
    assert is_classifier(CLF)
    assert is_regressor(REG)


def test_pipeline_of_float64_and_sparse() -> None:
    model = make_pipeline(StandardScaler(), clone(CLF)).fit(X.astype(float), LABELS)
    assert model.score(X.astype(float), LABELS) > 0.9
    frame = pd.DataFrame({"kind": LABELS})
    model = make_pipeline(OneHotEncoder(), clone(CLF)).fit(frame, LABELS)
    assert model.score(frame, LABELS) == 1


def test_pipeline_passes_weights_and_names() -> None:
    weight = np.arange(60.0)
    frame = pd.DataFrame(XR, columns=list("abcd"))
    scale = StandardScaler().set_output(transform="pandas")
    model = make_pipeline(scale, clone(REG))
    model.fit(frame, Y, netregressor__sample_weight=weight)
    assert model[-1].feature_names_in_.tolist() == list("abcd")
    alone = clone(REG).fit(scale.transform(frame), Y, sample_weight=weight)
    np.testing.assert_array_equal(
        model.predict(frame), alone.predict(scale.transform(frame))
    )


def test_grid_search() -> None:
    grid = {"lr": [1e-6, 0.02], "module__hidden_sizes": [(4,), (8, 8)]}
    search = GridSearchCV(clone(CLF), grid, cv=2, error_score="raise").fit(X, LABELS)
    assert search.best_params_["lr"] == 0.02
    assert search.score(X, LABELS) > 0.9
    best = search.best_estimator_
    assert best.module_.body[0].out_features == best.module__hidden_sizes[0]


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_cross_validate(n_jobs: Any) -> None:
    scoring = ["accuracy", "neg_log_loss", "roc_auc_ovr"]
    scores = cross_validate(
        clone(CLF), X, LABELS, cv=2, scoring=scoring, n_jobs=n_jobs, error_score="raise"
    )
    assert scores["test_accuracy"].mean() > 0.9
    assert scores["test_roc_auc_ovr"].mean() > 0.9
    assert scores["test_neg_log_loss"].mean() > -0.5


def test_cross_val_predict_of_probabilities() -> None:
    proba = cross_val_predict(clone(CLF), X, LABELS, cv=3, method="predict_proba")
    assert (CLF.fit(X, LABELS).classes_[proba.argmax(1)] == LABELS).mean() > 0.9


@pytest.mark.parametrize("scaled", [True, False])
def test_transformed_target(scaled: bool) -> None:
    y = 1000 + 100 * Y
    inner = make_pipeline(StandardScaler(), clone(REG)) if scaled else clone(REG)
    model = TransformedTargetRegressor(inner, transformer=StandardScaler())
    assert model.fit(XR, y).score(XR, y) > 0.95
    both = np.c_[y, -y]
    assert model.fit(XR, both).predict(XR).shape == (60, 2)


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibrated(method: str) -> None:
    model = CalibratedClassifierCV(clone(CLF), method=method, cv=2)
    assert model.fit(X, LABELS).score(X, LABELS) > 0.9


def test_calibrated_with_weights() -> None:
    # With "sigmoid", scikit-learn 1.6 cannot mix float32 and weights.
    model = CalibratedClassifierCV(clone(CLF), method="isotonic", cv=2)
    model.fit(X, LABELS, sample_weight=np.ones(60))
    assert model.score(X, LABELS) > 0.9


def test_bagging_with_and_without_weights() -> None:
    model = BaggingRegressor(clone(REG), n_estimators=2, random_state=0)
    assert model.fit(XR, Y).score(XR, Y) > 0.9
    assert model.fit(XR, Y, sample_weight=np.ones(60)).score(XR, Y) > 0.9


def test_boosting_takes_the_weights() -> None:
    model = AdaBoostClassifier(clone(CLF), n_estimators=2, random_state=0)
    assert model.fit(X, LABELS).score(X, LABELS) > 0.9


@pytest.mark.parametrize("voting", ["hard", "soft"])
def test_voting(voting: str) -> None:
    model = VotingClassifier(
        [("net", clone(CLF)), ("bayes", GaussianNB())], voting=voting
    )
    assert model.fit(X, LABELS).score(X, LABELS) > 0.9


def test_multi_output_wrapper() -> None:
    model = MultiOutputRegressor(clone(REG)).fit(XR, np.c_[Y, -Y])
    assert model.score(XR, np.c_[Y, -Y]) > 0.9


@pytest.mark.parametrize(
    "copy", [deepcopy, lambda net: pickle.loads(pickle.dumps(net))]
)
@pytest.mark.parametrize("fitted", [True, False])
def test_copies(copy: Any, fitted: bool) -> None:
    net = NetClassifier(max_epochs=2, random_state=0, class_weight={"b": 2.0})
    if not fitted:
        assert copy(net).get_params().keys() == net.get_params().keys()
        return
    twin = copy(net.fit(X, LABELS))
    np.testing.assert_array_equal(twin.predict_proba(X), net.predict_proba(X))
    assert twin.predict(X).tolist() == net.predict(X).tolist()
    # Both go on alike.
    np.testing.assert_array_equal(
        twin.partial_fit(X, LABELS).predict_proba(X),
        net.partial_fit(X, LABELS).predict_proba(X),
    )


def test_clone_is_unfitted_and_shows_nothing_that_fit_has_found() -> None:
    net = NetClassifier(module__hidden_sizes=(5,), max_epochs=1, lr=0.1)
    before = net.get_params()
    net.fit(X, LABELS)
    assert "module__n_features" not in net.get_params()
    shown = {
        k: v for k, v in net.get_params().items() if not k.startswith("callbacks_")
    }
    assert shown == {k: v for k, v in before.items() if not k.startswith("callbacks_")}
    twin = clone(net)
    assert not hasattr(twin, "module_")
    assert not hasattr(twin, "classes_")
    assert twin.module__hidden_sizes == (5,)
    assert twin.fit(X[:, :2], CODES > 0).predict_proba(X[:, :2]).shape == (60, 2)


def test_clone_copies_a_module_instance() -> None:
    net = NetClassifier(Unsized(), max_epochs=1)
    twin = clone(net)
    assert twin.module is not net.module
    assert twin.fit(X, CODES).predict(X).shape == (60,)


def test_repr_and_html() -> None:
    assert "NetClassifier" in repr(clone(CLF))
    assert "NetRegressor" in repr(clone(REG).fit(XR, Y))
    assert "NetClassifier" in make_pipeline(StandardScaler(), CLF)._repr_html_()
