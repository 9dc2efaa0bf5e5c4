"""Targets of regressors of tables: what is scaled, and what is refused."""

from __future__ import annotations

import warnings
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import BayesianRidge, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skal import ActiveLearner
from skal.exceptions import UnsuitableLearnerError
from skal.nets import FoldEnsembleRegressor, NetRegressor
from skal.posteriors import MCDropout, predictive_std
from skal.strategies import LCMD
from skal.tabular import make_tabular_preprocessor, make_tabular_regressor
from skal.tabular.targets import ScaledTargetRegressor, TargetScaler

#: Quick to fit.
ENSEMBLE = FoldEnsembleRegressor(
    2, hidden_sizes=(8,), others=None, max_steps=20, random_state=0
)
LOG = make_pipeline(FunctionTransformer(np.log, np.exp), StandardScaler())


def _table() -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    area = rng.uniform(20, 200, 40)
    X = pd.DataFrame({"area": area, "kind": rng.choice(["flat", "house"], 40)})
    return X, 1e5 + 2e3 * area


def test_decimal_and_half_precision_targets() -> None:
    X, y = _table()
    y = (y / 1e3).astype(np.float16)
    model = make_tabular_regressor(Ridge())
    expected = clone(model).fit(X, y.astype(float)).predict(X)
    kinds: list[Any] = [y, [Decimal(float(v)) for v in y]]
    kinds += [np.array(kinds[1]), pd.Series(kinds[1]), [Fraction(float(v)) for v in y]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for target in kinds:
            np.testing.assert_allclose(clone(model).fit(X, target).predict(X), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: pd.Series(pd.date_range("2020", periods=len(y))), "in row 0"),
        (lambda y: (y * 100).astype("timedelta64[s]"), "must hold numbers"),
        (
            lambda y: [*y[:3], date(2020, 1, 1), *y[4:]],
            r"datetime\.date\(2020, 1, 1\)\] in row 3",
        ),
        (lambda y: y * 1e200, "whose squares overflow"),
        (lambda y: y * 1e-200, "squares of such numbers vanish"),
    ],
)
def test_targets_that_cannot_be_scaled(change: Any, message: str) -> None:
    X, y = _table()
    target = change(y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=message):
            make_tabular_regressor(Ridge()).fit(X, target)


def test_scaled_targets_of_any_usual_magnitude() -> None:
    X, y = _table()
    usual = make_tabular_regressor(Ridge()).fit(X, y).predict(X)
    for scale in (1e-100, 1e100):
        found = make_tabular_regressor(Ridge()).fit(X, y * scale).predict(X)
        np.testing.assert_allclose(found, usual * scale, rtol=1e-8)
    constant = make_tabular_regressor(Ridge()).fit(X, np.full(len(y), 1e-300))
    np.testing.assert_allclose(constant.predict(X), 1e-300)


def test_a_campaign_with_decimal_targets() -> None:
    X, y = _table()
    target = [Decimal(float(v)) for v in y]
    learner = ActiveLearner(
        make_tabular_regressor(Ridge()), LCMD(), X[:20], target[:20]
    )
    learner.teach(X[20:25], target[20:25])
    plain = ActiveLearner(make_tabular_regressor(Ridge()), LCMD(), X[:25], y[:25])
    np.testing.assert_allclose(learner.predict(X), plain.predict(X))
    found = [each.query(X[25:], n_instances=3)[0].tolist() for each in (learner, plain)]
    assert found[0] == found[1]


def test_no_targets_are_refused_as_by_scikit_learn() -> None:
    with pytest.raises(ValueError, match="0 sample"):
        TargetScaler().fit(np.empty((0, 1)))


# -- standard deviations and intervals ------------------------------------------------


class Known(RegressorMixin, BaseEstimator):
    """Gives rows as predictions, a deviation for each, and intervals around them."""

    def __init__(self, std: Any = 0.5) -> None:
        self.std = std

    def fit(self, X: Any, y: Any) -> Known:
        self.n_targets_ = np.shape(y)[1:]
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        mean = np.asarray(X, dtype=float)[:, : (self.n_targets_ or (1,))[0]]
        mean = mean.reshape(len(mean), *self.n_targets_)
        return (mean, np.full(mean.shape, self.std)) if return_std else mean

    def predict_interval(self, X: Any, coverage: float = 0.9) -> Any:
        mean = self.predict(X)
        return mean - self.std, mean + 10 * coverage * self.std


def _noisy() -> tuple[pd.DataFrame, np.ndarray]:
    X, y = _table()
    return X, y + np.random.default_rng(1).normal(0, 3e4, len(y))


@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_intervals_of_a_scaled_target_are_in_its_units(coverage: float) -> None:
    X, y = _noisy()
    model = make_tabular_regressor(ENSEMBLE).fit(X, y)
    rows = model.regressor_[:-1].transform(X)
    ends = model.predict_interval(X, coverage)
    for end, scaled in zip(
        ends, model.regressor_[-1].predict_interval(rows, coverage), strict=True
    ):
        assert end.shape == y.shape
        np.testing.assert_allclose(end, y.mean() + y.std() * scaled, rtol=1e-9)
    inside = np.mean((ends[0] <= y) & (y <= ends[1]))
    assert abs(inside - coverage) < 0.25


def test_the_default_model_gives_intervals() -> None:
    X, y = _noisy()
    model = make_tabular_regressor(random_state=0)
    assert hasattr(model, "predict_interval")
    with pytest.raises(NotFittedError):
        model.predict_interval(X)
    model = model.fit(X, y)
    lower, upper = model.predict_interval(X)
    assert ((lower <= y) & (y <= upper)).mean() > 0.75
    std = model.predict(X, return_std=True)[1]
    assert (std < (upper - lower)).all()  # without the noise of the labels
    with pytest.raises(ValueError, match="coverage must be"):
        model.predict_interval(X, 90)


def test_intervals_within_searches_and_wrappers() -> None:
    X, y = _noisy()
    pipeline = make_tabular_regressor(ENSEMBLE).regressor
    ends = ScaledTargetRegressor(pipeline, transformer=TargetScaler()).fit(X, y)
    search = GridSearchCV(pipeline, {"estimator__lr": [0.05]}, cv=2)
    searched = ScaledTargetRegressor(search, transformer=TargetScaler()).fit(X, y)
    nested = make_tabular_regressor(
        ScaledTargetRegressor(ENSEMBLE, func=np.negative, inverse_func=np.negative)
    ).fit(X, y)
    expected = ends.predict_interval(X)
    np.testing.assert_allclose(searched.predict_interval(X), expected)
    for end, other in zip(nested.predict_interval(X), expected, strict=True):
        assert end.shape == other.shape
    assert (np.diff(nested.predict_interval(X), axis=0) >= 0).all()


@pytest.mark.parametrize(
    "regressor",
    [
        None,
        Ridge(),
        make_pipeline(make_tabular_preprocessor(), Ridge()),
        # In units of its own.
        TransformedTargetRegressor(ENSEMBLE),
        NetRegressor(),
    ],
)
def test_no_intervals_where_the_model_has_none(regressor: Any) -> None:
    assert not hasattr(ScaledTargetRegressor(regressor), "predict_interval")


@pytest.mark.parametrize(
    ("func", "inverse"),
    [
        (np.log, np.exp),
        (lambda y: -np.log(y), lambda z: np.exp(-z)),
        (lambda y: 5 - 2 * y, lambda z: (5 - z) / 2),
        (np.sqrt, lambda z: np.square(np.maximum(z, 0))),
        (np.arcsinh, np.sinh),
    ],
)
def test_a_monotone_transformer(func: Any, inverse: Any) -> None:
    X = np.linspace(0.1, 2, 20)[:, None]
    model = ScaledTargetRegressor(
        Known(), func=func, inverse_func=inverse, check_inverse=False
    ).fit(X, inverse(X[:, 0]))
    ends = [inverse(X[:, 0] - 0.5), inverse(X[:, 0] + 4.5)]
    lower, upper = model.predict_interval(X)
    np.testing.assert_allclose(lower, np.minimum(*ends))
    np.testing.assert_allclose(upper, np.maximum(*ends))
    mean, std = model.predict(X, return_std=True)
    np.testing.assert_allclose(mean, inverse(X[:, 0]))
    np.testing.assert_array_equal(mean, model.predict(X))
    half = np.abs(inverse(X[:, 0] + 0.5) - inverse(X[:, 0] - 0.5)) / 2
    np.testing.assert_allclose(std, half)


def test_a_transformer_that_is_not_monotone_is_refused() -> None:
    X = np.linspace(0, 2, 20)[:, None]
    model = ScaledTargetRegressor(
        Known(), func=np.sqrt, inverse_func=np.square, check_inverse=False
    ).fit(X, np.square(X[:, 0]))
    with pytest.raises(ValueError, match="FunctionTransformer is not monotone"):
        model.predict_interval(X)
    lower, _ = model.predict_interval(X[10:])
    np.testing.assert_allclose(lower, np.square(X[10:, 0] - 0.5))


def test_several_targets() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 2)), rng.normal(3, [1, 20], size=(30, 2))
    signs = FunctionTransformer(lambda y: y * [1, -1], lambda z: z * [1, -1])
    pipe = make_pipeline(signs, StandardScaler())
    model = ScaledTargetRegressor(Known(), transformer=pipe).fit(X, y)
    mean, std = model.predict(X, return_std=True)
    np.testing.assert_allclose(mean, model.predict(X))
    np.testing.assert_allclose(std, np.broadcast_to(0.5 * y.std(0), std.shape))
    lower, upper = model.predict_interval(X)
    np.testing.assert_allclose((mean - lower)[:, 0], 0.5 * y[:, 0].std())
    np.testing.assert_allclose((mean - lower)[:, 1], 4.5 * y[:, 1].std())
    np.testing.assert_allclose((upper - mean)[:, 1], 0.5 * y[:, 1].std())
    mixed = ScaledTargetRegressor(
        Known(), transformer=PCA(whiten=True, random_state=0)
    ).fit(X, y)
    for method, options in (
        ("predict", {"return_std": True}),
        ("predict_interval", {}),
    ):
        with pytest.raises(UnsuitableLearnerError, match="mixes the targets"):
            getattr(mixed, method)(X, **options)


@pytest.mark.parametrize(
    "inner", [BayesianRidge(), GaussianProcessRegressor(alpha=0.5, optimizer=None)]
)
def test_std_of_a_scaled_target_is_in_its_units(inner: Any) -> None:
    X, y = _noisy()
    model = make_tabular_regressor(inner).fit(X, y)
    mean, std = model.predict(X, return_std=True)
    scaled = model.regressor_.predict(X, return_std=True)
    np.testing.assert_allclose(mean, y.mean() + y.std() * scaled[0])
    np.testing.assert_allclose(std, y.std() * scaled[1], rtol=1e-6)
    np.testing.assert_array_equal(mean, model.predict(X))


def test_std_of_nets_is_that_of_the_posterior() -> None:
    X, y = _noisy()
    net = NetRegressor(
        module__hidden_sizes=(8,), module__dropout=0.2, max_epochs=40, random_state=0
    )
    model = make_tabular_regressor(net).fit(X, y)
    mean, std = model.predict(X, return_std=True)
    np.testing.assert_array_equal(mean, model.predict(X))
    inner = model.regressor_.predict(X, return_std=True)[1]
    np.testing.assert_allclose(std, y.std() * inner, rtol=1e-6)
    other = model.predict(X, return_std=True, posterior=MCDropout(n_draws=3))[1]
    assert not np.array_equal(other, std)
    learner = ActiveLearner(model, LCMD(), X, y)
    assert learner.predict(X, return_std=True)[1].shape == y.shape


def test_std_of_the_ensemble_agrees_with_its_members() -> None:
    X, y = _noisy()
    model = make_tabular_regressor(ENSEMBLE).fit(X, y)
    rows = model.regressor_[:-1].transform(X)
    ensemble = model.regressor_[-1]
    members = np.stack([net.predict(rows) for net in ensemble.estimators_])
    members = model.transformer_.inverse_transform(members.reshape(-1, 1))
    members = members.reshape(len(ensemble.estimators_), -1)
    mean = np.average(members, axis=0, weights=ensemble.weights_)
    variance = np.average((members - mean) ** 2, axis=0, weights=ensemble.weights_)
    found = model.predict(X, return_std=True)
    np.testing.assert_allclose(found[0], mean, rtol=1e-5)
    np.testing.assert_allclose(found[1], np.sqrt(variance), rtol=1e-3)
    assert predictive_std(model, X).shape == (40, 1)


def test_std_where_the_model_has_none() -> None:
    X, y = _noisy()
    with pytest.raises(TypeError, match="return_std"):
        make_tabular_regressor(Ridge()).fit(X, y).predict(X, return_std=True)


def test_intervals_of_a_target_that_was_a_logarithm() -> None:
    X, y = _noisy()
    model = make_tabular_regressor(ENSEMBLE).set_params(transformer=LOG).fit(X, y)
    lower, upper = model.predict_interval(X)
    scaled = model.regressor_[-1].predict_interval(model.regressor_[:-1].transform(X))
    log = np.log(y)
    np.testing.assert_allclose(lower, np.exp(log.mean() + log.std() * scaled[0]))
    np.testing.assert_allclose(upper, np.exp(log.mean() + log.std() * scaled[1]))
    assert (lower > 0).all()
