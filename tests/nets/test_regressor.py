from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.ensemble import BaggingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from torch import nn

from skal import BayesianOptimizer
from skal.exceptions import UnsuitableLearnerError
from skal.nets import NetRegressor, WeightSnapshots
from skal.posteriors import MCDropout, WeightNoise
from tests.nets.helpers import Unsized, line

X, Y = line()
QUICK: dict[str, Any] = {"max_epochs": 60, "lr": 0.01, "random_state": 0}


# -- targets --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        np.asarray,
        pd.Series,
        torch.from_numpy,
        lambda y: y.astype(object),
        lambda y: np.rint(y * 10).astype(int) / 10,
    ],
    ids=["array", "series", "tensor", "object", "rounded"],
)
def test_one_target(make: Any) -> None:
    net = NetRegressor(**QUICK).fit(X, make(Y))
    predicted = net.predict(X)
    assert predicted.shape == (60,)
    assert predicted.dtype == np.float64
    assert net.score(X, Y) > 0.97  # (n, 1) - (n,) would give about 0


@pytest.mark.parametrize("dtype", [int, bool])
def test_targets_of_other_dtypes(dtype: Any) -> None:
    y = (Y > 0).astype(dtype)
    net = NetRegressor(**QUICK).fit(X, y)
    assert ((net.predict(X) > 0.5) == y).mean() > 0.9


@pytest.mark.parametrize("n_targets", [1, 3])
def test_several_targets(n_targets: int) -> None:
    y = np.stack([Y * (i + 1) / 3 for i in range(n_targets)], 1).astype(np.float32)
    for make in (np.asarray, pd.DataFrame, torch.from_numpy):
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


class SameTypes(nn.MSELoss):
    """Refuses what some versions of torch cannot differentiate."""

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        assert input.dtype == target.dtype
        return super().forward(input, target)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("weight", [None, np.ones(len(X))])
def test_outputs_of_any_type_are_compared_in_one(dtype: Any, weight: Any) -> None:
    class Typed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(X.shape[1], 1, dtype=dtype)

        def forward(self, X: torch.Tensor) -> torch.Tensor:
            return self.layer(X.to(dtype))

    net = NetRegressor(Typed, criterion=SameTypes, **QUICK)
    net.fit(X, Y, sample_weight=weight)
    assert net.module_.layer.weight.dtype == dtype
    assert (
        net.row_losses(torch.ones(3, 1, dtype=dtype), torch.zeros(3)).tolist()
        == [1] * 3
    )


def test_outputs_must_match_the_targets() -> None:
    with pytest.raises(ValueError, match="3 outputs for 1 targets"):
        NetRegressor(Unsized(outputs=3), max_epochs=1).fit(X, Y)


def test_targets_of_another_shape_need_a_refit() -> None:
    net = NetRegressor(max_epochs=1).partial_fit(X, Y)
    before = net.predict(X)
    with pytest.raises(ValueError, match="trained on targets"):
        net.partial_fit(X, np.c_[Y, Y])
    np.testing.assert_array_equal(net.predict(X), before)
    net.fit(X, np.c_[Y, Y])
    assert net.predict(X).shape == (60, 2)


def test_another_criterion() -> None:
    net = NetRegressor(criterion=nn.HuberLoss, **QUICK).fit(X, Y)
    assert net.score(X, Y) > 0.9


def test_no_predict_proba() -> None:
    net = NetRegressor(max_epochs=1).fit(X, Y)
    assert not hasattr(net, "predict_proba")
    with pytest.raises(AttributeError, match="not a classifier, so it cannot predict"):
        NetRegressor().predict_proba(X)


def test_tags() -> None:
    tags = get_tags(NetRegressor())
    assert tags.estimator_type == "regressor"
    assert tags.input_tags.sparse
    assert tags.target_tags.multi_output
    assert tags.target_tags.required


# -- standard deviations --------------------------------------------------------------

RNG = np.random.default_rng(0)
X_STD = RNG.normal(size=(40, 3))
Y_STD = X_STD[:, 0] + X_STD[:, 1] ** 2


def small_net(**parameters: Any) -> NetRegressor:
    settings = {"max_epochs": 6, "lr": 0.01, "random_state": 0}
    return NetRegressor(**{**settings, **parameters})


def test_standard_deviation_over_the_snapshots_by_hand() -> None:
    model = small_net(callbacks=[WeightSnapshots(warmup=2)]).fit(X_STD, Y_STD)
    mean, std = model.predict(X_STD, return_std=True)
    np.testing.assert_array_equal(mean, model.predict(X_STD))
    predictions = []
    for epochs in range(3, 7):  # the same net, stopped after each epoch
        stopped = small_net(max_epochs=epochs).fit(X_STD, Y_STD)
        predictions.append(stopped.predict(X_STD))
    np.testing.assert_allclose(std, np.std(predictions, axis=0), atol=1e-5)
    assert std.shape == (40,)


@pytest.mark.parametrize("n_targets", [1, 2])
def test_standard_deviations_have_the_shape_of_the_targets(n_targets: int) -> None:
    targets = np.column_stack([Y_STD] * n_targets)
    model = small_net(module__dropout=0.2).fit(X_STD, targets)
    mean, std = model.predict(X_STD, return_std=True)
    assert mean.shape == std.shape == (40, n_targets)
    assert (std > 0).all()


def test_each_call_draws_the_same_models_and_changes_nothing() -> None:
    model = small_net(module__dropout=0.2).fit(X_STD, Y_STD)
    state = torch.get_rng_state()
    first = model.predict(X_STD, return_std=True)[1]
    few = model.predict(X_STD[:5], return_std=True)[1]
    np.testing.assert_allclose(few, first[:5], atol=1e-6)
    assert torch.equal(torch.get_rng_state(), state)
    other = model.predict(X_STD, return_std=True, posterior=MCDropout(n_draws=50))[1]
    assert not np.array_equal(other, first)
    np.testing.assert_array_equal(model.predict(X_STD, return_std=True)[1], first)


def test_without_a_posterior_the_error_says_what_to_add() -> None:
    model = small_net(module__dropout=0.0).fit(X_STD, Y_STD)
    with pytest.raises(UnsuitableLearnerError, match="module__dropout"):
        model.predict(X_STD, return_std=True)
    noise = WeightNoise(n_draws=5)
    assert model.predict(X_STD, return_std=True, posterior=noise)[1].shape == (40,)


def test_standard_deviations_in_a_pipeline_and_a_bayesian_optimizer() -> None:
    net = small_net(module__dropout=0.2)
    pipeline = make_pipeline(StandardScaler(), net).fit(X_STD, Y_STD)
    mean, std = pipeline.predict(X_STD, return_std=True)
    assert mean.shape == std.shape == (40,)
    optimizer = BayesianOptimizer(net, X_training=X_STD[:20], y_training=Y_STD[:20])
    indices, rows = optimizer.query(X_STD[20:], n_instances=2)
    assert len(set(indices.tolist())) == 2
    optimizer.teach(rows, Y_STD[20:][indices])
    assert len(optimizer.X_training) == 22


def test_an_ensemble_of_scikit_learn_predicts_means() -> None:
    bagging = BaggingRegressor(small_net(), n_estimators=2, random_state=0)
    assert bagging.fit(X_STD, Y_STD).predict(X_STD).shape == (40,)
