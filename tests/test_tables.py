"""Tables of pandas, polars and pyarrow, and the cells that errors name."""

from __future__ import annotations

from decimal import Decimal

import narwhals as nw
import numpy as np
import pandas as pd
import pytest
from modAL.uncertainty import margin_sampling
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skal import ActiveLearner, Committee, NetClassifier
from skal._stacking import stack_rows
from skal._tables import as_pandas, column_names, is_table, take_columns
from skal.rows import find_bad_rows, n_rows, take_row, take_rows, take_slice
from skal.strategies import (
    BADGE,
    CoreSet,
    GreedySampling,
    LeastConfident,
    Margin,
    Random,
    TypiClust,
)

RNG = np.random.default_rng(0)
VALUES = {"a": RNG.normal(size=60), "b": 100 * RNG.normal(size=60)}
FRAME = pd.DataFrame(VALUES)
Y = (VALUES["a"] > 0).astype(int)


def polars(values):
    return pytest.importorskip("polars").DataFrame(dict(values))


def pyarrow(values):
    return pytest.importorskip("pyarrow").table(dict(values))


LIBRARIES = pytest.mark.parametrize("library", [polars, pyarrow])


@LIBRARIES
def test_rows_are_taken_by_position(library):
    table = library(VALUES)
    assert is_table(table)
    assert n_rows(table) == 60
    assert column_names(table) == ["a", "b"]
    for taken, expected in (
        (take_rows(table, np.array([5, 2, 9])), FRAME.iloc[[5, 2, 9]]),
        (take_slice(table, slice(3, 7)), FRAME.iloc[3:7]),
        (take_row(table, 4), FRAME.iloc[[4]]),
        (take_columns(table, ["b", "a"]), FRAME[["b", "a"]]),
    ):
        assert type(taken) is type(table)
        assert_array_equal(as_pandas(taken), expected)
        assert column_names(taken) == list(expected)


@LIBRARIES
def test_missing_and_infinite_values_are_found(library):
    assert find_bad_rows(library(VALUES)) is None
    assert find_bad_rows(library({"a": [1, 2], "b": ["x", None]})) is None
    gaps = library({"a": [1.0, np.inf, 2.0], "b": [1, 2, None]})
    assert find_bad_rows(gaps).tolist() == [False, True, True]
    assert find_bad_rows(gaps, allow_nan=True).tolist() == [False, True, False]


@LIBRARIES
@pytest.mark.parametrize(
    "strategy",
    [Random(random_state=0), Margin(), TypiClust(random_state=0), margin_sampling],
    ids=["Random", "Margin", "TypiClust", "margin_sampling"],
)
def test_queries_are_those_of_pandas(library, strategy):
    def query(rows, order=("a", "b")):
        learner = ActiveLearner(LogisticRegression(), strategy)
        learner.fit(take_rows(rows, np.arange(20)), Y[:20])
        pool = take_rows(take_columns(rows, order), np.arange(20, 60))
        return (*learner.query(pool, 4), learner)

    if library is pyarrow and strategy is margin_sampling:
        pytest.skip("modAL's functions leave it to the estimator")
    expected, _, _ = query(FRAME)
    table = library(VALUES)
    indices, rows, learner = query(table)
    assert_array_equal(indices, expected)
    assert type(rows) is type(table)
    assert_array_equal(as_pandas(rows), FRAME[20:].iloc[indices])
    if strategy is not margin_sampling:
        assert_array_equal(query(table, ("b", "a"))[0], expected)
    learner.teach(take_columns(rows, ["b", "a"]), Y[20:][indices])
    assert type(learner.X_training) is type(table)
    assert_array_equal(
        as_pandas(learner.X_training), FRAME.iloc[[*range(20), *(20 + indices)]]
    )


@LIBRARIES
@pytest.mark.parametrize("strategy", [BADGE(random_state=0), CoreSet()])
def test_nets_read_them(library, strategy):
    net = NetClassifier(max_epochs=2, random_state=0)
    expected = strategy.select(clone(net).fit(FRAME, Y), FRAME, 4)
    found = strategy.select(clone(net).fit(library(VALUES), Y), library(VALUES), 4)
    assert_array_equal(found.indices, expected.indices)


def test_transformers_may_give_tables_of_another_library():
    pytest.importorskip("polars")
    for last in (LogisticRegression(), NetClassifier(max_epochs=1, random_state=0)):
        model = make_pipeline(StandardScaler(), last)
        expected = Margin().select(clone(model).fit(FRAME, Y), FRAME, 4).indices
        model.set_output(transform="polars").fit(FRAME, Y)
        assert_array_equal(Margin().select(model, FRAME, 4).indices, expected)


@LIBRARIES
def test_stacked_tables_keep_their_kind_and_types(library):
    old = library({"n": np.array([1, 2], "int32"), "s": ["x", None]})
    ways = [
        library({"s": ["y"], "n": [3]}),
        pd.DataFrame({"s": ["y"], "n": [3]}),
        (pyarrow if library is polars else polars)({"s": ["y"], "n": [3]}),
        np.array([[3, "y"]], dtype=object),
    ]
    for new in ways:
        stacked = stack_rows(old, new)
        assert type(stacked) is type(old)
        assert as_pandas(stacked)["n"].tolist() == [1, 2, 3]
        assert as_pandas(stacked)["s"].tolist()[2] == "y"
        assert as_pandas(stacked)["n"].dtype == np.int32
    promoted = stack_rows(old, library({"n": [0.5], "s": ["y"]}))
    assert as_pandas(promoted)["n"].tolist() == [1, 2, 0.5]
    with pytest.raises(ValueError, match="numbers and strings do not mix"):
        stack_rows(old, library({"n": ["3"], "s": ["y"]}))
    with pytest.raises(ValueError, match=r"missing \['s'\], additional \['t'\]"):
        stack_rows(old, library({"n": [3], "t": ["y"]}))
    frame = pd.DataFrame({"n": [1, 2], "s": ["x", "z"]})
    stacked = stack_rows(frame, ways[0])
    assert stacked["n"].tolist() == [1, 2, 3]
    assert stacked["s"].tolist() == ["x", "z", "y"]


def test_labels_in_a_series():
    series = pytest.importorskip("polars").Series("y", [0, 1])
    stacked = stack_rows(series, [1], "y")
    assert type(stacked) is type(series)
    assert stacked.to_list() == [0, 1, 1]
    assert stacked.name == "y"
    assert stack_rows(np.array([0, 1]), series, "y").tolist() == [0, 1, 0, 1]
    labels = series.cast(int)
    learner = ActiveLearner(LogisticRegression(), Margin(), FRAME[:2], labels)
    learner.teach(FRAME[2:4], labels)
    assert learner.y_training.to_list() == [0, 1, 0, 1]


@pytest.mark.parametrize("strategy", [Margin(), CoreSet(), TypiClust(random_state=0)])
def test_batches_and_arrays_of_pyarrow(strategy):
    pa = pytest.importorskip("pyarrow")

    def batch(rows):
        return pa.record_batch({name: values[rows] for name, values in VALUES.items()})

    start, rest = slice(20), slice(20, None)
    results = []
    for X, pool, labels in (
        (FRAME[start], FRAME[rest], np.asarray),
        (batch(start), batch(rest), pa.array),
        (batch(start), batch(rest), lambda y: pa.array(y).dictionary_encode()),
    ):
        learner = ActiveLearner(LogisticRegression(), strategy, X, labels(Y[start]))
        indices, rows = learner.query(pool, n_instances=4)
        learner.teach(rows, labels(Y[rest][indices]))
        assert n_rows(learner.X_training) == n_rows(learner.y_training) == 24
        results.append((indices, learner.predict_proba(pool)))
    for indices, proba in results[1:]:
        assert_array_equal(indices, results[0][0])
        assert_allclose(proba, results[0][1], rtol=1e-9)


def texts(kind, values):
    """A table with one column of texts."""
    pa = pytest.importorskip("pyarrow")
    if kind.startswith("polars"):
        pl = pytest.importorskip("polars")
        types = {
            "polars": pl.String,
            "polars categories": pl.Categorical,
            "polars enum": pl.Enum(sorted(set(values))),
        }
        return pl.DataFrame({"c": pl.Series(values, dtype=types[kind])})
    types = {
        "pyarrow": pa.string(),
        "pyarrow large": pa.large_string(),
        "pyarrow categories": pa.dictionary(pa.int32(), pa.string()),
        "pyarrow narrow": pa.dictionary(pa.int8(), pa.large_string()),
    }
    if kind == "pyarrow ordered":
        return pa.Table.from_pandas(texts("pandas ordered", values))
    if kind.startswith("pandas"):
        categories = pd.Categorical(values, ordered=kind.endswith("ordered"))
        return pd.DataFrame({"c": categories if " " in kind else values})
    return pa.table({"c": pa.array(values).cast(types[kind])})


TEXTS = [
    *("polars", "polars categories", "polars enum"),
    *("pyarrow", "pyarrow large", "pyarrow categories", "pyarrow narrow"),
    *("pyarrow ordered", "pandas", "pandas categories", "pandas ordered"),
]


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("new_kind", TEXTS)
def test_texts_of_several_types_are_stacked(kind, new_kind):
    old = texts(kind, ["x", "y", "x"])
    for added in (["y", "y"], ["w", "x"]):
        stacked = stack_rows(old, texts(new_kind, added))
        assert type(stacked) is type(old)
        assert as_frame(stacked)["c"].tolist() == ["x", "y", "x", *added]


def as_frame(table):
    return table if isinstance(table, pd.DataFrame) else as_pandas(table)


def knows(part, kind):
    """Whether this version of narwhals knows a type, and casts nothing to it."""
    dtype = nw.from_native(part)["c"].dtype
    is_old = tuple(map(int, nw.__version__.split(".")[:2])) < (2, 28)
    return dtype != nw.Unknown and not (
        is_old and kind == "null" and dtype.is_decimal()
    )


@pytest.mark.parametrize("kind", ["float64", "int64", "bool", "decimal", "null"])
@pytest.mark.parametrize("new_kind", ["float64", "float16", "int8", "bool", "decimal"])
@LIBRARIES
def test_numbers_of_several_types_are_stacked(library, kind, new_kind):
    def column(kind, values):
        if kind == "decimal":
            return {"c": [Decimal(str(value)) for value in values]}
        return {"c": [None, None] if kind == "null" else np.array(values, dtype=kind)}

    half = [0.5, 1.5] if kind in ("float64", "decimal") else [0, 1]
    new = [1.5, 0.5] if new_kind in ("float64", "float16", "decimal") else [1, 0]
    parts = library(column(kind, half)), library(column(new_kind, new))
    if not knows(parts[1], kind):
        pytest.skip("this version of narwhals does not")
    stacked = stack_rows(*parts)
    values = as_pandas(stacked)["c"].tolist()
    if kind == "null":
        assert pd.isna(values[:2]).all()
    else:
        assert list(map(float, values[:2])) == half
    assert list(map(float, values[2:])) == new


def test_a_lazy_table_is_refused():
    table = polars(VALUES)
    model = LogisticRegression().fit(table, Y)
    with pytest.raises(TypeError, match=r"call collect\(\) first"):
        Margin().select(model, table.lazy(), 2)


@LIBRARIES
def test_text_and_numbers_go_through_a_pipeline(library):
    kinds = {**VALUES, "k": np.where(np.arange(60) % 3, "x", "y")}
    columns = make_column_transformer(
        (StandardScaler(), ["a", "b"]), (OneHotEncoder(sparse_output=False), ["k"])
    )
    try:
        clone(columns).fit(library(kinds))
    except TypeError:
        pytest.skip("This scikit-learn does not select columns of such tables.")
    model = make_pipeline(columns, LogisticRegression())

    def query(rows):
        learner = ActiveLearner(clone(model), Margin())
        learner.fit(take_rows(rows, np.arange(20)), Y[:20])
        indices, taken = learner.query(take_rows(rows, np.arange(20, 60)), 4)
        learner.teach(taken, Y[20:][indices])
        return indices, learner.predict_proba(rows)

    expected, found = query(pd.DataFrame(kinds)), query(library(kinds))
    assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1])


# -- cells, named in errors ---------------------------------------------------------


CELLS_RNG = np.random.default_rng(0)
X = pd.DataFrame(CELLS_RNG.normal(size=(30, 2)), columns=["age", "size"])
X["kind"] = np.where(np.arange(30) % 2, "n/a", "house")
CELLS_Y = (X["age"] > 0).astype(int)
BAD = X.astype({"age": object})
BAD.loc[17, "age"] = "n/a"  # a level of another column
SCALED = make_column_transformer(
    (OneHotEncoder(), ["kind"]), (StandardScaler(), ["age", "size"])
)
NUMBERS, TEXT = X[["age", "size"]], BAD[["age", "size"]]


def test_taught_rows():
    for learner in (
        ActiveLearner(LogisticRegression(), Margin()),
        ActiveLearner(NetClassifier(max_epochs=40), Margin()),
        Committee([ActiveLearner(LogisticRegression())]),
    ):
        with pytest.raises(
            ValueError, match=r"'n/a' is not .* row 17 of X, column 'age'"
        ):
            learner.fit(TEXT, CELLS_Y)
        with pytest.raises(ValueError, match=r"'n/a' is not .* row 17 of X, column 0"):
            learner.fit(TEXT.to_numpy(), CELLS_Y)


@pytest.mark.parametrize("strategy", [Margin(), LeastConfident()])
def test_rows_of_a_pool(strategy):
    for model in (LogisticRegression(), NetClassifier(max_epochs=40, random_state=0)):
        learner = ActiveLearner(model, strategy, NUMBERS, CELLS_Y)
        for ask in (strategy.select, strategy.score_samples):
            with pytest.raises(ValueError, match="row 17 of the pool, column 'age'"):
                ask(learner, TEXT)


def test_the_same_text_may_be_a_level_of_another_column():
    model = make_pipeline(SCALED, LogisticRegression())
    learner = ActiveLearner(model, Margin(), X, CELLS_Y)
    with pytest.raises(ValueError, match=r"row 17 of the pool, column 'age'"):
        learner.query(BAD)
    with pytest.raises(ValueError, match=r"row 17 of X, column 'age'"):
        learner.fit(BAD, CELLS_Y)


def test_inputs_without_distances():
    class Takes(Ridge):
        def fit(self, X, y):
            self.coef_ = 0
            return self

        def predict(self, X):
            return np.zeros(len(X))

    model = Takes().fit(X, CELLS_Y)
    with pytest.raises(ValueError, match=r"row 17 of the pool, column 'age': 'n/a'"):
        GreedySampling("inputs").select(model, TEXT)
    huge = NUMBERS.assign(size=NUMBERS["size"] * 1e150)
    for strategy in (GreedySampling("inputs"), TypiClust(random_state=0)):
        with pytest.raises(ValueError, match=r"columns \['size'\] of .* overflow"):
            strategy.select(model, huge)


def test_a_column_of_large_integers_has_distances():
    ids = NUMBERS[["size"]].assign(id=2**62 + 2**40 * np.arange(30))
    scaled = ids / 2.0**40
    strategy = GreedySampling("inputs")
    picked = strategy.select(DummyRegressor().fit(ids, CELLS_Y), ids, 3).indices
    expected = strategy.select(DummyRegressor().fit(scaled, CELLS_Y), scaled, 3).indices
    assert picked.tolist() == expected.tolist()
