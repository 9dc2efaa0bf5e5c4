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
from sklearn.base import clone
from sklearn.linear_model import Ridge

from skal import ActiveLearner
from skal.strategies import LCMD
from skal.tabular import make_tabular_regressor
from skal.tabular.targets import TargetScaler


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
