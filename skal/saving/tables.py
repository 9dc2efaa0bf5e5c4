"""Tables of pandas, polars and pyarrow, as Parquet; and times."""

from __future__ import annotations

import io
import sys
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from skal._extras import how_to_install
from skal.saving.dtypes import check_kept, note_types, restore_types
from skal.saving.tree import Codec, Reader, Writer

__all__ = ["TABLES"]


def _parquet(writer: Writer) -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            f"{writer.path()} is a table, which is saved as Parquet, and needs "
            f"pyarrow: {how_to_install('save')}."
        ) from error
    return pyarrow.parquet


def _write_pandas(value: Any, writer: Writer) -> dict[str, Any]:
    _parquet(writer)
    frame = _as_frame(value)
    names = frame.columns
    # Parquet keeps texts as names of columns; others are written beside it.
    numbered = frame.set_axis([str(k) for k in range(frame.shape[1])], axis=1)
    stream = io.BytesIO()
    try:
        numbered.to_parquet(stream, engine="pyarrow")
        read = _read_frame(stream.getvalue())
        notes = note_types(numbered, read)
        _check_names(names)
        check_kept(restore_types(read, notes).set_axis(names, axis=1), frame)
    # What pyarrow raises depends on the values that it cannot write.
    except Exception as error:
        raise writer.refusal(
            "Parquet does not keep some of its columns or its index as they are "
            f"({' '.join(str(error).split())[:200]})"
        ) from error
    return {
        "type": type(value).__name__,
        "file": writer.add_file("tables", "parquet", stream.getvalue()),
        "types": writer.write(notes, "types"),
        "columns": writer.write(_names_to_write(names), "columns"),
        "object_columns": names.dtype == object,
        "columns_name": writer.write(names.name, "columns"),
        "name": None if frame is value else writer.write(value.name, "name"),
    }


def _read_frame(content: bytes) -> pd.DataFrame:
    return pd.read_parquet(io.BytesIO(content), engine="pyarrow")


def _as_frame(value: Any) -> pd.DataFrame:
    """Make a DataFrame of a Series or an Index."""
    if isinstance(value, pd.Index):
        # Of a MultiIndex, its tuples, which Parquet does not keep.
        values = list(value) if isinstance(value, pd.MultiIndex) else value
        return pd.Series(values, dtype=value.dtype).to_frame(0)
    return value.to_frame(0) if isinstance(value, pd.Series) else value


def _check_names(names: pd.Index) -> None:
    if isinstance(names, pd.MultiIndex):
        raise ValueError("columns of several levels")


def _names_to_write(names: pd.Index) -> Any:
    """Prefer a list of names, unless it would become another Index."""
    listed = list(names)
    if names.dtype == object or pd.Index(listed).dtype == names.dtype:
        return listed
    return names


def _read_pandas(node: dict[str, Any], reader: Reader) -> Any:
    notes = reader.read(node.get("types")) or {}
    frame = restore_types(_read_frame(reader.members[node["file"]]), notes)
    if node["type"] == "DataFrame":
        names = pd.Index(
            reader.read(node["columns"]),
            dtype=object if node.get("object_columns") else None,
            name=reader.read(node["columns_name"]),
        )
        return frame.set_axis(names, axis=1)
    column = frame.iloc[:, 0]
    if node["type"] == "Series":
        return column.rename(reader.read(node["name"]))
    # By its argument, None would be taken for the name of the column.
    return pd.Index(column, dtype=column.dtype).rename(reader.read(node["name"]))


# -- times ----------------------------------------------------------------------------

_TIMES = {"Timestamp": np.datetime64, "Timedelta": np.timedelta64}
_MISSING = {"NaT": pd.NaT, "NA": pd.NA}


def _write_time(value: Any, writer: Writer) -> dict[str, Any]:
    zone = getattr(value, "tz", None)
    node = {
        "type": type(value).__name__,
        "value": int(value.asm8.view(np.int64)),
        "unit": value.unit,
        "zone": None if zone is None else str(zone),
        "shown": str(value),
    }
    try:
        again = _read_time(node, None)
        kept = again == value and str(getattr(again, "tz", None)) == str(zone)
    # What a time zone raises depends on its package.
    except Exception:
        kept = False
    if not kept:
        raise writer.refusal(f"the time zone {zone!r} has no name")
    return node


def _read_time(node: dict[str, Any], _: Any) -> Any:
    made = _TIMES[node["type"]](node["value"], node["unit"])
    if node["type"] == "Timedelta":
        return pd.Timedelta(made)
    time = pd.Timestamp(made)
    # pandas would open any file that is named so.
    if str(node["zone"]).startswith("dateutil"):
        raise ValueError(f"the unknown time zone {node['zone']!r}")
    return (
        time
        if node["zone"] is None
        else time.tz_localize("UTC").tz_convert(node["zone"])
    )


# -- polars and pyarrow ---------------------------------------------------------------


def _is_polars(value: Any) -> bool:
    polars = sys.modules.get("polars")
    return polars is not None and isinstance(value, polars.DataFrame | polars.Series)


def _write_polars(value: Any, writer: Writer) -> dict[str, Any]:
    parquet = _parquet(writer)
    series = not hasattr(value, "columns")
    frame = value.to_frame() if series else value
    stream = io.BytesIO()
    try:
        parquet.write_table(frame.to_arrow(), stream)
        again = _polars(stream.getvalue())
        kept = again.schema == frame.schema and again.equals(frame)
    # What polars raises depends on the values that it cannot write.
    except Exception as error:
        raise writer.refusal(f"Parquet cannot hold it ({error})") from error
    if not kept:
        raise writer.refusal("Parquet does not keep some of its columns as they are")
    return {
        "series": series,
        "file": writer.add_file("tables", "parquet", stream.getvalue()),
    }


def _polars(content: bytes) -> Any:
    return nw.from_arrow(_arrow(content), backend="polars").to_native()


def _read_polars(node: dict[str, Any], reader: Reader) -> Any:
    frame = _polars(reader.members[node["file"]])
    return frame.to_series() if node["series"] else frame


def _is_arrow(value: Any) -> bool:
    pyarrow = sys.modules.get("pyarrow")
    return pyarrow is not None and isinstance(value, pyarrow.Table)


def _arrow(content: bytes) -> Any:
    import pyarrow.parquet

    return pyarrow.parquet.read_table(io.BytesIO(content))


def _write_arrow(value: Any, writer: Writer) -> dict[str, Any]:
    parquet = _parquet(writer)
    stream = io.BytesIO()
    parquet.write_table(value, stream)
    if not _arrow(stream.getvalue()).equals(value):
        raise writer.refusal("Parquet does not keep some of its columns as they are")
    return {"file": writer.add_file("tables", "parquet", stream.getvalue())}


def _read_arrow(node: dict[str, Any], reader: Reader) -> Any:
    return _arrow(reader.members[node["file"]])


TABLES = (
    Codec(
        "missing",
        lambda v: v is pd.NaT or v is pd.NA,
        lambda v, _: {"name": str(v).replace("<NA>", "NA")},
        lambda node, _: _MISSING[node["name"]],
    ),
    Codec(
        "time",
        lambda v: type(v) in (pd.Timestamp, pd.Timedelta),
        _write_time,
        _read_time,
    ),
    Codec(
        "pandas",
        lambda v: isinstance(v, pd.DataFrame | pd.Series | pd.Index),
        _write_pandas,
        _read_pandas,
    ),
    Codec("polars", _is_polars, _write_polars, _read_polars),
    Codec("pyarrow", _is_arrow, _write_arrow, _read_arrow),
)
