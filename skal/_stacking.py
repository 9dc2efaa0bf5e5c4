"""Rows of any container, appended or put side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Number
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import torch
from scipy import sparse
from torch.utils.data import ConcatDataset, Dataset

from skal._tables import as_pandas, column_names, is_other_table, is_table, wrap
from skal.rows import as_array, as_dense, dataset_inputs, row_shape

__all__ = ["hstack_rows", "stack_rows", "with_columns_of"]

#: Kinds of numpy's dtypes that hold numbers.
_NUMERIC = set("biuf")
#: Types of narwhals that hold texts.
_TEXTS = (nw.String, nw.Categorical, nw.Enum)


def hstack_rows(blocks: Sequence[Any]) -> Any:
    """Put the features of several blocks side by side, sparse if one of them is."""
    if any(sparse.issparse(block) for block in blocks):
        return sparse.csr_matrix(sparse.hstack(blocks))
    return np.hstack([as_dense(block) for block in blocks])


def stack_rows(old: Any, new: Any, name: str = "X") -> Any:
    """Append new rows to old ones; the result is of the kind and type of `old`.

    Parameters
    ----------
    old : container
    new : container
        Converted to the kind of `old`.  The columns of DataFrames are matched by name.
        Of a Dataset, the inputs are read; a Dataset is extended by another one alone.
    name : str
        What the rows are called in an error.

    Returns
    -------
    stacked : as `old`
        Floating-point data keep their type (float32 stays float32 under float64 rows),
        unless a new value overflows it.  Integers are promoted only if they cannot hold
        the new values.  A sparse tensor becomes a dense one.  Categories of pandas gain
        those that are new, but an ordered column, whose new categories have no rank,
        loses its type.

    Raises
    ------
    ValueError
        If the rows differ in shape, columns are missing, or numbers meet strings.
    """
    if isinstance(old, Dataset):
        return _stack_datasets(old, new, name)
    if isinstance(new, Dataset):
        new = dataset_inputs(new)
    if isinstance(old, Mapping) and not sparse.issparse(old):
        if not isinstance(new, Mapping) or set(old) != set(new):
            got = sorted(map(str, new)) if isinstance(new, Mapping) else type(new)
            raise ValueError(
                f"{name} must be a dict with the keys {sorted(map(str, old))}, "
                f"got {got}."
            )
        return {key: stack_rows(old[key], new[key], f"{name}[{key!r}]") for key in old}
    new = _with_dimensions_of(old, new)
    if row_shape(old) != row_shape(new):
        raise ValueError(
            f"{name} has rows of shape {row_shape(new)}, but the training data have "
            f"rows of shape {row_shape(old)}."
        )
    if sparse.issparse(old):
        added = sparse.csr_matrix(as_array(new))
        dtype = _joint_dtype(old.dtype, added.data, name)
        return sparse.vstack((old, added.astype(dtype)), format=old.format, dtype=dtype)
    if isinstance(old, torch.Tensor):
        return _stack_tensors(old.detach(), new)
    if isinstance(old, pd.DataFrame):
        return _stack_frames(old, new, name)
    if isinstance(old, pd.Series):
        return _stack_series(old, new, name)
    if is_other_table(old):
        return _stack_tables(old, new, name)
    if isinstance(old, list | tuple):
        new = new if isinstance(new, list | tuple) else as_dense(new).tolist()
        if row_shape(old) == ():
            _check_mixture(old, new, name)
        return [*old, *new]
    old, new = np.asarray(old), as_dense(new)
    if new.dtype.kind == "T" != old.dtype.kind:  # numpy's StringDType
        cells = new.astype(object)
        is_text = all(isinstance(cell, str) for cell in cells.flat)
        new = cells.astype(str) if is_text else cells
    if old.ndim == 1:
        _check_mixture(old, new, name)
    dtype = _joint_dtype(old.dtype, new, name)
    return np.concatenate((old, new.astype(dtype, copy=False)), dtype=dtype)


def _stack_datasets(old: Dataset[Any], new: Any, name: str) -> Dataset[Any]:
    if not isinstance(new, Dataset):
        raise ValueError(
            f"{name} is of type {type(new).__name__}, but the training data so far are "
            "a Dataset. Pass a Dataset, such as the rows that query returned from a "
            "pool that is one."
        )
    parts = old.datasets if isinstance(old, ConcatDataset) else [old]
    return ConcatDataset([*parts, new])


def _with_dimensions_of(old: Any, new: Any) -> Any:
    """Let a target column (n, 1) and a target vector (n,) go together."""
    shapes = row_shape(old), row_shape(new)
    if shapes == ((), (1,)):
        return new.iloc[:, 0] if isinstance(new, pd.DataFrame) else as_dense(new)[:, 0]
    if shapes == ((1,), ()) and not isinstance(old, list | tuple):
        return as_dense(new)[:, None]
    return new


def _check_mixture(old: Any, new: Any, name: str) -> None:
    """Raise if strings meet numbers in one column, which numpy would make strings.

    So do bytes, unless both are arrays that numpy decodes.  A column that held both
    from the beginning is left as it is.
    """
    kinds = _kinds_in(old), _kinds_in(new)
    mixed = kinds[0] | kinds[1]
    decodes = {_dtype_kind(old), _dtype_kind(new)} == {"U", "S"}
    if len(kinds[0]) == 1 and len(mixed) > 1 and not decodes:
        raise ValueError(
            f"{name} holds {' and '.join(sorted(kinds[1]))}, but the training data so "
            f"far hold {' and '.join(kinds[0])}: {' and '.join(sorted(mixed))} do not "
            "mix."
        )


def _kinds_in(values: Any) -> set[str]:
    """Which of strings, bytes and numbers a column holds."""
    kind = _dtype_kind(values)
    if kind in _NUMERIC:
        return {"numbers"}
    if kind in "US":
        return {"strings" if kind == "U" else "bytes"}
    # A missing value among strings is a float.
    found = {type(value) for value in pd.Series(list(values), dtype=object).dropna()}
    names: dict[str, tuple[type, ...]] = {
        "numbers": (Number, np.bool_),
        "strings": (str,),
        "bytes": (bytes,),
    }
    return {
        name
        for name, base in names.items()
        if any(issubclass(cls, base) for cls in found)
    }


def _dtype_kind(values: Any) -> str:
    return getattr(getattr(values, "dtype", None), "kind", "O")


def _joint_dtype(old: np.dtype, new: np.ndarray, name: str) -> np.dtype:
    """Choose the type of the old data, unless it cannot hold the new values."""
    if old == new.dtype:
        return old
    kinds = {old.kind, new.dtype.kind}
    if kinds & set("US") and kinds & _NUMERIC:
        raise ValueError(
            f"{name} is of type {new.dtype}, but the training data so far are of type "
            f"{old}: numbers and strings do not mix."
        )
    if kinds <= _NUMERIC:
        with np.errstate(invalid="ignore", over="ignore"):
            cast = new.astype(old)
        if old.kind == "f":
            overflows = np.isinf(cast) & ~np.isinf(new)
            return np.result_type(old, new.dtype) if overflows.any() else old
        if np.array_equal(cast, new):
            return old
    return np.result_type(old, new.dtype)


def _stack_tensors(old: torch.Tensor, new: Any) -> torch.Tensor:
    if not isinstance(new, torch.Tensor):
        new = torch.tensor(as_dense(new))
    # What torch computes for sparse tensors differs from layout to layout.
    old, new = (x if x.layout == torch.strided else x.to_dense() for x in (old, new))
    new = new.detach().to(old.device)
    kept = new.to(old.dtype)
    if old.is_meta:  # without values that could be compared
        return torch.cat((old, kept))
    if old.is_floating_point():
        overflows = bool((kept.isinf() & ~new.isinf()).any())
        wide = new if new.is_floating_point() else new.double()
        return torch.cat((old, wide if overflows else kept))
    return torch.cat((old, kept if torch.equal(kept.to(new.dtype), new) else new))


def _stack_series(old: pd.Series, new: Any, name: str) -> pd.Series:
    if is_other_table(new):
        new = as_pandas(new)
    if not isinstance(new, pd.Series):
        # pandas chooses the type: a list of strings gets the type of `old`.
        new = pd.Series(new if isinstance(new, list | tuple) else as_dense(new))
    _check_mixture(old, new, name)
    if isinstance(old.dtype, pd.CategoricalDtype):
        old, new = _with_joint_categories(old, new)
    if isinstance(old.dtype, np.dtype) and isinstance(new.dtype, np.dtype):
        new = new.astype(_joint_dtype(old.dtype, new.to_numpy(), name))
    return pd.concat([old, new.rename(old.name)])


def _with_joint_categories(old: pd.Series, new: pd.Series) -> tuple[Any, Any]:
    """Give both columns the categories of `old`, and after them those of `new` alone.

    Otherwise pandas would stack them as strings or objects.
    """
    known = old.cat.categories
    added = new.dropna().drop_duplicates()
    added = added[~added.isin(known)].tolist()
    if added and old.cat.ordered:
        return old, new
    joint = pd.CategoricalDtype([*known, *added], ordered=old.cat.ordered)
    return old.astype(joint), new.astype(joint)


def _stack_frames(old: pd.DataFrame, new: Any, name: str) -> pd.DataFrame:
    if is_other_table(new):
        new = as_pandas(new)
    if not isinstance(new, pd.DataFrame):
        new = pd.DataFrame(as_dense(new), columns=old.columns).infer_objects()
    _check_names(list(old.columns), list(new.columns), name)
    if not old.columns.is_unique:
        return pd.concat([old, new])
    stacked = {c: _stack_series(old[c], new[c], f"{name}[{c!r}]") for c in old.columns}
    index = old.index.append(new.index)
    # Built by position: an index with repeated labels cannot be aligned.
    data = {c: s.set_axis(range(len(index))) for c, s in stacked.items()}
    frame = pd.DataFrame(data, index=range(len(index))).set_axis(index, axis=0)
    return frame.set_axis(old.columns, axis=1)


def _check_names(old: list[Any], new: list[Any], name: str) -> None:
    """Raise unless the columns are the same, in any order if they are unique."""
    missing = [column for column in old if column not in new]
    additional = [column for column in new if column not in old]
    repeated = len(set(old)) < len(old) and old != new
    if missing or additional or repeated:
        raise ValueError(
            f"The columns of {name} differ from those of the training data: "
            f"missing {missing[:20]}, additional {additional[:20]}."
        )


# -- tables of other libraries than pandas --------------------------------------------


def _stack_tables(old: Any, new: Any, name: str) -> Any:
    """Append rows to a DataFrame or a Series of polars or pyarrow."""
    first = wrap(old)
    if isinstance(first, nw.Series):
        values = wrap(new).to_list() if is_other_table(new) else _as_column(new)
        column = nw.new_series(first.name, values, backend=first.implementation)
        stacked = nw.concat(_alike(first.to_frame(), column.to_frame(), name))
        return stacked[first.name].to_native()
    if is_table(new):
        _check_names(first.columns, list(column_names(new) or []), name)
        columns = {c: new[c].tolist() for c in first.columns} if _is_pandas(new) else {}
        second = None if columns else wrap(new).select(*first.columns)
        if second is not None and second.implementation is not first.implementation:
            columns = {c.name: c.to_list() for c in second.iter_columns()}
    else:
        columns = dict(zip(first.columns, as_dense(new).T, strict=True))
    if columns:
        listed = {c: _listed(values) for c, values in columns.items()}
        second = nw.from_dict(listed, backend=first.implementation)
    return nw.concat(_alike(first, second, name)).to_native()


def _is_pandas(X: Any) -> bool:
    return hasattr(X, "iloc")


def _listed(values: Any) -> list[Any]:
    return (
        list(values) if isinstance(values, list | tuple) else as_dense(values).tolist()
    )


def _as_column(values: Any) -> Any:
    """Convert labels to an array if they are numbers, whatever their types."""
    column = np.asarray(values) if isinstance(values, list | tuple) else values
    if isinstance(values, list | tuple) and column.dtype.kind not in _NUMERIC:
        return list(values)
    return as_dense(column)


def _alike(old: Any, new: Any, name: str) -> list[Any]:
    """Give the columns of both tables one type, by the rules of `_joint_dtype`."""
    pairs = [_alike_columns(old[c], new[c], name) for c in old.columns]
    return [
        table.with_columns(*columns)
        for table, columns in zip((old, new), zip(*pairs, strict=True), strict=True)
    ]


def _alike_columns(old: Any, new: Any, name: str) -> tuple[Any, Any]:
    old, new = _decoded(old), _decoded(new)
    if old.dtype == nw.Unknown != new.dtype:  # null all along
        old = old.cast(new.dtype)
    if old.dtype == new.dtype:
        return _alike_natives(old, new)
    numeric = [c.dtype.is_numeric() or c.dtype == nw.Boolean for c in (old, new)]
    if all(numeric):
        if nw.Decimal in (old.dtype, new.dtype):  # an object to numpy
            return old.cast(nw.Float64), new.cast(nw.Float64)
        known = old.head(0).to_numpy().dtype
        joint = _joint_dtype(known, new.drop_nulls().to_numpy(), name)
        if joint != known:
            old = old.cast(nw.Float64 if joint.kind == "f" else nw.Int64)
        elif new.dtype == nw.Boolean:
            new = new.cast(nw.Int8)  # pyarrow cannot cast it to half precision
    elif any(numeric) and new.null_count() < len(new):
        raise ValueError(
            f"{name}[{old.name!r}] is of type {new.dtype}, but the training data so "
            f"far are of type {old.dtype}: numbers and strings do not mix."
        )
    elif old.dtype in _TEXTS and new.dtype in _TEXTS:
        new = new.cast(nw.String)
        if old.dtype == nw.Enum and not _holds_only(old.dtype.categories, new):
            old = old.cast(nw.String)  # new categories have no rank
    if old.implementation.is_pyarrow() and old.dtype in _TEXTS:
        return _alike_natives(old, new)
    return old, new.cast(old.dtype)


def _holds_only(categories: Sequence[str], column: Any) -> bool:
    return set(column.drop_nulls().unique().to_list()) <= set(categories)


def _alike_natives(old: Any, new: Any) -> tuple[Any, Any]:
    """Give columns one type of pyarrow, which has several for texts and categories."""
    if not old.implementation.is_pyarrow():
        return old, new
    known = old.to_native().type
    if new.to_native().type == known:
        return old, new
    if old.dtype in _TEXTS:
        new = new.cast(nw.String)
        if getattr(known, "ordered", False):  # new categories have no rank
            return old.cast(nw.String), new
    return old, _cast_natively(new, known)


def _decoded(column: Any) -> Any:
    """Convert pyarrow's categories that are not texts, as of integers, to values."""
    if not column.implementation.is_pyarrow():
        return column
    kind = column.to_native().type
    values = getattr(kind, "value_type", None) if hasattr(kind, "index_type") else None
    if values is None or "string" in str(values):
        return column
    return _cast_natively(column, values)


def _cast_natively(column: Any, kind: Any) -> Any:
    native = column.to_native().cast(kind)
    return nw.from_native(native, series_only=True).alias(column.name)


def with_columns_of(like: Any, X: Any) -> Any:
    """Give a DataFrame the columns of another one; those it lacks hold missing values.

    Parameters
    ----------
    like, X : DataFrames

    Returns
    -------
    completed : as `X`, or of pandas if `like` is
    """
    names = column_names(like)
    if names is None or column_names(X) == names:
        return X
    if _is_pandas(like) and not _is_pandas(X):
        X = as_pandas(X)
    lacking = [column for column in names if column not in (column_names(X) or [])]
    if _is_pandas(X):
        # Missing values of the type of the training rows, as far as it has any.
        missing = {
            c: like[c].iloc[:0].reindex(X.index)
            if _is_pandas(like)
            else pd.Series(None, index=X.index, dtype=object)
            for c in lacking
        }
        return pd.concat([X, pd.DataFrame(missing, index=X.index)], axis=1)[names]
    schema = wrap(like).schema
    nulls = [nw.lit(None).cast(schema[c]).alias(c) for c in lacking]
    return wrap(X).with_columns(*nulls).select(*names).to_native()
