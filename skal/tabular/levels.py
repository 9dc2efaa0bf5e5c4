"""Columns of levels: as texts, or as ranks where the levels are ordered."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin

from skal.tabular.frames import check_columns, columns_of_frame
from skal.validation import spelled_in_two_ways

__all__ = ["Ranks", "Texts", "as_texts"]

#: How a database or a file may store True and False, in lower case.
_BOOLS = {"0": "False", "1": "True", "false": "False", "true": "True"}
#: Number of unknown cells, and their share, from which a warning is issued: a few are
#: to be expected.
_MANY, _MOST = 5, 0.5
#: Levels that a warning quotes.
_SHOWN = 3


class Texts(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Converts levels of any type to strings, and missing values to ``"missing"``.

    Types and missing values differ between versions of pandas and between tables: a
    level 1 is 1.0 in a column that also has missing values.

    Attributes
    ----------
    levels_ : list of arrays of str
        The levels of each column; `transform` warns if many others occur.
    """

    def fit(self, X: Any, y: Any = None) -> Texts:
        """Find the levels."""
        check_columns(self, X, reset=True)
        self.levels_ = [_levels(column) for column in columns_of_frame(X)]
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Convert each column."""
        check_columns(self, X, reset=False)
        found = []
        for column, levels in zip(columns_of_frame(X), self.levels_, strict=True):
            texts = as_texts(column)
            _warn_of_unknown(column.name, texts, pd.Index(levels).get_indexer(texts))
            found.append(texts)
        cells = np.column_stack(found)
        return np.where(pd.isna(cells), "missing", cells)


class Ranks(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Converts levels to their ranks; missing and unknown ones become NaN.

    The order is that of ordered categories, with all levels that they declare, and
    otherwise the alphabet. Where the levels are True and False, 1 and 0 are these, too,
    and so are ``"true"`` and ``"FALSE"``.

    Attributes
    ----------
    levels_ : list of arrays of str
        The levels of each column, in order.
    """

    def fit(self, X: Any, y: Any = None) -> Ranks:
        """Find the levels."""
        check_columns(self, X, reset=True)
        self.levels_ = [_ordered_levels(column) for column in columns_of_frame(X)]
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Convert each column, whatever levels it declares."""
        check_columns(self, X, reset=False)
        ranks = []
        for column, levels in zip(columns_of_frame(X), self.levels_, strict=True):
            texts = as_texts(column)
            if set(levels) <= set(_BOOLS.values()):
                known = [_BOOLS.get(str(text).lower(), text) for text in texts]
                texts = np.array(known, dtype=object)
            codes = pd.Index(levels).get_indexer(texts)
            _warn_of_unknown(column.name, texts, codes)
            ranks.append(np.where(codes < 0, np.nan, codes))
        return np.column_stack(ranks)


def _warn_of_unknown(name: Any, texts: np.ndarray, codes: np.ndarray) -> None:
    """Warn if many cells of a column have levels that were not in `fit`."""
    known = pd.notna(texts)
    is_unknown = known & (codes < 0)
    n_unknown, n_known = int(is_unknown.sum()), int(known.sum())
    if n_unknown < max(_MANY, _MOST * n_known):
        return
    distinct = np.unique(texts[is_unknown])
    shown = ", ".join(map(repr, distinct[:_SHOWN].tolist()))
    warnings.warn(
        f"{n_unknown} of {n_known} cells of column {name!r} have levels that were not "
        f"in fit, such as {shown}, and are encoded as unknown. Check that levels are "
        "written as in fit. If new ones are to be expected, group them, or drop the "
        "column; if they are numbers, convert them by pandas.to_numeric.",
        UserWarning,
        stacklevel=3,
    )


def _levels(column: pd.Series) -> np.ndarray:
    """Find the levels of a column; warn of two that may be one."""
    levels = np.unique(as_texts(column.dropna()))
    pair = spelled_in_two_ways(levels.tolist())
    if pair is not None:
        warnings.warn(
            f"Column {column.name!r} has the levels {pair[0]} and {pair[1]}, which are "
            "encoded as different ones. If they are the same, correct one of them, for "
            "example by column.str.strip().",
            UserWarning,
            stacklevel=4,
        )
    return levels


def _ordered_levels(column: pd.Series) -> np.ndarray:
    if isinstance(column.dtype, pd.CategoricalDtype) and column.dtype.ordered:
        return as_texts(column.cat.categories)
    return _levels(column)


def as_texts(values: pd.Series | pd.Index) -> np.ndarray:
    """Convert values to strings, and missing ones to NaN.

    Parameters
    ----------
    values : Series or Index of length n

    Returns
    -------
    texts : object array of shape (n,)
    """
    cells = np.asarray(values.astype(object), dtype=object)
    if any(isinstance(cell, bool | np.bool_) for cell in cells):
        # True equals 1, so that the text of both would be that of the first cell.
        texts = [_as_text(cell) for cell in cells]
        return np.where(pd.isna(values), np.nan, np.array(texts, dtype=object))
    try:
        codes, distinct = pd.factorize(cells)
    except TypeError:  # lists and other cells without a hash
        codes = np.where(pd.isna(values), -1, np.arange(len(cells)))
        distinct = cells
    texts = [_as_text(cell) for cell in distinct]
    # The last one stands for missing values, whose code is -1.
    return np.array([*texts, np.nan], dtype=object)[codes]


def _as_text(cell: Any) -> str:
    if isinstance(cell, float | np.floating) and float(cell).is_integer():
        return str(int(cell))
    return str(cell)
