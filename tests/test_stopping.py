"""Stopping rules, against what they say by hand, and in simulations."""

from __future__ import annotations

import pickle
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from joblib import parallel_config
from sklearn.base import clone
from sklearn.datasets import load_diabetes, make_multilabel_classification
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import cohen_kappa_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skal import ActiveLearningSimulation, NetRegressor, compare_strategies
from skal.posteriors import MCDropout
from skal.stopping import (
    AllOf,
    AnyOf,
    Budget,
    ConfidentPredictions,
    LearningCurve,
    SmallGain,
    StablePredictions,
    StoppingRule,
    TargetScore,
    fit_learning_curve,
    forecast_labels,
)
from skal.strategies import LeastConfident, Margin, PredictiveVariance, Random

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 3))
CODES = np.digitize(X[:, 0] + 0.3 * RNG.normal(size=120), [-0.7, 0.7])


class Scripted(StoppingRule):
    """Says what it was told to say, call by call."""

    def __init__(self, answers: Any = ()) -> None:
        self.answers = answers

    def _check(self, seen: Any, history: dict[str, Any]) -> str | None:
        k = history["k"] = history.get("k", -1) + 1
        return f"answer {k}" if self.answers[k] else None


def played(rule: StoppingRule, scores: Any = (), sizes: Any = None) -> list[bool]:
    sizes = range(10, 10 + 10 * len(scores), 10) if sizes is None else sizes
    return [rule.update(None, n, s) for n, s in zip(sizes, scores, strict=True)]


# -- combining ------------------------------------------------------------------------


def test_any_and_all_look_at_the_same_step() -> None:
    first, second = [False, True, False, True], [True, False, False, True]
    union = Scripted(first) | Scripted(second)
    both = Scripted(first) & Scripted(second)
    assert played(union, [0] * 4) == [True, True, False, True]
    assert played(both, [0] * 4) == [False, False, False, True]
    assert both.reason_ == "answer 3; answer 3"
    assert not AllOf([]).update(None, 1)
    assert not AnyOf([]).update(None, 1)


def test_nested_rules() -> None:
    rule = (Budget(50) | TargetScore(0.9)) & TargetScore(0.5) | Budget(1000)
    assert isinstance(rule, AnyOf)
    assert [type(r).__name__ for r in rule.rules] == ["AllOf", "Budget"]
    assert played(rule, [0.4, 0.6, 0.95, 0.2], [60, 70, 75, 1000]) == [
        *(False, True, True, True)
    ]
    assert rule.reason_ == "1000 labels of a budget of 1000"
    three = Budget(1) | Budget(2) | Budget(3)
    assert len(three.rules) == 3
    with pytest.raises(TypeError):
        Budget(1) | 3  # type: ignore[operator]


def test_each_campaign_has_its_own_history() -> None:
    rule = SmallGain(0.01, n_ahead=1, min_scores=4)
    flat, steep = [0.5] * 6, [0.1 * k for k in range(6)]
    found = []
    for n, (a, b) in enumerate(zip(flat, steep, strict=True), start=5):
        found.append(
            (rule.update(None, n, a, campaign="a"), rule.update(None, n, b, campaign=1))
        )
    assert found == [(False, False)] * 3 + [(True, False)] * 3
    # Fewer labels than before begin another campaign.
    assert played(rule, flat[:3], [5, 6, 7]) == [False] * 3
    assert played(rule, flat[:4], [5, 6, 7, 8]) == [False, False, False, True]
    rule.reset()
    assert rule.reason_ is None
    assert not rule.update(None, 9, 0.5)


def test_rules_are_scikit_learn_objects() -> None:
    rule = Budget(5) | StablePredictions(X, tol=0.1)
    assert rule.update(KNeighborsClassifier(1).fit(X, CODES), 7)
    again = clone(rule)
    assert not hasattr(again, "reason_")
    assert again.rules[0].n_labels == 5
    kept = pickle.loads(pickle.dumps(rule))
    assert kept.reason_ == rule.reason_ == "7 labels of a budget of 5"


# -- rules ----------------------------------------------------------------------------


def test_budget() -> None:
    assert played(Budget(30), [None] * 4) == [False, False, True, True]
    with pytest.raises(ValueError, match="n_labels must be an int"):
        Budget(0.5).update(None, 1)
    with pytest.raises(ValueError, match="n_labeled must be an int"):
        Budget().update(None, -1)


def test_target_score_by_name_and_by_test_rows() -> None:
    assert played(TargetScore(0.9), [0.8, np.nan, 0.9]) == [False, False, True]
    rule = TargetScore(-1.0, scorer="error")
    assert rule.update(None, 5, {"error": -0.5, "r2": 0.0})
    for bad, message in [
        (TargetScore(1.0), "no score to look at"),
        (TargetScore(1.0, scorer="other"), r"\['a', 'b'\], got 'other'"),
        (TargetScore(1.0, scorer=None), "got None"),
    ]:
        scores = None if "look at" in message else {"a": 1.0, "b": 2.0}
        with pytest.raises(ValueError, match=message):
            bad.update(None, 5, scores)
    model = LogisticRegression().fit(X, CODES)
    accuracy, loss = model.score(X, CODES), -0.01
    assert TargetScore(accuracy, X=X, y=CODES).update(model, 9)
    assert not TargetScore(accuracy + 1e-6, X=X, y=CODES).update(model, 9)
    assert not TargetScore(loss, X=X, y=CODES, scoring="neg_log_loss").update(model, 9)


def test_stable_labels_by_kappa() -> None:
    models = [KNeighborsClassifier(3).fit(X[:n], CODES[:n]) for n in (20, 60, 110, 120)]
    labels = [m.predict(X) for m in models]
    kappas = [cohen_kappa_score(*pair) for pair in pairwise(labels)]
    limit = 1 - np.mean(kappas[1:]) + 1e-9
    assert limit < 1 - np.mean(kappas[:2])
    rule = StablePredictions(X, tol=limit, window=2)
    sizes = (20, 60, 110, 120)
    found = [rule.update(m, n) for m, n in zip(models, sizes, strict=True)]
    assert found == [False, False, False, True]
    strict = StablePredictions(X, tol=limit - 1e-6, window=2)
    assert not any(strict.update(m, n) for m, n in zip(models, sizes, strict=True))


def test_stable_values_whatever_their_unit() -> None:
    y = X @ np.array([1.0, -2.0, 0.5])
    for scale in (1.0, 1e6):
        rule = StablePredictions(X, tol=0.1, window=1)
        assert not rule.update(Ridge(1e-6).fit(X, scale * y), 10)
        assert not rule.update(Ridge(1e-6).fit(X, scale * 1.2 * y), 20)
        moved = Ridge(1e-6).fit(X, scale * (1.2 * y + 0.05))
        assert rule.update(moved, 30)
        change = 0.05 / (1.2 * y).std()
        assert rule.reason_ == (
            f"predictions have changed by {change:.2g}, at most 0.1"
        )


def test_constant_predictions_are_not_stable() -> None:
    rule = StablePredictions(X, window=1)
    for k in range(3):
        assert not rule.update(DummyClassifier().fit(X, CODES), k)
    rule.reset()
    for k in range(3):
        assert not rule.update(DummyRegressor().fit(X, X[:, 0]), k)


def test_stable_predictions_of_several_labels() -> None:
    rows, labels = make_multilabel_classification(80, 5, random_state=0)
    rule = StablePredictions(rows, window=1)
    model = KNeighborsClassifier(1).fit(rows, labels)
    assert not rule.update(model, 80)
    assert rule.update(model, 80)
    other = KNeighborsClassifier(1).fit(rows, labels[::-1])
    assert not rule.update(other, 81)


def test_confident_predictions() -> None:
    model = LogisticRegression().fit(X, CODES)
    mean = LeastConfident().score_samples(model, X).mean()
    assert ConfidentPredictions(LeastConfident(), X, mean + 1e-9).update(model, 9)
    assert not ConfidentPredictions(LeastConfident(), X, mean - 1e-6).update(model, 9)
    net = NetRegressor(max_epochs=30, random_state=0).fit(X, X[:, 0])
    rule = ConfidentPredictions(PredictiveVariance(MCDropout(), random_state=0), X, 1e3)
    assert rule.update(make_pipeline(StandardScaler(), net).fit(X, X[:, 0]), 9)


def test_gain_against_the_price() -> None:
    # The next label gains c b n^(-c - 1), about.
    sizes = np.arange(10, 210, 10)
    scores = 0.8 - 2.0 / sizes
    rule = SmallGain(0.0005, n_ahead=1)
    found = np.array(played(rule, scores, sizes.tolist()))
    gains = np.diff(0.8 - 2.0 / np.c_[sizes, sizes + 1])[:, 0]
    np.testing.assert_array_equal(found, gains < 0.0005)
    # A score of NaN, no labels, and a second fit to the same ones tell nothing.
    others = [(0, 0.0), (5, np.nan), *[(10, 0.6)] * 6]
    repeated = SmallGain(9.0, n_ahead=1)
    assert not any(repeated.update(None, *seen) for seen in others)
    gaps = SmallGain(0.0005, n_ahead=1)
    seen = [
        gaps.update(None, int(n), s)
        for n, s in [*others[:2], *zip(sizes, scores, strict=True)]
    ]
    np.testing.assert_array_equal(seen[2:], found)
    with pytest.raises(ValueError, match="min_scores must be an int of at least 4"):
        SmallGain(0.1, min_scores=3).update(None, 5, 0.5)
    with pytest.raises(ValueError, match="min_gain must be a number above 0"):
        SmallGain(0.0).update(None, 5, 0.5)
    with pytest.raises(ValueError, match="n_ahead must be an int of at least 1"):
        SmallGain(0.1, n_ahead=0).update(None, 5, 0.5)
    with pytest.raises(ValueError, match="tol must be a number above 0"):
        StablePredictions([[1.0]], tol=0.0).update(None, 5)
    with pytest.raises(ValueError, match="window must be an int of at least 1"):
        StablePredictions([[1.0]], window=0).update(None, 5)


# -- learning curves ------------------------------------------------------------------


@pytest.mark.parametrize("power", [0.3, 0.5, 1.0, 1.7])
@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (-1e4, 1e3)])
def test_the_law_is_found_again(power: float, shift: float, scale: float) -> None:
    n = np.array([20.0, 30, 50, 80, 130, 200, 320])
    truth = LearningCurve(shift + 0.9 * scale, 3.0 * scale, power)
    found = fit_learning_curve(n, truth.predict(n))
    later = np.array([320.0, 640.0])
    np.testing.assert_allclose(
        found.predict(later), truth.predict(later), atol=0.01 * scale
    )
    target = truth.predict(500)
    assert found.labels_for(target) == pytest.approx(500, rel=0.05)
    assert truth.labels_for(truth.limit) == np.inf


def test_flat_and_falling_scores() -> None:
    flat = fit_learning_curve([10, 20, 30], [0.5, 0.5, 0.5])
    assert flat.scale == 0
    assert flat.labels_for(0.4) == 0
    assert flat.labels_for(0.6) == np.inf
    falling = fit_learning_curve([10, 20, 30], [0.7, 0.6, 0.5])
    np.testing.assert_allclose(falling.predict([10, 1000]), 0.6)


def test_curves_that_cannot_be_fitted() -> None:
    for n, scores, message in [
        ([10, 20], [0.1, 0.2], "three different numbers"),
        ([10, 10, 20, 20], [0.1] * 4, "three different numbers"),
        ([10, 20, 30], [0.1, np.nan, 0.2], "scores finite"),
        ([0, 20, 30], [0.1, 0.1, 0.2], "n_labeled must be positive"),
        ([10, 20, 30], [0.1, 0.2], "of one length"),
    ]:
        with pytest.raises(ValueError, match=message):
            fit_learning_curve(n, scores)


def test_forecasts_contain_the_truth() -> None:
    n = np.array([20.0, 30, 40, 60, 80, 100, 130, 160])
    truth = LearningCurve(0.9, 2.0, 0.8)
    target = float(truth.predict(240))
    rng, n_covered, n_trials = np.random.default_rng(0), 0, 40
    for _ in range(n_trials):
        scores = truth.predict(n) + 0.01 * rng.normal(size=len(n))
        found = forecast_labels(n, scores, target, n_resamples=60, random_state=0)
        assert found.low <= found.n_labels <= found.high
        n_covered += found.low <= 240 <= found.high
    assert n_covered >= 32  # 90 % are 36
    exact = forecast_labels(n, truth.predict(n), target, n_resamples=5, random_state=0)
    assert exact.low == pytest.approx(240, rel=0.02)
    assert exact.high == pytest.approx(240, rel=0.02)
    assert forecast_labels(n, truth.predict(n), 0.99, n_resamples=5).low == np.inf
    again = forecast_labels(n, scores, target, n_resamples=60, random_state=0)
    assert again == found


def test_forecasts_that_cannot_be_made() -> None:
    n, scores = [10, 20, 30, 40], [0.1, 0.2, 0.3, 0.3]
    with pytest.raises(ValueError, match="five different numbers"):
        forecast_labels(n, scores, 0.5)
    with pytest.raises(ValueError, match="confidence must be between 0 and 1"):
        forecast_labels([*n, 50], [*scores, 0.4], 0.5, confidence=95)
    with pytest.raises(ValueError, match="n_resamples must be an int of at least 1"):
        forecast_labels([*n, 50], [*scores, 0.4], 0.5, n_resamples=0)
    with pytest.raises(ValueError, match="score must be finite"):
        forecast_labels([*n, 50], [*scores, 0.4], float("nan"))


def test_more_labels_than_a_float_holds_are_infinitely_many() -> None:
    assert LearningCurve(1.0, 1.0, 0.05).labels_for(1 - 2e-16) == np.inf


# -- in simulations -------------------------------------------------------------------


def test_ends_a_simulation() -> None:
    rows, y = load_diabetes(return_X_y=True)
    rule = Budget(40) | TargetScore(0.99, X=rows, y=y)
    simulation = ActiveLearningSimulation(
        Ridge(0.1),
        Random(random_state=0),
        n_initial=10,
        n_queries=9,
        n_instances=10,
        callback=rule,
        random_state=0,
    ).fit(rows, y)
    assert simulation.n_labeled_.tolist() == [10, 20, 30, 40]
    assert rule.reason_ == "40 labels of a budget of 40"
    # The same rule, on a simulation anew.
    simulation.fit(rows, y)
    assert simulation.n_labeled_.tolist() == [10, 20, 30, 40]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_ends_each_campaign_of_a_comparison(n_jobs: int) -> None:
    with parallel_config("threading"):  # where campaigns share the rule
        comparison = compare_strategies(
            LogisticRegression(),
            {"Random": Random(), "Margin": Margin()},
            X,
            CODES,
            cv=3,
            n_initial=12,
            n_queries=5,
            random_state=0,
            n_jobs=n_jobs,
            callback=StablePredictions(X, tol=0.2, window=2),
        )
    data = comparison.data
    for _, run in data.groupby(["strategy", "fold"]):
        # Two changes are compared: never before the third fit.
        assert 3 <= len(run) <= 6
    assert data.groupby(["strategy", "fold"]).size().min() < 6


@pytest.mark.parametrize(
    "rule",
    [
        TargetScore(2.0, X=X.copy(), y=CODES),
        StablePredictions(X.copy()),
        ConfidentPredictions(LeastConfident(), X.copy(), 1e-9),
        SmallGain(1e-9, X=X.copy(), y=CODES),
    ],
    ids=lambda rule: type(rule).__name__,
)
def test_estimators_do_not_write_into_the_rows_of_a_rule(rule: StoppingRule) -> None:
    model = make_pipeline(StandardScaler(copy=False), LogisticRegression())
    model.fit(X.copy(), CODES)
    for _ in range(3):
        rule.update(model, 20)
    np.testing.assert_array_equal(rule.X, X)


def test_test_rows_as_tensors() -> None:
    model = LogisticRegression().fit(X, CODES)
    labels = torch.tensor(CODES)
    assert TargetScore(0.5, X=torch.tensor(X), y=labels).update(model, 9)
