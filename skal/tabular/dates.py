"""Columns of dates, as calendar parts and elapsed time."""

from __future__ import annotations

import re
import warnings
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin

from skal.tabular.frames import check_columns, columns_of_frame

__all__ = ["DateParts", "are_dates", "can_be_dates"]

#: Strings that begin as dates by ISO 8601 do.
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?$")
#: Years that time stamps in nanoseconds can represent completely.
_YEARS = (1678, 2261)
#: Dates, and share of them, from which a column with other cells holds dates.
_FEWEST_DATES, _ALMOST_ALL = 10, 0.9
_CALENDAR = ("year", "month", "day", "day_of_week", "hour")


class DateParts(TransformerMixin, BaseEstimator):
    """Converts dates to calendar parts, and to days since the first date in `fit`.

    Parts that are constant in `fit` are left out. A part ``missing`` says where a date
    is missing, if one is in `fit`.

    Attributes
    ----------
    names_ : list
        The columns.
    first_ : list of Timestamps
        The first date of each column.
    parts_ : list of lists of str
        The parts of each column.
    """

    def fit(self, X: Any, y: Any = None) -> DateParts:
        """Find the first dates, and the parts that vary."""
        check_columns(self, X, reset=True)
        columns = list(columns_of_frame(X))
        self.names_ = [column.name for column in columns]
        self.first_, self.parts_ = [], []
        for column in columns:
            dates = _as_dates(column)
            first = dates.min()
            parts = _parts(dates, first)
            vary = [name for name, part in parts.items() if part.nunique() > 1]
            self.first_.append(first)
            self.parts_.append(vary or ["days"])
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Compute the parts."""
        check_columns(self, X, reset=False)
        found = []
        for column, first, names in zip(
            columns_of_frame(X), self.first_, self.parts_, strict=True
        ):
            parts = _parts(_as_dates(column, warn=True), first)
            found += [parts[name].to_numpy(dtype=np.float64) for name in names]
        return np.column_stack(found)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name the columns, such as ``sold_month``."""
        given = self.names_ if input_features is None else input_features
        names = [
            f"{column}_{part}"
            for column, parts in zip(given, self.parts_, strict=True)
            for part in parts
        ]
        return np.asarray(names, dtype=object)


def are_dates(dtype: Any) -> bool:
    """Whether a column has a type of dates."""
    is_period = isinstance(dtype, pd.PeriodDtype)
    return is_period or bool(pd.api.types.is_datetime64_any_dtype(dtype))


def can_be_dates(values: np.ndarray) -> bool:
    """Whether values are dates, or strings by ISO 8601.

    Strings may be out of range, such as ``"9999-12-31"``, if most are not. Beside ten
    or more dates, up to a tenth of the values may be other strings.

    Parameters
    ----------
    values : object array of shape (n,)
        Distinct, and none of them missing.
    """
    like = [cell for cell in values if _looks_like_date(cell)]
    others = [cell for cell in values if not _looks_like_date(cell)]
    if not like or not all(isinstance(cell, str) for cell in others):
        return False
    enough = len(like) >= max(_FEWEST_DATES, _ALMOST_ALL * len(values))
    if others and not enough:
        return False
    return bool(_as_dates(pd.Series(like, dtype=object)).notna().mean() > 0.5)


def _looks_like_date(cell: Any) -> bool:
    if isinstance(cell, str):
        return bool(_DATE.match(cell))
    return isinstance(cell, np.datetime64) or hasattr(cell, "year")


def _readable(cell: Any) -> Any:
    """Convert periods to their start, and numbers, which are no dates, to None."""
    if isinstance(cell, pd.Period):
        return cell.start_time if _YEARS[0] <= cell.year <= _YEARS[1] else None
    return None if isinstance(cell, Real | np.bool_) else cell


def _as_dates(column: pd.Series, warn: bool = False) -> pd.Series:
    """Convert to time stamps without a zone; others become missing."""
    if isinstance(column.dtype, pd.PeriodDtype):
        dates = column.dt.to_timestamp()
    else:
        # Units differ between tables and between versions of pandas.
        cells = [_readable(cell) for cell in column.astype(object)]
        dates = pd.to_datetime(
            pd.Series(cells, column.index, dtype=object),
            errors="coerce",
            utc=True,
            format="ISO8601",
        ).dt.tz_localize(None)
    dates = dates.where(dates.dt.year.between(*_YEARS))
    n_lost = int((column.notna() & dates.isna()).sum())
    if warn and n_lost:
        warnings.warn(
            f"{n_lost} of {len(column)} values of column {column.name!r} are not dates "
            f"from {_YEARS[0]} to {_YEARS[1]}, and become missing.",
            UserWarning,
            stacklevel=3,
        )
    return dates


def _parts(dates: pd.Series, first: Any) -> dict[str, pd.Series]:
    calendar = {part: getattr(dates.dt, part) for part in _CALENDAR}
    days = (dates - first) / pd.Timedelta(days=1)
    return {**calendar, "days": days, "missing": dates.isna()}
