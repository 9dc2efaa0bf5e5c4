from __future__ import annotations

from collections.abc import Callable
from time import sleep
from typing import Any

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from scipy import stats
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit
from sklearn.tree import DecisionTreeRegressor

from skal.nets import NetRegressor
from skal.simulation import StrategyComparison, compare_strategies
from skal.simulation.labels import ScoreLabel
from tests.simulation.helpers import FirstColumn, Shuffled

Data = tuple[np.ndarray, np.ndarray]
TIMES = ["query_time", "fit_time"]


def compare(data: Data, **kwargs: Any) -> StrategyComparison:
    settings: dict[str, Any] = {
        "estimator": Ridge(),
        "strategies": {"Random": Shuffled(), "Extremes": FirstColumn()},
        "cv": KFold(4),
        "n_initial": 8,
        "n_instances": 5,
        "n_queries": 3,
        "random_state": 0,
    }
    settings.update(kwargs)
    return compare_strategies(X=data[0], y=data[1], **settings)


def test_a_row_for_each_strategy_run_and_step(regression: Data) -> None:
    data = compare(regression, n_repeats=2).data
    assert len(data) == 2 * 4 * 2 * 4
    assert list(data.columns) == [
        *("strategy", "fold", "repeat", "seed", "step", "n_labeled", "score"),
        *TIMES,
    ]
    assert data["n_labeled"].tolist()[:4] == [8, 13, 18, 23]
    assert data.loc[data["step"] == 0, "query_time"].isna().all()
    assert (data.loc[data["step"] > 0, TIMES] > 0).to_numpy().all()
    # A seed a run, shared by the strategies.
    seeds = data.groupby(["fold", "repeat"])["seed"].unique()
    assert seeds.map(len).eq(1).all()
    assert seeds.map(lambda s: s[0]).nunique() == 8


def test_strategies_share_folds_starts_and_nets(regression: Data) -> None:
    data = compare(regression, estimator=DecisionTreeRegressor(max_features=2)).data
    scores = data.pivot(index=["fold", "step"], columns="strategy", values="score")
    start = scores.xs(0, level="step")
    np.testing.assert_array_equal(start["Random"], start["Extremes"])
    assert start["Random"].nunique() == 4
    later = scores.xs(3, level="step")
    assert (later["Random"] != later["Extremes"]).all()


def test_a_strategy_does_not_depend_on_its_company(regression: Data) -> None:
    together = compare(regression).data.drop(columns=TIMES)
    alone = compare(regression, strategies={"Extremes": FirstColumn()}).data
    expected = together[together["strategy"] == "Extremes"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone.drop(columns=TIMES), expected)


class _Slow(RegressorMixin, BaseEstimator):
    """Draws from the global generator, with time for another thread to come between."""

    def fit(self, X: Any, y: Any) -> _Slow:
        self.values_ = []
        for _ in range(3):
            self.values_.append(np.random.rand())  # noqa: NPY002
            sleep(0.001)
        return self

    def predict(self, X: Any) -> np.ndarray:
        return np.full(len(X), sum(self.values_))


@pytest.mark.parametrize(
    ("backend", "estimator"),
    [
        ("loky", DecisionTreeRegressor(max_features=2)),
        ("threading", _Slow()),
    ],
    ids=["loky", "threading"],
)
def test_result_is_the_same_in_parallel(
    regression: Data, backend: str, estimator: Any
) -> None:
    np.random.seed(3)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    expected = compare(regression, estimator=estimator).data
    with parallel_config(backend=backend, n_jobs=2):
        parallel = compare(regression, estimator=estimator).data
    pd.testing.assert_frame_equal(
        parallel.drop(columns=TIMES), expected.drop(columns=TIMES)
    )
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_nets_are_the_same_in_parallel(regression: Data, backend: str) -> None:
    net = NetRegressor(max_epochs=3, module__dropout=0.5)
    settings = {"estimator": net, "cv": KFold(2), "n_queries": 1}
    expected = compare(regression, **settings).data
    with parallel_config(backend=backend, n_jobs=2):
        parallel = compare(regression, **settings).data
    pd.testing.assert_frame_equal(
        parallel.drop(columns=TIMES), expected.drop(columns=TIMES)
    )


def test_scores_are_those_of_the_test_rows(regression: Data) -> None:
    X, y = regression
    start = [40, 41, 50, 60, 70, 75, 78, 79]
    split = [(np.arange(30, 80), np.arange(30))]
    data = compare(
        regression,
        strategies={"Extremes": FirstColumn()},
        cv=split,
        initial=start,
        n_queries=1,
    ).data
    rest = [row for row in range(30, 80) if row not in start]
    asked = sorted(rest, key=lambda row: -abs(X[row, 0]))[:5]
    expected = [
        Ridge().fit(X[rows], y[rows]).score(X[:30], y[:30])
        for rows in (start, start + asked)
    ]
    np.testing.assert_allclose(data["score"], expected)


def test_classifiers_are_stratified(classification: Data) -> None:
    X, y = classification
    order = np.argsort(y, kind="stable")
    comparison = compare(
        (X[order], y[order]),
        estimator=LogisticRegression(),
        cv=3,
        initial="stratified",
        scoring="neg_log_loss",  # raises if a class is missing from the start
    )
    assert comparison.label == ScoreLabel("log loss", -1)


def test_frames_and_groups(regression: Data) -> None:
    X, y = regression
    groups = np.arange(80) // 10
    frame = pd.DataFrame(X, index=[f"row {k}" for k in range(80)])
    ours = compare((frame, pd.Series(y)), cv=GroupKFold(4), groups=groups)
    split = list(GroupKFold(4).split(X, y, groups))
    theirs = compare(regression, cv=split)
    np.testing.assert_allclose(ours.data["score"], theirs.data["score"])


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
    """Comparisons whose strategies have the areas given, one a run."""

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


def test_verdicts_are_honest(known: Any) -> None:
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
    assert summary.loc["noisy", "gain"] > 0  # more, and yet no gain
    assert summary.index.tolist() == ["Random", "better", "noisy", "worse"]
    one = known({"Random": [0.5], "better": [0.9]}).summary()
    assert one.loc["better", "verdict"] == "one run"


def test_table_shows_errors_as_positive_numbers(regression: Data) -> None:
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


def test_unknown_reference_is_named(regression: Data) -> None:
    with pytest.raises(ValueError, match=r"no strategy 'Passive'.*'Extremes'"):
        compare(regression).summary("Passive")


def test_progress_bar_counts_campaigns(
    regression: Data, capsys: pytest.CaptureFixture[str]
) -> None:
    compare(regression)
    assert capsys.readouterr() == ("", "")
    compare(regression, verbose=1)
    assert "8/8" in capsys.readouterr().err
    compare(regression, verbose=1, n_jobs=2)
    assert "8/8" in capsys.readouterr().err


class _Untouchable(Ridge):
    def fit(self, X: Any, y: Any) -> Any:
        raise AssertionError("fitted although the settings are wrong")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strategies": {}}, "at least one entry"),
        ({"strategies": [Shuffled()]}, "dict of names"),
        ({"n_instances": 18}, r"8 \+ 3 \* 18 = 62 rows, but X has n_samples=60"),
        ({"n_repeats": 0}, "n_repeats must be at least 1"),
        ({"n_queries": 1.5}, "n_queries must be an int"),
        ({"initial": [25, 19]}, "row 19, which is no training row of fold 0"),
        ({"scoring": "precision_of_measurement"}, "precision_of_measurement"),
    ],
)
def test_wrong_settings_are_refused_before_any_fit(
    regression: Data, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        compare(regression, estimator=_Untouchable(), **settings)
