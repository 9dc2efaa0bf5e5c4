"""Columns of numbers, scaled robustly."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import validate_data

from skal._tables import first_text
from skal.tabular.frames import columns_of_frame

__all__ = ["RobustAsinhScaler", "as_numbers", "is_duration", "is_duration_cell"]


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
        validate_data(self, X, skip_check_array=True)
        values = as_numbers(X)
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
        validate_data(self, X, reset=False, skip_check_array=True)
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = (as_numbers(X) - self.center_) * self.scale_
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


def as_numbers(X: Any) -> np.ndarray:
    """Convert rows to numbers; missing values become NaN, durations days.

    Raises
    ------
    ValueError
        If a cell is not a number or infinite. The error names the column.
    """
    return np.column_stack([_as_numbers(column) for column in columns_of_frame(X)])


def is_duration(dtype: Any) -> bool:
    """Whether a column has a type of durations, of numpy or of pyarrow."""
    return getattr(dtype, "kind", None) == "m"


def is_duration_cell(cell: Any) -> bool:
    """Whether a cell is a duration, which a column of objects may hold."""
    return isinstance(cell, datetime.timedelta | np.timedelta64) and not pd.isna(cell)


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
    if pd.api.types.is_complex_dtype(column.dtype):
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
            "numbers in fit. Correct it, or convert the column to strings."
        ) from error
    if n_infinite := int(np.isinf(values).sum()):
        raise ValueError(
            f"Column {column.name!r} has infinite values ({n_infinite} of "
            f"{len(values)}). Replace them by NaN if they stand for missing values, "
            "or by finite numbers."
        )
    return values
