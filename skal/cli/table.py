"""A file of rows: its ids, its features, and the labels that are known."""

from __future__ import annotations

import csv
import io
import re
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skal._extras import how_to_install
from skal.campaign.batch import cell_text, load_openpyxl
from skal.cli.cells import read_cells

__all__ = ["Table", "read_table"]

#: Names of columns that may hold ids.
_ID = re.compile(r"(^|[_ .-])(id|ids|uuid|guid|pid|key|nr|no|number)$", re.IGNORECASE)
#: A number with a unit or separators.
_AMOUNT = re.compile(r"\s*[$€£¥]?\s*[+-]?\d[\d.,' \u00a0\u202f]*\s*[$€£¥%]?\s*")
#: Distinct numbers up to which it is not clear whether they are classes.
_FEW = 10


@dataclass
class Table:
    """The rows of a file.

    Attributes
    ----------
    X : DataFrame of shape (m, d)
        The features, by id.
    display : DataFrame of shape (m, d)
        The same as text, as the user wrote them.
    y : Series of shape (m,) or None
        Labels, missing where there are none; None if no target was named.
    id_name : str
        Name of the column of ids, or "row" for the numbers of rows.
    whole : DataFrame
        All columns as text.
    """

    X: pd.DataFrame
    display: pd.DataFrame
    y: pd.Series | None
    id_name: str
    whole: pd.DataFrame

    def task(self) -> str:
        """Say from the labels whether this is classification or regression.

        Raises
        ------
        ValueError
            If it is not clear.
        """
        known = pd.Series(dtype=float) if self.y is None else self.y.dropna()
        if not len(known):
            raise ValueError(
                "No row has a label, so the task is not known: pass --task, and "
                "--classes for classification."
            )
        amounts = known.map(lambda v: isinstance(v, str) and _AMOUNT.fullmatch(v))
        if amounts.map(bool).all():
            raise ValueError(
                f"The labels are texts such as {known.iloc[0]!r}, which look like "
                "numbers: write them without units and separators of thousands, or "
                "pass --task classification."
            )
        numbers = pd.api.types.is_numeric_dtype(known.infer_objects())
        if not numbers or pd.api.types.is_bool_dtype(known.infer_objects()):
            return "classification"
        whole = np.array_equal(known, known.round())
        if whole and known.nunique() <= _FEW:
            raise ValueError(
                f"The target has {known.nunique()} distinct whole numbers, which may "
                "be classes or amounts: pass --task classification or --task "
                "regression."
            )
        return "regression"


def read_table(
    path: Any, target: str | None = None, id_name: str | None = None
) -> Table:
    """Read a file of rows.

    Parameters
    ----------
    path : str or path
        CSV in UTF-8, Excel (its first sheet) or parquet. In a CSV file that is not
        separated by commas, numbers may have a decimal comma.
    target : str, optional
        The column of labels.
    id_name : str, optional
        The column of ids. By default the first one that is named like one and holds
        another value in each row; without it, the rows are numbered.

    Raises
    ------
    ValueError
        If the file, or a column, is not what it should be.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind in (".xlsx", ".xlsm"):
        load_openpyxl()
        values = pd.read_excel(path)
        # Cells of text stay texts, such as an id 0007.
        texts = _as_texts(pd.read_excel(path, dtype=object, keep_default_na=False))
    elif kind in (".parquet", ".pq"):
        try:
            values = pd.read_parquet(path)
        except ImportError as error:
            raise ImportError(
                "Parquet files need pyarrow, which is not installed: "
                f"{how_to_install('save')}."
            ) from error
        texts = _as_texts(values)
    else:
        values, texts = _read_csv(path, target)
    names = [str(name) for name in values.columns]
    values.columns = texts.columns = pd.Index(names)
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"{str(path)!r} has several columns named {repeated}.")
    if not len(values):
        raise ValueError(f"{str(path)!r} has no rows.")
    for name, what in ((target, "target"), (id_name, "id")):
        if name is not None and name not in names:
            raise ValueError(
                f"{str(path)!r} has no column {name!r} for the {what}: its columns are "
                f"{names[:30]}."
                + (" Add an empty one if no label is known." if name == target else "")
            )
    found = id_name or _find_id(texts, target)
    ids: Any = list(range(1, len(values) + 1)) if found is None else list(texts[found])
    dropped = [name for name in (found, target) if name is not None]
    index = pd.Index(ids, name=found or "row")
    X = values.drop(columns=dropped).set_axis(index)
    display = texts.drop(columns=dropped).set_axis(index)
    y = None if target is None else _labels(values[target].set_axis(index))
    return Table(X, display, y, found or "row", texts.set_axis(index))


def _labels(column: pd.Series) -> pd.Series:
    """Strip texts, and restore whole numbers among missing ones."""
    if pd.api.types.is_numeric_dtype(column):
        known = column.dropna()
        if column.hasnans and np.array_equal(known, known.round()):
            return known.astype(np.int64).astype(object).reindex(column.index)
        return column
    column = column.map(lambda cell: cell.strip() if isinstance(cell, str) else cell)
    return column.where(column != "", None)


def _find_id(texts: pd.DataFrame, target: str | None) -> str | None:
    for name in texts.columns:
        column = texts[name].str.strip()
        if name == target or not _ID.search(name):
            continue
        if column.is_unique and (column != "").all():
            return str(name)
    return None


def _read_csv(path: Path, target: str | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(
            f"{str(path)!r} is not in UTF-8. Save it as CSV UTF-8, or as Excel."
        ) from None
    first = text.split("\n", 1)[0].rstrip("\r")
    splits = {d: next(csv.reader([first], delimiter=d), []) for d in ",;\t|"}
    found = [d for d, names in splits.items() if target in names]
    delimiter = found[0] if found else max(splits, key=lambda d: len(splits[d]))
    _check_lines(path, text, delimiter)
    # Without an index, into which a separator at the end of each line shifts all cells.
    options: dict[str, Any] = {"sep": delimiter, "index_col": False}
    try:
        with warnings.catch_warnings():
            # Only empty cells are lost.
            warnings.simplefilter("ignore", pd.errors.ParserWarning)
            values = pd.read_csv(io.StringIO(text), **options)
            texts = pd.read_csv(
                io.StringIO(text), dtype=str, keep_default_na=False, **options
            )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{str(path)!r} is not a CSV file: {error}.") from error
    return read_cells(values, delimiter), texts


def _check_lines(path: Path, text: str, delimiter: str) -> None:
    """Raise if a line has cells that are in no column."""
    with suppress(csv.Error):  # such as a cell that is too long for csv alone
        lines = csv.reader(io.StringIO(text), delimiter=delimiter)
        width = len(next(lines, []))
        for line in lines:
            if any(cell.strip() for cell in line[width:]):
                raise ValueError(
                    f"Line {lines.line_num} of {str(path)!r} has {len(line)} cells, "
                    f"and the first one {width}: a cell that holds the separator must "
                    "be in quotes."
                )


def _as_texts(values: pd.DataFrame) -> pd.DataFrame:
    texts = {
        k: [cell_text(v) for v in values.iloc[:, k]] for k in range(values.shape[1])
    }
    return pd.DataFrame(texts, dtype=object).set_axis(values.columns, axis=1)
