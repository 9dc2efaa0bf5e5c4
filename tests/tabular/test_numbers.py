from __future__ import annotations

import datetime
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from skal.tabular.numbers import RobustAsinhScaler, as_numbers, hold_numbers


def test_numbers_are_scaled_by_median_and_quartiles() -> None:
    column = np.array([1.0, 2.0, 3.0, 4.0, 100.0])  # quartiles 2 and 4
    scaled = RobustAsinhScaler(None).fit_transform(column[:, None])[:, 0]
    np.testing.assert_allclose(scaled, (column - 3) * 1.349 / 2)
    for c in (1.0, 3.0):
        slow = RobustAsinhScaler(c).fit_transform(column[:, None])[:, 0]
        ratio = scaled / c
        expected = c * np.log(ratio + np.sqrt(ratio**2 + 1))
        np.testing.assert_allclose(slow, expected, atol=1e-12)


def test_normal_numbers_get_unit_variance() -> None:
    normal = np.random.default_rng(0).normal(5, 7, size=(20_000, 1))
    assert RobustAsinhScaler(None).fit_transform(normal).std() == pytest.approx(1, 0.02)


def test_half_the_range_is_the_scale_if_the_quartiles_are_equal() -> None:
    column = np.array([[0.0]] * 8 + [[10.0]])
    scaler = RobustAsinhScaler(None).fit(column)
    np.testing.assert_allclose(
        scaler.transform([[0.0], [5.0], [-10.0]]).T, [[0, 1, -2]]
    )


def test_constant_and_missing_columns_become_zero_for_all_rows() -> None:
    scaler = RobustAsinhScaler().fit(np.array([[7.0, np.nan]] * 3))
    np.testing.assert_array_equal(scaler.transform([[7.0, 1.0], [9.0, -5.0]]), 0)


def test_missing_values_are_ignored_and_stay() -> None:
    column = np.array([[1.0], [np.nan], [2.0], [3.0], [np.nan]])
    scaler = RobustAsinhScaler().fit(column)
    np.testing.assert_array_equal(scaler.center_, [2.0])
    missing = np.isnan(scaler.transform(column))
    np.testing.assert_array_equal(missing, np.isnan(column))


def test_extreme_numbers_stay_finite_and_in_order() -> None:
    scaler = RobustAsinhScaler().fit(np.array([[1e-300], [2e-300], [3e-300]]))
    extreme = np.array([[-1.7e308], [-1.0], [2e-300], [1.0], [1.7e308]])
    most = 2 * np.arcsinh(np.sinh(10) / 2)
    expected = most * np.array([[-1, -1, 0, 1, 1]])
    np.testing.assert_allclose(scaler.transform(extreme).T, expected)
    wide = np.array([[-1.7e308], [0.0], [1.7e308]])
    out = RobustAsinhScaler().fit_transform(wide)[:, 0]
    assert np.isfinite(out).all()
    np.testing.assert_array_equal(np.sign(out), [-1, 0, 1])
    assert np.isfinite(RobustAsinhScaler(None).fit_transform(extreme)).all()


def test_the_narrowest_range_keeps_numbers_known() -> None:
    table = pd.DataFrame({"a": np.arange(30) * 5e-324})
    scaled = RobustAsinhScaler().fit_transform(table)
    assert np.isfinite(scaled).all()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pd.array([1, None], dtype="Int64"), [1, np.nan]),
        (pd.array([0.5, None], dtype="Float64"), [0.5, np.nan]),
        (pd.Series([2, None, True], dtype=object), [2, np.nan, 1]),
        (pd.to_timedelta(["36h", None]), [1.5, np.nan]),
        (np.array([3.0, 4.0], np.float32), [3, 4]),
        (["5", "6.5"], [5, 6.5]),
        (
            pd.array([36 * 3600, None], pd.ArrowDtype(pa.duration("s"))),
            [1.5, np.nan],
        ),
    ],
    ids=str,
)
def test_types_of_numbers_are_converted(values: object, expected: list[float]) -> None:
    table = pd.DataFrame({"a": values})
    np.testing.assert_array_equal(as_numbers(table)[:, 0], expected)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, np.inf, -np.inf], r"'size' has infinite values \(2 of 3\).*NaN"),
        ([1.0, "n/a", 2.0], r"'n/a' of column 'size' is not a number"),
        ([1.0, 2j], r"'size' has complex numbers"),
        ([10**400, 1, None], r"'size' has integers that are too large"),
    ],
    ids=["infinite", "text", "complex", "large"],
)
def test_what_is_no_finite_number_is_named(values: list[object], message: str) -> None:
    # Old versions of pandas do not take large integers of their own accord.
    column = pd.Series(values, dtype=object if values[0] == 10**400 else None)
    table = pd.DataFrame({"a": range(len(values)), "size": column})
    with pytest.raises(ValueError, match=message):
        as_numbers(table)


@pytest.mark.parametrize("kind", ["seconds", "objects", "numpy", "strange"])
def test_durations_become_days(kind: str) -> None:
    """300 years of nanoseconds are too many."""
    days = [0.5, 2e5, 1.0]
    cells: Any = [datetime.timedelta(day) for day in days]
    if kind == "seconds":
        cells = (np.array(days) * 86400).astype("timedelta64[s]")
    if kind == "numpy":
        cells = [np.timedelta64(int(day * 24), "h") for day in days]
    if kind == "strange":
        cells[2] = None
    column = pd.Series(cells, dtype=None if kind == "seconds" else object)
    out = as_numbers(pd.DataFrame({"a": column}))[:, 0]
    np.testing.assert_allclose(out[:2], days[:2])
    assert np.isnan(out[2]) if kind == "strange" else out[2] == 1


@pytest.mark.parametrize("zone", [None, "UTC"])
def test_dates_are_no_numbers(zone: str | None) -> None:
    """As numbers they would be nanoseconds since 1970."""
    days = pd.date_range("2024-02-27", periods=3, tz=zone)
    with pytest.raises(ValueError, match="Column 'a' holds dates, and held numbers"):
        as_numbers(pd.DataFrame({"a": days}))


DIRTY = ["n/a", "?", "<5", "1,200", "unknown"]
DECIMALS = [f"{k}.5" for k in range(60)]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (DECIMALS, True),
        ([*DECIMALS, *DIRTY], True),
        ([*map(str, range(60)), *DIRTY], True),
        ([*map(float, range(60)), *DIRTY], True),
        ([*map(str, range(60))], False),  # may be codes
        ([f"{k:05}" for k in range(60)] + DIRTY, False),
        ([*map(str, range(60)), "-1"], True),
        (DECIMALS + ["?"] * 50, True),  # a text for missing values, however frequent
        (DECIMALS + ["?"] * 61, False),
        (["1e3", "-.5", " 7 ", "+2", *DECIMALS], True),
        (["1_000", "nan", "inf", *DECIMALS], True),
        (["1_000", "12,5", "inf", "0x1", *DECIMALS[:15]], False),
        (["0.5", "1.0", "2.0"] * 20, False),  # levels
        (["0", "1", "2", "3+"] * 20, False),
        ([f"V{k}" for k in range(20)] + DECIMALS, False),
        ([*DECIMALS[:17], "?", "n/a"], True),
        ([*DECIMALS[:9], "?"], False),
        (DECIMALS[:30] + [f"A{k}" for k in range(8)], False),
        ([*DECIMALS, True], False),
        ([*DECIMALS, [3]], False),
        ([], False),
    ],
    ids=range(21),
)
def test_columns_of_texts_that_hold_numbers(cells: list[Any], expected: bool) -> None:
    assert hold_numbers(cells) == expected
    assert hold_numbers(cells[::-1]) == expected


def test_texts_become_missing_only_where_fit_had_texts() -> None:
    clean = [float(k) for k in range(65)]
    dirty = pd.Series([*DECIMALS, *DIRTY], dtype=object)
    table = pd.DataFrame({"clean": clean, "dirty": dirty})
    scaler = RobustAsinhScaler(linear_range=None).fit(table)
    assert scaler.has_texts_ == [False, True]
    numbers = np.arange(60) + 0.5
    assert scaler.center_.tolist() == [32, np.median(numbers)]
    message = (
        r"2 of 4 cells of column 'dirty' are not numbers, and become missing: 'x' \(2\)"
        r".*errors='coerce'.*astype\('category'\)"
    )
    cells = [np.str_("x"), 2.5, "x", "30"]
    new = pd.DataFrame({"clean": [1.0] * 4, "dirty": pd.Series(cells, dtype=object)})
    with pytest.warns(UserWarning, match=message) as warned:
        out = scaler.transform(new)
    assert len(warned) == 1
    same = new.assign(dirty=[np.nan, 2.5, np.nan, 30])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(out, scaler.transform(same))
        empty = scaler.transform(new.assign(dirty=["", 2.5, None, "30"]))
    np.testing.assert_array_equal(out, empty)
    with pytest.raises(ValueError, match=r"'x' of column 'clean' .*errors='coerce'"):
        scaler.transform(same.assign(clean=pd.Series([1, "x", 2, 3], dtype=object)))


@pytest.mark.parametrize("dtype", ["timedelta64[s]", object])
def test_numbers_and_durations_do_not_stand_for_each_other(dtype: Any) -> None:
    days = pd.Series(pd.to_timedelta(range(9), unit="D")).astype(dtype)
    durations, numbers = (pd.DataFrame({"a": cells}) for cells in (days, range(9)))
    gaps = pd.DataFrame({"a": [np.nan] * 9})
    for fitted, other, now in (
        (durations, numbers, "numbers"),
        (numbers, durations, "durations"),
    ):
        scaler = RobustAsinhScaler(None).fit(fitted)
        with pytest.raises(ValueError, match=rf"'a' does not hold .* but {now}\. Conv"):
            scaler.transform(other)
        assert np.isnan(scaler.transform(gaps)).all()


@pytest.mark.parametrize("cell", [1 + 2j, np.complex128(1 + 2j)])
def test_complex_cells_are_refused(cell: Any) -> None:
    column = pd.Series([1.0, cell], dtype=object)
    with pytest.raises(ValueError, match="'a' has complex numbers"):
        as_numbers(pd.DataFrame({"a": column}))
