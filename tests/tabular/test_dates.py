from __future__ import annotations

import datetime
import warnings

import numpy as np
import pandas as pd
import pytest

from skal.tabular.dates import DateParts

WHEN = pd.Series(pd.date_range("2024-02-27 06:00", periods=40, freq="36h"))
ELAPSED = 1.5 * np.arange(40)


@pytest.mark.parametrize(
    "column",
    [
        WHEN,
        WHEN.astype("datetime64[s]"),
        WHEN.dt.strftime("%Y-%m-%d %H:%M"),
        WHEN.dt.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        WHEN.dt.tz_localize("UTC"),
        WHEN.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"),
        WHEN.dt.to_period("h"),
        pd.Series([when.to_pydatetime() for when in WHEN], dtype=object),
    ],
    ids=lambda column: str(column.dtype),
)
def test_dates_become_calendar_parts_and_elapsed_days(column: pd.Series) -> None:
    parts = DateParts().fit(pd.DataFrame({"sold": column}))
    names = parts.get_feature_names_out().tolist()
    assert names == [  # the year is the same for all
        *("sold_month", "sold_day", "sold_day_of_week", "sold_hour", "sold_days")
    ]
    out = parts.transform(pd.DataFrame({"sold": column}))
    expected = [WHEN.dt.month, WHEN.dt.day, WHEN.dt.day_of_week, WHEN.dt.hour, ELAPSED]
    np.testing.assert_allclose(out, np.column_stack(expected))


def test_missing_dates_have_a_part_of_their_own() -> None:
    table = pd.DataFrame({"a": WHEN.where(WHEN.index != 3), "b": WHEN.dt.date})
    parts = DateParts().fit(table)
    out = pd.DataFrame(parts.transform(table), columns=parts.get_feature_names_out())
    assert out["a_missing"].tolist() == [float(k == 3) for k in range(40)]
    assert np.isnan(out.loc[3, "a_days"])
    assert "b_missing" not in out
    assert "b_hour" not in out


@pytest.mark.parametrize("kind", ["strings", "objects", "seconds"])
def test_dates_out_of_range_become_missing_with_a_warning(kind: str) -> None:
    far = ["9999-12-31", "0001-01-01"]
    near = ["2024-02-27", "2024-03-27", "2024-04-27"]
    cells: dict[str, object] = {
        "strings": [*near, "0000-00-00", far[0]],
        "objects": [datetime.date.fromisoformat(day) for day in [*near, *far]],
        "seconds": np.array([*near, *far], dtype="datetime64[s]"),
    }
    table = pd.DataFrame({"sold": cells[kind]})
    parts = DateParts().fit(table)
    with pytest.warns(UserWarning, match=r"2 of 5 values of column 'sold' .* missing"):
        out = parts.transform(table)
    names = parts.get_feature_names_out().tolist()
    assert out[:, names.index("sold_missing")].tolist() == [0, 0, 0, 1, 1]
    assert out[:3, names.index("sold_days")].tolist() == [0, 29, 60]


def test_what_is_no_date_is_missing_in_new_rows() -> None:
    parts = DateParts().fit(pd.DataFrame({"sold": WHEN}))
    with pytest.warns(UserWarning, match=r"1 of 2 values .*'sold'"):
        out = parts.transform(pd.DataFrame({"sold": ["2024-02-27 06:00", "soon"]}))
    assert out[0, -1] == 0
    assert np.isnan(out[1]).all()


@pytest.mark.parametrize("number", [2020, 2020.5, True, 1.6e18])
def test_numbers_are_no_dates(number: float) -> None:
    parts = DateParts().fit(pd.DataFrame({"sold": WHEN}))
    with pytest.warns(UserWarning, match=r"2 of 2 values .*'sold'"):
        out = parts.transform(pd.DataFrame({"sold": [number] * 2}))
    assert np.isnan(out).all()


def test_periods_begin_at_their_start_in_a_column_of_objects_too() -> None:
    quarters = pd.period_range("2020Q1", periods=5, freq="Q")
    parts = DateParts().fit(pd.DataFrame({"sold": quarters}))
    expected = parts.transform(pd.DataFrame({"sold": quarters}))
    objects = pd.DataFrame({"sold": pd.Series([*quarters], dtype=object)})
    np.testing.assert_array_equal(parts.transform(objects), expected)
    far = pd.Series([quarters[0], pd.Period("9999Q1", freq="Q")], dtype=object)
    with pytest.warns(UserWarning, match=r"1 of 2 values .*'sold'"):
        out = parts.transform(pd.DataFrame({"sold": far}))
    np.testing.assert_array_equal(out[0], expected[0])


def test_a_constant_date_is_not_an_error() -> None:
    table = pd.DataFrame({"a": WHEN.where(WHEN[0] == WHEN), "b": [pd.NaT] * 40})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parts = DateParts().fit(table)
        out = parts.transform(table)
    assert parts.get_feature_names_out().tolist() == ["a_missing", "b_days"]
    assert out[:, 0].tolist() == [0.0] + [1.0] * 39
