from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import make_scorer, max_error, mean_squared_error
from sklearn.model_selection import KFold, ShuffleSplit

from skal.simulation import LearningCurveDisplay, StrategyComparison
from skal.simulation.rendering import _number
from skal.simulation.result import ScoreLabel, score_label
from skal.strategies import Random
from tests.simulation.helpers import Data, FirstColumn, compare, simulation

mpl.use("Agg")

N_LABELED = np.array([10, 20, 30])
SCORES = {
    "Random": np.array([[-3.0, -2.0, -1.0], [-5.0, -3.0, -1.0], [-4.0, -4.0, -4.0]]),
    "Other": np.array([[-3.0, -2.5, -1.0]]),
}


def _rmse(estimator: Any, X: Any, y: Any) -> float:
    return 0.0


@pytest.mark.parametrize(
    ("estimator", "scoring", "expected"),
    [
        (Ridge(), None, ScoreLabel("R²")),
        (LogisticRegression(), None, ScoreLabel("accuracy")),
        (Ridge(), "neg_mean_absolute_error", ScoreLabel("MAE", -1)),
        (Ridge(), "neg_median_absolute_error", ScoreLabel("median absolute error", -1)),
        (Ridge(), "explained_variance", ScoreLabel("explained variance")),
        (Ridge(), _rmse, ScoreLabel("_rmse")),
        (Ridge(), make_scorer(max_error), ScoreLabel("max error")),
        (
            Ridge(),
            make_scorer(max_error, greater_is_better=False),
            ScoreLabel("max error", -1),
        ),
    ],
)
def test_scores_have_readable_names(
    estimator: Any, scoring: Any, expected: ScoreLabel
) -> None:
    assert score_label(estimator, scoring) == expected


def test_summary_by_hand(regression: Data) -> None:
    comparison = compare(
        regression, cv=ShuffleSplit(6, random_state=0), scoring="neg_mean_squared_error"
    )
    data = comparison.data
    areas = {}
    for name in ("Random", "Extremes"):
        curves = [
            data[(data["strategy"] == name) & (data["fold"] == k)]["score"].to_numpy()
            for k in range(6)
        ]
        areas[name] = np.array([(c[1:] + c[:-1]).mean() / 2 for c in curves])
    test = stats.ttest_rel(areas["Extremes"], areas["Random"])
    interval = test.confidence_interval(0.95)
    row = comparison.summary().loc["Extremes"]
    assert row["area"] == pytest.approx(-areas["Extremes"].mean())
    assert row["gain"] == pytest.approx((areas["Extremes"] - areas["Random"]).mean())
    assert row["gain_low"] == pytest.approx(interval.low)
    assert row["gain_high"] == pytest.approx(interval.high)
    assert row["p_value"] == pytest.approx(test.pvalue)
    last = data[(data["strategy"] == "Extremes") & (data["step"] == 3)]["score"]
    assert row["final"] == pytest.approx(-last.mean())
    wide = comparison.summary(corrected=True).loc["Extremes"]
    ratio = (wide["gain_high"] - wide["gain"]) / (row["gain_high"] - row["gain"])
    assert ratio == pytest.approx(np.sqrt((1 / 6 + 8 / 72) * 6))
    other = comparison.summary("Extremes").loc["Random"]
    assert other["gain"] == pytest.approx(-row["gain"])


@pytest.fixture
def known() -> Callable[[dict[str, list[float]]], StrategyComparison]:
    """Build comparisons from the areas of strategies, one per run."""

    def make(areas: dict[str, list[float]]) -> StrategyComparison:
        rows = [
            {
                **{"strategy": name, "fold": k, "repeat": 0, "seed": k},
                **{"step": step, "n_labeled": 10 + step, "score": value},
                **{"query_time": float("nan"), "fit_time": 0.0},
            }
            for name, values in areas.items()
            for k, value in enumerate(values)
            for step in range(2)
        ]
        return StrategyComparison(pd.DataFrame(rows), ScoreLabel("R²"), 0.25)

    return make


def test_verdicts(known: Any) -> None:
    base = np.array([0.5, 0.6, 0.4, 0.7])
    noise = np.array([0.01, -0.01, 0.02, -0.02])
    summary = known(
        {
            "Random": list(base),
            "better": list(base + 0.1 + noise),
            "noisy": list(base + 0.005 + noise),
            "worse": list(base - 0.1 + noise),
        }
    ).summary()
    assert summary["verdict"].tolist() == ["reference", "gain", "no gain", "loss"]
    assert summary.loc["noisy", "gain"] > 0  # higher, but not significantly
    assert summary.index.tolist() == ["Random", "better", "noisy", "worse"]
    one = known({"Random": [0.5], "better": [0.9]}).summary()
    assert one.loc["better", "verdict"] == "one run"


def test_table_shows_errors_as_positive_values(regression: Data) -> None:
    comparison = compare(regression, scoring="neg_root_mean_squared_error")
    table = comparison.table([8, 23])
    assert list(table.columns) == [8, 23]
    assert list(table.index) == ["Random", "Extremes"]
    assert (table > 0).all(axis=None)
    of_start = comparison.data.query("n_labeled == 8 and strategy == 'Random'")
    assert table.loc["Random", 8] == pytest.approx(-of_start["score"].mean())
    assert repr(comparison) == "<StrategyComparison of Random, Extremes: RMSE, 4 runs>"
    with pytest.raises(ValueError, match=r"no scores with \[9\] labels"):
        comparison.table([9])


def test_the_table_says_what_its_scores_are(regression: Data) -> None:
    comparison = compare(regression, scoring="neg_root_mean_squared_error")
    assert comparison.table().columns.name == "RMSE (lower is better), by labels"
    title = "RMSE (lower is better); gains and labels saved against Random"
    for text in (str(comparison), repr(comparison.summary()), comparison.to_markdown()):
        assert text.splitlines()[0] == title
    assert title in comparison.to_html()
    # A scorer object says its sign and name only in its repr.
    own = compare(
        regression, scoring=make_scorer(mean_squared_error, greater_is_better=False)
    )
    assert own.label == ScoreLabel("mean squared error", -1)
    assert (own.table() > 0).all(axis=None)


def test_intervals_are_shown_and_nothing_is_hidden(regression: Data) -> None:
    comparison = compare(regression, cv=ShuffleSplit(6, random_state=0))
    row = comparison.summary().loc["Extremes"]
    gain = f"{row['gain']:+.3g} [{row['gain_low']:+.3g}, {row['gain_high']:+.3g}]"
    assert "e" not in gain
    html, markdown = comparison._repr_html_(), comparison.to_markdown()
    for text in (repr(comparison.summary()), str(comparison), html, markdown):
        assert gain in text
        assert "gain [95%]" in text
        assert "..." not in text
    assert "gain [80%]" in repr(comparison.summary(confidence=0.8))
    assert "gain [99.9%]" in repr(comparison.summary(confidence=0.999))
    lines = markdown.splitlines()[2:]
    assert len({line.count("|") for line in lines}) == 1
    assert html.count("<tr>") == 3
    assert type(comparison.summary()[["gain"]]) is pd.DataFrame


def test_numbers_are_shown_without_exponents() -> None:
    shown = [_number(v, 3, sign=True) for v in (123456.0, 0.0123456, -1e-7, 0.0)]
    assert shown == ["+123000", "+0.0123", "-0.0000001", "+0"]
    assert _number(28954.31, 4) == "28950"


def test_names_are_escaped(known: Any) -> None:
    comparison = known({"Random": [0.1, 0.2], "<b>|": [0.3, 0.4]})
    assert "&lt;b&gt;|" in comparison.to_html()
    assert "<b>\\|" in comparison.to_markdown()
    assert "[one run]" in str(known({"Random": [0.1], "other": [0.2]}))


def test_the_reference_is_random_or_the_first(regression: Data) -> None:
    def verdicts(**strategies: Any) -> list[str]:
        summary = compare(regression, strategies=strategies, cv=KFold(2)).summary()
        return summary["verdict"].tolist()

    assert verdicts(First=FirstColumn(), Own=Random())[1] == "reference"
    assert verdicts(First=FirstColumn(), random=FirstColumn(2.0))[1] == "reference"
    assert verdicts(First=FirstColumn(), Second=FirstColumn(2.0))[0] == "reference"


def test_several_scorers(regression: Data) -> None:
    scoring = {"R2": "r2", "error": "neg_mean_absolute_error"}
    both = compare(regression, scoring=scoring)
    for name, given in scoring.items():
        one, alone = both.of(name), compare(regression, scoring=given)
        assert one.label == alone.label
        pd.testing.assert_frame_equal(one.table(), alone.table())
        pd.testing.assert_series_equal(one.summary()["gain"], alone.summary()["gain"])
    pd.testing.assert_frame_equal(both.table(), both.of("R2").table())
    listed = compare(regression, scoring=["neg_mean_absolute_error", "r2"])
    assert list(listed.labels) == ["neg_mean_absolute_error", "r2"]
    assert listed.label == ScoreLabel("MAE", -1)
    with pytest.raises(ValueError, match=r"no score 'F1', only \['R2', 'error'\]"):
        both.of("F1")
    with pytest.raises(ValueError, match="scoring is empty"):
        compare(regression, scoring=[])


def test_campaigns_that_a_callback_ends_are_compared_as_far_as_both_went(
    regression: Data,
) -> None:
    def stop(step: Any) -> bool:
        return step.strategy == "Extremes" and step.fold == 1 and step.step == 2

    short, whole = compare(regression, callback=stop), compare(regression)
    assert len(short.data) == len(whole.data) - 1
    expected = whole.areas()
    of_run = whole.data.query("fold == 1 and step <= 2")
    for name in ("Random", "Extremes"):
        scores = of_run.query("strategy == @name")["score"].to_numpy()
        expected.loc[(1, 0), name] = (scores[1:] + scores[:-1]).mean() / 2
    pd.testing.assert_frame_equal(short.areas(), expected)
    assert np.isfinite(short.summary()[["gain", "final"]]).all(axis=None)


def test_unknown_reference_is_named(regression: Data) -> None:
    with pytest.raises(ValueError, match=r"no strategy 'Passive'.*'Extremes'"):
        compare(regression).summary("Passive")


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def test_curves_are_means_and_bands_intervals() -> None:
    display = LearningCurveDisplay(N_LABELED, SCORES, ScoreLabel("RMSE", -1))
    display.plot(band=0.9)
    line = display.lines_["Random"]
    np.testing.assert_array_equal(line.get_xdata(), N_LABELED)
    np.testing.assert_allclose(line.get_ydata(), [4.0, 3.0, 2.0])
    half = stats.t.ppf(0.95, 2) * 1.0 / np.sqrt(3)  # spread 1 at the first step
    corners = display.bands_["Random"].get_paths()[0].vertices
    first = corners[corners[:, 0] == 10][:, 1]
    assert first.min() == pytest.approx(4 - half)
    assert first.max() == pytest.approx(4 + half)
    assert list(display.bands_) == ["Random"]  # one run has no band


def test_axis_labels_have_units_and_the_better_direction() -> None:
    display = LearningCurveDisplay(N_LABELED, SCORES, ScoreLabel("RMSE", -1))
    display.plot(score_unit="USD")
    assert display.ax_.get_xlabel() == "labels used [rows]"
    assert display.ax_.get_ylabel() == "RMSE [USD] (lower is better)"
    legend = display.ax_.get_legend()
    assert [t.get_text() for t in legend.get_texts()] == ["Random", "Other"]
    assert legend.get_title().get_text() == "mean and 95% interval"
    assert display.figure_ is display.ax_.figure
    display = LearningCurveDisplay(N_LABELED, SCORES, ScoreLabel("accuracy")).plot()
    assert display.ax_.get_ylabel() == "accuracy (higher is better)"


def test_a_new_figure_is_filled_by_its_axes() -> None:
    display = LearningCurveDisplay(N_LABELED, SCORES, ScoreLabel("RMSE")).plot()
    display.figure_.draw_without_rendering()  # lays out the labels, or warns
    place = display.ax_.get_position()
    assert place.width > 0.75
    assert place.height > 0.75
    width, height = display.figure_.get_size_inches()
    assert 1 < width / height < 2


def test_axes_and_styles_of_the_user_are_used() -> None:
    import matplotlib.pyplot as plt

    _, (left, right) = plt.subplots(1, 2)
    display = LearningCurveDisplay(N_LABELED, SCORES, ScoreLabel("R²"))
    display.plot(right, band=None, line_kw={"linestyle": ":", "marker": None})
    assert display.ax_ is right
    assert not left.lines
    assert display.bands_ == {}
    assert display.lines_["Random"].get_linestyle() == ":"
    display.plot(left, band_kw={"alpha": 0.5})
    assert display.bands_["Random"].get_alpha() == 0.5


def test_from_comparison(regression: Data) -> None:
    comparison = compare(regression, cv=KFold(3))
    display = comparison.plot(band=None)
    assert display.ax_.get_ylabel() == "R² (higher is better)"
    for name in ("Random", "Extremes"):
        np.testing.assert_allclose(
            display.lines_[name].get_ydata(), comparison.table().loc[name]
        )


def test_from_simulation(regression: Data) -> None:
    fitted = simulation(
        query_strategy=FirstColumn(), scoring="neg_mean_squared_error"
    ).fit(*regression)
    display = LearningCurveDisplay.from_simulation(fitted, *regression)
    np.testing.assert_allclose(
        display.lines_["FirstColumn"].get_ydata(), -fitted.learning_curve(*regression)
    )


def test_missing_matplotlib_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    display = LearningCurveDisplay(N_LABELED, SCORES, ScoreLabel("R²"))
    with pytest.raises(ImportError, match=r"need matplotlib.*'\.\[plot\]'"):
        display.plot()
