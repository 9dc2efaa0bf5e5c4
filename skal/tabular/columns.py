"""What each column of a table holds, decided in `fit`."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd

from skal.tabular.dates import are_dates, can_be_dates
from skal.tabular.frames import as_frame, columns_of_frame, has_names
from skal.tabular.numbers import (
    hold_numbers,
    is_complex,
    is_duration,
    is_duration_cell,
    is_number,
    look_like_numbers,
    number_in,
)

__all__ = ["ColumnsOf", "kinds"]

#: Share of distinct values from which a column identifies rows, and the number of rows
#: below which such a share says nothing.
_DISTINCT, _ENOUGH = 0.95, 20
#: Free text has this many words, and no repetition among this many values.
_WORDS, _ENOUGH_TEXTS = 8, 10
#: Names of columns of integers that identify rows.
_ID_NAME = re.compile(
    r"(^|[_ .-])(id|ids|uuid|guid|pid|key|index|rowid)$", re.IGNORECASE
)


@dataclass(frozen=True)
class ColumnsOf:
    """Selects the columns of one kind, for a `ColumnTransformer`.

    Parameters
    ----------
    kind : {"number", "date", "binary", "level", "ordered", "id", "constant"}
        Selecting ids warns that they are left out, selecting numbers warns of strings
        that are read as numbers, and selecting levels warns of strings that look like
        numbers.
    """

    kind: str

    def __call__(self, X: Any) -> list[Any]:
        """Select by name if all names are strings, otherwise by position."""
        table = as_frame(X)
        found = [k for k, kind in enumerate(kinds(table)) if kind == self.kind]
        by_name = has_names(X) and all(isinstance(c, str) for c in table.columns)
        selected = [table.columns[k] for k in found] if by_name else found
        if self.kind in _WARNINGS:
            concerns, message = _WARNINGS[self.kind]
            pairs = zip(selected, found, strict=True)
            names = [name for name, k in pairs if concerns(table.iloc[:, k])]
            if names:
                warnings.warn(message.format(names), UserWarning, stacklevel=2)
        return selected


def _holds_numbers_as_strings(column: pd.Series) -> bool:
    """Whether a column holds strings, and all of them are numbers."""
    if not _may_hold_strings(column):
        return False
    strings = [cell for cell in column if isinstance(cell, str)]
    return bool(strings) and all(number_in(cell) is not None for cell in strings)


def _looks_like_numbers(column: pd.Series) -> bool:
    return _may_hold_strings(column) and look_like_numbers(_distinct(column))


def _may_hold_strings(column: pd.Series) -> bool:
    """Whether a column has a type of objects or strings."""
    return bool(pd.api.types.is_string_dtype(column.dtype))  # and of objects


#: By kind: of which columns the selection warns, and the message.
_WARNINGS: dict[str, tuple[Callable[[pd.Series], bool], str]] = {
    "id": (
        lambda column: True,
        "The columns {} are left out: (almost) every row has another value, so they "
        "identify rows and say nothing about new ones. Drop them, or convert them to "
        "numbers, dates (pandas.to_datetime) or levels that repeat.",
    ),
    "number": (
        _holds_numbers_as_strings,
        "The columns {} hold numbers as strings, and are read as numbers. Convert them "
        "by pandas.to_numeric, or to categories if they are codes: "
        "column.astype('category').",
    ),
    "level": (
        _looks_like_numbers,
        "The columns {} hold strings that look like numbers but cannot be read as "
        "such, and each string becomes a level. Convert them to numbers, for example "
        "by pandas.to_numeric(column.str.replace(',', '')), to dates by "
        "pandas.to_datetime, or to categories if they are levels: "
        "column.astype('category').",
    ),
}


def kinds(table: pd.DataFrame) -> list[str]:
    """Say what each column holds.

    Raises
    ------
    ValueError
        If names repeat, if a column holds free text, or if no column is of use.
    """
    names = table.columns
    if not names.is_unique:
        raise ValueError(
            f"Several columns have the same name: {list(names[names.duplicated()])}."
        )
    if 0 in table.shape:
        raise ValueError(f"X has {len(table)} rows and {len(names)} columns.")
    found = [_kind(column) for column in columns_of_frame(table)]
    texts = [name for name, kind in zip(names, found, strict=True) if kind == "text"]
    if texts:
        raise ValueError(
            f"The columns {texts} hold free text, which cannot be used as levels. Drop "
            "them, or encode them, for example by a ColumnTransformer of "
            "TfidfVectorizer for each of them and make_tabular_preprocessor() for the "
            "other columns."
        )
    if set(found) <= {"id"}:
        raise ValueError(
            f"No column of X is of use: (almost) every row has another value in "
            f"{list(names)[:20]}, so they only identify rows."
        )
    if set(found) <= {"id", "constant"}:  # a model of the mean is better than none
        return [
            "id" if kind == "id" else _base_kind(column, _distinct(column))
            for column, kind in zip(columns_of_frame(table), found, strict=True)
        ]
    return found


def _kind(column: pd.Series) -> str:
    distinct, n_known = _distinct(column), column.count()
    kind = _base_kind(column, distinct)
    if n_known == 0 or (len(distinct) == 1 and n_known == len(column)):
        return "constant"
    repeats = len(distinct) < _DISTINCT * n_known
    if kind == "number":
        may_be_id = n_known >= _ENOUGH and _ID_NAME.search(str(column.name))
        are_codes = any(isinstance(cell, str) for cell in distinct)
        are_codes = are_codes or _are_integers(distinct)
        return "id" if may_be_id and not repeats and are_codes else kind
    if kind != "level":
        return kind
    if not repeats and n_known >= _ENOUGH_TEXTS and _are_texts(distinct):
        return "text"
    if not repeats and n_known >= _ENOUGH:
        return "id"
    return "binary" if len(distinct) == 2 else "level"


def _base_kind(column: pd.Series, distinct: np.ndarray) -> str:
    """Say how a column is converted, whatever it tells about the rows."""
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return "ordered" if dtype.ordered else "level"
    if pd.api.types.is_bool_dtype(dtype):
        return "level"
    if pd.api.types.is_numeric_dtype(dtype) or is_duration(dtype):
        return "number"
    if are_dates(dtype):
        return "date"
    if any(is_complex(cell) for cell in distinct):
        return "number"  # which are refused
    for of_kind in (is_number, is_duration_cell):
        if len(distinct) and all(of_kind(cell) for cell in distinct):
            return "number"
    if can_be_dates(distinct):
        return "date"
    # Most columns of levels are told by their few distinct values, without counting.
    numbers = _may_hold_strings(column) and any(
        number_in(cell) is not None for cell in distinct
    )
    return "number" if numbers and hold_numbers(column.dropna()) else "level"


def _distinct(column: pd.Series) -> np.ndarray:
    """List the distinct values, without missing ones."""
    try:
        values = np.asarray(column.unique(), dtype=object)
        if column.dtype == object and any(_is_bool(cell) for cell in column):
            # True equals 1, so that only the first of them was left.
            known = {(_is_bool(cell), cell): cell for cell in column}
            values = pd.Series(known.values(), dtype=object).to_numpy()
    except (NotImplementedError, TypeError):  # lists and other cells without a hash
        # Cell by cell: old versions of pandas cannot convert pyarrow's lists.
        values = np.asarray([*dict.fromkeys(map(str, column.dropna()))], dtype=object)
    return values[pd.notna(values)]


def _is_bool(cell: Any) -> bool:
    return isinstance(cell, bool | np.bool_)


def _are_integers(distinct: np.ndarray) -> bool:
    return all(
        isinstance(cell, Integral)
        or (is_number(cell) and math.isfinite(cell) and cell == round(cell))
        for cell in distinct
    )


def _are_texts(distinct: np.ndarray) -> bool:
    return float(np.median([len(str(cell).split()) for cell in distinct])) >= _WORDS
