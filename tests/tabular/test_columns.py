from __future__ import annotations

import datetime
import warnings
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from skal.tabular.columns import ColumnsOf, kinds

N = 30
LISTS = pa.list_(pa.int64())
DAYS = pd.date_range("2024-02-27 06:00", periods=N, freq="36h")


def _repeat(*values: Any) -> list[Any]:
    return (list(values) * N)[:N]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.arange(N) / 7, "number"),
        (pd.array(_repeat(1, None, 3), dtype="Int64"), "number"),
        (pd.Series(_repeat(Decimal("1.5"), None, 2), dtype=object), "number"),
        (DAYS - DAYS[0], "number"),
        (_repeat("a", "b", "c"), "level"),
        (_repeat("a", None, np.nan), "level"),  # that it is missing may tell
        (_repeat("a", 1, None), "binary"),
        (pd.Categorical(_repeat(1, 2, 3)), "level"),
        (pd.Categorical(_repeat(1, 2, 3), ordered=True), "ordered"),
        (_repeat(True, False), "binary"),
        (pd.array(_repeat(True, None, False), dtype="boolean"), "binary"),
        (pd.Series(_repeat(True, None, False), dtype=object), "binary"),
        (DAYS, "date"),
        (DAYS.tz_localize("Europe/Paris"), "date"),
        (DAYS.date, "date"),
        (pd.period_range("2024-01", periods=N, freq="M"), "date"),
        (DAYS.strftime("%Y-%m-%d %H:%M"), "date"),
        (_repeat("2024-02-27", "9999-12-31", "2024-02-28", None), "date"),
        (_repeat("2024-02-27", "soon", "2024-02-28"), "level"),
        (_repeat("0000-00-00", "0000-00-01", "2024-02-28"), "level"),
        ([*(DAYS.strftime("%Y-%m-%d")[:28]), "n/a", "soon"], "date"),
        ([f"{k}.5" for k in range(N)], "number"),
        ([*map(str, range(N))], "id"),  # whole numbers are codes
        (_repeat(*map(str, range(12))), "level"),
        (_repeat(*map(str, range(12)), "?"), "number"),
        (pd.Categorical([f"{k / 3:.2f}" for k in range(12)] * 2 + ["0"] * 6), "level"),
        (pd.array(_repeat("1.5", "?", *map(str, range(12))), "string"), "number"),
        ([f"s{k}" for k in range(N)], "id"),
        ([f"{k} Mill Lane, Rye" for k in range(N)], "id"),
        (pd.Categorical([f"s{k}" for k in range(N)]), "id"),
        ([[k] for k in range(N)], "id"),
        ([f"s{k}" for k in range(19)] + _repeat("s1")[19:], "level"),
        (_repeat(5), "constant"),
        (_repeat("a"), "constant"),
        (_repeat(None), "constant"),
        (_repeat(np.nan), "constant"),
        (_repeat(pd.NaT), "constant"),
        (_repeat(5, np.nan), "number"),
        (pd.array(range(N), pd.ArrowDtype(pa.duration("s"))), "number"),
        (pd.Series([datetime.timedelta(k) for k in range(N)], dtype=object), "number"),
        (pd.Series([*DAYS.to_numpy()], dtype=object), "date"),
        (pd.array([[k % 3] for k in range(N)], pd.ArrowDtype(LISTS)), "level"),
        (pd.Series([np.complex128(k, 1) for k in range(N)], dtype=object), "number"),
    ],
    ids=str,
)
def test_columns_are_what_they_hold(values: Any, kind: str) -> None:
    table = pd.DataFrame({"x": values, "other": np.arange(N) / 3})
    assert kinds(table) == [kind, "number"]
    # The same in a column of objects, as of an array of mixed cells.
    if not isinstance(values, pd.Categorical):
        assert kinds(table.astype(object).infer_objects()) == [kind, "number"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("id", "id"),
        ("order_id", "id"),
        ("PID", "id"),
        ("Row.index", "id"),
        ("width", "number"),
        ("identity", "number"),
    ],
)
def test_integers_identify_rows_by_their_name(name: str, kind: str) -> None:
    other = np.arange(N) / 3
    numbers = pd.Series(range(1000, 1000 + N))
    gap = numbers.where(numbers != 1003)  # floats, as NaN is among them
    for values in (numbers, gap, numbers.astype(object)):
        assert kinds(pd.DataFrame({name: values, "other": other})) == [kind, "number"]
    repeated = pd.DataFrame({name: numbers // 2, "other": other})
    assert kinds(repeated) == kinds(repeated / 7) == ["number", "number"]
    assert kinds(pd.DataFrame({name: numbers / 7, "other": other}))[0] == "number"
    infinite = numbers.astype(float).where(numbers != 1003, np.inf)
    assert kinds(pd.DataFrame({name: infinite, "other": other}))[0] == "number"


@pytest.mark.parametrize("n", [3, 19])
def test_few_rows_do_not_show_that_a_column_identifies_them(n: int) -> None:
    table = pd.DataFrame({"serial": [f"s{k}" for k in range(n)], "id": range(n)})
    assert kinds(table) == ["level", "number"]


def test_the_order_of_rows_does_not_decide_what_true_and_1_are() -> None:
    """They are equal to pandas."""
    for cells in ([True, 1, 0, False], [1, True, False, 0], [1, 0, True, False]):
        mixed = pd.Series(_repeat(*cells), dtype=object)
        assert kinds(pd.DataFrame({"a": mixed, "b": range(N)})) == ["level", "number"]


def test_free_text_is_refused_with_advice() -> None:
    sentences = [f"in house {k} the roof leaks and the rent is high" for k in range(12)]
    table = pd.DataFrame({"size": range(12), "remark": sentences})
    with pytest.raises(ValueError, match=r"\['remark'\] hold free text.*TfidfVector"):
        kinds(table)
    assert kinds(table[:9]) == ["number", "level"]  # too few to tell
    # The long names of levels repeat.
    table["remark"] = [sentences[k % 3] for k in range(12)]
    assert kinds(table) == ["number", "level"]


def test_table_without_a_column_of_use_is_refused() -> None:
    serials = [f"s{k}" for k in range(N)]
    with pytest.raises(ValueError, match=r"No column of X is of use.*\['a'\]"):
        kinds(pd.DataFrame({"a": serials}))
    for table in (pd.DataFrame(index=range(3)), pd.DataFrame({"a": []})):
        with pytest.raises(ValueError, match=r"X has \d rows and \d columns"):
            kinds(table)
    with pytest.raises(ValueError, match=r"same name: \['a'\]"):
        kinds(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_constant_columns_are_used_if_nothing_else_is_there() -> None:
    table = pd.DataFrame({"a": _repeat(1), "b": _repeat("x"), "c": _repeat(None)})
    assert kinds(table) == ["number", "level", "level"]
    table["id"] = range(N)
    assert kinds(table) == ["number", "level", "level", "id"]


def test_selectors_name_columns_or_count_them() -> None:
    table = pd.DataFrame({"a": range(N), "b": _repeat("x", "y"), "c": np.ones(N)})
    assert ColumnsOf("number")(table) == ["a"]
    assert ColumnsOf("binary")(table) == ["b"]
    assert ColumnsOf("constant")(table) == ["c"]
    assert ColumnsOf("level")(table) == []
    assert ColumnsOf("binary")(table.to_numpy()) == [1]
    table.columns = [7, 8, 9]  # numbers of columns would be read as positions
    assert ColumnsOf("binary")(table) == [1]


def test_ids_are_reported_once_by_name() -> None:
    table = pd.DataFrame(
        {"id": range(N), "serial": [f"s{k}" for k in range(N)], "a": np.ones(N)}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ColumnsOf("date")(table) == ColumnsOf("level")(table) == []
    with pytest.warns(UserWarning, match=r"\['id', 'serial'\] are left out"):
        assert ColumnsOf("id")(table) == ["id", "serial"]


def test_texts_that_are_numbers_are_reported() -> None:
    cells = [f"{k}.5" for k in range(N)]
    table = pd.DataFrame({"a": cells, "b": [*cells[1:], "?"], "c": np.arange(N) / 7})
    with pytest.warns(UserWarning, match=r"\['a'\] hold numbers as str.*categories"):
        assert ColumnsOf("number")(table) == ["a", "b", "c"]
    with pytest.warns(UserWarning, match=r"\[0\] hold numbers as strings"):
        assert ColumnsOf("number")(table.to_numpy(dtype=object)) == [0, 1, 2]
    codes = table.astype({"a": "category", "b": "category"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ColumnsOf("number")(table[["b", "c"]]) == ["b", "c"]
        assert ColumnsOf("number")(codes) == ["c"]


def test_an_id_with_a_few_texts_is_one() -> None:
    ids = [*map(str, range(1000, 1000 + N - 1)), "A7"]
    table = pd.DataFrame({"order_id": ids, "level": ids, "c": range(N)})
    assert kinds(table) == ["id", "number", "number"]


@pytest.mark.parametrize(
    "cell",
    ["{},200", "${}", "{} €", "{} - 5", "<{}", "{}:30", "{} km", "{}k"],
    ids=range(8),
)
def test_levels_that_look_like_numbers_are_reported(cell: str) -> None:
    texts = [cell.format(k) for k in range(N - 5)] * 2
    table = pd.DataFrame({"price": texts, "c": range(2 * N - 10)})
    with pytest.warns(UserWarning, match=r"\['price'\] hold strings that look like"):
        assert ColumnsOf("level")(table) == ["price"]
    words = table.assign(price="no " + table["price"])
    seats = table.assign(
        price=[f"{k}{k % 3:x}{'abc'[k % 3]}" for k in range(N - 5)] * 2
    )
    few = table[:20].assign(price=(texts[:10] * 2))
    zips = table.assign(price=[f"{k:05}" for k in range(N - 5)] * 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for other in (table.astype({"price": "category"}), words, seats, few, zips):
            assert ColumnsOf("level")(other) == ["price"]


def test_today_is_not_more_than_a_date() -> None:
    """Cells with a year are dates; those of other types are levels."""
    times = [datetime.time(k % 3) for k in range(N)]
    assert kinds(pd.DataFrame({"a": times, "b": range(N)})) == ["level", "number"]
