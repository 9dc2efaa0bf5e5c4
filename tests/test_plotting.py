from __future__ import annotations

import sys
from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import make_regression
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold

from skal.plotting import LearningCurveDisplay
from skal.simulation import ActiveLearningSimulation, compare_strategies
from skal.simulation.labels import ScoreLabel
from tests.simulation.helpers import FirstColumn, Shuffled

mpl.use("Agg")

N_LABELED = np.array([10, 20, 30])
SCORES = {
    "Random": np.array([[-3.0, -2.0, -1.0], [-5.0, -3.0, -1.0], [-4.0, -4.0, -4.0]]),
    "Other": np.array([[-3.0, -2.5, -1.0]]),
}


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


def test_labels_have_units_and_say_which_way_is_better() -> None:
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


def test_from_comparison_and_from_simulation() -> None:
    X, y = make_regression(80, 4, noise=20.0, random_state=0)
    budget = {"n_initial": 8, "n_instances": 5, "n_queries": 2}
    comparison = compare_strategies(
        Ridge(),
        {"Random": Shuffled(), "Extremes": FirstColumn()},
        X,
        y,
        cv=KFold(3),
        random_state=0,
        **budget,
    )
    display = comparison.plot(band=None)
    assert display.ax_.get_ylabel() == "R² (higher is better)"
    for name in ("Random", "Extremes"):
        np.testing.assert_allclose(
            display.lines_[name].get_ydata(), comparison.table().loc[name]
        )
    simulation = ActiveLearningSimulation(Ridge(), FirstColumn(), **budget)
    simulation.set_params(scoring="neg_mean_squared_error").fit(X, y)
    display = LearningCurveDisplay.from_simulation(simulation, X, y)
    np.testing.assert_allclose(
        display.lines_["FirstColumn"].get_ydata(), -simulation.learning_curve(X, y)
    )


def test_missing_matplotlib_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    display = LearningCurveDisplay(N_LABELED, SCORES, ScoreLabel("R²"))
    with pytest.raises(ImportError, match=r"need matplotlib.*skal\[plot\]"):
        display.plot()
