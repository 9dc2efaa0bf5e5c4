"""Columns of numbers, scaled robustly."""

from __future__ import annotations

import datetime
import math
import re
import string
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin

from skal._tables import first_text
from skal.tabular.frames import check_columns, columns_of_frame

__all__ = [
    "RobustAsinhScaler",
    "as_numbers",
    "hold_numbers",
    "is_complex",
    "is_duration",
    "is_duration_cell",
    "is_number",
    "look_like_numbers",
    "number_in",
]


class RobustAsinhScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Scales numbers by median and quartiles, and lets large ones grow slowly.

    Parameters
    ----------
    linear_range : float or None
        A scaled value ``z`` becomes ``linear_range * asinh(z / linear_range)``: it
        grows linearly up to about there, and as a logarithm beyond. None leaves it
        linear.

    Attributes
    ----------
    center_ : array of shape (d,)
        Medians.
    scale_ : array of shape (d,)
        The factors: 1.349 over the interquartile range, so that a normal distribution
        gets unit variance; where that range is 0, two over the range; in constant
        columns 0.

    Notes
    -----
    Missing values are ignored in `fit` and stay missing. The median becomes 0. Values
    beyond 11,000 times the scale are clipped.
    """

    def __init__(self, linear_range: float | None = 2.0) -> None:
        self.linear_range = linear_range

    def fit(self, X: Any, y: Any = None) -> RobustAsinhScaler:
        """Compute medians and quartiles."""
        check_columns(self, X, reset=True)
        self.are_durations_ = [_are_durations(c) for c in columns_of_frame(X)]
        self.has_texts_ = [_has_texts(column) for column in columns_of_frame(X)]
        values = as_numbers(X, self.has_texts_)
        # A column without any value gets zeros.
        known = np.where(np.isnan(values).all(axis=0), 0.0, values)
        low, first, center, third, high = np.nanquantile(
            known, [0, 0.25, 0.5, 0.75, 1], axis=0
        )
        # Halves, whose difference does not overflow.
        with np.errstate(over="ignore", divide="ignore"):
            by_quartiles = _NORMAL / 2 / (third / 2 - first / 2)
            by_range = 1 / (high / 2 - low / 2)
        scale = np.where(third > first, by_quartiles, by_range)
        # Finite, so that the median becomes 0 however narrow the range is.
        scale = np.minimum(scale, np.finfo(np.float64).max)
        self.center_, self.scale_ = center, np.where(high > low, scale, 0.0)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Scale, and let large numbers grow slowly."""
        check_columns(self, X, reset=False)
        for column, durations in zip(
            columns_of_frame(X), self.are_durations_, strict=True
        ):
            _check_unit(column, durations)
        values = as_numbers(X, self.has_texts_, warn=True)
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = (values - self.center_) * self.scale_
        scaled = np.clip(scaled, -_LARGEST, _LARGEST)
        if self.linear_range is None:
            return scaled
        return self.linear_range * np.arcsinh(scaled / self.linear_range)


#: Interquartile range of a standard normal distribution.
_NORMAL = 1.349
#: Of a day.
_SECONDS = 86400.0
#: Scaled values beyond it are taken for errors.
_LARGEST = np.sinh(10.0)


#: Strings that are numbers, and those of them that may be codes: whole numbers.
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_WHOLE = re.compile(r"\d+")
#: Distinct numbers, and their shares of the cells, from which a column with other
#: strings holds numbers: with a repeated string counted once, as it may mean that there
#: is no value, and with all cells counted.
_FEWEST_NUMBERS, _ALMOST_ALL, _MOST = 10, 0.85, 0.5
#: Strings that a warning quotes.
_SHOWN = 5


def as_numbers(
    X: Any, has_texts: Sequence[bool] | None = None, warn: bool = False
) -> np.ndarray:
    """Convert rows to numbers; missing values become NaN, durations days.

    Parameters
    ----------
    X : rows
    has_texts : sequence of bool, optional
        The columns in which strings that are not numbers become missing.
    warn : bool, default=False
        Whether to warn of these.

    Raises
    ------
    ValueError
        If a cell of another column is not a number, or one is infinite. The error names
        the column.
    """
    columns = list(columns_of_frame(X))
    if has_texts is not None:
        columns = [
            _without_texts(column, warn) if texts else column
            for column, texts in zip(columns, has_texts, strict=True)
        ]
    return np.column_stack([_as_numbers(column) for column in columns])


def is_number(cell: Any) -> bool:
    """Whether a cell is a number, but not True or False."""
    return isinstance(cell, Real | Decimal) and not isinstance(cell, bool | np.bool_)


def is_complex(cell: Any) -> bool:
    """Whether a cell is a complex number, whose imaginary part may be lost."""
    return isinstance(cell, complex | np.complexfloating)


def number_in(cell: Any) -> float | None:
    """Return a number, also from a string; None if a cell is neither."""
    if isinstance(cell, str):
        return float(cell) if _NUMBER.fullmatch(cell) else None
    return cell if is_number(cell) else None


def hold_numbers(cells: Iterable[Any]) -> bool:
    """Whether a column of objects or strings holds numbers, apart from a few strings.

    Strings of digits may be codes, such as postal codes: they are if the column holds
    nothing else, or if one begins with 0. Fewer than 10 different numbers are levels.

    Parameters
    ----------
    cells : iterable
        None of them missing.

    Examples
    --------
    >>> from skal.tabular.numbers import hold_numbers
    >>> prices = [f"{k}.5" for k in range(30)]
    >>> hold_numbers([*prices, "?", "n/a", "?"]), hold_numbers(["1", "2", "3+"])
    (True, False)
    """
    cells = list(cells)
    if not all(isinstance(cell, str) or is_number(cell) for cell in cells):
        return False
    counts = Counter(cells)
    numbers = [cell for cell in counts if number_in(cell) is not None]
    texts = len(counts) - len(numbers)
    if len(numbers) < _FEWEST_NUMBERS:
        return False
    strings = [cell for cell in numbers if isinstance(cell, str)]
    whole = [cell for cell in strings if _WHOLE.fullmatch(cell)]
    if any(len(cell) > 1 and cell[0] == "0" for cell in whole):
        return False
    if not texts and len(whole) == len(counts):
        return False
    n_numbers = sum(counts[cell] for cell in numbers)
    return bool(
        n_numbers >= _ALMOST_ALL * (n_numbers + texts)
        and n_numbers >= _MOST * counts.total()
    )


def look_like_numbers(distinct: np.ndarray) -> bool:
    """Whether strings look like numbers that cannot be read: ``"1,200"``, ``"5 km"``.

    Parameters
    ----------
    distinct : array of objects of shape (n,)
        The levels of a column. Up to 20, or only whole numbers, which may be codes, do
        not.
    """
    if len(distinct) <= 2 * _FEWEST_NUMBERS:
        return False
    texts = [cell for cell in distinct if isinstance(cell, str)]
    heads = [text.rstrip(string.ascii_letters) for text in texts]
    # All have the same unit, if any: codes such as "10A" and "10B" have several.
    units = Counter(
        text[len(head) :]
        for text, head in zip(texts, heads, strict=True)
        if any(c.isdigit() for c in head) and not any(c.isalpha() for c in head)
    )
    unit, like = units.most_common(1)[0] if units else ("", 0)
    whole = sum(bool(_WHOLE.fullmatch(text)) for text in texts)
    other = like - whole if unit == "" else like
    few = (1 - _ALMOST_ALL) * len(distinct)
    return len(distinct) - like <= few and other >= few


def _has_texts(column: pd.Series) -> bool:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return False
    return not pd.api.types.is_numeric_dtype(column.dtype) and any(
        isinstance(cell, str) for cell in column
    )


def _without_texts(column: pd.Series, warn: bool) -> pd.Series:
    """Convert strings to numbers, and those that are not numbers to NaN."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column
    cells = column.astype(object)
    lost = Counter(c for c in cells if isinstance(c, str) and number_in(c) is None)
    for text in [text for text in lost if text.strip().lower() in ("", "nan")]:
        del lost[text]
    if warn and lost:
        shown = ", ".join(f"{str(t)!r} ({n})" for t, n in lost.most_common(_SHOWN))
        more = ", ..." if len(lost) > _SHOWN else ""
        warnings.warn(
            f"{lost.total()} of {len(cells)} cells of column {column.name!r} are not "
            f"numbers, and become missing: {shown}{more}. Correct them, or replace "
            "them by NaN, as pandas.to_numeric(column, errors='coerce') does. If the "
            "column holds codes, convert it to a category: column.astype('category').",
            UserWarning,
            stacklevel=4,
        )
    read = [number_in(cell) if isinstance(cell, str) else cell for cell in cells]
    read = [math.nan if cell is None else cell for cell in read]
    return pd.Series(read, dtype=object, name=column.name)


def is_duration(dtype: Any) -> bool:
    """Whether a column has a type of durations, of numpy or of pyarrow."""
    return getattr(dtype, "kind", None) == "m"


def is_duration_cell(cell: Any) -> bool:
    """Whether a cell is a duration, which a column of objects may hold."""
    return isinstance(cell, datetime.timedelta | np.timedelta64) and not pd.isna(cell)


def _are_durations(column: pd.Series) -> bool:
    return is_duration(column.dtype) or (
        column.dtype == object and any(is_duration_cell(cell) for cell in column)
    )


def _check_unit(column: pd.Series, durations: bool) -> None:
    """Raise if numbers are where durations were, or durations where numbers were."""
    if _are_durations(column) == durations or not column.notna().any():
        return
    now, before = "durations", "numbers"
    if durations:
        now, before = before, now
    raise ValueError(
        f"Column {column.name!r} does not hold {before} as in fit, but {now}. Convert "
        "them to the same: pandas.to_timedelta(column, unit=...) makes durations of "
        "numbers, and column / pandas.Timedelta(days=1) makes numbers of durations."
    )


def _as_days(cell: Any) -> float:
    if isinstance(cell, datetime.timedelta):
        return cell.total_seconds() / _SECONDS
    return float(cell / np.timedelta64(1, "D"))


def _as_numbers(column: pd.Series) -> np.ndarray:
    if is_duration(column.dtype):
        # Of nanoseconds, 300 years would be too many.
        seconds = column.dt.total_seconds()
        return seconds.to_numpy(dtype=np.float64, na_value=np.nan) / _SECONDS
    if column.dtype == object and any(is_duration_cell(cell) for cell in column):
        cells = [_as_days(cell) if is_duration_cell(cell) else cell for cell in column]
        column = pd.Series(cells, dtype=object, name=column.name)
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        raise ValueError(
            f"Column {column.name!r} holds dates, and held numbers in fit. Convert "
            "them to the same numbers, such as years."
        )
    if pd.api.types.is_complex_dtype(column.dtype) or (
        column.dtype == object and any(is_complex(cell) for cell in column)
    ):
        raise ValueError(
            f"Column {column.name!r} has complex numbers. Pass their real and "
            "imaginary parts as two columns."
        )
    try:
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    except OverflowError as error:
        raise ValueError(
            f"Column {column.name!r} has integers that are too large for floats (10 to "
            "the 308 or more). Convert it to strings if they are codes, or scale them."
        ) from error
    except (TypeError, ValueError) as error:
        found = first_text(column.dropna().to_frame())
        cell = "A cell" if found is None else repr(found[2])
        raise ValueError(
            f"{cell} of column {column.name!r} is not a number, and the column held "
            "numbers in fit. Correct it, or replace it by NaN if it stands for no "
            "value: pandas.to_numeric(column, errors='coerce')."
        ) from error
    if n_infinite := int(np.isinf(values).sum()):
        raise ValueError(
            f"Column {column.name!r} has infinite values ({n_infinite} of "
            f"{len(values)}). Replace them by NaN if they stand for missing values, "
            "or by finite numbers."
        )
    return values
