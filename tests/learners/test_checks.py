from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from skorch import NeuralNetClassifier

from skal import ActiveLearner
from skal.learners import Committee, CommitteeRegressor
from skal.learners.checks import (
    align_arguments,
    align_labels,
    check_labeled,
    is_fitted,
    warn_if_permuted,
    warn_of_spellings,
)
from tests.learners.conftest import convert

X = np.arange(20.0).reshape(5, 4) + 1
y = np.arange(5)


def check(X, y, allow_nan=False):
    check_labeled(X, y, finite=True, allow_nan=allow_nan)


KINDS = ["ndarray", "list", "tensor", "csr_array", "dict"]


@pytest.mark.parametrize("kind", KINDS)
def test_bad_values_are_counted_and_located(kind):
    check(convert(X, kind), y)
    bad = X.copy()
    bad[2, 1] = bad[2, 3] = bad[4, 0] = np.nan
    with pytest.raises(ValueError, match=r"NaN .* in 2 rows; the first is row 2"):
        check(convert(bad, kind), y)
    check(convert(bad, kind), y, allow_nan=True)
    bad[4, 1] = np.inf
    with pytest.raises(ValueError, match="X holds infinite values in 1 rows"):
        check(convert(bad, kind), y, allow_nan=True)
    check_labeled(convert(bad, kind), y, finite=False, allow_nan=False)


def test_missing_values_of_a_frame_are_left_to_the_estimator():
    frame = pd.DataFrame({"a": [1.0, np.nan], "b": ["x", None]})
    check(frame, [0, 1])
    with pytest.raises(ValueError, match="infinite values in 1 rows"):
        check(frame.assign(c=[1.0, np.inf]), [0, 1])


def test_targets_must_be_finite():
    with pytest.raises(ValueError, match=r"y has no label .* belong to the pool"):
        check(X, np.array([0, 1, np.nan, 2, 3]))
    with pytest.raises(ValueError, match=r"y has no label .* belong to the pool"):
        check(X, pd.Series([0, 1, np.nan, 2, 3]))
    with pytest.raises(ValueError, match="y holds NaN"):
        check(X, [0, 1, float("inf"), 2, 3])


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (X, y[:3], "X has 5 rows, but y has 3 labels"),
        (X[:0], y[:0], "no rows"),
        (None, y, "X is None"),
        (X, None, "y is None"),
        (X[0], y[:1], "reshape"),
    ],
)
def test_what_is_wrong_is_named(X, y, message):
    with pytest.raises(ValueError, match=message):
        check(X, y)


def test_is_fitted():
    class Unknown:
        pass

    class Simple(BaseEstimator):
        def fit(self, X, y):
            self.done_ = True

    net = NeuralNetClassifier(torch.nn.Linear, module__in_features=4)
    assert not is_fitted(net)
    assert not is_fitted(LogisticRegression())
    assert is_fitted(LogisticRegression().fit(np.eye(5), y))
    assert not is_fitted(Simple())
    assert is_fitted(Unknown())


def test_a_missing_label_does_not_become_a_string():
    X = np.eye(3)
    with pytest.raises(
        ValueError, match=r"y has no label .* in 1 of 3 rows; the first is row 1"
    ):
        check_labeled(X, ["a", float("nan"), "b"], finite=True, allow_nan=False)
    with pytest.raises(ValueError, match="single value 'cat'"):
        check_labeled(X, "cat", finite=True, allow_nan=False)


@pytest.mark.parametrize("y", [{0: 1, 1: 0}, {0, 1}, iter([0, 1]), 3, "ab"])
def test_labels_without_an_order_are_refused(y):
    with pytest.raises((TypeError, ValueError), match="y must hold one label per row"):
        check(X[:2], y)


def test_masked_values_are_missing():
    masked = np.ma.masked_array([0, 7, 1], [False, True, False])
    with pytest.raises(ValueError, match=r"no label .* in 1 of 3 rows; .* row 1"):
        check(X[:3], masked)
    check(X[:2], masked[::2])
    rows = np.ma.masked_array(X, X[3, 2] == X)
    for allow_nan in (False, True):  # the forest would learn what is under the mask
        with pytest.raises(
            ValueError, match=r"X holds masked values in 1 rows; the first is row 3"
        ):
            check_labeled(rows, y, finite=True, allow_nan=allow_nan)
        check_labeled(np.ma.masked_array(X), y, finite=True, allow_nan=allow_nan)
    check_labeled(rows, y, finite=False, allow_nan=False)


ROWS = np.array([2, 0, 3, 1])
INDEXES = [
    pd.Index([24, 25, 26, 27]),
    pd.Index([0, 1, 2, 3], dtype="Int64"),
    pd.Index([0.5, np.nan, 2, 3]),
    pd.Index(["a", None, "c", "d"], dtype=object),
    pd.Index(["a", 1, (2, 3), None], dtype=object, tupleize_cols=False),
    pd.MultiIndex.from_arrays([["x", "x", None, "y"], [1, 2, 1, 1]]),
    pd.date_range("2024-05-30", periods=4, tz="Asia/Tokyo"),
    pd.period_range("2024-01", periods=4, freq="M"),
    pd.CategoricalIndex(list("abcd")),
    pd.interval_range(0, 4),
]


def placed(index, other=None):
    """Labels by another order of the rows of a table."""
    frame = pd.DataFrame({"label": range(4)}, index)
    target = pd.Series(range(4), index if other is None else other).iloc[ROWS]
    return align_labels(frame, target).tolist()


@pytest.mark.parametrize("index", INDEXES, ids=lambda index: index.inferred_type)
def test_labels_follow_an_index_of_any_type(index):
    assert placed(index) == [0, 1, 2, 3]
    # A new table of answers, with an index that says nothing.
    frame = pd.DataFrame({"label": range(4)}, index)
    if index.inferred_type != "integer" or index[0] != 0:
        answers = pd.Series([3, 2, 1, 0])
        assert align_labels(frame, answers).tolist() == [3, 2, 1, 0]


@pytest.mark.parametrize(
    ("index", "other"),
    [
        (pd.Index([4, 5, 6, 7]), pd.Index(list("4567"))),
        (pd.Index([4, 5, 6, 7]), pd.Index([4.0, 5, 6, 7])),
        (
            pd.date_range("2024-05-30", periods=4),
            pd.Index([f"2024-{day}" for day in ("05-30", "05-31", "06-01", "06-02")]),
        ),
        (pd.date_range("2024", periods=4, tz="UTC"), None),
        (INDEXES[5], pd.Index(list(INDEXES[5]), tupleize_cols=False)),
    ],
)
def test_an_index_that_a_file_changed_is_still_followed(index, other):
    if other is None:
        other = index.tz_convert("Asia/Tokyo")
    assert placed(index, other) == [0, 1, 2, 3]
    assert placed(other, index) == [0, 1, 2, 3]


def test_what_the_index_leaves_open_is_said():
    frame = pd.DataFrame({"label": range(4)}, [3, 1, 0, 2])
    with pytest.warns(UserWarning, match="may be that of a new table"):
        aligned = align_labels(frame, pd.Series(list("abcd")))
    assert aligned.tolist() == ["d", "b", "a", "c"]
    with pytest.warns(UserWarning, match="Labels are matched by position"):
        aligned = align_labels(frame, pd.Series(list("abcd"), index=list("pqrs")))
    assert aligned.tolist() == ["a", "b", "c", "d"]
    with pytest.raises(ValueError, match=r"only in X: 0; only in y: 4.5"):
        align_labels(frame, pd.Series(list("abcd"), index=[1, 2, 3, 4.5]))


def test_equal_indexes_of_different_types_are_in_one_order():
    frame = pd.DataFrame({"label": range(4)}, pd.Index([4, 5, 6, 7], dtype="Int64"))
    warn_if_permuted(frame, pd.Series(range(4), [4, 5, 6, 7]))
    with pytest.warns(UserWarning, match="in different orders"):
        warn_if_permuted(frame, pd.Series(range(4), [5, 4, 6, 7]))


def test_weights_whose_index_may_be_row_numbers_warn() -> None:
    X = pd.DataFrame({"a": [1.0, 2.0, 3.0]}, index=[2, 0, 1])
    weights = pd.Series([1.0, 2.0, 3.0])
    with pytest.warns(UserWarning, match="sample_weight is matched .* new table"):
        found = align_arguments(X, {"sample_weight": weights})
    assert found["sample_weight"].tolist() == [3.0, 1.0, 2.0]
    named = X.set_axis(["r", "s", "t"])
    same = align_arguments(named, {"sample_weight": weights.set_axis(["t", "s", "r"])})
    assert same["sample_weight"].tolist() == [3.0, 2.0, 1.0]


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["a", np.nan, "b", "a", np.nan]),
        ["a", "nan", "b", "a", "nan"],
        pd.Series(["a", "", "b", "a", ""]),
        pd.Series(["a", "nan", "b", "a", "nan"], dtype="category"),
        np.array(["a", "", "b", "a", ""], dtype=object),
    ],
)
def test_labels_that_are_the_text_of_no_label(labels):
    with pytest.warns(UserWarning, match=r"y has the label '(nan)?' in 2 of 5 rows"):
        check(X, labels)
    with pytest.warns(UserWarning, match="leave these rows in the pool") as caught:
        ActiveLearner(DummyClassifier()).fit(X, labels)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["a", "none", "b", "a", "banana"]),
        [0, 1, 2, 3, 4],
        [(1, 2), (3,), (1,), (2,), (1,)],
        pd.Series([[1], [2], [1], [2], [1]]),
        pd.Series([True, False, True, True, False], dtype="boolean"),
    ],
)
def test_labels_without_such_a_text(labels):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(X, labels)


# -- labels that may be one class ------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("low", "low "),
        ("low", "\tlow"),
        ("low", "Low"),
        ("very low", "very  low"),
        ("caf\u00e9", "cafe\u0301"),
        ("x", "x "),
    ],
)
@pytest.mark.parametrize(
    "convert",
    [list, np.array, pd.Series, pd.Categorical, pl.Series, lambda y: np.array([y]).T],
)
def test_labels_that_are_spelled_in_two_ways(one, other, convert):
    with pytest.warns(UserWarning, match="learned as different classes") as caught:
        warn_of_spellings(convert([one, "other", one, other]))
    shown = str(caught[0].message)
    assert ascii(other) in shown or repr(other) in shown


@pytest.mark.parametrize(
    "y",
    [
        ["a", "A", "b"],  # letters
        ["low", "mid", "lower"],
        [1, 2, 1],
        [True, False],
        np.array([1.5, 2.0]),
        np.array([["low", "Low"], ["a", "b"]]),  # two outputs
        torch.tensor([1.0, 2.0], requires_grad=True),
        [torch.tensor(1.0), torch.tensor(2.0)],
        [["low"], ["Low", "b"]],  # several labels a row
        [],
        None,
    ],
)
def test_labels_that_are_different(y):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_spellings(y)


def test_numbers_and_strings_in_a_list():
    with pytest.warns(UserWarning, match="numbers and strings, and all of them"):
        warn_of_spellings([1, "1", "2"])


def test_labels_of_teach_are_compared_with_those_before():
    X = np.arange(8.0)[:, None]
    learner = ActiveLearner(GaussianNB(), X_training=X[:4], y_training=list("abab"))
    learner.teach(X[4:6], ["low", "high"])
    with pytest.warns(UserWarning, match="'low' and 'low '"):
        learner.teach(X[6:], ["low ", "high"])
    assert len(learner.y_training) == 8


@pytest.mark.parametrize("kind", ["learner", "committee", "regressors"])
def test_scores_warn_of_labels_in_another_order(kind):
    table = pd.DataFrame(X, index=list("abcde"))
    labels = pd.Series([0, 0, 1, 1, 1], index=table.index)
    estimator = LinearRegression() if kind == "regressors" else LogisticRegression()
    learner = ActiveLearner(estimator, X_training=table, y_training=labels)
    if kind != "learner":
        classes = {"committee": Committee, "regressors": CommitteeRegressor}
        learner = classes[kind]([learner])
    best = learner.score(table, labels)
    with pytest.warns(UserWarning, match="score matches rows by position"):
        assert learner.score(table, labels[::-1]) < best
