"""Files that come back with labels: read, checked row by row, and reported."""

from __future__ import annotations

import csv
import io
import json
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from skal.campaign.batch import BATCH, SCORE, cell_text, load_openpyxl
from skal.campaign.cells import MISSING, plain_number, same_cell, unescaped
from skal.campaign.labels import CANNOT, SKIP, Labels
from skal.exceptions import LabelFileError

__all__ = ["LabelReport", "Saying", "check_rows", "read_label_studio", "read_rows"]

#: Outcomes that are wrong.
_WRONG = "wrong"
#: Endings of files of programs for tables that are neither read nor texts.
_OTHER_FORMATS = (".xls", ".xlsb", ".ods", ".numbers", ".parquet")
#: Numbers whose comma separates decimals, or whose points may separate thousands.
_WITH_COMMA = r"[+-]?(\d+|\d{1,3}(\.\d{3})+),\d+"
_THOUSANDS = r"[+-]?[1-9]\d{0,2}(\.\d{3})+"


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
    n_blank = next((k for k, row in enumerate(table) if any(map(str.strip, row))), 0)
    table = table[n_blank:]
    header = [unescaped(name.strip()) for name in table[0]] if table else []
    # Spaces around names are lost where people edit them.
    id_name, target = str(id_name).strip(), str(target).strip()
    for name in (id_name, target):
        if header.count(name) != 1:
            how = "several columns" if name in header else "no column"
            raise LabelFileError(
                f"{str(path)!r} has {how} {name!r}: its columns are {header[:20]}."
            )
    sayings = []
    for line, cells in enumerate(table[1:], start=n_blank + 2):
        if not any(cell.strip() for cell in cells):
            continue
        n_more = len(cells) - len(header)
        if n_more > 0 and any(cell.strip() for cell in cells[len(header) :]):
            raise LabelFileError(
                f"Line {line} of {str(path)!r} has {n_more} more cells than the first "
                "one: a cell that holds the separator must be in quotes."
            )
        padded = [*cells, *[""] * (len(header) - len(cells))]
        row = dict(zip(header, padded, strict=False))
        key, text = unescaped(row.pop(id_name).strip()), row.pop(target)
        row.pop(SCORE, None)
        batch = row.pop(BATCH, None)
        comma = delimiter != ","
        sayings.append(Saying(line, key, row, text, batch, decimal_comma=comma))
    return sayings


def _read_csv(path: Path, id_name: str) -> tuple[list[list[str]], str]:
    if path.suffix.lower() in _OTHER_FORMATS:
        raise LabelFileError(
            f"{str(path)!r} is not a CSV file: save it as .xlsx or as CSV UTF-8."
        )
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
    try:
        try:
            return _split_csv(text, delimiter, strict=True), delimiter
        except csv.Error as error:
            # A quote that is never closed would swallow the rows after it.
            if "unexpected end" in str(error):
                raise
            return _split_csv(text, delimiter, strict=False), delimiter
    except csv.Error as error:
        raise LabelFileError(f"{str(path)!r} is not a CSV file: {error}.") from error


def _split_csv(text: str, delimiter: str, strict: bool) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text), delimiter=delimiter, strict=strict))


def _read_excel(path: Path) -> list[list[str]]:
    openpyxl = load_openpyxl()
    try:
        # Formulas are read as the values that were last computed, if they were.
        books = [
            openpyxl.load_workbook(path, read_only=True, data_only=only)
            for only in (True, False)
        ]
    except FileNotFoundError:
        raise
    except Exception as error:  # openpyxl raises whatever its parsers raise
        raise LabelFileError(
            f"{str(path)!r} is not an Excel file ({type(error).__name__}: {error})."
        ) from error
    try:
        rows = [book.worksheets[0].iter_rows(values_only=True) for book in books]
        return [
            [
                _excel_text(formula if value is None else value)
                for value, formula in zip(*pair, strict=True)
            ]
            for pair in zip(*rows, strict=True)
        ]
    finally:
        for book in books:
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
    seen: dict[tuple[int, str | None], int] = {}
    found, problems = [], []
    commas = _have_commas(sayings, labels)
    ids = _Ids(positions)
    for saying in sayings:
        try:
            if saying.id == "":
                raise ValueError("There is no id.")
            position, alike = ids.find(saying.id)
            key = position, saying.annotator
            if seen.setdefault(key, saying.where) != saying.where:
                raise ValueError(f"The id is also in line {seen[key]}.")
            if saying.batch and not str(saying.batch).startswith(prefix):
                raise ValueError(
                    f"The batch {saying.batch!r} is of another campaign, whose batches "
                    f"are called {prefix}1, {prefix}2, ..."
                )
            n_same = _check_cells(saying, shown(position))
            if alike and not n_same:
                raise ValueError(
                    f"It may be the row {alike[0]!r}, too, as programs for tables "
                    "write such ids alike: keep another column."
                )
            found.append(_answer(saying, position, labels, commas))
            problems.append("")
        except ValueError as error:
            found.append(None)
            problems.append(str(error))
    return found, problems


class _Ids:
    """Finds rows by ids that programs for tables may have written as numbers."""

    def __init__(self, positions: dict[str, int]) -> None:
        self._positions = positions
        self._alike: dict[float, list[str]] = {}
        for text in positions:
            if (number := plain_number(text)) is not None:
                self._alike.setdefault(number, []).append(text)

    def find(self, key: str) -> tuple[int, list[str]]:
        """Find the position of an id, and other ids that a program writes alike."""
        number = plain_number(key)
        alike = [] if number is None else self._alike.get(number, [])
        if key in self._positions:
            return self._positions[key], [text for text in alike if text != key]
        if len(alike) == 1:
            return self._positions[alike[0]], []
        if alike:
            raise ValueError(
                f"Several rows may have this id: {', '.join(alike[:5])}. Programs for "
                "tables write them alike in CSV files; to_excel keeps them."
            )
        raise ValueError(
            "The campaign has no row with this id. (Programs for tables change ids "
            "such as 1-2 in CSV files; to_excel keeps them.)"
        )


def _have_commas(sayings: Sequence[Saying], labels: Labels) -> bool:
    """Whether commas separate decimals in a file; warns where it is not clear."""
    if labels.task != "regression":
        return False
    texts = [s.text.strip() for s in sayings if s.decimal_comma and str(s.text).strip()]
    cells = [cell for s in sayings if s.decimal_comma for cell in s.cells.values()]
    if any(re.fullmatch(_WITH_COMMA, text.strip()) for text in [*texts, *cells]):
        unclear, sign = _THOUSANDS.replace(r"\.", ","), ","
    else:
        unclear, sign = _THOUSANDS, "."
    marked = [text for text in texts if sign in text]
    if marked and all(re.fullmatch(unclear, text) for text in marked):
        meaning = marked[0].replace(",", ".")
        name = "comma" if sign == "," else "point"
        warnings.warn(
            f"{len(marked)} labels such as {marked[0]!r} are read as {meaning}. If the "
            f"{name} separates thousands, write them without it.",
            UserWarning,
            stacklevel=2,
        )
    return sign == ","


def _answer(saying: Saying, position: int, labels: Labels, commas: bool) -> Any:
    text = saying.text
    word = str(text).strip().casefold()
    if word == "" or (word in MISSING and not labels.has(str(text))):
        return None
    if word == SKIP:
        return position, "skip", None
    if word == CANNOT:
        return position, "cannot", None
    if not isinstance(text, str):
        return position, "answer", labels.check(text)
    if commas and re.fullmatch(_THOUSANDS, text.strip()):
        raise ValueError(
            f"{text!r} is not clear, as the comma separates decimals in this file: "
            "write it without a point."
        )
    try:
        value = labels.parse(text)
    except ValueError:
        plain = _with_point(text, saying)
        if plain == text:
            raise
        value = labels.parse(plain)
    return position, "answer", value


def _check_cells(saying: Saying, shown: dict[str, Any]) -> int:
    """Compare the cells of a row, and count those that say something."""
    n_same = 0
    shown = {name.strip(): cell for name, cell in shown.items()}
    for name, text in saying.cells.items():
        if name not in shown:
            continue
        before = cell_text(shown[name])
        if not any(same_cell(t, before) for t in (text, _with_point(text, saying))):
            raise ValueError(
                f"The column {name!r} holds {_short(text)!r}, and {_short(before)!r} "
                "in the campaign: is it another row?"
            )
        n_same += before != ""
    return n_same


def _short(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:100]}..."


def _with_point(text: str, saying: Saying) -> str:
    """Write a number with a decimal point, if it has a decimal comma."""
    if saying.decimal_comma and re.fullmatch(r"\s*[+-]?\d+,\d+\s*", text):
        return text.replace(",", ".")
    return text
