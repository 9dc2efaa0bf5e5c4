from __future__ import annotations

import copy
import signal
from time import sleep
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import parallel_config
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit
from sklearn.tree import DecisionTreeRegressor

from skal.nets import MLP, NetRegressor
from skal.simulation import ActiveLearningSimulation
from skal.simulation.result import ScoreLabel
from tests.simulation.helpers import (
    Data,
    FirstColumn,
    Shuffled,
    Untouchable,
    compare,
)

TIMES = ["query_time", "fit_time"]


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
    """Draws from the global generator, slowly enough for threads to interleave."""

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


def _local_class() -> Any:
    class Local(MLP):
        pass

    return Local


@pytest.mark.parametrize("backend", ["loky", "threading"])
@pytest.mark.parametrize(
    "options",
    [
        {"module__dropout": 0.5},
        {"module__activation": lambda: torch.nn.Tanh()},
        {"module": _local_class()},
    ],
    ids=["dropout", "lambda", "local class"],
)
def test_nets_are_the_same_in_parallel(
    regression: Data, backend: str, options: Any
) -> None:
    net = NetRegressor(max_epochs=3, **options)
    settings = {"estimator": net, "cv": KFold(2), "n_queries": 1}
    expected = compare(regression, **settings).data
    with parallel_config(backend=backend, n_jobs=2):
        parallel = compare(regression, **settings).data
    pd.testing.assert_frame_equal(
        parallel.drop(columns=TIMES), expected.drop(columns=TIMES)
    )


class _Interrupted(MLP):
    def forward(self, X: Any) -> Any:
        if self.training:
            signal.raise_signal(signal.SIGINT)
        return super().forward(X)


def test_an_interrupt_is_raised(regression: Data) -> None:
    state = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        compare(regression, estimator=NetRegressor(_Interrupted, max_epochs=3))
    assert torch.equal(torch.get_rng_state(), state)


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


def test_campaigns_are_those_of_simulations(regression: Data) -> None:
    X, y = regression
    split = ShuffleSplit(2, random_state=0)  # training rows in random order
    data = compare(
        regression,
        estimator=DecisionTreeRegressor(max_features=2),
        cv=split,
        n_candidates=20,
        n_repeats=2,
    ).data
    for (fold, seed), run in data.query("strategy == 'Random'").groupby(
        ["fold", "seed"], sort=False
    ):
        train, test = list(split.split(X))[fold]
        simulation = ActiveLearningSimulation(
            DecisionTreeRegressor(max_features=2),
            Shuffled(),
            n_initial=8,
            n_instances=5,
            n_queries=3,
            n_candidates=20,
            random_state=seed,
        ).fit(X[train], y[train])
        curve = simulation.learning_curve(X[test], y[test])
        np.testing.assert_array_equal(run["score"], curve)
        np.testing.assert_array_equal(run["n_labeled"], simulation.n_labeled_)


class _Uncopyable(Ridge):
    def __deepcopy__(self, memo: Any) -> Any:
        raise AssertionError("copied although it is scored at once")


def test_estimators_are_not_copied(regression: Data) -> None:
    with pytest.raises(AssertionError, match="copied"):
        copy.deepcopy(_Uncopyable())
    data = compare(regression, estimator=_Uncopyable()).data
    np.testing.assert_array_equal(data["score"], compare(regression).data["score"])


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


def test_progress_bar_counts_campaigns(
    regression: Data, capsys: pytest.CaptureFixture[str]
) -> None:
    compare(regression)
    assert capsys.readouterr() == ("", "")
    compare(regression, verbose=1)
    assert "8/8" in capsys.readouterr().err
    compare(regression, verbose=1, n_jobs=2)
    assert "8/8" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strategies": {}}, "at least one entry"),
        ({"strategies": [Shuffled()]}, "dict of names"),
        ({"n_instances": 18}, r"8 \+ 3 \* 18 = 62 rows, but X has n_samples=60"),
        ({"n_repeats": 0}, "n_repeats must be an int of at least 1"),
        ({"n_queries": 1.5}, "n_queries must be an int"),
        ({"initial": [25, 19]}, "row 19, which is not a training row of fold 0"),
        ({"scoring": "precision_of_measurement"}, "precision_of_measurement"),
        ({"scoring": {"r2": "r2", "fold": "r2"}}, r"called \['fold'\]"),
        ({"scoring": {"r2": "r2", "score": "max_error"}}, r"called \['score'\]"),
    ],
)
def test_wrong_settings_are_refused_before_any_fit(
    regression: Data, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        compare(regression, estimator=Untouchable(), **settings)


def test_a_callback_sees_the_steps_of_all_campaigns(regression: Data) -> None:
    X, _ = regression
    seen: list[Any] = []
    scoring = ["r2", "explained_variance"]
    data = compare(regression, scoring=scoring, callback=seen.append).data
    assert len(seen) == len(data)
    for step, row in zip(seen, data.itertuples(), strict=True):
        assert (step.strategy, step.fold, step.repeat) == row[1:4]
        assert (step.step, step.n_labeled) == (row.step, row.n_labeled)
        assert (step.fit_time, step.query_time) == pytest.approx(
            (row.fit_time, row.query_time), nan_ok=True
        )
        assert step.scores == {
            "r2": row.r2,
            "explained_variance": row.explained_variance,
        }
        assert row.score == row.r2
    train = KFold(4).split(X)
    for fold, (rows, _) in enumerate(train):
        labeled = [s.labeled for s in seen if (s.strategy, s.fold) == ("Random", fold)]
        chosen = np.concatenate(labeled)
        assert len(set(chosen)) == 23
        assert set(chosen) <= set(rows)


def test_scores_of_nan_are_counted_and_left_out(regression: Data) -> None:
    def often(estimator: Any, X: Any, y: Any) -> float:
        return np.nan if estimator.n_seen < 12 else 1.0

    class Counting(Ridge):
        def fit(self, X: Any, y: Any) -> Any:
            self.n_seen = len(X)
            return super().fit(X, y)

    few = {"cv": KFold(2), "n_initial": 5, "n_instances": 8, "n_queries": 1}
    with pytest.warns(UserWarning, match=r"4 of 8 scores are NaN .*fold 0, 5 labels"):
        some = compare(regression, estimator=Counting(), scoring=often, **few)
    assert (some.areas() == 1).all(axis=None)
    with pytest.warns(UserWarning, match="8 of 8 scores are NaN"):
        none = compare(regression, scoring=lambda *args: np.nan, **few)
    first, second = none.strategies
    summary = none.summary()
    assert summary.loc[second, "verdict"] == "no score"
    assert summary.drop(columns=["verdict", "query_time"]).isna().all(axis=None)
    assert first in str(none)


def test_a_class_is_no_strategy(regression: Data) -> None:
    with pytest.raises(
        TypeError, match=r"'first' is the class .*such as FirstColumn\("
    ):
        compare(regression, strategies={"first": FirstColumn})


def test_folds_may_be_masks(regression: Data) -> None:
    n = len(regression[1])
    masks = [(np.arange(n) % 3 > 0, np.arange(n) % 3 == 0)]
    places = [tuple(np.flatnonzero(part) for part in masks[0])]
    by_mask, by_place = (compare(regression, cv=cv).table() for cv in (masks, places))
    assert by_mask.equals(by_place)


def test_labels_in_another_order_are_said(regression: Data) -> None:
    X, y = regression
    frame = pd.DataFrame(X).add_prefix("f")
    with pytest.warns(UserWarning, match="in different orders"):
        compare((frame, pd.Series(y).iloc[::-1]))


def test_names_do_not_break_a_table(regression: Data) -> None:
    names = {"<script>": FirstColumn(), "a|b\nc": FirstColumn(1.0)}
    comparison = compare(regression, strategies=names)
    assert "<script>" not in comparison.to_html()
    assert "| a\\|b c |" in comparison.to_markdown()
    assert len(str(comparison).splitlines()) == 4


@pytest.mark.parametrize(
    ("fold", "message"),
    [
        ((np.arange(60), np.arange(50, 70)), "Fold 0 of cv: 10 test rows are training"),
        ((np.arange(60) % 40, np.arange(60, 70)), "20 training rows are repeated"),
    ],
)
def test_rows_that_a_fold_counts_twice(
    regression: Data, fold: Any, message: str
) -> None:
    with pytest.warns(UserWarning, match=message):
        compare(regression, cv=[fold])


@pytest.mark.parametrize(
    "test", [[60.5, 61], [100_000], [-100_000], ["a"], np.ones(7, dtype=bool)]
)
def test_folds_that_are_no_rows(regression: Data, test: Any) -> None:
    with pytest.raises(ValueError, match="cv must give positions of rows of X"):
        compare(regression, cv=[(np.arange(60), test)])


def test_folds_by_floats_and_from_the_end(regression: Data) -> None:
    m = len(regression[1])
    train, test = np.arange(60), np.arange(m - 5, m)
    first, again = (
        compare(regression, cv=[fold], random_state=0).data["score"]
        for fold in ((train, test), (train.astype(float), test - m))
    )
    assert first.tolist() == again.tolist()


def test_tensors_that_require_a_gradient(regression: Data) -> None:
    tensors = tuple(torch.tensor(part, requires_grad=True) for part in regression)
    plain, same = (compare(data).data["score"] for data in (regression, tensors))
    assert plain.tolist() == same.tolist()
