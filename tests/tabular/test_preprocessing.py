from __future__ import annotations

import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from skal.tabular import make_tabular_preprocessor
from skal.tabular.dates import DateParts
from skal.tabular.levels import Ranks, Texts
from skal.tabular.numbers import RobustAsinhScaler


def _table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "area": [10.0, 20.0, np.nan, 30.0, 40.0],
            "kind": ["flat", None, "house", "flat", "house"],
            "heated": [True, False, True, True, True],
            "code": pd.Categorical(["a", "b", None, "a", "b"]),
            "walls": ["brick", "wood", "clay", "wood", "brick"],
            "size": pd.Categorical([*"SLMLS"], categories=[*"SML"], ordered=True),
            "one": 1,
            "empty": np.nan,
        }
    )


def _out(transformer: Any, X: Any) -> pd.DataFrame:
    names = transformer.get_feature_names_out()
    return pd.DataFrame(transformer.transform(X), columns=names)


def test_each_kind_of_column_is_converted_as_documented() -> None:
    X = _table()
    Z = _out(make_tabular_preprocessor(linear_range=None).fit(X), X)
    # Median 25 and quartiles 17.5 and 32.5.
    expected = (np.array([10.0, 20, 25, 30, 40]) - 25) * 1.349 / 15
    np.testing.assert_allclose(Z["number__area"], expected, atol=1e-12)
    assert Z["number__missingindicator_area"].tolist() == [0, 0, 1, 0, 0]
    assert Z["binary__heated"].tolist() == [1, -1, 1, 1, 1]
    assert Z["binary__kind"].tolist() == [-1, 0, 1, -1, 1]
    assert Z["binary__missingindicator_kind"].tolist() == [0, 1, 0, 0, 0]
    assert Z["binary__code"].tolist() == [-1, 1, 0, -1, 1]
    assert Z["level__walls_wood"].tolist() == [0, 1, 0, 1, 0]
    # Ranks 0, 2, 1, 2, 0: median 1, quartiles 0 and 2.
    expected = 1.349 / 2 * np.array([-1, 1, 0, 1, -1])
    np.testing.assert_allclose(Z["ordered__size"], expected)
    used = {name.split("__")[1].split("_")[-1 if "ind" in name else 0] for name in Z}
    assert used == {"area", "heated", "kind", "code", "walls", "size"}
    assert Z.shape == (5, 11)


def test_rare_and_unknown_levels_share_a_column() -> None:
    X = pd.DataFrame({"kind": [*"aaabbbcd", None], "area": range(9)})
    transformer = make_tabular_preprocessor(min_frequency=2).fit(X)
    new = pd.DataFrame({"kind": ["a", "d", "new", None], "area": 1.0})
    levels = _out(transformer, new).filter(like="kind")
    assert list(levels) == [
        *("level__kind_a", "level__kind_b", "level__kind_infrequent_sklearn")
    ]
    assert levels.to_numpy().tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1]]
    capped = make_tabular_preprocessor(max_categories=2).fit(X)
    assert _out(capped, new).filter(like="kind").shape == (4, 2)
    every = _out(make_tabular_preprocessor().fit(X), new)
    assert every.filter(like="kind").to_numpy().sum(axis=1).tolist() == [1, 1, 0, 1]


def test_large_numbers_grow_slowly() -> None:
    X = _table()
    transformer = make_tabular_preprocessor().fit(X)
    Z = _out(transformer, X.assign(area=[1e9, -1e300, 40.0, 25.0, np.nan]))
    most = 2 * np.arcsinh(np.sinh(10) / 2)
    expected = [most, -most, 2 * np.arcsinh(1.349 / 2), 0, 0]
    np.testing.assert_allclose(Z["number__area"], expected)


def test_a_missing_value_of_new_rows_alone_is_the_median() -> None:
    X = pd.DataFrame({"area": [1.0, 2, 3], "kind": [*"aab"], "walls": [*"abc"]})
    transformer = make_tabular_preprocessor().fit(X)
    out = transformer.transform(X.iloc[:1].assign(area=None, kind=None, walls=None))
    np.testing.assert_array_equal(out, 0)


def test_dates_are_scaled_and_imputed() -> None:
    when = pd.Series(pd.date_range("2024-02-27", periods=41, freq="36h"))
    X = pd.DataFrame({"sold": when.where(when.index != 3).dt.strftime("%Y-%m-%d")})
    transformer = make_tabular_preprocessor(linear_range=None).fit(X)
    Z = _out(transformer, X)
    assert Z["date__sold_days"][3] == Z["date__sold_days"].median() == 0
    assert Z["date__sold_missing"].to_numpy().nonzero()[0].tolist() == [3]
    quartiles = np.quantile(Z["date__sold_days"].drop(3), [0.25, 0.75])
    assert np.diff(quartiles).item() == pytest.approx(1.349)
    with pytest.warns(UserWarning, match="1 of 1 values"):
        out = transformer.transform(pd.DataFrame({"sold": ["9999-12-31"]}))
    assert np.isfinite(out).all()


def _mixed(n: int = 30) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    number = rng.normal(size=n)
    number[2] = np.nan
    level = rng.choice([*"abc"], n).astype(object)
    level[4] = None
    when = pd.date_range("2024-02-27", periods=n, freq="D").to_numpy("datetime64[us]")
    return pd.DataFrame(
        {"number": number, "level": level, "on": rng.random(n) < 0.5, "when": when}
    )


@pytest.mark.parametrize("container", ["polars", "pyarrow", "array", "list"])
def test_every_container_gives_the_same(container: str) -> None:
    X = _mixed()
    expected = make_tabular_preprocessor().fit(X)
    if container == "array":
        rows: Any = X.to_numpy(dtype=object)
    elif container == "list":
        rows = X.to_numpy(dtype=object).tolist()
    else:
        if sklearn.__version__.startswith("1.6."):
            pytest.skip("no tables of pyarrow; polars of that time crashes on dates")
        module = pytest.importorskip(container)
        columns = {
            name: column.astype(object).where(column.notna(), None).tolist()
            for name, column in X.items()
        }
        make = module.table if container == "pyarrow" else module.DataFrame
        rows = make(columns)
    transformer = make_tabular_preprocessor().fit(rows)
    np.testing.assert_allclose(transformer.transform(rows), expected.transform(X))
    names = transformer.get_feature_names_out().tolist()
    if container in ("polars", "pyarrow"):
        assert names == expected.get_feature_names_out().tolist()
        # Rows of another library than in `fit`, as a pool may be.
        np.testing.assert_allclose(expected.transform(rows), expected.transform(X))
    else:
        assert names[0] == "number__x0"


def test_nullable_types_give_the_same() -> None:
    X = _mixed()
    transformer = make_tabular_preprocessor().fit(X)
    expected = transformer.transform(X)
    nullable = X.convert_dtypes()
    np.testing.assert_allclose(transformer.transform(nullable), expected)
    again = make_tabular_preprocessor().fit(nullable)
    np.testing.assert_allclose(again.transform(X), expected)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_output_can_be_a_table(library: str) -> None:
    pytest.importorskip(library)
    X = _mixed()
    transformer = make_tabular_preprocessor()
    expected = transformer.fit_transform(X)
    names = transformer.get_feature_names_out().tolist()
    out = transformer.set_output(transform=library).fit_transform(X)
    assert type(out).__module__.startswith(library)
    assert list(out.columns) == names
    np.testing.assert_allclose(out.to_numpy(), expected)


def test_new_rows_need_not_have_columns_that_are_dropped() -> None:
    X = _mixed().assign(one=1, serial=[f"s{k}" for k in range(30)])
    with pytest.warns(UserWarning, match=r"\['serial'\] are left out") as warned:
        transformer = make_tabular_preprocessor().fit(X)
    assert len(warned) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        less = transformer.transform(X[["when", "level", "number", "on"]])
    np.testing.assert_array_equal(less, transformer.transform(X))
    with pytest.raises(ValueError, match=r"missing.*level"):
        transformer.transform(X.drop(columns="level"))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_rows_are_enough(n: int) -> None:
    X = _table()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = make_tabular_preprocessor().fit(X[:n]).transform(X)
    assert out.shape[1] > 0
    assert np.isfinite(out).all()


def test_constant_columns_alone_give_constants() -> None:
    X = pd.DataFrame({"a": [1.0], "k": ["x"], "m": [None], "d": [pd.NaT]})
    X = pd.concat([X] * 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        transformer = make_tabular_preprocessor().fit(X)
        new = pd.DataFrame({"a": [7.0], "k": ["y"], "m": [None], "d": [pd.NaT]})
        out = transformer.transform(new)
    assert np.isfinite(out).all()
    assert np.ptp(transformer.transform(X), axis=0).tolist() == [0] * out.shape[1]


def test_numbers_with_a_few_texts_are_numbers_with_missing_values() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(50, 10, 100).round(1)
    texts = {3: "n/a", 17: "?", 40: "<5", 41: "1,200", 99: "unknown"}
    dirty = [texts.get(k, str(v)) for k, v in enumerate(values)]
    known = [np.nan if k in texts else v for k, v in enumerate(values)]
    expected = make_tabular_preprocessor().fit(pd.DataFrame({"a": known}))
    table = pd.DataFrame({"a": dirty})
    message = r"5 of 100 cells of column 'a' .*'n/a' \(1\), '\?' \(1\)"
    transformer = make_tabular_preprocessor()
    with pytest.warns(UserWarning, match=message) as warned:
        out = transformer.fit_transform(table)
    assert len(warned) == 1
    np.testing.assert_array_equal(out, expected.transform(pd.DataFrame({"a": known})))
    # In any type, and new texts: what was decided in `fit` holds.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for same in (known, dirty[:3], pd.array(known, "Float64")):
            rows = pd.DataFrame({"a": same})
            reference = expected.transform(pd.DataFrame({"a": known[: len(rows)]}))
            np.testing.assert_array_equal(transformer.transform(rows), reference)
    with pytest.warns(UserWarning, match="1 of 1 cells"):
        one = transformer.transform(pd.DataFrame({"a": ["new"]}))
    assert one.tolist() == [[0, 1]]


def test_dates_with_a_few_texts_are_dates() -> None:
    days = pd.date_range("2024-02-27", periods=40).strftime("%Y-%m-%d").tolist()
    table = pd.DataFrame({"a": [*days, "n/a", "soon"]})
    transformer = make_tabular_preprocessor()
    with pytest.warns(UserWarning, match="2 of 42 values of column 'a' are not dates"):
        out = transformer.fit_transform(table)
    missing = table.assign(a=[*days, None, None])
    np.testing.assert_array_equal(out, transformer.transform(missing))
    assert "date__a_days" in transformer.get_feature_names_out()


def test_it_is_cloned_pickled_and_searched() -> None:
    X = _table()
    model = clone(make_pipeline(make_tabular_preprocessor(), Ridge()))
    model.set_params(columntransformer__level__onehotencoder__min_frequency=1)
    y = np.arange(5.0)
    expected = model.fit(X, y).predict(X)
    assert np.isfinite(expected).all()
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict(X), expected)


@pytest.mark.parametrize("linear_range", [0, -1.0, float("nan")])
def test_bad_range_is_refused(linear_range: float) -> None:
    with pytest.raises(ValueError, match="linear_range must be positive"):
        make_tabular_preprocessor(linear_range=linear_range)


def test_masked_cells_are_missing() -> None:
    rng = np.random.default_rng(0)
    rows = np.ma.array(rng.normal(size=(20, 2)), mask=rng.random((20, 2)) < 0.2)
    expected = rows.filled(np.nan)
    transformer = make_tabular_preprocessor().fit(rows)
    known = make_tabular_preprocessor().fit(expected)
    np.testing.assert_array_equal(
        transformer.transform(rows), known.transform(expected)
    )


def test_other_rows_than_tables_are_refused() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(ValueError, match=r"X is sparse.*toarray"):
        make_tabular_preprocessor().fit(sparse.eye(3, format="csr"))
    with pytest.raises(ValueError, match=r"two dimensions, got shape \(3,\)"):
        make_tabular_preprocessor().fit(np.arange(3.0))


@pytest.mark.skipif("SKAL_DATA" not in os.environ, reason="needs the real tables")
@pytest.mark.parametrize("n", [50, 3000])
def test_names_of_instances_are_left_out(n: int) -> None:
    """One-hot encoded, the first column of splice makes 3200 of 3465 inputs."""
    folder = Path(os.environ["SKAL_DATA"]) / "classification"
    X = pd.read_csv(folder / "splice.csv.gz").drop(columns="Class")
    rows = X.sample(n, random_state=0)
    with pytest.warns(UserWarning, match="Instance_name"):
        transformer = make_tabular_preprocessor().fit(rows)
    names = transformer.get_feature_names_out()
    assert not any("Instance" in name for name in names)
    assert len(names) <= 60 * 5


@pytest.mark.parametrize(
    "names", [[3, 1, 2], [("a", 1), ("b", 1), ("c", 2)], [1.5, np.nan, 0.5]], ids=str
)
def test_columns_without_strings_as_names_keep_their_order(names: list[Any]) -> None:
    """They are taken by position, so that others would be taken for them."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(9, 3)))
    X.columns = pd.Index(names, tupleize_cols=False)
    transformer = make_tabular_preprocessor().fit(X)
    expected = transformer.transform(X)
    assert expected.shape == (9, 3)
    np.testing.assert_array_equal(transformer.transform(X.to_numpy()), expected)
    with pytest.raises(ValueError, match=r"are where .* same order.*astype\(str\)"):
        transformer.transform(X.iloc[:, [1, 0, 2]])


@pytest.mark.parametrize("part", [DateParts, Ranks, RobustAsinhScaler, Texts])
def test_parts_refuse_other_columns_than_in_fit(part: Any) -> None:
    dates = pd.date_range("2024-01-01", periods=9)
    table = pd.DataFrame({"a": range(9), "b": range(1, 10)})
    if part is DateParts:
        table = pd.DataFrame({"a": dates, "b": dates})
    fitted = part().fit(table)
    with pytest.raises(ValueError, match="names should match"):
        fitted.transform(table[["b"]])
    with pytest.raises(ValueError, match="names should match"):
        fitted.transform(table[["b", "a"]])
    with pytest.raises(ValueError, match="1 features"):
        part().fit(table.to_numpy()).transform(table[["a"]].to_numpy())
