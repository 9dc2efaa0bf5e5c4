"""Pictures show the numbers that numpy finds by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.compose import make_column_transformer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import BayesianRidge, LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skal.display import (
    CalibrationDisplay,
    OverlapDisplay,
    PicksDisplay,
    ScoreHistogramDisplay,
)
from skal.learners import ActiveLearner
from skal.strategies import LCMD, Entropy, Margin, Random

mpl.use("Agg")


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(90, 3)) * [1.0, 5.0, 0.2] + 3


@pytest.fixture(scope="module")
def model(rows: np.ndarray) -> LogisticRegression:
    classes = np.array(["a", "b", "c"])[np.arange(30) % 3]
    return LogisticRegression().fit(rows[:30], classes)


# -- scores ---------------------------------------------------------------------------


def test_histogram_counts_rows_and_marks_picks(
    rows: np.ndarray, model: LogisticRegression
) -> None:
    display = ScoreHistogramDisplay.from_strategy(Margin(), model, rows, 7, bins=9)
    two = np.sort(model.predict_proba(rows), axis=1)[:, -2:]
    scores = two[:, 0] - two[:, 1]
    counts, edges = np.histogram(display.scores, bins=9)
    assert sum(counts) == 90
    assert [bar.get_height() for bar in display.bars_] == counts.tolist()
    assert [bar.get_x() for bar in display.bars_] == pytest.approx(edges[:-1])
    # Whatever its offset, the score falls with the margin.
    assert stats.spearmanr(display.scores, scores)[0] == pytest.approx(1)
    marked = [segment[0, 0] for segment in display.marks_.get_segments()]
    assert sorted(marked) == pytest.approx(sorted(display.scores)[-7:])
    assert display.ax_.get_xlabel() == "score of Margin"
    texts = [t.get_text() for t in display.ax_.get_legend().get_texts()]
    assert texts == ["pool (90 rows)", "picks (7 rows)"]


def test_picks_are_by_the_scores_shown(
    rows: np.ndarray, model: LogisticRegression
) -> None:
    strategy = Random()  # draws its scores anew at each call
    display = ScoreHistogramDisplay.from_strategy(strategy, model, rows, 5)
    assert strategy.random_state is None
    best = np.sort(display.scores)[-5:]
    assert np.sort(display.scores[display.picked]) == pytest.approx(best)


def test_strategies_without_scores_are_refused(
    rows: np.ndarray, model: LogisticRegression
) -> None:
    with pytest.raises(TypeError, match="gives no score to the others"):
        ScoreHistogramDisplay.from_strategy(LCMD(), model, rows, 5)


# -- places ---------------------------------------------------------------------------


def test_places_are_principal_components_of_scaled_columns(
    rows: np.ndarray, model: LogisticRegression
) -> None:
    pool, labeled = rows[30:], rows[:30]
    display = PicksDisplay.from_strategy(
        Margin(random_state=0), model, pool, 4, X_labeled=labeled
    )
    scaled = (pool - pool.mean(axis=0)) / pool.std(axis=0)
    _, sizes, axes = np.linalg.svd(scaled)
    share = sizes**2 / (sizes**2).sum()

    def same(found: Any, expected: np.ndarray) -> None:
        signs = np.sign((found * expected).sum(axis=0))  # of an axis, arbitrary
        np.testing.assert_allclose(found * signs, expected, atol=1e-9)

    same(display.pool_.get_offsets(), scaled @ axes[:2].T)
    same(
        display.labeled_.get_offsets(),
        (labeled - pool.mean(axis=0)) / pool.std(axis=0) @ axes[:2].T,
    )
    picked = Margin(random_state=0).select(model, pool, 4).indices
    np.testing.assert_array_equal(
        display.picks_.get_offsets(), display.pool_.get_offsets()[picked]
    )
    assert f"({share[0]:.0%} of variance)" in display.ax_.get_xlabel()
    assert f"({share[1]:.0%} of variance)" in display.ax_.get_ylabel()
    assert PicksDisplay(display.pool, picked).plot().labeled_ is None


def test_rows_that_are_not_numbers_need_a_transform(
    rows: np.ndarray, model: LogisticRegression
) -> None:
    table = pd.DataFrame({"a": ["x", "y"] * 5, "b": range(10)})
    columns = make_column_transformer((OneHotEncoder(), ["a"]), remainder="passthrough")
    fitted = make_pipeline(columns, LogisticRegression()).fit(table, [0, 1] * 5)
    with pytest.raises(ValueError, match="pass transform="):
        PicksDisplay.from_strategy(Random(), fitted, table, 3)
    for wrong in (rows[:, :1], np.where(rows > 4, np.nan, rows)):
        with pytest.raises(ValueError, match="two columns or more without missing"):
            PicksDisplay.from_strategy(Random(), model, wrong, 3)
    display = PicksDisplay.from_strategy(
        Random(), fitted, table, 3, transform=fitted[0].transform
    )
    assert display.pool.shape == (10, 2)


# -- overlap --------------------------------------------------------------------------


def test_overlap_is_that_of_sets() -> None:
    display = OverlapDisplay({"one": [1, 2, 3], "two": [3, 4], "three": [9]}).plot()
    expected = np.array([[1, 1 / 4, 0], [1 / 4, 1, 0], [0, 0, 1]])
    np.testing.assert_array_equal(display.overlap, expected)
    np.testing.assert_array_equal(display.im_.get_array(), expected)
    assert display.text_[0, 1].get_text() == "0.25"
    names = [t.get_text() for t in display.ax_.get_yticklabels()]
    assert names == ["one", "two", "three"]


def test_overlap_of_strategies(rows: np.ndarray, model: LogisticRegression) -> None:
    strategies = {"Margin": Margin(random_state=0), "Entropy": Entropy(random_state=0)}
    display = OverlapDisplay.from_strategies(strategies, model, rows, 20)
    a, b = (set(s.select(model, rows, 20).indices) for s in strategies.values())
    share = len(a & b) / len(a | b)
    assert display.overlap[0, 1] == display.overlap[1, 0] == share
    assert 0 < share < 1
    with pytest.raises(ValueError, match="no strategy"):
        OverlapDisplay.from_strategies({}, model, rows, 20)


# -- calibration ----------------------------------------------------------------------


def test_bins_of_equal_counts_by_hand() -> None:
    probs = np.array([[0.9, 0.1], [0.2, 0.8], [0.45, 0.55], [0.3, 0.7], [0.4, 0.6]])
    y = ["a", "a", "b", "b", "b"]
    display = CalibrationDisplay.from_probabilities(y, probs, ["a", "b"], n_bins=2)
    # Sorted: .55 right, .6 right, .7 right | .8 wrong, .9 right.
    np.testing.assert_allclose(display.line_.get_xdata(), [1.85 / 3, 0.85])
    np.testing.assert_allclose(display.line_.get_ydata(), [1.0, 0.5])
    assert display.counts.tolist() == [3, 2]
    assert display.ax_.get_xlabel() == "mean probability of the predicted class"
    many = CalibrationDisplay.from_probabilities(y, probs, ["a", "b"], n_bins=50)
    assert many.counts.tolist() == [1] * 5


def test_coverage_by_hand() -> None:
    y, mean, std = [0.0, 1.0, 3.0, 5.0], [0.0, 0.0, 0.0, 5.0], [1.0, 1.0, 1.0, 0.0]
    levels = 2 * stats.norm.cdf([0.5, 1.5, 4.0]) - 1  # within .5, 1.5 and 4 std
    display = CalibrationDisplay.from_std(y, mean, std, levels=levels)
    np.testing.assert_allclose(display.line_.get_xdata(), levels)
    np.testing.assert_allclose(display.line_.get_ydata(), [0.5, 0.75, 1.0])
    assert display.ax_.get_ylabel() == "share of labels in the interval"


def test_labels_drawn_as_the_model_says_are_on_the_diagonal() -> None:
    rng = np.random.default_rng(0)
    mean, std = rng.normal(size=20_000), rng.uniform(0.1, 3, 20_000)
    drawn = rng.normal(mean, std)
    display = CalibrationDisplay.from_std(drawn, mean, std)
    # 5 standard errors of a share at most.
    assert np.abs(display.observed - display.expected).max() < 5 * 0.5 / 20_000**0.5
    probs = rng.dirichlet([1.0, 1.0, 1.0], 20_000)
    labels = (probs.cumsum(axis=1) < rng.uniform(size=(20_000, 1))).sum(axis=1)
    display = CalibrationDisplay.from_probabilities(labels, probs)
    assert np.abs(display.observed - display.expected).max() < 5 * 0.5 / 2000**0.5
    sure = CalibrationDisplay.from_std(drawn, mean, std / 2)
    assert (sure.observed < sure.expected).all()


def test_estimators_and_learners(rows: np.ndarray, model: LogisticRegression) -> None:
    y = np.array(["a", "b", "c"])[np.arange(90) % 3]
    found = CalibrationDisplay.from_estimator(model, rows, y, n_bins=4)
    by_hand = CalibrationDisplay.from_probabilities(
        y, model.predict_proba(rows), model.classes_, n_bins=4
    )
    np.testing.assert_array_equal(found.observed, by_hand.observed)
    learner = ActiveLearner(
        LogisticRegression(), X_training=rows[:30], y_training=y[:30]
    )
    again = CalibrationDisplay.from_estimator(learner, rows, y, n_bins=4)
    np.testing.assert_array_equal(again.observed, by_hand.observed)
    assert found.line_.get_label() == "LogisticRegression"
    for regressor in (BayesianRidge(), GaussianProcessRegressor(alpha=0.1)):
        regressor.fit(rows[:30], rows[:30, 0])
        found = CalibrationDisplay.from_estimator(regressor, rows, rows[:, 0])
        mean, std = regressor.predict(rows, return_std=True)
        by_hand = CalibrationDisplay.from_std(rows[:, 0], mean, std)
        np.testing.assert_array_equal(found.observed, by_hand.observed)
    line = LinearRegression().fit(rows, rows[:, 0])
    with pytest.raises(TypeError, match=r"pass standard deviations.*from_std"):
        CalibrationDisplay.from_estimator(line, rows, rows[:, 0])


def test_wrong_arguments_of_calibration() -> None:
    make = CalibrationDisplay
    for y, probs, classes, words in [
        ([0, 1], [[0.5, 0.5]], None, "shapes"),
        ([0], [[-2.0, 1.0]], None, "from 0 to 1"),
        ([0], [[np.nan, 1.0]], None, "from 0 to 1"),
        ([0], [[0.5, 0.5]], ["a"], "1 classes and 2 columns"),
        ([], np.empty((0, 2)), None, "shapes"),
    ]:
        with pytest.raises(ValueError, match=words):
            make.from_probabilities(y, probs, classes)
    for y, mean, std, levels, words in [
        ([0.0], [0.0], [-1.0], None, "not negative"),
        ([0.0], [0.0], [np.nan], None, "not negative"),
        ([0.0], [0.0, 1.0], [1.0], None, "shapes"),
        ([0.0], [0.0], [1.0], [0.5, 1.0], "between 0 and 1"),
    ]:
        with pytest.raises(ValueError, match=words):
            make.from_std(y, mean, std, levels=levels)


def test_axes_of_the_user_are_used() -> None:
    import matplotlib.pyplot as plt

    _, axes = plt.subplots(1, 4)
    scores = np.arange(4.0)
    shown = [
        ScoreHistogramDisplay(scores, np.array([3])).plot(axes[0]),
        PicksDisplay(np.eye(2), np.array([1])).plot(axes[1], pick_kw={"marker": "o"}),
        OverlapDisplay({"one": [1]}).plot(axes[2], text_kw={"color": "red"}),
        CalibrationDisplay.from_std([0.0], [0.0], [1.0], ax=axes[3], ref_line=False),
    ]
    for display, ax in zip(shown, axes, strict=True):
        assert display.ax_ is ax
        assert display.figure_ is ax.figure
    assert shown[2].text_[0, 0].get_color() == "red"
    assert shown[3].diagonal_ is None
