"""Files that programs for tables have rewritten, and labels that are not clear."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from skal.campaign import Campaign
from skal.exceptions import LabelFileError
from tests.campaign.test_files import read, write

Make = Callable[..., Campaign]


def test_ids_that_programs_write_alike(
    tmp_path: Path, make: Make, table: pd.DataFrame
) -> None:
    ids = [f"{k:04d}" for k in range(59)] + ["12"]  # beside 0012
    campaign = make(ids=ids)
    path = tmp_path / "a.csv"
    write(path, [["sample", "label"], ["7", "1"], ["12.0", "2"], ["x", "3"]])
    report = campaign.tell_file(path, strict=False)
    assert report.rows["outcome"].tolist() == ["new", "wrong", "wrong"]
    assert campaign.said() == [("0007", "answer", 1.0)]
    assert "Several rows may have this id: 0012, 12." in report.rows["detail"][1]
    assert "no row with this id" in report.rows["detail"][2]
    # Without another column it may be either; with one it is clear.
    row = table.iloc[59]
    write(path, [["sample", "label"], ["12", "2"]])
    with pytest.raises(LabelFileError, match="may be the row '0012', too"):
        campaign.tell_file(path)
    write(path, [["sample", "a", "label"], ["12", row["a"], "2"]])
    assert campaign.tell_file(path).counts == {"new": 1}
    assert campaign.said()[0] == ("12", "answer", 2.0)
    write(path, [["sample", "label"], ["0007", "1"], ["7", "1"]])
    with pytest.raises(LabelFileError, match="The id is also in line 2"):
        campaign.tell_file(path)


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_files_filled_in_by_pandas(
    kind: str, make: Make, table: pd.DataFrame, tmp_path: Path
) -> None:
    pytest.importorskip("openpyxl")
    n = len(table)
    display = pd.DataFrame(
        {
            "code": [f"{k:03d}" for k in range(n)],
            "veneer": ["None", "NA", "Stone", "  a"] * 15,
            "built": pd.date_range("2024-01-31", periods=n),
            "area": table["a"].to_numpy() / 3,
            "kind": ["@home", "+a-b", "a=b", "-1"] * 15,
        }
    )
    campaign = make(display=display, ids=[f"-K{k}" for k in range(n)])
    batch = campaign.ask(20)
    path = tmp_path / f"a.{kind}"
    if kind == "csv":
        batch.to_csv(path)
        filled = pd.read_csv(path)
        filled["label"] = 1.5
        filled.to_csv(path, index=False)
    else:
        batch.to_excel(path)
        filled = pd.read_excel(path)
        filled["label"] = 1.5
        filled.to_excel(path, index=False)
    assert campaign.tell_file(path).counts == {"new": 20}


def test_names_of_batches_are_not_read_as_numbers(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = uuid.UUID("9948179e" + "0" * 24)
    monkeypatch.setattr("skal.campaign.campaign.uuid.uuid4", lambda: drawn)
    campaign = make()
    path = tmp_path / "a.csv"
    campaign.ask(3).to_csv(path)
    filled = pd.read_csv(path)
    filled["label"] = 1.5
    filled.to_csv(path, index=False)
    assert campaign.tell_file(path).counts == {"new": 3}


def test_cells_that_programs_would_compute_are_escaped(
    make: Make, table: pd.DataFrame, tmp_path: Path
) -> None:
    attack = "=cmd|' /C calc'!A0"
    display = pd.DataFrame(
        {attack: [attack, "-1"] * 30, "b": ["+1+1", "@SUM(A1)"] * 30}
    )
    campaign = make(display=display, ids=[f"={k}" for k in range(60)], id_name="=id")
    path = tmp_path / "a.csv"
    campaign.ask(10).to_csv(path)
    rows = read(path)
    assert not [c for row in rows for c in row if c[:1] in "=+@" and c]
    assert {c for row in rows for c in row if c.startswith("-")} <= {"-1"}
    write(path, [[*row[:4], "2", *row[5:]] if k else row for k, row in enumerate(rows)])
    assert campaign.tell_file(path).counts == {"new": 10}


@pytest.mark.parametrize("word", ["N/A", "NA", "nan", "None", "#N/A", " null "])
def test_words_for_missing_values_are_no_labels(
    word: str, make: Make, tmp_path: Path
) -> None:
    campaign = make()
    path = tmp_path / "a.csv"
    write(path, [["sample", "label"], ["r001", word], ["r002", "2"]])
    assert campaign.tell_file(path).counts == {"empty": 1, "new": 1}
    with pytest.raises(ValueError, match="Leave such rows out"):
        campaign.tell(["r003"], [word])
    assert campaign.said() == [("r002", "answer", 2.0)]


def test_words_for_missing_values_may_be_classes(
    make: Make, classes: pd.Series, tmp_path: Path
) -> None:
    campaign = make(classes=["None", "Stone"], model=LogisticRegression())
    path = tmp_path / "a.csv"
    write(path, [["sample", "label"], ["r001", "None"], ["r002", "N/A"]])
    assert campaign.tell_file(path).counts == {"new": 1, "empty": 1}
    assert campaign.said() == [("r001", "answer", "None")]
    campaign.tell("r002", "None")


@pytest.mark.parametrize(
    ("labels", "value", "warns"),
    [
        (["1,234", "2,500"], 1.234, True),
        (["1.234", "2.500"], 1.234, True),
        (["1.234", "2.5"], 1.234, False),
        (["1,234", "2,5"], 1.234, False),
        (["0.234", "0.125"], 0.234, False),
    ],
)
def test_separators_that_may_be_of_thousands(
    labels: list[str], value: float, warns: bool, make: Make, tmp_path: Path
) -> None:
    campaign = make()
    path = tmp_path / "a.csv"
    rows = [["sample", "label"], *([f"r00{k}", t] for k, t in enumerate(labels))]
    write(path, rows, ";")
    how = (
        pytest.warns(UserWarning, match="2 labels such as") if warns else nullcontext()
    )
    with how:
        campaign.tell_file(path)
    assert {key: y for key, _, y in campaign.said()}["r000"] == value


def test_points_beside_decimal_commas_are_not_clear(make: Make, tmp_path: Path) -> None:
    campaign = make()
    path = tmp_path / "a.csv"
    write(path, [["sample", "label"], ["r001", "1.234"], ["r002", "2,5"]], ";")
    with pytest.raises(LabelFileError, match=r"'1\.234' is not clear") as raised:
        campaign.tell_file(path)
    assert raised.value.report.counts == {"wrong": 1, "not recorded": 1}


def test_formulas_that_were_never_computed_are_not_empty(
    make: Make, tmp_path: Path
) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    campaign = make()
    path = tmp_path / "a.xlsx"
    campaign.ask(3).to_excel(path)
    book = openpyxl.load_workbook(path)
    place = [cell.value for cell in book.active[1]].index("label") + 1
    book.active.cell(2, place, "=2*3")
    book.save(path)
    with pytest.raises(LabelFileError, match="'=2\\*3' is not a number"):
        campaign.tell_file(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sample,label\nr001,1,234\n", "Line 2 .* 1 more cells than the first one"),
        ('sample,note,label\nr001,"a,1\nr002,b,2\n', "not a CSV file: unexpected end"),
    ],
)
def test_lines_that_are_not_split_as_the_first_one(
    text: str, words: str, make: Make, tmp_path: Path
) -> None:
    campaign = make()
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(LabelFileError, match=words):
        campaign.tell_file(path)
    assert campaign.said() == []


def test_lines_with_quotes_empty_cells_and_blank_lines(
    make: Make, tmp_path: Path
) -> None:
    campaign = make()
    path = tmp_path / "a.csv"
    path.write_text('\n,,\nsample,note,label\nr001,"5"" x" y,1,,\n\nr002,6" z,2\n')
    report = campaign.tell_file(path)
    assert report.counts == {"new": 2}
    assert report.rows["line"].tolist() == [4, 6]


@pytest.mark.parametrize("ending", [".xls", ".ods"])
def test_other_formats_are_named(ending: str, make: Make, tmp_path: Path) -> None:
    path = tmp_path / f"a{ending}"
    path.write_bytes(b"\xd0\xcf\x11\xe0")
    with pytest.raises(LabelFileError, match=r"not a CSV file: save it as \.xlsx"):
        make().tell_file(path)


def test_names_of_columns_with_spaces_around_them(
    table: pd.DataFrame, tmp_path: Path
) -> None:
    pytest.importorskip("sqlalchemy")
    X = table.rename(columns={"a": " a ", "b": "b\n"}).rename_axis(" Nr")
    model = LogisticRegression()
    options = {"model": model, "classes": ["x", "y"], "target": "Art "}
    campaign = Campaign.create(tmp_path / "a.db", X, **options)
    path = tmp_path / "a.csv"
    campaign.ask(3).to_csv(path)
    filled = pd.read_csv(path)
    filled.columns = filled.columns.str.strip()
    filled["Art"] = "x"
    filled.to_csv(path, index=False)
    assert campaign.tell_file(path).counts == {"new": 3}
    filled["a"] += 1
    filled.to_csv(path, index=False)
    with pytest.raises(LabelFileError, match="The column 'a' holds"):
        campaign.tell_file(path)
