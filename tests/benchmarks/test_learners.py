import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_digits
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from benchmarks import learners, learners_models, learners_report
from benchmarks.learners_models import LEARNERS

RIDGE, TREES = "ridge / logistic regression", "extra trees"


def test_pool_and_test_share_no_row_and_keep_categories(tables):
    X, y, X_test, y_test, task = learners.draw("glass", 0)
    assert task == "classification"
    assert (len(X), len(X_test)) == (68, 22)
    assert not set(X["a"]) & set(X_test["a"])
    assert set(X["level"].dropna()) == {"u", "v"}
    np.testing.assert_array_equal(y == "p", X["a"] > 0)
    np.testing.assert_array_equal(y_test == "p", X_test["a"] > 0)
    assert list(learners.draw("glass", 1)[0]["a"]) != list(X["a"])


@pytest.mark.slow
def test_quick_run_scores_and_continues(tables, monkeypatch, capsys):
    places = ["--work", str(tables / "work"), "--output", str(tables / "out")]
    options = ["--quick", "--jobs", "1", *places, "--learners", RIDGE]
    assert learners.main(options) == 0
    file = tables / "work" / "learners.csv"
    found = pd.read_csv(file)
    assert found[["set", "seed", "n"]].to_numpy().tolist() == [
        ["yacht", 0, 50],
        ["glass", 0, 50],
    ]
    X, y, X_test, y_test, _ = learners.draw("yacht", 0)
    A, B = (np.c_[np.ones(len(part)), part] for part in (X[:50], X_test))
    line = B @ np.linalg.lstsq(A, y[:50], rcond=None)[0]
    assert found["rmse"][0] == pytest.approx(
        np.sqrt(np.mean((line - y_test) ** 2)), abs=0.02
    )
    assert found["accuracy"][1] > 0.8
    assert "Learners with few random labels" in (tables / "out/learners.md").read_text()

    # A second run computes what is missing only, and a new version again.
    asked = []
    plain = learners.fit_and_score

    def noted(*task):
        asked.append(task)
        return plain(*task)

    reported = []
    monkeypatch.setattr(learners, "fit_and_score", noted)
    monkeypatch.setattr(learners, "report", lambda data, *_: reported.append(data))
    assert learners.main([*options, TREES]) == 0
    assert [task[3] for task in asked] == [TREES, TREES]
    newer = LEARNERS[RIDGE]._replace(version=2)
    monkeypatch.setitem(learners.LEARNERS, RIDGE, newer)
    assert learners.main([*options, TREES]) == 0
    assert [task[3:] for task in asked[2:]] == [(RIDGE, 2), (RIDGE, 2)]
    assert len(pd.read_csv(file)) == 6
    shown = reported[-1]
    assert set(shown["version"][shown["learner"] == RIDGE]) == {2}


@pytest.mark.parametrize("name", ["histogram boosting", "SVM", "Gaussian process"])
@pytest.mark.parametrize("table", ["yacht", "glass"])
def test_learners_take_gaps_and_levels(tables, name, table):
    row = learners.fit_and_score(table, 0, 50, name).iloc[0]
    loss = row["rmse"] if table == "yacht" else 1 - row["accuracy"]
    assert loss < 0.6


@pytest.mark.slow
def test_gaussian_process_tells_ten_classes_apart():
    X, y = load_digits(return_X_y=True, as_frame=True)
    rows = np.random.default_rng(1).permutation(len(X))
    train, test = rows[:100], rows[100:500]
    make = LEARNERS["Gaussian process"].make
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make("classification", 0, X.iloc[train], y.iloc[train])
        model.fit(X.iloc[train], y.iloc[train])
    # From an amplitude of 1 it is 0.70.
    assert model.score(X.iloc[test], y.iloc[test]) > 0.85


def test_gaussian_process_of_many_rows_keeps_the_scales_of_the_first(monkeypatch):
    monkeypatch.setattr(learners_models, "MOST_TUNED", 40)
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(90, 2)), columns=["a", "b"])
    y = np.sin(X["a"].to_numpy()) + 0.1 * rng.normal(size=90)
    make = LEARNERS["Gaussian process"].make
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        few = make("regression", 0, X[:40], y[:40]).fit(X[:40], y[:40])
        many = make("regression", 0, X, y).fit(X, y)
    assert many[-1].kernel_ == few[-1].kernel_
    assert len(many[-1].X_train_) == 90


def test_log_loss_of_a_class_without_a_label():
    probabilities = np.array([[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]])
    classes = np.array(["b", "d"])
    labels = np.array(["d", "a", "d"])  # "a" is unknown, the last has probability 0
    expected = -(np.log(0.75) + 2 * np.log(learners.LEAST)) / 3
    found = learners.log_loss(probabilities, classes, labels)
    assert found == pytest.approx(expected)
    late = learners.log_loss(probabilities[:1], classes, np.array(["z"]))
    assert late == pytest.approx(-np.log(learners.LEAST))


def test_coverage_counts_only_where_there_is_a_deviation():
    X = np.linspace(0, 1, 20)[:, None]
    model = GaussianProcessRegressor(alpha=0.5, optimizer=None).fit(X, X[:, 0])
    mean, std = model.predict(X, return_std=True)
    y = mean + std * np.r_[np.full(15, 1.6), np.full(5, 1.7)]
    assert learners.scores(model, X, y, "regression")["coverage"] == 0.75
    classes = LogisticRegression().fit(X, X[:, 0] > 0.5)
    assert "coverage" not in learners.scores(
        classes, X, X[:, 0] > 0.5, "classification"
    )


def test_intervals_of_a_model_are_counted_in_place_of_deviations():
    class Wide(GaussianProcessRegressor):
        def predict_interval(self, X):
            return np.full(len(X), -1.0), np.full(len(X), 0.5)

    X = np.linspace(0, 1, 20)[:, None]
    model = make_pipeline(FunctionTransformer(), Wide(optimizer=None)).fit(X, X[:, 0])
    found = learners.scores(model, X, X[:, 0], "regression")
    assert found["coverage"] == np.mean(X[:, 0] <= 0.5)


def test_intervals_of_a_scaled_target_are_in_its_unit():
    X = np.linspace(0, 1, 20)[:, None]
    plain = GaussianProcessRegressor(alpha=0.5, optimizer=None)
    scaled = TransformedTargetRegressor(plain, transformer=StandardScaler())
    model = make_pipeline(FunctionTransformer(), scaled).fit(X, 5 * X[:, 0] + 3)
    y = (X[:, 0] - X.mean()) / X.std()
    mean, std = plain.fit(X, y).predict(X, return_std=True)
    low, high = learners.interval(model, X)
    middle, half = 5 * (mean * X.std() + X.mean()) + 3, 5 * std * X.std()
    np.testing.assert_allclose((low + high) / 2, middle)
    np.testing.assert_allclose((high - low) / 2, 1.6449 * half)


def test_means_leave_out_incomplete_sets_and_near_counts_competitors():
    own, ridge, trees = "skal: fold ensemble", RIDGE, TREES
    rows = [
        ("yacht", own, 1.0),
        ("yacht", ridge, 1.0),
        ("yacht", trees, 2.0),
        ("concrete", own, 1.04),
        ("concrete", ridge, 1.0),
        ("concrete", trees, 3.0),
        ("energy", own, 1.06),
        ("energy", ridge, 1.0),
    ]
    data = pd.DataFrame(rows, columns=["set", "learner", "rmse"])
    data = data.assign(seed=0, n=100)
    measure = learners_report.MEASURES[0]
    table = learners_report.losses(data, measure)
    means = learners_report.common(learners_report.by_set(table)).mean()
    assert means[trees] == pytest.approx(np.log(6) / 2)
    assert means[own] == pytest.approx(np.log(1.04) / 2)
    near = learners_report.near_best(table, measure, 100)
    assert near[own] == pytest.approx(2 / 3)
    assert near[ridge] == 1
    assert near[trees] == 0

    line = learners_report.summary_table(table, measure).loc[ridge]
    assert line["near, n = 100"] == "100 %"
    assert line[f"minus {own}"] == f"{-np.log(1.04 * 1.06) / 3:+.2f}"
    assert line["mean rank"] == "1.2"  # yacht 1.5, concrete 1: energy lacks the trees


def test_learners_with_fewer_seeds_are_compared_on_those():
    rows = [(0, RIDGE, 1.0), (1, RIDGE, 3.0), (0, TREES, 2.0)]
    data = pd.DataFrame(rows, columns=["seed", "learner", "log_loss"])
    data = data.assign(set="glass", n=100)
    table = learners_report.losses(data, learners_report.MEASURES[2])
    means = learners_report.by_set(table).loc["glass"]
    assert means[RIDGE] == 2
    assert means[TREES] == 3  # worse by 1 on seed 0, as the only one that both have
