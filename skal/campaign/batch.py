"""The rows that an annotator is asked to label, and the files made of them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import pandas as pd

from skal._extras import how_to_install
from skal._files import write_whole
from skal.campaign.cells import LONGEST, escaped
from skal.campaign.labels import CANNOT

__all__ = ["BATCH", "RESERVED", "SCORE", "Batch", "cell_text", "load_openpyxl"]

#: Columns of files beside those of the user.
SCORE, BATCH = "skal_score", "skal_batch"
#: These, and those of `Campaign.export`.
RESERVED = (
    SCORE,
    BATCH,
    "skal_state",
    "skal_answers",
    "skal_different",
    "skal_test",
)


@dataclass
class Batch:
    """Rows to be labeled, as returned by `Campaign.ask`.

    Attributes
    ----------
    ids : list
        Ids of the rows; pass them to `Campaign.tell` with the labels.
    rows : rows of shape (n, ...)
        In the container of the pool.
    scores : ndarray of shape (n,)
        Of the strategy, higher is more valuable; NaN for rows that were not picked by
        score.
    batches : list of str
        The batch in which each row was picked. Rows that an earlier batch left
        unanswered are asked again under its name.
    annotator : str or None
    expires : datetime
        Until then nobody else is asked for these rows.
    """

    ids: list[Any]
    rows: Any
    scores: np.ndarray
    batches: list[str]
    annotator: str | None
    expires: datetime
    _table: pd.DataFrame
    _id_name: str
    _target: str
    _classes: list[Any]

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Batch of {len(self)} rows: {self.ids[:10]}"

    def to_frame(self) -> pd.DataFrame:
        """Make the table that is written to files.

        Returns
        -------
        table : DataFrame of shape (n, n_columns + 4)
            The id; the columns of the pool, or of `display`; the score; the target,
            empty; and the batch.
        """
        table = self._table.reset_index(drop=True)
        table.insert(0, self._id_name, self.ids)
        table[SCORE] = np.asarray(self.scores, dtype=float).round(6)
        table[self._target] = None
        table[BATCH] = self.batches
        return table

    def to_csv(self, path: Any) -> None:
        """Write a CSV file (UTF-8, comma) to be filled in; see `Campaign.tell_file`.

        Programs for tables recognize the encoding by the mark at its beginning. Texts
        that they would compute, as they begin with ``=``, ``+``, ``-`` or ``@`` and are
        no numbers, get an apostrophe before them, which `Campaign.tell_file` removes.
        They turn ids such as 007 or 1-2 into others: `to_excel` keeps them.
        """
        table = self.to_frame()
        write_whole(
            path,
            lambda partial: _as_texts(table).to_csv(
                partial, index=False, encoding="utf-8-sig", lineterminator="\r\n"
            ),
        )

    def to_excel(self, path: Any) -> None:
        """Write an Excel file to be filled in; needs openpyxl.

        Texts that begin with ``=`` stay texts, and are not computed.
        """
        openpyxl = load_openpyxl()
        table = self.to_frame()
        book = openpyxl.Workbook()
        sheet = book.active
        sheet.title = "labels"
        columns = [list(table.columns), *table.itertuples(index=False, name=None)]
        for r, row in enumerate(columns, start=1):
            for c, value in enumerate(row, start=1):
                value = _excel_value(value)
                if value is not None:
                    cell = sheet.cell(row=r, column=c, value=value)
                    if isinstance(value, str):
                        cell.data_type = "s"
        sheet.freeze_panes = "B2"
        write_whole(path, book.save)

    def to_label_studio(self, tasks: Any, config: Any = None) -> None:
        """Write tasks for Label Studio, and the configuration of the project.

        Parameters
        ----------
        tasks : str or path
            A JSON file to import. Its tasks hold the id, the batch, the score, by which
            the data manager can sort, and the row as a table of HTML.
        config : str or path, optional
            An XML file, to be pasted into the labeling interface: a choice of one of
            the classes, or a number.

        References
        ----------
        Label Studio, task format. https://labelstud.io/guide/task_format.html
        """
        records = [
            {
                "data": {
                    "skal_id": str(key),
                    BATCH: batch,
                    SCORE: None if np.isnan(score) else float(score),
                    "html": _html(row),
                }
            }
            for key, batch, score, row in zip(
                self.ids,
                self.batches,
                self.scores,
                self._table.to_dict("records"),
                strict=True,
            )
        ]
        text = json.dumps(records, ensure_ascii=False, indent=1)
        write_whole(tasks, lambda p: Path(p).write_text(text, encoding="utf-8"))
        if config is not None:
            xml = _config(self._classes)
            write_whole(config, lambda p: Path(p).write_text(xml, encoding="utf-8"))


def load_openpyxl() -> Any:
    """Import openpyxl, or say how to install it."""
    try:
        import openpyxl
    except ImportError as error:
        raise ImportError(
            "Excel files need openpyxl, which is not installed: "
            f"{how_to_install('campaign')}. CSV files need nothing."
        ) from error
    return openpyxl


def cell_text(value: Any) -> str:
    """Convert a cell to the text that is written to files; missing ones are empty."""
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return ""
    if isinstance(value, np.generic):
        value = value.item()
    # Excel refuses control characters.
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "", str(value))


def _as_texts(table: pd.DataFrame) -> pd.DataFrame:
    texts = {k: [cell_text(v) for v in table.iloc[:, k]] for k in range(table.shape[1])}
    found = pd.DataFrame(texts, dtype=object).map(escaped)
    found.columns = pd.Index([escaped(str(name)) for name in table.columns])
    return found


def _excel_value(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    text = cell_text(value)
    if text == "":
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # Excel keeps 15 digits: longer numbers, such as ids, are written as text.
    return value if is_number and abs(value) < 1e15 else text[:LONGEST]


def _html(row: dict[Any, Any]) -> str:
    cells = "".join(
        f"<tr><th>{escape(str(name))}</th><td>{escape(cell_text(value))}</td></tr>"
        for name, value in row.items()
    )
    return f"<table>{cells}</table>"


def _config(classes: list[Any]) -> str:
    if classes:
        choices = "".join(f"    <Choice value={quoteattr(str(c))}/>\n" for c in classes)
        control = (
            '  <Choices name="label" toName="row" choice="single">\n'
            f"{choices}  </Choices>"
        )
    else:
        control = '  <Number name="label" toName="row" step="any"/>'
    return (
        '<View>\n  <HyperText name="row" value="$html"/>\n'
        f"{control}\n"
        '  <Choices name="problem" toName="row" choice="multiple">\n'
        f'    <Choice value="{CANNOT}"/>\n  </Choices>\n</View>\n'
    )
