from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import PredefinedSplit, cross_val_predict

from skal.nets.ensembles import others
from skal.nets.ensembles.others import (
    classification_weights,
    gaussian_process,
    held_out_predictions,
    predict_columns,
    regression_weights,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = X[:, 0] - X[:, 1] ** 2 + 0.1 * RNG.normal(size=40)
CODES = np.digitize(Y, [-1, 0])
FOLDS = np.arange(40) % 4


def simplex(n_models: int, n_steps: int) -> np.ndarray:
    """All weights that are multiples of 1 / n_steps."""
    axes = product(range(n_steps + 1), repeat=n_models - 1)
    points = [(*w, n_steps - sum(w)) for w in axes if sum(w) <= n_steps]
    return np.array(points) / n_steps


def squared_loss(
    weights: np.ndarray, predictions: np.ndarray, y: np.ndarray, share: np.ndarray
) -> float:
    """What regression_weights should minimize, in plain words."""
    mean = share @ y
    scale = np.sqrt(share @ (y - mean) ** 2)
    alone = [np.mean(share @ ((p - y) / scale) ** 2) for p in predictions]
    error = np.mean(share @ ((np.tensordot(weights, predictions, 1) - y) / scale) ** 2)
    return error / min(alone) + others._SHRINKAGE * weights.var() * len(weights)


@pytest.mark.parametrize("n_targets", [1, 2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("noise", [(1, 1, 1), (0.3, 1, 3), (1e-4, 1e-4, 1)])
def test_regression_weights_are_the_best_on_a_grid(
    n_targets: int, weighted: bool, noise: tuple[float, ...]
) -> None:
    rng = np.random.default_rng(1)
    y = rng.normal(size=(30, n_targets)) * [10.0, 0.1][:n_targets] + 5
    scale = y.std(0)
    predictions = np.stack([y + s * scale * rng.normal(size=y.shape) for s in noise])
    weight = rng.uniform(0.1, 3, 30) if weighted else None
    share = np.full(30, 1 / 30) if weight is None else weight / weight.sum()
    found = regression_weights(predictions, y, weight)
    assert found.sum() == pytest.approx(1)
    assert (found >= 0).all()
    loss = squared_loss(found, predictions, y, share)
    grid = simplex(3, 50)
    losses = [squared_loss(w, predictions, y, share) for w in grid]
    assert loss <= min(losses) + 1e-9
    assert np.abs(found - grid[np.argmin(losses)]).max() <= 0.03


def test_models_that_agree_have_equal_weights() -> None:
    predictions = np.stack([Y[:, None] + 1] * 3 + [5 * Y[:, None]])
    weights = regression_weights(predictions, Y[:, None])
    np.testing.assert_allclose(weights[:3], weights[0], atol=1e-8)
    exact = np.stack([Y[:, None]] * 2)
    np.testing.assert_allclose(regression_weights(exact, Y[:, None]), 0.5, atol=1e-8)
    constant = regression_weights(np.ones((2, 5, 1)), np.ones((5, 1)))
    np.testing.assert_allclose(constant, 0.5, atol=1e-8)


@pytest.mark.parametrize("unit", [1e-30, 1.0, 1e30])
def test_regression_weights_do_not_depend_on_the_unit(unit: float) -> None:
    predictions = np.stack([Y + 0.3 * RNG.normal(size=40), 0.5 * Y])[:, :, None]
    expected = regression_weights(predictions, Y[:, None])
    found = regression_weights(unit * predictions, unit * Y[:, None])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_classification_weights_make_labels_most_probable(weighted: bool) -> None:
    rng = np.random.default_rng(2)
    p = rng.beta([[4], [3], [1]], 2, size=(3, 60))
    p[0, 3] = 0.0
    weight = rng.uniform(0.1, 3, 60) if weighted else None
    relative = np.ones(60) if weight is None else weight / weight.mean()

    def loss(logits: np.ndarray) -> float:
        w = np.exp(logits - logits.max())
        w /= w.sum()
        prior = others._PRIOR_ROWS / 3 * np.log(w).sum()
        return -(relative @ np.log(w @ np.maximum(p, 1e-6)) + prior)

    best = minimize(loss, np.zeros(3), tol=1e-10).x
    expected = np.exp(best) / np.exp(best).sum()
    found = classification_weights(p, weight)
    assert found.sum() == pytest.approx(1)
    np.testing.assert_allclose(found, expected, atol=3e-3)
    many = classification_weights(p, None if weight is None else 1e3 * weight)
    np.testing.assert_allclose(many, found)


def test_the_sum_of_classification_weights_is_1_in_float64() -> None:
    rng = np.random.default_rng(0)
    p = rng.random((3, 40))
    for _ in range(9):
        weight = rng.uniform(0.1, 3, 40).astype(np.float32)
        assert classification_weights(p, weight).sum() == pytest.approx(1, abs=1e-13)


# -- held-out predictions -------------------------------------------------------------


def test_held_out_predictions_equal_cross_validation() -> None:
    split = PredefinedSplit(FOLDS)
    found = held_out_predictions(Ridge(), X, Y, FOLDS, 1)
    expected = cross_val_predict(Ridge(), X, Y, cv=split)
    np.testing.assert_allclose(found[:, 0], expected)
    both = np.stack([Y, X[:, 2]], 1)
    found = held_out_predictions(Ridge(), X, both, FOLDS, 2)
    np.testing.assert_allclose(found, cross_val_predict(Ridge(), X, both, cv=split))
    model = LogisticRegression()
    found = held_out_predictions(model, X, CODES, FOLDS, 3)
    expected = cross_val_predict(model, X, CODES, cv=split, method="predict_proba")
    np.testing.assert_allclose(found, expected)
    assert not hasattr(model, "coef_")


def test_weights_are_those_of_the_other_folds() -> None:
    weight = RNG.uniform(0.1, 3, 40)
    found = held_out_predictions(Ridge(), X, Y, FOLDS, 1, weight)[:, 0]
    for k in range(4):
        rest, held = k != FOLDS, k == FOLDS
        part = Ridge().fit(X[rest], Y[rest], sample_weight=weight[rest])
        np.testing.assert_allclose(found[held], part.predict(X[held]))


def test_classes_that_other_folds_lack_have_probability_zero() -> None:
    codes = np.where(FOLDS == 2, 1, CODES * 2)  # 1 is in fold 2 alone, 3 nowhere
    found = held_out_predictions(LogisticRegression(), X, codes, FOLDS, 6)
    np.testing.assert_allclose(found.sum(1), 1)
    assert not found[FOLDS == 2, 1].any()
    assert found[FOLDS != 2, 1].all()
    assert not found[:, [3, 5]].any()
    rest = FOLDS != 2
    part = LogisticRegression().fit(X[rest], codes[rest])
    own = part.predict_proba(X[FOLDS == 2])
    np.testing.assert_allclose(found[FOLDS == 2][:, [0, 2, 4]], own)


def test_one_class_in_the_other_folds() -> None:
    codes = np.where(FOLDS == 1, 0, 2)
    found = held_out_predictions(LogisticRegression(), X, codes, FOLDS, 3)
    np.testing.assert_array_equal(found[FOLDS == 1], [[0, 0, 1]] * 10)
    assert (found[FOLDS != 1][:, [0, 2]] > 0).all()


def test_columns_of_classes() -> None:
    forest = RandomForestClassifier(5, random_state=0).fit(X, CODES * 2)
    found = predict_columns(forest, X, 6)
    np.testing.assert_array_equal(found[:, [0, 2, 4]], forest.predict_proba(X))
    assert not found[:, [1, 3, 5]].any()
    ridge = Ridge().fit(X, Y)
    np.testing.assert_array_equal(predict_columns(ridge, X, 1)[:, 0], ridge.predict(X))


# -- Gaussian process -----------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:The optimal value found for dimension")
@pytest.mark.parametrize("n_targets", [1, 2])
def test_a_gaussian_process_is_as_likely_as_that_of_scikit_learn(
    n_targets: int,
) -> None:
    y = Y if n_targets == 1 else np.stack([Y, X[:, 2]], 1)
    process = gaussian_process(X, y)
    assert process.optimizer is None
    start = process.kernel.clone_with_theta(np.log([1, *[3**0.5] * 3, 0.1]))
    other = GaussianProcessRegressor(start, normalize_y=True).fit(X, y)
    best = other.log_marginal_likelihood_value_
    assert process.log_marginal_likelihood_value_ >= best - 0.1
    assert process.score(X, y) > 0.9


@pytest.mark.parametrize("n_columns", [1, 3, 101])
@pytest.mark.parametrize("n_targets", [1, 2])
def test_the_likelihood_is_that_of_scikit_learn(n_columns: int, n_targets: int) -> None:
    rng = np.random.default_rng(n_columns)
    rows = rng.normal(size=(30, n_columns))
    rows[:5] = rows[5:10]  # at distance 0
    y = rng.normal(3, 2, (30, n_targets))
    process = gaussian_process(rows, y)
    n_scales = len(process.kernel_.theta) - 2
    for spread in (0.1, 1.0):
        theta = np.log([2.0, *[n_columns**0.5] * n_scales, 0.1])
        theta += spread * rng.normal(size=len(theta))
        value, gradient = others._marginal_likelihood(process, theta)
        expected = process.log_marginal_likelihood(theta, eval_gradient=True)
        assert value == pytest.approx(expected[0], rel=1e-12)
        np.testing.assert_allclose(gradient, expected[1], rtol=1e-8, atol=1e-10)
    singular = np.log([1e300, *[1e3] * n_scales, 1e-300])
    value, gradient = others._marginal_likelihood(process, singular)
    assert value == -np.inf
    assert not gradient.any()


def test_a_clone_of_a_gaussian_process_keeps_its_hyperparameters() -> None:
    process = gaussian_process(X, Y)
    copy = clone(process).fit(X[::2], Y[::2])
    np.testing.assert_array_equal(copy.kernel_.theta, process.kernel_.theta)
    np.testing.assert_allclose(clone(process).fit(X, Y).predict(X), process.predict(X))


def test_length_scales() -> None:
    relevant = np.exp(gaussian_process(X, Y).kernel_.theta[1:4])
    assert relevant[2] > 3 * relevant[:2].max()  # the third column has no influence
    wide = np.random.default_rng(0).normal(size=(20, 101))
    assert len(gaussian_process(wide, wide[:, 0]).kernel_.theta) == 3
    assert len(gaussian_process(wide[:, :100], wide[:, 0]).kernel_.theta) == 102


def test_a_gaussian_process_of_repeated_rows_and_constant_targets() -> None:
    twice = np.r_[X, X]
    process = gaussian_process(twice, np.r_[Y, Y])
    assert np.isfinite(process.predict(X)).all()
    np.testing.assert_allclose(gaussian_process(X, np.full(40, 7.0)).predict(X), 7)
