from __future__ import annotations

import pickle

import modAL.models
import numpy as np
import pandas as pd
import pytest
import torch
from modAL.acquisition import max_EI, max_PI, max_UCB
from sklearn.base import clone, is_regressor
from sklearn.compose import TransformedTargetRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.linear_model import BayesianRidge, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetRegressor

from skal.learners import ActiveLearner, BayesianOptimizer
from skal.tabular import make_tabular_regressor
from skal.tabular.targets import ScaledTargetRegressor
from tests.learners.conftest import convert, same_kind

X = np.linspace(0, 6, 40)[:, None] * np.ones(3)
y = np.sin(X[:, 0])
START = [3, 30]


def process():
    return GaussianProcessRegressor(RBF(1.0), alpha=1e-3, optimizer=None)


@pytest.mark.parametrize("strategy", [max_EI, max_PI, max_UCB])
@pytest.mark.parametrize(
    "estimator", [process(), make_pipeline(StandardScaler(), process())]
)
def test_finds_the_maximum(estimator, strategy):
    optimizer = BayesianOptimizer(clone(estimator), strategy, X[START], y[START])
    for _ in range(8):
        indices, rows = optimizer.query(X, n_instances=2)
        assert len(set(indices)) == 2
        optimizer.teach(rows, y[indices])
    assert optimizer.y_max == pytest.approx(y.max(), abs=0.02)


@pytest.mark.parametrize("kind", ["ndarray", "frame", "list", "tensor", "int_frame"])
def test_maximum_follows_the_labeled_rows(kind):
    rows = convert(X, kind)
    optimizer = BayesianOptimizer(process())
    assert optimizer.get_max() == (None, -np.inf)
    optimizer.teach(convert(X[START], kind), y[START])
    assert optimizer.y_max == y[3]
    assert np.array_equal(np.asarray(optimizer.X_max), X[3])
    _, new = optimizer.query(rows, n_instances=1)
    assert same_kind(new, rows)
    optimizer.teach(convert(X[[10]], kind), y[[10]], only_new=True)
    assert optimizer.y_max == y[10]
    optimizer.fit(convert(X[[30]], kind), y[[30]])
    assert optimizer.y_max == y[30]
    assert pickle.loads(pickle.dumps(optimizer)).y_max == y[30]


@pytest.mark.parametrize(
    "labels", [y[:, None], pd.Series(y), y.tolist(), torch.tensor(y)]
)
def test_every_kind_of_targets(labels):
    optimizer = BayesianOptimizer(process(), X_training=X[:20], y_training=labels[:20])
    optimizer.teach(X[20:], labels[20:])
    best, value = optimizer.get_max()
    assert value == y.max()
    assert np.array_equal(best, X[y.argmax()])


def test_query_before_fit():
    optimizer = BayesianOptimizer(process())
    indices, rows = optimizer.query(X, n_instances=3)
    assert len(set(indices)) == len(rows) == 3


@pytest.mark.parametrize(
    "estimator",
    [
        Ridge(),
        make_pipeline(StandardScaler(), Ridge()),
        TransformedTargetRegressor(BayesianRidge()),
        ScaledTargetRegressor(Ridge()),
        ScaledTargetRegressor(TransformedTargetRegressor(BayesianRidge())),
        NeuralNetRegressor(
            torch.nn.Linear,
            module__in_features=3,
            module__out_features=1,
            train_split=None,
            max_epochs=1,
            verbose=0,
        ),
    ],
)
def test_regressor_without_std_is_named(estimator):
    rows, targets = X.astype("f4"), y.astype("f4")
    if isinstance(estimator, NeuralNetRegressor):
        targets = targets[:, None]
    optimizer = BayesianOptimizer(estimator, X_training=rows, y_training=targets)
    assert optimizer.predict(rows).shape[0] == 40
    with pytest.raises(
        TypeError, match=rf"return_std=True.*{type(estimator).__name__}"
    ):
        optimizer.query(rows)


def test_scaled_target_gives_std_in_its_units():
    few, scaled = y[:20], (y[:20] - y[:20].mean()) / y[:20].std()
    model = make_tabular_regressor(BayesianRidge(), preprocessor=StandardScaler())
    optimizer = BayesianOptimizer(model, max_UCB, X[:20], few, random_state=0)
    plain = make_pipeline(StandardScaler(), BayesianRidge())
    plain = BayesianOptimizer(plain, max_UCB, X[:20], scaled, random_state=0)
    mean, std = plain.predict(X, return_std=True)
    found = optimizer.predict(X, return_std=True)
    np.testing.assert_allclose(found[0], few.mean() + few.std() * mean)
    np.testing.assert_allclose(found[1], few.std() * std)


def test_as_estimator():
    optimizer = BayesianOptimizer(BayesianRidge(), max_UCB, X, y, random_state=0)
    assert isinstance(optimizer, modAL.models.BayesianOptimizer)
    assert isinstance(optimizer, ActiveLearner)
    assert is_regressor(optimizer)
    copy = clone(optimizer)
    assert copy.get_max() == (None, -np.inf)
    assert copy.query_strategy is max_UCB
    assert repr(optimizer).startswith("BayesianOptimizer(estimator=BayesianRidge()")


def test_failed_teach_keeps_the_maximum():
    optimizer = BayesianOptimizer(process(), X_training=X[START], y_training=y[START])
    with pytest.raises(ValueError, match="shape"):
        optimizer.teach(X[:, :2], y)
    assert optimizer.y_max == y[3]


def test_several_targets_are_refused():
    # The largest of both columns was taken for a row.
    both = np.stack([y, -y], axis=1)
    with pytest.raises(ValueError, match="one target, got y with 2 columns"):
        BayesianOptimizer(process(), X_training=X, y_training=both)
    optimizer = BayesianOptimizer(process(), X_training=X[START], y_training=y[START])
    with pytest.raises(ValueError, match="one target"):
        optimizer.teach(X[:2], both[:2])
    assert len(optimizer.y_training) == 2
    optimizer.teach(X[:2], y[:2, None])
    assert optimizer.y_max == y[3]
