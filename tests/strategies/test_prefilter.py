"""A strategy among the rows that another scores highest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, LogisticRegression

from skal import ActiveLearner
from skal.exceptions import UnsuitableLearnerError
from skal.strategies import (
    LCMD,
    CoreSet,
    Entropy,
    LDMSeeding,
    LeastConfident,
    Margin,
    NoiseStability,
    PredictiveVariance,
    Prefilter,
    Random,
)
from skal.strategies.prefilter import n_kept
from tests.models import make_data, make_net

X, Y = make_data("classification")
POOL = make_data("classification", 90, seed=1)[0]


@pytest.fixture(scope="module")
def learner() -> ActiveLearner:
    return ActiveLearner(make_net("classification"), X_training=X, y_training=Y)


@pytest.mark.parametrize("by", [Margin(), Entropy(), Random(random_state=1)])
@pytest.mark.parametrize("inner", [CoreSet(), LCMD(random_state=2), LeastConfident()])
@pytest.mark.parametrize(("factor", "n"), [(1, 4), (2.5, 5), (5, 3), (50, 3)])
def test_picks_are_those_of_the_strategy_on_the_rows_kept(
    learner, by, inner, factor, n
):
    scores = by.score_samples(learner, POOL)
    kept = np.sort(np.argsort(-scores, kind="stable")[: int(np.ceil(factor * n))])
    expected = inner.select(learner, POOL[kept], n)
    got = Prefilter(inner, by, factor).select(learner, POOL, n)
    np.testing.assert_array_equal(got.indices, kept[expected.indices])
    np.testing.assert_array_equal(got.scores, expected.scores)


def test_ties_are_kept_in_pool_order():
    class Constant:
        classes_ = (0, 1)

        def fit(self, X: Any, y: Any) -> Constant:
            return self

        def predict_proba(self, X: Any) -> np.ndarray:
            return np.full((len(X), 2), 0.5)

    picked = Prefilter(Random(), Margin(), 2).select(Constant(), POOL, 3).indices
    assert set(picked.tolist()) <= set(range(6))


def test_by_default_random_rows_of_the_least_certain(learner):
    top = set(np.argsort(-Margin().score_samples(learner, POOL))[:30].tolist())
    picks = [
        Prefilter(random_state=seed).select(learner, POOL, 3).indices.tolist()
        for seed in (0, 0, 1)
    ]
    assert picks[0] == picks[1] != picks[2]
    assert {i for picked in picks for i in picked} <= top
    regressor = make_net("regression").fit(*make_data("regression"))
    posterior = PredictiveVariance(random_state=5)
    top = set(np.argsort(-posterior.score_samples(regressor, POOL))[:30].tolist())
    picked = Prefilter(by=posterior).select(regressor, POOL, 3).indices
    assert set(picked.tolist()) <= top


@pytest.mark.parametrize(
    ("factor", "n", "m", "kept"),
    [
        (1, 3, 10, 3),
        (2, 3, 10, 6),
        (10, 3, 10, 10),
        (1.5, 3, 10, 5),
        (1.1, 10, 50, 11),
        (1e308, 3, 10, 10),
        (10**400, 3, 10, 10),
        (np.float32(2), 3, 10, 6),
    ],
)
def test_how_many_are_kept(factor, n, m, kept):
    assert n_kept(factor, n, m) == kept


@pytest.mark.parametrize("factor", [0, 0.5, -1, np.nan, np.inf, True, "2", None])
def test_bad_factor(learner, factor):
    with pytest.raises(ValueError, match="factor must be a number of at least 1"):
        Prefilter(factor=factor).select(learner, POOL, 1)


@pytest.mark.parametrize("by", [LCMD(), NoiseStability(), LDMSeeding()])
def test_the_filter_must_score_every_row(learner, by):
    with pytest.raises(TypeError, match="by of Prefilter must be a strategy that scor"):
        Prefilter(by=by).select(learner, POOL, 1)


def test_both_strategies_are_asked_what_they_need():
    model = LogisticRegression().fit(X, Y)
    with pytest.raises(UnsuitableLearnerError, match="CoreSet reads the net"):
        Prefilter(CoreSet(), Margin()).select(model, POOL, 1)
    linear = LinearRegression().fit(X, X[:, 0])
    with pytest.raises(UnsuitableLearnerError, match="Margin is for classification"):
        Prefilter(Random(), Margin()).select(linear, POOL, 1)
    with pytest.raises(UnsuitableLearnerError, match="is a single model"):
        Prefilter().select(linear, POOL, 1)


def test_nested_parameters_and_clones():
    strategy = Prefilter(LCMD(n_components=8), PredictiveVariance())
    names = {"strategy__n_components", "by__posterior", "factor"}
    assert names <= strategy.get_params().keys()
    copied = clone(strategy).set_params(strategy__n_components=16, factor=3)
    assert (copied.strategy.n_components, strategy.strategy.n_components) == (16, 8)


def test_scores_on_the_device_of_the_net(device):
    net = make_net("classification", device).fit(X, Y)
    picks = Prefilter(CoreSet(), Margin(), 4).select(net, POOL, 4)
    assert len(set(picks.indices.tolist())) == 4
    assert torch.as_tensor(picks.scores).isfinite().all()


def test_the_default_by_is_named_where_the_learner_does_not_suit_it():
    net = make_net("regression", callbacks=[], module__dropout=0.0)
    net.fit(*make_data("regression"))
    with pytest.raises(UnsuitableLearnerError, match=r"by=.*PredictiveVariance"):
        Prefilter(CoreSet()).select(net, POOL, 2)
    with pytest.raises(UnsuitableLearnerError) as caught:
        Prefilter(CoreSet(), by=PredictiveVariance()).select(net, POOL, 2)
    assert "by=" not in str(caught.value)
