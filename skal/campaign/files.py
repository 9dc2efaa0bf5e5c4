"""Files that come back with labels: read, checked row by row, and reported."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from skal.campaign.batch import BATCH, SCORE, cell_text, load_openpyxl
from skal.campaign.labels import CANNOT, SKIP, Labels
from skal.exceptions import LabelFileError

__all__ = ["LabelReport", "Saying", "check_rows", "read_label_studio", "read_rows"]

#: Outcomes that are wrong.
_WRONG = "wrong"


class Saying(NamedTuple):
    """What a file says of a row.

    Attributes
    ----------
    where : int
        Line of the file, or number of the task.
    id : str
    cells : dict of str to str
        Columns of the user, as text.
    text : object
        What stands in the place of the label: a text, or a value of JSON.
    batch : str or None
    annotator : str or None
    decimal_comma : bool
        Whether a comma may separate decimals, as in files separated by semicolons.
    """

    where: int
    id: str
    cells: dict[str, str]
    text: Any
    batch: str | None
    annotator: str | None = None
    decimal_comma: bool = False


@dataclass
class LabelReport:
    """What became of each row of a file.

    Attributes
    ----------
    rows : DataFrame
        Columns ``line``, ``id``, ``outcome`` and ``detail``. Outcomes: "new",
        "corrected" and "unchanged" labels, "skip", "cannot label", "empty", or "wrong",
        where the detail says why; in an error, the others are "not recorded".
    """

    rows: pd.DataFrame = field(repr=False)

    @classmethod
    def of(
        cls, lines: Sequence[int], ids: Sequence[Any], outcomes: Sequence[str]
    ) -> LabelReport:
        """Make a report without details."""
        columns = {"line": lines, "id": ids, "outcome": outcomes, "detail": ""}
        return cls(pd.DataFrame(columns, index=range(len(lines))))

    @property
    def counts(self) -> dict[str, int]:
        """Number of rows by outcome."""
        return {str(k): int(v) for k, v in self.rows["outcome"].value_counts().items()}

    @property
    def wrong(self) -> pd.DataFrame:
        """The rows that are wrong."""
        return self.rows[self.rows["outcome"] == _WRONG]

    def __str__(self) -> str:
        counts = ", ".join(f"{n} {outcome}" for outcome, n in self.counts.items())
        lines = [f"{len(self.rows)} rows: {counts or 'none'}"]
        for row in self.wrong.head(20).itertuples():
            lines.append(f"  line {row.line}, id {row.id}: {row.detail}")
        if len(self.wrong) > 20:
            lines.append(f"  and {len(self.wrong) - 20} more")
        return "\n".join(lines)


# -- reading --------------------------------------------------------------------------


def read_rows(path: Any, id_name: str, target: str) -> list[Saying]:
    """Read a CSV or an Excel file; rows without any cell are left out.

    Raises
    ------
    LabelFileError
        If the file as a whole cannot be read, or the column of ids or of labels is
        missing.
    """
    path = Path(path)
    delimiter = ","
    if path.suffix.lower() in (".xlsx", ".xlsm"):
        table = _read_excel(path)
    else:
        table, delimiter = _read_csv(path, id_name)
    header = [name.strip() for name in table[0]] if table else []
    for name in (id_name, target):
        if header.count(name) != 1:
            how = "several columns" if name in header else "no column"
            raise LabelFileError(
                f"{str(path)!r} has {how} {name!r}: its columns are {header[:20]}."
            )
    sayings = []
    for line, cells in enumerate(table[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        padded = [*cells, *[""] * (len(header) - len(cells))]
        row = dict(zip(header, padded, strict=False))
        key, text = row.pop(id_name).strip(), row.pop(target)
        row.pop(SCORE, None)
        batch = row.pop(BATCH, None)
        comma = delimiter != ","
        sayings.append(Saying(line, key, row, text, batch, decimal_comma=comma))
    return sayings


def _read_csv(path: Path, id_name: str) -> tuple[list[list[str]], str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise LabelFileError(
            f"{str(path)!r} is not in UTF-8. Save it as CSV UTF-8, or as an Excel file."
        ) from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    first = text.split("\n", 1)[0]
    # Where the comma separates decimals, programs for tables write semicolons.
    splits = {d: next(csv.reader([first], delimiter=d), []) for d in ",;\t"}
    found = [d for d, names in splits.items() if id_name in map(str.strip, names)]
    delimiter = found[0] if found else ","
    return list(csv.reader(io.StringIO(text), delimiter=delimiter)), delimiter


def _read_excel(path: Path) -> list[list[str]]:
    openpyxl = load_openpyxl()
    try:
        # Formulas are read as the values that were last computed.
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # openpyxl raises whatever its parsers raise
        raise LabelFileError(
            f"{str(path)!r} is not an Excel file ({type(error).__name__}: {error})."
        ) from error
    try:
        sheet = book.worksheets[0]
        return [
            [_excel_text(cell) for cell in row]
            for row in sheet.iter_rows(values_only=True)
        ]
    finally:
        book.close()


def _excel_text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return cell_text(value)


def read_label_studio(path: Any) -> list[Saying]:
    """Read what Label Studio exports as JSON; see `Campaign.from_label_studio`."""
    path = Path(path)
    try:
        tasks = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise LabelFileError(f"{str(path)!r} is not JSON: {error}.") from None
    if not isinstance(tasks, list) or not all(isinstance(t, dict) for t in tasks):
        raise LabelFileError(
            f"{str(path)!r} is not a list of tasks. Export as JSON, not as JSON-MIN."
        )
    sayings = []
    for k, task in enumerate(tasks):
        data = task.get("data") or {}
        if "annotations" not in task:
            raise LabelFileError(
                f"Task {k} of {str(path)!r} has no annotations. Export as JSON, not as "
                "JSON-MIN."
            )
        batch = data.get(BATCH)
        latest: dict[str, tuple[str, Any]] = {}
        for annotation in task["annotations"]:
            name = _annotator(annotation.get("completed_by"))
            when = str(annotation.get("updated_at") or annotation.get("created_at"))
            if name not in latest or when >= latest[name][0]:
                latest[name] = when, _result(annotation)
        for name, (_, text) in latest.items():
            sayings.append(
                Saying(k, str(data.get("skal_id", "")), {}, text, batch, name)
            )
    return sayings


def _annotator(completed_by: Any) -> str:
    if isinstance(completed_by, dict):
        completed_by = completed_by.get("email") or completed_by.get("id")
    return "" if completed_by is None else str(completed_by)


def _result(annotation: dict[str, Any]) -> Any:
    if annotation.get("was_cancelled"):
        return SKIP
    found: Any = ""
    for result in annotation.get("result") or []:
        value = result.get("value") or {}
        if result.get("from_name") == "problem" and value.get("choices"):
            return CANNOT
        if result.get("from_name") == "label":
            choices = value.get("choices")
            found = choices[0] if choices else value.get("number", "")
    return found


# -- checking -------------------------------------------------------------------------


def check_rows(
    sayings: Sequence[Saying],
    labels: Labels,
    positions: dict[str, int],
    prefix: str,
    shown: Callable[[int], dict[str, Any]],
) -> tuple[list[Any], list[str]]:
    """Check each row of a file.

    Parameters
    ----------
    sayings : sequence of Saying
    labels : Labels
    positions : dict of str to int
        Of the rows, by their ids as text.
    prefix : str
        What the names of the batches of the campaign begin with.
    shown : callable
        Gives the cells of a row as they were written.

    Returns
    -------
    found : list of (position, kind, value) or None
        What to record; None for rows that are empty or wrong.
    problems : list of str
        What is wrong, or empty.
    """
    seen: dict[tuple[str, str | None], int] = {}
    found, problems = [], []
    for saying in sayings:
        key = saying.id, saying.annotator
        try:
            if saying.id == "":
                raise ValueError("There is no id.")
            if saying.id not in positions:
                raise ValueError("The campaign has no row with this id.")
            if key in seen:
                raise ValueError(f"The id is also in line {seen[key]}.")
            if saying.batch and not str(saying.batch).startswith(prefix):
                raise ValueError(
                    f"The batch {saying.batch!r} is of another campaign, whose batches "
                    f"are called {prefix}1, {prefix}2, ..."
                )
            position = positions[saying.id]
            _check_cells(saying, shown(position))
            found.append(_answer(saying, position, labels))
            problems.append("")
        except ValueError as error:
            found.append(None)
            problems.append(str(error))
        seen.setdefault(key, saying.where)
    return found, problems


def _answer(saying: Saying, position: int, labels: Labels) -> Any:
    text = saying.text
    word = str(text).strip().casefold()
    if word == "":
        return None
    if word == SKIP:
        return position, "skip", None
    if word == CANNOT:
        return position, "cannot", None
    if not isinstance(text, str):
        return position, "answer", labels.check(text)
    try:
        value = labels.parse(text)
    except ValueError:
        plain = _with_point(text, saying)
        if plain == text:
            raise
        value = labels.parse(plain)
    return position, "answer", value


def _check_cells(saying: Saying, shown: dict[str, Any]) -> None:
    for name, text in saying.cells.items():
        if name not in shown:
            continue
        before = cell_text(shown[name])
        if not (_same(text, before) or _same(_with_point(text, saying), before)):
            raise ValueError(
                f"The column {name!r} holds {text!r}, and {before!r} in the campaign: "
                "is it another row?"
            )


def _with_point(text: str, saying: Saying) -> str:
    """Write a number with a decimal point, if it has a decimal comma."""
    if saying.decimal_comma and re.fullmatch(r"\s*[+-]?\d+,\d+\s*", text):
        return text.replace(",", ".")
    return text


def _same(text: str, before: str) -> bool:
    """Whether two cells hold the same, apart from the ways in which programs write."""
    text, before = (" ".join(t.split()) for t in (text, before))
    if text.casefold() == before.casefold():
        return True
    try:
        # Programs for tables keep 15 digits.
        return math.isclose(float(text), float(before), rel_tol=1e-12)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text) == datetime.fromisoformat(before)
    except (TypeError, ValueError):
        return False
