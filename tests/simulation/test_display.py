"""Gains and costs are those that numpy finds by hand."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
import pytest
from scipy import stats
from sklearn.model_selection import KFold

from skal.simulation import CostCurveDisplay, GainDisplay
from skal.simulation.result import ScoreLabel
from tests.simulation.helpers import Data, FirstColumn, compare, simulation

mpl.use("Agg")


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def test_gains_are_paired_differences(regression: Data) -> None:
    comparison = compare(regression, cv=KFold(3), scoring="neg_root_mean_squared_error")
    display = GainDisplay.from_comparison(comparison, band=0.9, score_unit="USD")
    n_labeled, scores = comparison.curves()
    gains = scores["Extremes"] - scores["Random"]
    assert list(display.lines_) == ["Extremes"]
    line = display.lines_["Extremes"]
    np.testing.assert_array_equal(line.get_xdata(), n_labeled)
    np.testing.assert_allclose(line.get_ydata(), gains.mean(axis=0))
    half = stats.t.ppf(0.95, 2) * gains[:, -1].std(ddof=1) / np.sqrt(3)
    corners = display.bands_["Extremes"].get_paths()[0].vertices
    last = corners[corners[:, 0] == n_labeled[-1]][:, 1]
    assert last.max() - last.min() == pytest.approx(2 * half)
    assert display.ax_.get_ylabel() == (
        "gain of RMSE [USD] over Random (above 0 is better)"
    )
    assert list(display.zero_.get_ydata()) == [0.0, 0.0]
    other = GainDisplay.from_comparison(comparison, "Extremes")
    np.testing.assert_allclose(other.gains["Random"], -gains)
    with pytest.raises(ValueError, match="no strategy 'Passive'"):
        GainDisplay.from_comparison(comparison, "Passive")


def test_runs_are_paired_also_if_some_failed(regression: Data) -> None:
    comparison = compare(regression, cv=KFold(3))
    whole = GainDisplay.from_comparison(comparison).gains["Extremes"]
    data = comparison.data
    comparison.data = data[(data["strategy"] != "Random") | (data["fold"] != 1)]
    rest = GainDisplay.from_comparison(comparison).gains["Extremes"]
    np.testing.assert_array_equal(rest, whole[[0, 2]])


def test_costs_of_labels_and_queries(regression: Data) -> None:
    comparison = compare(regression, cv=KFold(3))
    display = CostCurveDisplay.from_comparison(
        comparison, cost_per_label=2.5, cost_per_query=7.0, cost_unit="EUR"
    )
    n_labeled, scores = comparison.curves()
    spent = [2.5 * n + 7.0 * k for k, n in enumerate(n_labeled)]
    for name, line in display.lines_.items():
        np.testing.assert_allclose(line.get_xdata(), spent)
        np.testing.assert_allclose(line.get_ydata(), scores[name].mean(axis=0))
    assert list(display.bands_) == ["Random", "Extremes"]
    assert display.ax_.get_xlabel() == "cost of labels [EUR]"
    for wrong in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="finite and not negative"):
            CostCurveDisplay.from_comparison(comparison, cost_per_label=wrong)


def test_each_label_has_its_cost(regression: Data) -> None:
    X, y = regression
    fitted = simulation(query_strategy=FirstColumn()).fit(X, y)
    costs = np.random.default_rng(0).uniform(1, 9, len(X))
    display = CostCurveDisplay.from_simulation(fitted, X, y, costs)
    spent = [costs[fitted.initial_indices_].sum()]
    for rows in fitted.queried_indices_:
        spent.append(spent[-1] + sum(costs[row] for row in rows))
    line = display.lines_["FirstColumn"]
    np.testing.assert_allclose(line.get_xdata(), spent)
    np.testing.assert_allclose(line.get_ydata(), fitted.learning_curve(X, y))
    for wrong in (costs[:1], costs[:, None], np.array(3.0)):
        with pytest.raises(ValueError, match="one number for each row"):
            CostCurveDisplay.from_simulation(fitted, X, y, wrong)


def test_costs_differ_by_strategy() -> None:
    costs = {"cheap": np.array([1, 2]), "dear": np.array([10, 30])}
    scores = {name: np.array([[-3.0, -2.0]]) for name in costs}
    display = CostCurveDisplay(costs, scores, ScoreLabel("MAE", -1)).plot()
    assert display.bands_ == {}
    assert display.lines_["dear"].get_xdata().tolist() == [10, 30]
    assert display.lines_["dear"].get_ydata().tolist() == [3, 2]
    assert display.ax_.get_ylabel() == "MAE (lower is better)"
    texts = [t.get_text() for t in display.ax_.get_legend().get_texts()]
    assert texts == ["cheap", "dear"]
