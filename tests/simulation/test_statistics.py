from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.isotonic import isotonic_regression

from skal.simulation import statistics
from skal.simulation.statistics import (
    area,
    labels_saved,
    mean_interval,
    paired_difference,
)


def test_area_is_the_mean_height_of_the_curve() -> None:
    # By hand: (10 wide * 2.0 + 30 wide * 3.5) / 40.
    n_labeled, scores = np.array([10, 20, 50]), np.array([1.0, 3.0, 4.0])
    assert area(n_labeled, scores) == pytest.approx((10 * 2.0 + 30 * 3.5) / 40)
    assert area(np.array([7]), np.array([0.25])) == 0.25
    assert area(n_labeled, np.full(3, 0.3)) == pytest.approx(0.3)


def test_paired_difference_agrees_with_scipy() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.3, 1, 12), rng.normal(0, 1, 12)
    ours = paired_difference(a, b, confidence=0.9)
    theirs = stats.ttest_rel(a, b)
    low, high = theirs.confidence_interval(0.9)
    assert ours.mean == pytest.approx((a - b).mean())
    assert ours[1:] == pytest.approx((low, high, theirs.pvalue))


def test_correction_widens_the_interval_as_published() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.3, 1, 10), rng.normal(0, 1, 10)
    ours = paired_difference(a, b, test_train_ratio=1 / 9)
    error = np.sqrt((1 / 10 + 1 / 9) * (a - b).var(ddof=1))
    assert ours.high - ours.mean == pytest.approx(stats.t.ppf(0.975, 9) * error)
    p_value = 2 * stats.t.sf(abs((a - b).mean()) / error, 9)
    assert ours.p_value == pytest.approx(p_value)


def test_same_scores_differ_by_nothing() -> None:
    a = np.array([0.1, 0.5, 0.7])
    assert paired_difference(a, a) == (0, 0, 0, 1)
    ones = np.ones(3)
    assert paired_difference(ones + 1, ones) == (1, 1, 1, 0)


def test_one_run_has_no_interval() -> None:
    ours = paired_difference(np.array([0.5]), np.array([0.25]))
    assert ours.mean == 0.25
    assert np.isnan(ours[1:]).all()


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    draws = np.random.default_rng(0).normal(2.0, 3.0, (8, 4000))
    _, low, high = mean_interval(draws, 0.8)
    covered = ((low < 2) & (high > 2)).mean()
    assert abs(covered - 0.8) < 5 * np.sqrt(0.8 * 0.2 / 4000)


@pytest.mark.parametrize("confidence", [0, 1, 95, float("nan")])
def test_confidence_must_be_a_share(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence must be between 0 and 1"):
        mean_interval(np.zeros(3), confidence)


# -- labels saved ---------------------------------------------------------------------


STEPS = np.array([10, 20, 30, 50])


def test_labels_saved_between_steps_by_hand() -> None:
    reference = np.array([[0.1, 0.2, 0.3, 0.5]])
    # .5 is reached a quarter of the way from 20 to 30 labels.
    faster = np.array([[0.1, 0.4, 0.8, 0.9]])
    saved = labels_saved(STEPS, faster, reference)
    assert saved.saved == pytest.approx(50 - 22.5)
    assert np.isnan(saved.low)
    assert np.isnan(saved.high)
    assert labels_saved(STEPS, reference, reference).saved == 0
    assert np.isnan(labels_saved(STEPS, reference - 0.01, reference).saved)
    assert labels_saved(STEPS, reference + 1, reference).saved == 40  # at the start


def test_noise_at_the_end_of_a_curve_is_not_a_gain() -> None:
    # The last scores are equal but for noise: the reference has its final score at 20.
    reference = np.array([[0.1, 0.5, 0.48, 0.46]])
    other = np.array([[0.1, 0.5, 0.47, 0.48]])
    assert labels_saved(STEPS, other, reference).saved == pytest.approx(0, abs=0.2)


def test_one_side_is_unknown_if_the_score_may_not_be_reached() -> None:
    reference = np.linspace(0, 1, 4) + np.zeros((8, 1))
    other = reference + 0.02 + 0.1 * np.array([[1, -1]] * 4).reshape(8, 1)
    saved = labels_saved(STEPS, other, reference)
    assert saved.low == -np.inf
    assert 0 < saved.saved < saved.high < 40
    assert labels_saved(STEPS, other, reference) == saved


@pytest.mark.parametrize("elements", [2**20, 1])
def test_curves_are_made_monotone_as_by_scikit_learn(
    elements: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "_ELEMENTS", elements)
    rng = np.random.default_rng(0)
    n_labeled = np.cumsum(rng.integers(1, 9, size=12))
    for _ in range(40):
        reference = np.round(rng.normal(size=(1, 12)).cumsum(axis=1) / 2, 1)
        other = np.round(rng.normal(size=(1, 12)).cumsum(axis=1) / 2, 1)
        rising = isotonic_regression(reference[0])
        needed = []
        for curve in (rising, isotonic_regression(other[0])):
            # Where a line from step to step first is at the target.
            fine = np.interp(np.linspace(0, 11, 110001), np.arange(12), curve)
            at = np.interp(np.linspace(0, 11, 110001), np.arange(12), n_labeled)
            reached = np.flatnonzero(fine >= rising[-1] - 1e-9)
            needed.append(at[reached[0]] if len(reached) else np.nan)
        saved = labels_saved(n_labeled, other, reference).saved
        np.testing.assert_allclose(saved, needed[0] - needed[1], atol=2e-3)


def test_the_interval_covers_the_truth() -> None:
    # Straight curves: 1 is reached with 50 labels by the one, with 30 by the other.
    steps = np.arange(10, 51, 4)
    slow, fast = (steps - 10) / 40, (steps - 10) / 20
    rng, n_covered = np.random.default_rng(0), 0
    for _ in range(60):
        runs = 0.05 * rng.normal(size=(2, 6, 1)) + 0.03 * rng.normal(size=(2, 6, 11))
        saved = labels_saved(steps, fast + runs[0], slow + runs[1], n_resamples=200)
        n_covered += saved.low <= 20 <= saved.high
        assert saved.high - saved.low < 25
    assert n_covered >= 52  # 95 % are 57
