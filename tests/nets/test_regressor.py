"""Targets of one column, of several, and of none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.utils import get_tags
from torch import nn

from skal.nets import NetRegressor
from tests.nets.data import Unsized, line

X, Y = line()
QUICK = {"max_epochs": 60, "lr": 0.01, "random_state": 0}


@pytest.mark.parametrize(
    "make",
    [
        np.asarray,
        list,
        pd.Series,
        torch.from_numpy,
        lambda y: torch.tensor(y, dtype=torch.float64, requires_grad=True),
        lambda y: y.astype(np.float64),
        lambda y: y.astype(object),
        lambda y: np.rint(y * 10).astype(int) / 10,
    ],
)
def test_one_target(make: Any) -> None:
    net = NetRegressor(**QUICK).fit(X, make(Y))
    predicted = net.predict(X)
    assert predicted.shape == (60,)
    assert predicted.dtype == np.float64
    assert net.score(X, Y) > 0.97  # (n, 1) - (n,) would give about 0


@pytest.mark.parametrize("dtype", [int, bool, np.int8])
def test_targets_of_other_dtypes(dtype: Any) -> None:
    y = (Y > 0).astype(dtype)
    net = NetRegressor(**QUICK).fit(X, y)
    assert ((net.predict(X) > 0.5) == y).mean() > 0.9


@pytest.mark.parametrize("n_targets", [1, 2, 5])
@pytest.mark.parametrize("make", [np.asarray, pd.DataFrame, torch.from_numpy])
def test_several_targets(n_targets: int, make: Any) -> None:
    y = np.stack([Y * (i + 1) / 3 for i in range(n_targets)], 1).astype(np.float32)
    net = NetRegressor(**QUICK).fit(X, make(y))
    assert net.predict(X).shape == (60, n_targets)
    assert net.module_.head.out_features == n_targets
    assert net.score(X, y) > 0.9


def test_modules_without_a_column_axis() -> None:
    class Flat(Unsized):
        def forward(self, X: torch.Tensor) -> torch.Tensor:
            return super().forward(X)[:, 0]

    flat, column = Flat(outputs=1), Unsized(outputs=1)
    column.load_state_dict(flat.state_dict())
    fits = [NetRegressor(m, **QUICK).fit(X, Y) for m in (flat, column)]
    np.testing.assert_allclose(fits[0].predict(X), fits[1].predict(X), atol=1e-5)


def test_wrong_number_of_outputs() -> None:
    with pytest.raises(ValueError, match="3 outputs for 1 targets"):
        NetRegressor(Unsized(outputs=3), max_epochs=1).fit(X, Y)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.where(Y > 1, np.nan, Y), "NaN"),
        (np.where(Y > 1, np.inf, Y), "infinity"),
        (Y.astype(float) * 1e300, "infinity"),
        (Y[:-1], "different numbers of rows"),
        (Y[:, None, None], "dim 3"),
        (["a"] * 60, "numeric|convert"),
    ],
)
def test_bad_targets_change_nothing(y: Any, message: str) -> None:
    net = NetRegressor(max_epochs=1).fit(X, Y)
    before = net.predict(X)
    with pytest.raises(ValueError, match=message):
        net.fit(X, y)
    np.testing.assert_array_equal(net.predict(X), before)


def test_targets_of_another_shape_cannot_go_on() -> None:
    net = NetRegressor(max_epochs=1).partial_fit(X, Y)
    with pytest.raises(ValueError, match="trained on targets"):
        net.partial_fit(X, np.c_[Y, Y])
    net.fit(X, np.c_[Y, Y])
    assert net.predict(X).shape == (60, 2)


def test_no_predict_proba() -> None:
    net = NetRegressor(max_epochs=1).fit(X, Y)
    assert not hasattr(net, "predict_proba")
    assert not hasattr(NetRegressor(), "predict_proba")


def test_another_criterion() -> None:
    net = NetRegressor(criterion=nn.HuberLoss, **QUICK).fit(X, Y)
    assert net.score(X, Y) > 0.9


def test_tags() -> None:
    tags = get_tags(NetRegressor())
    assert tags.estimator_type == "regressor"
    assert tags.input_tags.sparse
    assert tags.target_tags.multi_output
    assert tags.target_tags.required
