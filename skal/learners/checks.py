"""Checks of labeled rows, and of the estimators that train on them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Set
from numbers import Number
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.utils.data import Dataset

from skal._tables import as_pandas, is_other_table, is_table, order_of_labels
from skal.contexts import hiding
from skal.reading.pool import Pool
from skal.rows import (
    array_if_tensor,
    arrays_in,
    find_bad_rows,
    find_masked_rows,
    n_rows,
    row_shape,
    take_rows,
)
from skal.validation import check_option, spelled_in_two_ways

__all__ = [
    "align_arguments",
    "align_labels",
    "check_duplicates",
    "check_labeled",
    "is_fitted",
    "predicts_several_labels",
    "sum_to_1",
    "warn_if_permuted",
    "warn_of_spellings",
]


#: Texts that stand for no label: of an empty cell, and of NaN beside strings.
_NO_LABELS = ["", "nan"]
#: Rows on which a classifier is tried.
_N_TRIED = 8


def is_fitted(estimator: Any) -> bool:
    """Whether an estimator has been fitted."""
    # A skorch net has attributes with a trailing underscore even before it is fitted.
    if getattr(estimator, "initialized_", True) is False:
        return False
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    except TypeError:  # not a scikit-learn estimator: assume that it is fitted
        return True
    return True


def predicts_several_labels(learner: Any, X: Any) -> bool:
    """Whether a classifier predicts several outputs or labels for a row.

    Parameters
    ----------
    learner : ActiveLearner or Committee
    X : rows
        Of which it predicts the first ones.

    Returns
    -------
    several : bool
        False if it cannot be told.
    """
    try:
        with hiding():
            first = take_rows(X, np.arange(min(_N_TRIED, n_rows(X))))
            return len(Pool(learner, first).proba()) > 1
    # Whatever is wrong with the learner is raised where it is used.
    except Exception:
        return False


def sum_to_1(proba: Any) -> bool:
    """Whether rows of probabilities sum to 1, up to rounding in half precision."""
    return np.allclose(np.sum(proba, axis=1), 1, rtol=0, atol=1e-3)


def check_labeled(X: Any, y: Any, *, finite: bool, allow_nan: bool) -> None:
    """Check that there are labeled rows, one label per row, and finite values.

    Parameters
    ----------
    X : rows of any kind
    y : array-like of shape (n,) or (n, n_outputs)
    finite : bool
        Refuse NaN and infinite values.
    allow_nan : bool
        Accept NaN in `X` nonetheless. In a DataFrame it is always accepted, as a
        missing value that a first step may impute.

    Raises
    ------
    ValueError
        If a check fails.
    """
    if X is None:
        raise ValueError("Training requires X to be passed, but X is None.")
    if y is None:
        raise ValueError("Training requires y to be passed, but the target y is None.")
    _check_is_column(y)
    n, n_labels = n_rows(X), n_rows(y)
    if n == 0:
        raise ValueError("X has no rows: pass at least one labeled row.")
    if n != n_labels:
        hint = ""
        if n_labels == 1 and _row_shape_or_none(X) == ():
            hint = " A single row must be 2-dimensional: X.reshape(1, -1)."
        if isinstance(X, tuple) and all(
            np.shape(part)[:1] == (n_labels,) for part in X
        ):
            hint = (
                " Pass several inputs as a dict of arrays, with the names of the "
                "arguments of the module's forward."
            )
        raise ValueError(f"X has {n} rows, but y has {n_labels} labels.{hint}")
    if finite:
        _check_finite(X, "X", allow_nan or is_table(X))
        _check_labels(y)
        _check_finite(y, "y", False)


def _check_is_column(y: Any) -> None:
    """Raise unless `y` holds labels in an order."""
    if isinstance(y, str | bytes) or np.isscalar(y):
        raise ValueError(f"y must hold one label per row, got the single value {y!r}.")
    by_row = isinstance(y, Mapping) and any(np.ndim(value) == 0 for value in y.values())
    counted = any(hasattr(y, name) for name in ("__len__", "shape", "__array__"))
    if (by_row and not sp.issparse(y)) or isinstance(y, Set) or not counted:
        raise TypeError(
            "y must hold one label per row, in the order of the rows: an array, a list "
            f"or a column, got {type(y).__name__}."
        )


def _check_labels(y: Any) -> None:
    """Raise if a label is missing: NaN, None, masked, or NA of a nullable type."""
    if sp.issparse(y) or isinstance(y, Dataset) or getattr(y, "is_meta", False):
        return
    values = as_pandas(y) if is_other_table(y) else array_if_tensor(y)
    if isinstance(values, list | tuple):
        # numpy would convert NaN beside strings to the word 'nan'.
        values = pd.Series(arrays_in(values), dtype=object)
    cells = np.asarray(pd.isna(values))
    if isinstance(values, np.ma.MaskedArray):
        cells = cells | np.ma.getmaskarray(values)
    missing = np.atleast_1d(cells.reshape(len(cells), -1).any(axis=1))
    if missing.any():
        raise ValueError(
            f"y has no label (NaN or None) in {int(missing.sum())} of {len(missing)} "
            f"rows; the first is row {int(missing.argmax())}. Rows without a label "
            "belong to the pool: skal.datasets.split_labeled separates them."
        )
    if np.ndim(values) == 1 and not isinstance(values, np.ma.MaskedArray):
        _warn_of_texts(values)


def _warn_of_texts(labels: Any) -> None:
    """Warn of labels that are the text of no label."""
    kind = getattr(getattr(labels, "dtype", None), "kind", "O")
    if kind not in "OUT":  # numpy's StringDType has the kind T
        return
    try:
        found = pd.Series(labels).isin(_NO_LABELS)
    except TypeError:  # labels that cannot be hashed
        return
    if found.any():
        label = pd.Series(labels)[found].iloc[0]
        warnings.warn(
            f"y has the label {str(label)!r} in {int(found.sum())} of {len(found)} "
            "rows, which is learned as a class. If it stands for a missing label, as "
            "numpy writes NaN beside strings, leave these rows in the pool.",
            UserWarning,
            stacklevel=6,
        )


def warn_of_spellings(y: Any) -> None:
    """Warn of labels that may be one class, though they are written in several ways.

    Parameters
    ----------
    y : array-like of shape (n,) or (n, n_outputs)
        Of several outputs, labels are not compared.

    Warns
    -----
    UserWarning
        If labels differ by spaces or capitals alone, or a list holds numbers and
        strings, which numpy makes one type.
    """
    if isinstance(y, list | tuple):
        kinds = {type(label) for label in y}
        strings = any(issubclass(kind, str) for kind in kinds)
        if strings and any(issubclass(kind, Number | np.bool_) for kind in kinds):
            warnings.warn(
                "y holds numbers and strings, and all of them are learned as strings, "
                "so that 1 and '1' are one class. Convert them to one type.",
                UserWarning,
                stacklevel=5,
            )
    pair = spelled_in_two_ways(_distinct_texts(y))
    if pair is not None:
        warnings.warn(
            f"y has the labels {pair[0]} and {pair[1]}, which are learned as different "
            "classes. If they are the same, correct one of them, for example by "
            "str.strip.",
            UserWarning,
            stacklevel=5,
        )


def _distinct_texts(y: Any) -> list[str]:
    """List the strings in one column of labels, once each."""
    if sp.issparse(y) or isinstance(y, Dataset | Mapping | Tensor):
        return []
    column = as_pandas(y) if is_other_table(y) else y
    n_dims = getattr(column, "ndim", 1)
    if n_dims == 2 and np.shape(column)[1] == 1:
        column = np.asarray(column)[:, 0]
    elif n_dims != 1 or not hasattr(column, "__iter__"):
        return []
    kind = getattr(getattr(column, "dtype", None), "kind", "O")
    if kind not in "OUT":
        return []
    return list(dict.fromkeys(str(x) for x in column if isinstance(x, str)))


def align_labels(X: Any, y: Any) -> Any:
    """Return `y` in the row order of `X`, if pandas indexes tell which it is.

    Parameters
    ----------
    X : rows of any kind
    y : array-like of shape (n,) or (n, n_outputs)
        As many labels as rows.

    Returns
    -------
    y : as given
        Reordered by index if both are pandas objects and their indexes hold the same
        labels in another order.

    Raises
    ------
    ValueError
        If the indexes differ otherwise.

    Warns
    -----
    UserWarning
        If the indexes do not tell, or might not.

    Notes
    -----
    Indexes of different types, such as numbers and the strings that a file made of
    them, are compared as text.  Labels are matched by position if `X` or `y` has no
    index, if one of them has the default index 0, ..., n - 1, which the other does not
    permute, or if the indexes cannot be compared.
    """
    if not _have_index(X, y) or X.index.equals(y.index):
        return y
    order = order_of_labels(X.index, y.index)
    if order is not None:
        _warn_if_unclear(y.index, order, "y")
        return y.iloc[order]
    if _is_default(X.index) or _is_default(y.index):
        return y
    if _kind(X.index) != _kind(y.index):
        order = order_of_labels(_as_text(X.index), _as_text(y.index))
        if order is not None:
            return y.iloc[order]
        warnings.warn(
            f"Labels are matched by position: the index of X ({_first_few(X.index)}) "
            f"cannot be compared with that of y ({_first_few(y.index)}). Pass "
            "y.to_numpy() if this is intended.",
            UserWarning,
            stacklevel=3,
        )
        return y
    only_X, only_y = X.index.difference(y.index), y.index.difference(X.index)
    difference = (
        f"only in X: {_first_few(only_X)}; only in y: {_first_few(only_y)}"
        if len(only_X) or len(only_y)
        else "labels are repeated, in another order"
    )
    raise ValueError(
        f"The indexes of X and y differ ({difference}), so it is unknown which label "
        "belongs to which row. Select both with the same index, or pass "
        "y.to_numpy() if they are in the same order."
    )


def align_arguments(X: Any, fit_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments of `fit` with those of pandas in the row order of `X`.

    Only arguments whose index holds the labels of the index of `X` are reordered.
    """
    aligned = dict(fit_kwargs)
    for name, values in fit_kwargs.items():
        order = (
            order_of_labels(X.index, values.index) if _have_index(X, values) else None
        )
        if order is not None:
            _warn_if_unclear(values.index, order, name)
            aligned[name] = values.iloc[order]
    return aligned


def _warn_if_unclear(index: pd.Index, order: np.ndarray, name: str) -> None:
    """Warn where the index that gives the order may be no more than row numbers."""
    if _is_default(index) and not _is_sorted(order):
        warnings.warn(
            f"{name} is matched to the rows by index, but its index, 0 to "
            f"{len(index) - 1}, may be that of a new table. Pass {name}.to_numpy() if "
            "it is in the order of the rows.",
            UserWarning,
            stacklevel=4,
        )


def warn_if_permuted(X: Any, y: Any, method: str = "fit") -> None:
    """Warn that labels are matched by position although their index says otherwise."""
    order = order_of_labels(X.index, y.index) if _have_index(X, y) else None
    if order is not None and not _is_sorted(order):
        warnings.warn(
            "The indexes of X and y hold the same labels in different orders, and "
            f"{method} matches rows by position, as scikit-learn does. Pass "
            "y.loc[X.index] to match them by index.",
            UserWarning,
            stacklevel=3,
        )


def _have_index(X: Any, y: Any) -> bool:
    return all(isinstance(table, pd.DataFrame | pd.Series) for table in (X, y))


def _as_text(index: pd.Index) -> pd.Index:
    """Labels as a file would hold them: dates at midnight without the time."""
    return index.map(str) if index.nlevels > 1 else index.astype(str)


def _is_sorted(order: np.ndarray) -> bool:
    return bool((order == np.arange(len(order))).all())


def _is_default(index: pd.Index) -> bool:
    return pd.RangeIndex(len(index)).equals(index)


def _kind(index: pd.Index) -> str:
    kind = index.inferred_type
    return "number" if kind in ("integer", "floating") else kind


def check_duplicates(X: Any, n_new: int, on_duplicate: str) -> None:
    """Warn of rows that are labeled already, or raise ValueError.

    Parameters
    ----------
    X : rows of shape (n, ...)
        All labeled rows, of which the last `n_new` are new. Only rows of pandas objects
        are checked: a row is a duplicate if an earlier one has the same index label and
        the same values.
    n_new : int
    on_duplicate : {"warn", "raise", "ignore"}
    """
    check_option("on_duplicate", on_duplicate, ["warn", "raise", "ignore"])
    if on_duplicate == "ignore" or not isinstance(X, pd.DataFrame | pd.Series):
        return
    labels = X.index.factorize()[0]
    among = np.isin(labels, labels[-n_new:])
    try:
        values = pd.util.hash_pandas_object(X[among], index=False).to_numpy()
    except TypeError:  # cells that cannot be hashed, such as lists
        values = np.zeros(among.sum())
    seen = pd.DataFrame({"label": labels[among], "values": values}).duplicated()
    duplicates = X.index[-n_new:][np.asarray(seen)[-n_new:]]
    if duplicates.empty:
        return
    message = (
        f"{len(duplicates)} of the {n_new} rows taught have already been labeled (by "
        f"index: {_first_few(duplicates)}), so they count twice in training."
    )
    if on_duplicate == "raise":
        raise ValueError(message)
    message += " Construct the learner with on_duplicate='ignore' if this is intended."
    warnings.warn(message, UserWarning, stacklevel=3)


def _first_few(labels: pd.Index) -> str:
    shown = ", ".join(repr(label) for label in labels[:3].tolist())
    return (
        f"{shown}, ... ({len(labels)} labels)" if len(labels) > 3 else shown or "none"
    )


def _row_shape_or_none(X: Any) -> tuple[int, ...] | None:
    """Shape of one row, or None for a dict."""
    if isinstance(X, Mapping) and not sp.issparse(X):
        return None
    return row_shape(X)


def _check_finite(X: Any, name: str, allow_nan: bool) -> None:
    bad = find_bad_rows(X, allow_nan=allow_nan)
    if bad is not None:
        masked = find_masked_rows(X) is not None
        what = "masked" if masked else "infinite" if allow_nan else "NaN or infinite"
        raise ValueError(
            f"{name} holds {what} values in {int(bad.sum())} rows; the first is row "
            f"{int(np.argmax(bad))}. Remove or fill them, or construct the learner "
            "with force_all_finite=False if the estimator takes them."
        )
