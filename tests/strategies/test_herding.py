"""MaxHerding and UHerding, with weights, widths and temperatures found by hand."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from skal import ActiveLearner, Committee
from skal.rng import resolve_rng, seed_from
from skal.selection import max_herding
from skal.selection._herding import spread
from skal.strategies import (
    LCMD,
    Entropy,
    Margin,
    MaxHerding,
    PredictiveVariance,
    UHerding,
)
from skal.strategies.herding import calibration_error, smallest_distance, tempered
from tests.models import make_data, make_net, with_labeled

X, Y = make_data("classification")
POOL = make_data("classification", 80, seed=1)[0]
ROWS, LABELED = torch.from_numpy(POOL), torch.from_numpy(X)


@pytest.fixture(scope="module")
def learner() -> ActiveLearner:
    return ActiveLearner(LogisticRegression(), X_training=X, y_training=Y)


# -- MaxHerding ------------------------------------------------------------------------


def test_labeled_rows_cover_from_the_beginning(learner):
    for asked, labeled in [(learner, LABELED), (learner.estimator, None)]:
        for bandwidth in ("auto", 1.5):
            width = spread(ROWS) if bandwidth == "auto" else bandwidth
            expected = max_herding(ROWS, 7, width, labeled)
            got = MaxHerding(bandwidth).select(asked, POOL, 7)
            np.testing.assert_array_equal(got.indices, expected.indices)
            np.testing.assert_array_equal(got.scores, expected.scores)


def test_rows_are_compared_in_the_space_that_is_named():
    net = make_net("classification").fit(X, Y)
    picks = {
        space: MaxHerding(space=space).select(net, POOL, 6).indices.tolist()
        for space in ("auto", "features", "inputs", "last_layer")
    }
    assert picks["auto"] == picks["features"] == picks["last_layer"] != picks["inputs"]
    expected = max_herding(ROWS, 6).indices.tolist()
    assert picks["inputs"] == expected


def test_max_herding_needs_no_label():
    learner = ActiveLearner(LogisticRegression(), MaxHerding())
    expected = max_herding(ROWS, 6).indices
    np.testing.assert_array_equal(learner.query(POOL, n_instances=6)[0], expected)


@pytest.mark.parametrize("bad", [0, -1.0, np.nan, np.inf, True, None, "wide"])
@pytest.mark.parametrize("cls", [MaxHerding, UHerding])
def test_bad_bandwidth(learner, cls, bad):
    with pytest.raises(ValueError, match="bandwidth must be a number above 0"):
        cls(bandwidth=bad).select(learner, POOL, 1)


# -- UHerding: weights and width -------------------------------------------------------


def by_hand(probs: np.ndarray, temperature: float) -> torch.Tensor:
    """One minus the margin of tempered probabilities."""
    power = probs ** (1 / temperature)
    power /= power.sum(axis=1, keepdims=True)
    ordered = np.sort(power, axis=1)
    return torch.from_numpy(1 - ordered[:, -1] + ordered[:, -2])


@pytest.mark.parametrize("temperature", [1.0, 2.5, 19.0])
def test_uncertain_rows_weigh_more(learner, temperature):
    weights = by_hand(learner.predict_proba(POOL), temperature)
    expected = max_herding(ROWS, 9, pdist(X).min(), LABELED, weights)
    got = UHerding(temperature=temperature).select(learner, POOL, 9)
    np.testing.assert_array_equal(got.indices, expected.indices)
    np.testing.assert_allclose(got.scores, expected.scores, rtol=1e-6)


def test_uncertain_rows_with_many_labels_and_coverage_with_few(learner):
    narrow = UHerding(bandwidth=1e-3, temperature=1.0).select(learner, POOL, 9)
    np.testing.assert_array_equal(
        narrow.indices, Margin().select(learner, POOL, 9).indices
    )
    hot = UHerding(bandwidth=2.0, temperature=1e7).select(learner, POOL, 9)
    np.testing.assert_array_equal(
        hot.indices, MaxHerding(2.0).select(learner, POOL, 9).indices
    )


def test_the_width_is_the_smallest_distance_of_labeled_rows_that_differ():
    rows = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    least = pdist(rows.numpy()).min()
    assert smallest_distance(rows) == pytest.approx(least, rel=1e-6)
    assert smallest_distance(torch.cat([rows, rows])) == smallest_distance(rows)
    assert smallest_distance(rows[:1]) is smallest_distance(rows[:0]) is None
    assert smallest_distance(torch.ones(5, 2)) is None


def test_without_labels_the_width_is_that_of_max_herding(learner):
    weights = by_hand(learner.predict_proba(POOL), 1.0)
    expected = max_herding(ROWS, 5, spread(ROWS), None, weights)
    got = UHerding().select(learner.estimator, POOL, 5)
    np.testing.assert_array_equal(got.indices, expected.indices)


def test_any_strategy_scores_the_uncertainty(learner):
    scores = torch.from_numpy(Entropy().score_samples(learner, POOL))
    expected = max_herding(ROWS, 5, 1.0, LABELED, scores)
    got = UHerding(Entropy(), 1.0).select(learner, POOL, 5)
    np.testing.assert_array_equal(got.indices, expected.indices)
    margins = torch.from_numpy(Margin().score_samples(learner, POOL))
    expected = max_herding(ROWS, 5, 1.0, LABELED, margins - margins.min())
    got = UHerding(Margin(), 1.0).select(learner, POOL, 5)
    np.testing.assert_array_equal(got.indices, expected.indices)


def test_regressors_have_the_variance_of_their_models():
    target = make_data("regression")[1]
    forest = RandomForestRegressor(10, random_state=0).fit(X, target)
    scores = torch.from_numpy(PredictiveVariance().score_samples(forest, POOL))
    expected = max_herding(ROWS, 5, 1.0, LABELED, scores)
    learner = with_labeled(forest, X, target)
    got = UHerding(bandwidth=1.0, space="inputs").select(learner, POOL, 5)
    np.testing.assert_array_equal(got.indices, expected.indices)


def test_classifiers_without_probabilities_have_their_margins():
    machine = ActiveLearner(LinearSVC(), X_training=X, y_training=Y)
    scores = torch.from_numpy(Margin().score_samples(machine, POOL))
    expected = max_herding(ROWS, 5, 1.0, LABELED, scores - scores.min())
    got = UHerding(bandwidth=1.0).select(machine, POOL, 5)
    np.testing.assert_array_equal(got.indices, expected.indices)


def test_certain_rows_are_weighted_alike():
    sure = KNeighborsClassifier(1).fit(X, Y)
    got = UHerding(bandwidth=1.0, temperature=1.0).select(sure, POOL, 5)
    expected = MaxHerding(1.0).select(sure, POOL, 5)
    np.testing.assert_array_equal(got.indices, expected.indices)


def test_the_strategy_must_score_every_row(learner):
    with pytest.raises(TypeError, match=r"strategy of UHerding must be .*scores every"):
        UHerding(LCMD()).select(learner, POOL, 1)  # type: ignore[arg-type]


# -- UHerding: calibration -------------------------------------------------------------


def error_by_hand(probs: np.ndarray, correct: np.ndarray, n_bins: int) -> float:
    sure, total = probs.max(axis=1), 0.0
    for k in range(n_bins):
        inside = (sure > k / n_bins) & (sure <= (k + 1) / n_bins)
        if inside.any():
            total += inside.sum() * abs(correct[inside].mean() - sure[inside].mean())
    return total / len(probs)


def test_calibration_error_as_by_hand():
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(3), 200)
    correct = rng.random(200) < 0.6
    for n_bins in (1, 10, 15):
        got = calibration_error(
            torch.from_numpy(probs), torch.from_numpy(correct), n_bins
        )
        assert got == pytest.approx(error_by_hand(probs, correct, n_bins))
    sure = torch.eye(2).double()
    assert calibration_error(sure, torch.tensor([True, True])) == 0
    assert calibration_error(sure, torch.tensor([True, False])) == 0.5


def test_tempered_probabilities_are_those_of_divided_logits():
    logits = torch.randn(9, 4, generator=torch.Generator().manual_seed(0)).double()
    got = tempered(logits.softmax(dim=1), 3.0)
    torch.testing.assert_close(got, (logits / 3).softmax(dim=1))
    sure = tempered(torch.tensor([[1.0, 0.0]]), 5.0)
    assert sure.tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("sharpness", [1.0, 1e4])
def test_the_temperature_is_chosen_by_held_out_rows(sharpness):
    model = LogisticRegression(C=sharpness, max_iter=2000)
    learner = ActiveLearner(model, X_training=X, y_training=Y)
    rng = resolve_rng(3)
    seed_from(rng)
    known, held_out = train_test_split(
        np.arange(60), test_size=18, random_state=seed_from(rng), stratify=Y
    )
    part = clone(model).fit(X[known], Y[known])
    probs, truth = part.predict_proba(X[held_out]), Y[held_out]
    errors = []
    for temperature in np.arange(1, 20, 0.1):
        power = probs ** (1 / temperature)
        power /= power.sum(axis=1, keepdims=True)
        correct = part.classes_[power.argmax(axis=1)] == truth
        errors.append(error_by_hand(power, correct, 15))
    best = 1 + 0.1 * int(np.argmin(errors))
    assert best > 1  # the net of the test is not calibrated as it is
    weights = by_hand(learner.predict_proba(POOL), best)
    expected = max_herding(ROWS, 9, 1.0, LABELED, weights)
    got = UHerding(bandwidth=1.0, random_state=3).select(learner, POOL, 9)
    np.testing.assert_allclose(got.scores, expected.scores, rtol=1e-5)
    np.testing.assert_array_equal(got.indices, expected.indices)


class Counting(LogisticRegression):
    """Counts the fits of all copies."""

    n_fits = 0

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Counting:
        if len(X) < 60:
            Counting.n_fits += 1
        return super().fit(X, y, sample_weight)


def test_one_fit_and_none_where_the_temperature_is_known():
    learner = ActiveLearner(Counting(), X_training=X, y_training=Y)
    Counting.n_fits = 0
    UHerding().select(learner, POOL, 2)
    assert Counting.n_fits == 1
    UHerding(temperature=1.0).select(learner, POOL, 2)
    UHerding(Entropy()).select(learner, POOL, 2)
    UHerding().select(learner.estimator, POOL, 2)
    UHerding().select(Committee([learner, copy.deepcopy(learner)]), POOL, 2)
    assert Counting.n_fits == 1


def test_rare_classes_are_not_held_out():
    rare = np.where(np.arange(60) == 0, "once", Y)
    learner = ActiveLearner(LogisticRegression(), X_training=X, y_training=rare)
    got = UHerding(bandwidth=1.0).select(learner, POOL, 5)
    expected = UHerding(bandwidth=1.0, temperature=1.0).select(learner, POOL, 5)
    np.testing.assert_array_equal(got.scores, expected.scores)


def test_a_fit_that_fails_names_the_remedy():
    class Fails(LogisticRegression):
        def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Fails:
            if len(X) < 60:
                raise RuntimeError("no")
            return super().fit(X, y, sample_weight)

    learner = ActiveLearner(Fails(), X_training=X, y_training=Y)
    with pytest.raises(ValueError, match=r"42 labeled rows .*temperature=1.0.*no"):
        UHerding().select(learner, POOL, 1)


@pytest.mark.parametrize("bad", [0, -1.0, np.nan, "hot", None])
def test_bad_temperature(learner, bad):
    with pytest.raises(ValueError, match="temperature must be a number above 0"):
        UHerding(temperature=bad).select(learner, POOL, 1)
