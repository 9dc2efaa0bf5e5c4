"""Types of columns that pandas writes to Parquet, and reads as others.

Texts in a column of objects are read as texts of pandas, and None as NaN. What a column
was is noted beside the file, and restored from the note.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

__all__ = ["check_kept", "note_types", "restore_types"]

#: What these hold is compared cell by cell, once it is read as objects.
_CELLS = (str, int, float, bool)
_INDEX = "index"
_ARROW_TEXTS = ("string", "large_string")


def note_types(frame: pd.DataFrame, again: pd.DataFrame) -> dict[str, Any]:
    """Note the types of columns and index labels that Parquet may not keep.

    Parameters
    ----------
    frame : DataFrame
        As it was saved.
    again : DataFrame
        As it is read.

    Returns
    -------
    notes : dict of str to dict
        By the position of the column, or ``"index"`` and the level.
    """
    found = {
        name: _note(values, read.dtype)
        for (name, values), (_, read) in zip(_parts(frame), _parts(again), strict=True)
    }
    return {name: note for name, note in found.items() if note is not None}


def restore_types(frame: pd.DataFrame, notes: dict[str, Any]) -> pd.DataFrame:
    """Give the columns and index labels that were read the types they had.

    Parameters
    ----------
    frame : DataFrame
    notes : dict of str to dict
        By `note_types`.

    Returns
    -------
    frame : DataFrame
    """
    frame = frame.copy(deep=False)
    index = frame.index
    levels = [index.get_level_values(k) for k in range(index.nlevels)]
    for name, note in notes.items():
        place, _, level = name.partition(" ")
        if place == _INDEX:
            values = levels[int(level)]
            made = _restored(values, note)
            levels[int(level)] = pd.Index(made, dtype=made.dtype, name=values.name)
        else:
            made = _restored(frame.iloc[:, int(place)], note)
            frame.isetitem(int(place), pd.Series(made, index=index, dtype=made.dtype))
    if any(name.startswith(_INDEX) for name in notes):
        several = isinstance(index, pd.MultiIndex)
        frame.index = pd.MultiIndex.from_arrays(levels) if several else levels[0]
    return frame


def check_kept(again: pd.DataFrame, frame: pd.DataFrame) -> None:
    """Raise if a table is not the one that was saved.

    Parameters
    ----------
    again, frame : DataFrame
        As it is read, and as it was.

    Raises
    ------
    AssertionError, ValueError
    """
    for (name, read), (_, values) in zip(_parts(again), _parts(frame), strict=True):
        _check_cells(name, read, values, frame)
        if (categories := _categories(values)) is not None:
            _check_cells(name, _categories(read), categories, frame)
    pd.testing.assert_frame_equal(again, frame, check_exact=True, check_freq=False)


def _check_cells(name: str, read: Any, values: Any, frame: pd.DataFrame) -> None:
    """Raise if objects are read as objects of other types."""
    if values.dtype != object:
        return
    types = [type(cell) for cell in values]
    if read is None or read.dtype != object or [type(cell) for cell in read] != types:
        place = (
            "the index"
            if name.startswith(_INDEX)
            else f"column {frame.columns.tolist()[int(name)]!r}"
        )
        found = sorted({kind.__name__ for kind in types})
        raise ValueError(
            f"{place} has dtype object and values of type {', '.join(found)}; texts, "
            "numbers of one type and missing values are kept"
        )


def _parts(frame: pd.DataFrame) -> list[tuple[str, Any]]:
    """List the columns, and the levels of the index."""
    columns = [(str(k), frame.iloc[:, k]) for k in range(frame.shape[1])]
    levels = [
        (f"{_INDEX} {k}", frame.index.get_level_values(k))
        for k in range(frame.index.nlevels)
    ]
    return columns + levels


def _categories(values: Any) -> pd.Index | None:
    dtype = values.dtype
    return dtype.categories if isinstance(dtype, pd.CategoricalDtype) else None


def _note(values: Any, read: Any) -> dict[str, Any] | None:
    dtype = values.dtype
    categories = _categories(values)
    if categories is not None:
        # Without categories, or with objects in them, no dictionary is read.
        if not isinstance(read, pd.CategoricalDtype):
            codes = pd.Categorical(values).codes
            return {"codes": codes, "labels": categories, "ordered": dtype.ordered}
        note = _note(categories, read.categories.dtype)
        return None if note is None else {"categories": note}
    if isinstance(dtype, pd.StringDtype) and dtype != read:
        return {"storage": dtype.storage, "na_value": dtype.na_value}
    if isinstance(dtype, pd.ArrowDtype) and dtype != read:
        name = str(dtype.pyarrow_dtype)
        return {"arrow": name} if name in _ARROW_TEXTS else None
    return _note_objects(values) if values.dtype == object else None


def _note_objects(values: Any) -> dict[str, Any] | None:
    """Note which missing value stands where; of several, by their number."""
    cells = values.to_numpy()
    is_missing = np.asarray(pd.isna(values))
    if not all(type(cell) in _CELLS for cell in cells[~is_missing]):
        return None
    fills: list[Any] = []
    codes = [_code(cell, fills) for cell in cells[is_missing]]
    note: dict[str, Any] = {"missing": fills}
    if len(fills) > 1:
        note["codes"] = np.array(codes, dtype=np.uint8)
    return note


def _code(cell: Any, fills: list[Any]) -> int:
    for k, fill in enumerate(fills):
        # Each NaN may be another object.
        if type(fill) is type(cell):
            return k
    fills.append(cell)
    return len(fills) - 1


def _restored(values: Any, note: dict[str, Any]) -> Any:
    """Make an array of the noted type."""
    if "labels" in note:
        of_labels = pd.CategoricalDtype(note["labels"], note["ordered"])
        return pd.Categorical.from_codes(note["codes"], dtype=of_labels)
    if "categories" in note:
        dtype = values.dtype
        categories = _restored(dtype.categories, note["categories"])
        categories = pd.Index(categories, dtype=categories.dtype)
        return pd.Categorical.from_codes(
            pd.Categorical(values).codes,
            dtype=pd.CategoricalDtype(categories, dtype.ordered),
        )
    if "storage" in note:
        return values.astype(_string_dtype(note)).array
    if "arrow" in note:
        if note["arrow"] not in _ARROW_TEXTS:
            raise ValueError(f"the unknown type {note['arrow']!r}")
        return values.astype(pd.ArrowDtype(_arrow_type(note["arrow"]))).array
    cells = np.array(values.to_numpy(dtype=object), dtype=object)
    is_missing = np.asarray(pd.isna(values))
    fills = np.empty(max(len(note["missing"]), 1), dtype=object)
    fills[: len(note["missing"])] = note["missing"]
    codes = note.get("codes", np.zeros(is_missing.sum(), dtype=np.uint8))
    cells[is_missing] = fills[codes]
    return cells


def _string_dtype(note: dict[str, Any]) -> pd.StringDtype:
    if note["na_value"] is pd.NA:
        return pd.StringDtype(note["storage"])
    # Versions before 2.3 take no `na_value`, and name the storage for it.
    named = () if note["storage"] == "pyarrow_numpy" else (note["na_value"],)
    return pd.StringDtype(note["storage"], *named)


def _arrow_type(name: str) -> Any:
    import pyarrow

    return getattr(pyarrow, name)()
