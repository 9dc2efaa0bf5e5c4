"""Files go out with an empty column, and come back in every state."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from skal.campaign import Batch, Campaign
from skal.campaign.batch import cell_text
from skal.campaign.files import LabelReport, _excel_text
from skal.exceptions import LabelFileError
from skal.strategies import Random

Make = Callable[..., Campaign]
Edit = Callable[[list[list[str]]], Any]


@pytest.fixture
def display() -> pd.DataFrame:
    """Rows as a person wrote them."""
    n = 60
    return pd.DataFrame(
        {
            "Größe, m²": [f"{50 + k / 4:.2f}" for k in range(n)],
            "Datum": [f"2024-01-{1 + k % 28:02d}" for k in range(n)],
            "Art": ["Haus", "=1+1", 'sagt "ja"', "", "  zwei\nZeilen "] * 12,
        }
    )


@pytest.fixture
def campaign(make: Make, display: pd.DataFrame) -> Campaign:
    return make(display=display, target="Preis", id_name="Nr", strategy=Random())


@pytest.fixture
def batch(campaign: Campaign) -> Batch:
    return campaign.ask(8, "ann")


def read(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def write(path: Path, rows: list[list[str]], delimiter: str = ",") -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)


def fill(rows: list[list[str]]) -> list[list[str]]:
    """Answer each row by its line."""
    place = rows[0].index("Preis")
    for k, row in enumerate(rows[1:], start=1):
        row[place] = str(k * 1.5)
    return rows


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *(
            (None, ""),
            (np.nan, ""),
            (pd.NA, ""),
            (pd.NaT, ""),
            (np.float32(0.5), "0.5"),
        ),
        *((np.int64(3), "3"), (True, "True"), ("a\x00\x1f\tb", "a\tb"), ([1], "[1]")),
    ],
)
def test_cells_are_written_as_text(value: Any, text: str) -> None:
    assert cell_text(value) == text


@pytest.mark.parametrize(("n", "more"), [(20, 0), (21, 1), (33, 13)])
def test_twenty_wrong_rows_are_shown(n: int, more: int) -> None:
    report = LabelReport.of(range(2, n + 3), range(n + 1), ["wrong"] * n + ["new"])
    report.rows["detail"] = "no"
    first, *lines = str(report).splitlines()
    assert first == f"{n + 1} rows: {n} wrong, 1 new"
    assert lines[:20] == [f"  line {k + 2}, id {k}: no" for k in range(20)]
    assert lines[20:] == [f"  and {more} more"] * bool(more)
    assert str(LabelReport.of([], [], [])) == "0 rows: none"


# -- going out ------------------------------------------------------------------------


def test_file_has_the_rows_as_they_were_written(
    batch: Batch, display: pd.DataFrame, tmp_path: Path
) -> None:
    batch.to_csv(tmp_path / "a.csv")
    header, *rows = read(tmp_path / "a.csv")
    assert header == ["Nr", *display.columns, "skal_score", "Preis", "skal_batch"]
    assert [row[0] for row in rows] == batch.ids
    for row in rows:
        expected = display.iloc[int(row[0][1:])].replace("=1+1", "'=1+1").tolist()
        assert row[1:4] == expected
        assert row[5] == ""
    assert {row[6] for row in rows} == {batch.batches[0]}
    assert (tmp_path / "a.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    assert [path.name for path in tmp_path.glob("*.csv*")] == ["a.csv"]


def test_excel_files_hold_texts_and_no_formulas(batch: Batch, tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    batch.to_excel(tmp_path / "a.xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "a.xlsx").active
    cells = [cell for row in sheet.iter_rows() for cell in row]
    assert sheet.max_row == 9
    assert {cell.data_type for cell in cells} <= {"s", "n"}
    assert any(cell.value == "=1+1" for cell in cells)


def test_numbers_that_excel_would_round_are_texts(make: Make, tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    columns = {"n": 7, "big": 10**15, "less": 10**15 - 1, "half": 0.5, "new": True}
    display = pd.DataFrame({name: [value] * 60 for name, value in columns.items()})
    make(display=display).ask(1).to_excel(tmp_path / "a.xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "a.xlsx").active
    _, *cells = next(sheet.iter_rows(min_row=2, max_col=6, values_only=True))
    assert cells == [7, "1000000000000000", 10**15 - 1, 0.5, "True"]


@pytest.mark.parametrize(
    ("cell", "text"), [(3.0, "3"), (-2.5, "-2.5"), (1e15, "1000000000000000.0")]
)
def test_whole_numbers_of_excel_are_written_without_a_point(
    cell: float, text: str
) -> None:
    """Excel keeps 3 as 3.0; an id would not be found."""
    assert _excel_text(cell) == text


def test_a_failed_write_leaves_the_former_file(
    batch: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a.csv"
    target.write_text("before")

    def fail(self: Any, path: Any, **kwargs: Any) -> None:
        Path(path).write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", fail)
    with pytest.raises(OSError, match="No space"):
        batch.to_csv(target)
    assert target.read_text() == "before"
    assert list(tmp_path.glob(".a*")) == []


# -- coming back ----------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_filled_files_are_recorded_for_whom_they_were_made(
    delimiter: str, campaign: Campaign, batch: Batch, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    batch.to_csv(path)
    write(path, fill(read(path)), delimiter)
    report = campaign.tell_file(path)
    assert report.counts == {"new": 8}
    labels = campaign.export()["Preis"]
    assert [labels[key] for key in batch.ids] == [1.5 * k for k in range(1, 9)]
    assert campaign.status().annotators == {"ann": {"answer": 8}}
    # The same file again doubles nothing.
    assert campaign.tell_file(path).counts == {"unchanged": 8}
    assert len(campaign.events()) == 8 + 8


def test_excel_files_come_back(
    campaign: Campaign, batch: Batch, tmp_path: Path
) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    path = tmp_path / "a.xlsx"
    batch.to_excel(path)
    book = openpyxl.load_workbook(path)
    sheet = book.active
    for k in range(2, 7):
        sheet.cell(k, 6, 1.5 * k)
    sheet.cell(7, 6, "Skip")
    sheet.cell(8, 6, "cannot label")
    sheet.delete_rows(9)
    sheet.append([])
    book.save(path)
    report = campaign.tell_file(path)
    assert report.counts == {"new": 5, "skip": 1, "cannot label": 1}
    assert campaign.export().loc[batch.ids[2], "Preis"] == 6.0
    assert campaign.status().annotators["ann"] == {
        **{"answer": 5, "skip": 1, "cannot": 1, "waiting": 1}
    }


def test_rows_may_be_moved_left_out_or_empty(
    campaign: Campaign, batch: Batch, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    batch.to_csv(path)
    header, *rows = fill(read(path))
    rows[3][5] = "  "
    mixed = [[*row[::-1], "a note"] for row in [rows[k] for k in (5, 3, 0, 2)]]
    write(path, [[*header[::-1], "note"], *mixed, [""] * 8])
    report = campaign.tell_file(path)
    assert report.rows["outcome"].tolist() == ["new", "empty", "new", "new"]
    assert report.rows["line"].tolist() == [2, 3, 4, 5]
    labels = campaign.export()["Preis"].dropna().to_dict()
    assert labels == {batch.ids[k]: 1.5 * (k + 1) for k in (0, 2, 5)}


def edit_cell(line: int, place: int, text: str) -> Edit:
    def edit(rows: list[list[str]]) -> None:
        rows[line][place] = text

    return edit


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (edit_cell(2, 0, "r9999"), "no row with this id"),
        (edit_cell(2, 0, ""), "no id"),
        (edit_cell(2, 5, "viel"), "'viel' is not a number"),
        (edit_cell(2, 5, "1,5"), "'1,5' is not a number"),
        (edit_cell(2, 5, "inf"), "not finite"),
        (edit_cell(2, 1, "7.5"), "column 'Größe, m²' holds '7.5'"),
        (edit_cell(2, 2, "2025-01-01"), "column 'Datum'"),
        (edit_cell(2, 6, "0badcafe-1"), "another campaign"),
        (lambda rows: rows.__setitem__(2, rows[1][:]), "also in line 2"),
    ],
)
def test_one_wrong_row_is_reported_and_nothing_recorded(
    edit: Edit, words: str, campaign: Campaign, batch: Batch, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    batch.to_csv(path)
    rows = fill(read(path))
    edit(rows)
    write(path, rows)
    n_events = len(campaign.events())
    with pytest.raises(LabelFileError, match="nothing was recorded") as raised:
        campaign.tell_file(path)
    assert raised.value.report.counts == {"not recorded": 7, "wrong": 1}
    (wrong,) = raised.value.report.wrong.to_dict("records")
    assert wrong["line"] == 3
    assert words in wrong["detail"]
    assert f"line 3, id {rows[2][0]}: {wrong['detail']}" in str(raised.value)
    assert len(campaign.events()) == n_events
    # The others are right.
    report = campaign.tell_file(path, strict=False)
    assert report.counts == {"new": 7, "wrong": 1}
    assert len(campaign.export()["Preis"].dropna()) == 7
    assert batch.ids[1] not in campaign.export()["Preis"].dropna()


def test_what_programs_change_is_no_change(
    campaign: Campaign, batch: Batch, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    batch.to_csv(path)
    rows = fill(read(path))
    for row in rows[1:]:
        row[1] = str(float(row[1]))  # 50.50 becomes 50.5
        row[2] += " 00:00:00"
        row[3] = row[3].strip()
    write(path, rows)
    assert campaign.tell_file(path).counts == {"new": 8}


def test_decimal_commas_of_files_separated_by_semicolons(
    campaign: Campaign, batch: Batch, tmp_path: Path
) -> None:
    batch.to_csv(tmp_path / "a.csv")
    rows = fill(read(tmp_path / "a.csv"))
    label, area = rows[0].index("Preis"), rows[0].index("Größe, m²")
    for row in rows[1:]:
        row[label] = row[label].replace(".", ",") + "5"
        row[area] = row[area].replace(".", ",")
    write(tmp_path / "a.csv", rows)  # between commas it is something else
    with pytest.raises(LabelFileError, match="holds"):
        campaign.tell_file(tmp_path / "a.csv")
    for delimiter in ";\t":
        write(tmp_path / "a.csv", rows, delimiter)
        campaign.tell_file(tmp_path / "a.csv")
        found = campaign.export()["Preis"].dropna()
        given = {row[0]: float(row[label].replace(",", ".")) for row in rows[1:]}
        assert found.to_dict() == given
    for wrong in ("1,2,3", "1.000,5", "a,5", "1, 5"):
        rows[1][label] = wrong
        write(tmp_path / "a.csv", rows, ";")
        with pytest.raises(LabelFileError, match=f"'{wrong}' is not a number"):
            campaign.tell_file(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no column 'Nr'"),
        (b"Nr,Preise\nr001,2\n", "no column 'Preis'"),
        (b"Nr,Preis\nr001," + b"1" * 200_000, "not a CSV file: field larger"),
        (b"Nr,Preis,Preis\nr001,2,3\n", "several columns 'Preis'"),
        ("Nr,Preis,Größe\nr001,2,3\n".encode("latin-1"), "not in UTF-8"),
    ],
)
def test_files_that_cannot_be_read(
    content: bytes, words: str, campaign: Campaign, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(LabelFileError, match=words):
        campaign.tell_file(path)


def test_damaged_excel_files_are_named(campaign: Campaign, tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    path = tmp_path / "a.xlsx"
    path.write_bytes(b"PK not quite")
    with pytest.raises(LabelFileError, match="not an Excel file"):
        campaign.tell_file(path)
    with pytest.raises(FileNotFoundError):
        campaign.tell_file(tmp_path / "nothing.xlsx")


def test_classes_of_files_are_those_of_the_campaign(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    cases: list[tuple[list[Any], list[str], list[Any]]] = [
        ([0, 1], ["0", "1.0"], [0, 1]),
        ([False, True], ["TRUE", "false"], [True, False]),
        (["a", "b c"], ["b c ", "a"], ["b c", "a"]),
        ([0.5, 1.5], ["0.50", "1.5"], [0.5, 1.5]),
    ]
    for k, (classes, texts, expected) in enumerate(cases):
        campaign = make(f"{k}.db", classes=classes)
        write(path, [["sample", "label"], ["r003", texts[0]], ["r004", texts[1]]])
        campaign.tell_file(path)
        assert campaign.export()["label"].dropna().tolist() == expected
        write(path, [["sample", "label"], ["r005", "c"]])
        with pytest.raises(LabelFileError, match="'c' is not one of the classes"):
            campaign.tell_file(path)


def test_ids_are_those_of_the_pool_and_numbers_stay_numbers(
    tmp_path: Path, make: Make, table: pd.DataFrame
) -> None:
    campaign = make(ids=np.arange(60) + 7)
    batch = campaign.ask(2)
    assert {type(key) for key in batch.ids} <= {int, np.int64}
    for text in ("{}", "{}.0", "0{}"):
        path = tmp_path / "a.csv"
        rows = [["sample", "label"], [text.format(batch.ids[0]), "1"]]
        write(path, rows)
        report = campaign.tell_file(path)
        assert report.counts == {"new" if text == "{}" else "unchanged": 1}


# -- Label Studio ---------------------------------------------------------------------


def test_label_studio_tasks_and_configuration(
    batch: Batch, display: pd.DataFrame, tmp_path: Path
) -> None:
    from xml.etree import ElementTree

    batch.to_label_studio(tmp_path / "tasks.json", tmp_path / "config.xml")
    tasks = json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8"))
    assert [task["data"]["skal_id"] for task in tasks] == batch.ids
    for task in tasks:
        row = display.iloc[int(task["data"]["skal_id"][1:])]
        cells = [f"<tr><th>{n}</th><td>{escape(v)}</td></tr>" for n, v in row.items()]
        assert task["data"]["html"] == f"<table>{''.join(cells)}</table>"
    view = ElementTree.parse(tmp_path / "config.xml").getroot()
    names = {element.get("name"): element.tag for element in view}
    assert names == {"row": "HyperText", "label": "Number", "problem": "Choices"}
    assert view.find("HyperText").get("value") == "$html"  # type: ignore[union-attr]


def annotation(user: Any, value: Any, when: str = "2026-01-01", **more: Any) -> Any:
    kind = "choices" if isinstance(value, list) else "number"
    result = {"from_name": "label", "to_name": "row", "type": kind}
    result["value"] = {kind: value}
    filled = [] if value is None else [result]
    return {"completed_by": user, "updated_at": when, "result": filled, **more}


def test_label_studio_exports_come_back(make: Make, tmp_path: Path) -> None:
    campaign = make(classes=["ja", 'ne"in'], n_answers=2)
    batch = campaign.ask(5)
    tasks_path, config = tmp_path / "tasks.json", tmp_path / "config.xml"
    batch.to_label_studio(tasks_path, config)
    assert "<Choice value='ne\"in'/>" in config.read_text()
    tasks = json.loads(tasks_path.read_text())
    problem = {"from_name": "problem", "value": {"choices": ["cannot label"]}}
    tasks[0]["annotations"] = [
        annotation(1, ["ja"], "2026-01-02"),
        annotation(1, ['ne"in'], "2026-01-01"),
        annotation({"id": 2, "email": "bob@x.org"}, ['ne"in']),
    ]
    tasks[1]["annotations"] = [annotation(1, None, was_cancelled=True)]
    tasks[2]["annotations"] = [{"completed_by": 1, "result": [problem]}]
    tasks[3]["annotations"] = []
    tasks[4]["annotations"] = [annotation(1, None)]
    export = tmp_path / "export.json"
    export.write_text(json.dumps(tasks))
    report = campaign.from_label_studio(export)
    assert report.counts == {"new": 2, "skip": 1, "cannot label": 1, "empty": 1}
    assert campaign._ledger.answers(campaign.ids.index(batch.ids[0])) == {
        **{"1": "ja", "bob@x.org": 'ne"in'}
    }
    other = {"from_name": "comment", "value": {"choices": ["ja"]}}
    tasks[4]["annotations"] = [{"completed_by": 1, "result": [other]}]
    export.write_text(json.dumps(tasks))
    assert campaign.from_label_studio(export).counts["empty"] == 1
    tasks[4]["annotations"] = [annotation(1, ["vielleicht"])]
    export.write_text(json.dumps(tasks))
    with pytest.raises(LabelFileError, match="'vielleicht' is not one of the classes"):
        campaign.from_label_studio(export)


def test_label_studio_numbers_and_wrong_exports(make: Make, tmp_path: Path) -> None:
    campaign = make()
    export = tmp_path / "export.json"
    task = {"data": {"skal_id": "r003"}, "annotations": [annotation(1, 2.5)]}
    export.write_text(json.dumps([task]))
    assert campaign.from_label_studio(export).counts == {"new": 1}
    assert campaign.export()["label"].dropna().to_dict() == {"r003": 2.5}
    for text, words in (
        ("{", "not JSON"),
        ('{"a": 1}', "not a list of tasks"),
        ('[{"skal_id": "r003", "label": 2}]', "no annotations"),
    ):
        export.write_text(text)
        with pytest.raises(LabelFileError, match=words):
            campaign.from_label_studio(export)
