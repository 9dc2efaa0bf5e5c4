"""The command ``skal``, mostly in this process, on a file as people write them."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from skal.campaign import Campaign
from skal.cli import main
from skal.cli.rules import make_rule
from skal.cli.table import read_table
from skal.datasets import load_ames
from skal.stopping import Budget, SmallGain, StablePredictions, TargetScore

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command; returns its code, stdout and stderr."""
    pytest.importorskip("sqlalchemy", reason="campaigns need the extra `campaign`")

    def call(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def messy(tmp_path: Path) -> Path:
    """Dates, missing values, names that are not ASCII, and 30 of 80 prices."""
    rng = np.random.default_rng(0)
    path = tmp_path / "häuser.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["Objekt-Nr", "Fläche m²", "verkauft", "Art", "Preis"])
        for k in range(80):
            area = rng.uniform(50, 200)
            price = f"{1000 * area + rng.normal():.2f}" if k % 8 < 3 else ""
            writer.writerow(
                [
                    f"{k:04d}",
                    f"{area:.1f}" if k % 9 else "",
                    f"2024-{1 + k % 12:02d}-15" if k % 7 else "NA",
                    ["Haus", "Wohnung", "Schloß; alt", ""][k % 4],
                    price,
                ]
            )
    return path


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")


def answer(path: Path, price: float = 1.0) -> pd.DataFrame:
    rows = read(path)
    rows["Preis"] = [f"{price + k}" for k in range(len(rows))]
    rows.to_csv(path, index=False, encoding="utf-8-sig")
    return rows


def test_a_campaign_on_a_messy_file(messy: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "to_label.csv"
    ask = ["ask", messy, "--target", "Preis", "-n", 6, "-o", out, "--model", "linear"]
    code, printed, said = run(*ask)
    assert (code, printed) == (0, "")
    assert "80 rows with ids from 'Objekt-Nr', of which 30 have labels" in said
    assert "regression, model linear, strategy LCMD" in said
    rows = read(out)
    assert list(rows)[:4] == ["Objekt-Nr", "Fläche m²", "verkauft", "Art"]
    whole = read_table(messy, "Preis").whole
    for row in rows.itertuples(index=False):
        assert list(row[:4]) == whole.loc[row[0]].tolist()[:4]  # zeros and NA are kept
        assert whole.loc[row[0], "Preis"] == ""

    told = answer(out)
    code, printed, said = run("tell", messy, out)
    assert code == 0
    assert "6 rows: 6 new" in printed
    assert "36 answered" in printed
    code, printed, _ = run("status", messy)
    assert "80 rows: 44 pool, 36 answered; 1 batches" in printed

    # Settings need not be repeated; labels in the table itself are recorded.
    table = messy.read_text(encoding="utf-8-sig").splitlines()
    place = next(k for k, line in enumerate(table) if line.endswith(";"))
    key = table[place].split(";")[0]
    if key not in set(told["Objekt-Nr"]):
        table[place] += "4711"
    messy.write_text("\n".join(table), encoding="utf-8")
    code, _, said = run("ask", messy, "-o", tmp_path / "more.xlsx", "-n", 3)
    assert code == 0
    assert ("1 rows: 1 new" in said) == (key not in set(told["Objekt-Nr"]))
    assert (tmp_path / "more.xlsx").exists()

    code, _, said = run("export", messy, "-o", tmp_path / "done.csv", "--predict")
    assert code == 0
    done = read(tmp_path / "done.csv").set_index("Objekt-Nr")
    assert done.loc[told["Objekt-Nr"], "Preis"].tolist() == told["Preis"].tolist()
    assert pd.to_numeric(done["Preis_predicted"]).notna().all()


def test_errors_go_to_stderr_and_change_nothing(
    messy: Path, tmp_path: Path, run: Run
) -> None:
    out = tmp_path / "to_label.csv"
    options = ["-o", out, "--model", "linear", "-n", 4]
    cases = [
        (["ask", tmp_path / "no.csv", "--target", "Preis", *options], "no.csv"),
        (["ask", messy, *options], "--target"),
        (["ask", messy, "--target", "Preise", *options], "no column 'Preise'"),
        (["ask", messy, "--target", "Preis", "--id", "Nr", *options], "column 'Nr'"),
        (["ask", messy, "--target", "Preis", "--strategy", "Best", *options], "'Best'"),
        (["ask", messy, "--target", "Preis", "--strategy", "Margin", *options], "LCMD"),
        (["ask", messy, "--target", "Neu", *options], "Add an empty one"),
        (
            ["ask", messy, "--target", "Preis", *options, "-o", tmp_path / "no" / "a"],
            "There is no folder",
        ),
        (["compare", messy], "--target"),
        (["compare", messy, "--target", "Preis", "--start", 40], "Lower --start, -n"),
        (["tell", messy, out], "no campaign"),
        (["status", messy], "no campaign"),
    ]
    for arguments, words in cases:
        code, printed, said = run(*arguments)
        assert (code, printed) == (1, "")
        assert said.startswith("skal: error: ")
        assert words in said
        assert list(tmp_path.iterdir()) == [messy]

    run("ask", messy, "--target", "Preis", *options)
    rows = answer(out)
    rows.loc[1, "Preis"] = "teuer"
    rows.to_csv(out, index=False)
    code, _, said = run("tell", messy, out)
    assert code == 1
    assert "line 3" in said
    assert "'teuer' is not a number" in said
    assert "30 answered" in run("status", messy)[1]
    code, printed, _ = run("tell", messy, out, "--partly", "--annotator", "Jürgen")
    assert code == 0
    assert "33 answered" in printed
    assert "Jürgen: 3 answer" in printed

    changed = messy.read_text(encoding="utf-8-sig").replace("Wohnung", "Villa", 1)
    messy.write_text(changed, encoding="utf-8")
    code, _, said = run("ask", messy, *options)
    assert code == 1
    assert "1 rows hold other values" in said
    assert "'Art'" in said


def test_what_was_fixed_at_the_start_is_not_changed_in_silence(
    messy: Path, tmp_path: Path, run: Run
) -> None:
    ask = ["ask", messy, "-o", tmp_path / "a.csv", "--model", "linear", "-n", 2]
    assert run(*ask, "--target", "Preis", "--seed", 3)[0] == 0
    assert run(*ask, "--target", "Preis", "--seed", 3)[0] == 0
    for name, value in (
        ("target", "Art"),
        ("id", "Art"),
        ("task", "classification"),
        ("classes", "a,b"),
        ("seed", "4"),
        ("test-share", "0.3"),
    ):
        code, _, said = run(*ask, f"--{name}", value)
        assert code == 1
        assert f"--{name} was fixed at the start" in said


def test_the_seed_is_0_by_default(messy: Path, tmp_path: Path, run: Run) -> None:
    ask = ["ask", messy, "-o", tmp_path / "a.csv", "--model", "linear", "-n", 2]
    assert run(*ask, "--target", "Preis")[0] == 0
    assert run(*ask, "--seed", 0)[0] == 0
    assert run(*ask, "--seed", 1)[0] == 1


@pytest.mark.filterwarnings("default:The stopping rule says")
def test_rows_for_testing_and_a_stopping_rule(
    messy: Path, tmp_path: Path, run: Run
) -> None:
    out = tmp_path / "a.csv"
    ask = ["ask", messy, "-o", out, "--model", "linear", "-n", 8]
    begin = [*ask, "--target", "Preis", "--test-share", 0.3]
    for rule in ("budget", "budget=0", "score=much", "stable=0", "patience", "", "a |"):
        code, _, said = run(*begin, "--stop", rule)
        assert code == 1
        assert "is not a stopping rule: rules are budget=LABELS" in said
    code, _, said = run(*ask, "--target", "Preis", "--stop", "score=0.9")
    assert code == 1
    assert "start it with --test-share 0.1" in said
    assert not Path(f"{messy}.skal").exists()
    code, _, said = run(*begin, "--stop", "budget=35 | score=2 & stable")
    assert code == 0
    held_out = int(re.search(r"(\d+) are held out for testing", said)[1])  # type: ignore[index]
    assert 5 <= held_out <= 25  # of 50 without a label
    assert "warning" not in said
    whole = read_table(messy, "Preis").whole
    rows = read(out)
    area = whole.loc[rows["Objekt-Nr"], "Fläche m²"].replace("", "100").astype(float)
    rows["Preis"] = (1000 * area).to_numpy().astype(str)
    rows.to_csv(out, index=False, encoding="utf-8-sig")
    assert run("tell", messy, out)[0] == 0
    printed = run("status", messy, "--fit")[1]
    assert "test: 2 answered of" in printed
    assert re.search(
        r"test error with 38 labels: \S+ \[0, .*absolute.* 2 rows", printed
    )
    assert "time to stop? with 38 labels: 38 labels of a budget of 35" in printed
    # Without a fit, it is what was found when rows were asked last.
    assert "time to stop?" not in run("status", messy)[1]
    code, _, said = run(*ask)
    assert code == 0
    assert "warning: The stopping rule says that it is time to stop: 38 labels" in said
    assert "time to stop? with 38 labels" in run("status", messy)[1]


def _read(path: Path, columns: dict[str, list[str]], delimiter: str) -> pd.DataFrame:
    pd.DataFrame(columns).to_csv(path, index=False, sep=delimiter)
    return read_table(path).X


def test_numbers_and_dates_of_other_countries(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    columns = {
        "plain": ["1,5", "-20", "", "1.234,25"],
        "mixed": ["1,5", "about 2", "3", "4"],
        "point": ["1.5", "2.5", "3", "4"],
        "dotted": ["31.12.2023", "", "1.2.2024", "05.06.2024 14:30"],
        "slashed": ["12/31/2023", "01/02/2024", "", "3/4/2024"],
        "version": ["1.2.3", "1.2.4", "", ""],
    }
    X = _read(path, columns, ";")
    np.testing.assert_array_equal(X["plain"], [1.5, -20, np.nan, 1234.25])
    assert X["mixed"].tolist() == columns["mixed"]
    assert X["point"].tolist() == [1.5, 2.5, 3, 4]
    dates = ["2023-12-31", None, "2024-02-01", "2024-06-05 14:30"]
    assert pd.Index(X["dotted"]).equals(pd.to_datetime(dates, format="ISO8601"))
    dates = ["2023-12-31", "2024-01-02", None, "2024-03-04"]
    assert pd.Index(X["slashed"]).equals(pd.to_datetime(dates))
    assert X["version"].tolist()[:2] == ["1.2.3", "1.2.4"]
    assert read_table(path).display["plain"].tolist() == columns["plain"]
    # Between commas, a comma in a cell separates no decimals.
    assert _read(path, columns, ",")["plain"].tolist()[0] == "1,5"


def test_what_is_unclear_is_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    with pytest.warns(UserWarning, match=r"\['a'\] are read as decimal commas"):
        X = _read(path, {"a": ["1,234", "5", "12,500"], "b": ["1,5", "1,234", ""]}, ";")
    assert X["a"].tolist() == [1.234, 5.0, 12.5]
    for dates in (["01/02/2024", "3/4/2024"], ["31.02.2024", "1.2.2024"]):
        with pytest.warns(UserWarning, match=r"\['a'\] are read as texts"):
            X = _read(path, {"a": dates, "b": ["1", "2"]}, ";")
        assert X["a"].tolist() == dates
    path.write_text("a;y\n1;2,5\n2;3,5\n3;\n")
    table = read_table(path, "y")
    assert table.task() == "regression"
    assert table.y is not None
    assert table.y.dropna().tolist() == [2.5, 3.5]


def test_rules_are_joined_as_in_python() -> None:
    X = np.arange(4.0)[:, None]
    made = make_rule("budget=5 | stable & score=0.5|gain=0.1", X, 0)
    stable = StablePredictions(X, 0.01)
    assert repr(made) == repr(Budget(5) | stable & TargetScore(0.5) | SmallGain(0.1))
    assert make_rule(None, X, 0) is None


def test_labels_corrected_in_the_table_are_recorded(
    messy: Path, tmp_path: Path, run: Run
) -> None:
    ask = ["ask", messy, "-o", tmp_path / "a.csv", "--model", "linear", "-n", 2]
    run(*ask, "--target", "Preis")
    lines = messy.read_text(encoding="utf-8-sig").splitlines()
    lines[1] = lines[1].rsplit(";", 1)[0] + ";99999"
    messy.write_text("\n".join(lines), encoding="utf-8")
    assert "1 rows: 1 corrected" in run(*ask)[2]
    assert "recorded" not in run(*ask)[2]
    run("export", messy, "-o", tmp_path / "b.csv")
    assert read(tmp_path / "b.csv")["Preis"][0] == "99999.0"


def test_tasks_are_read_from_the_labels(tmp_path: Path) -> None:
    def task(labels: list[object]) -> str:
        path = tmp_path / "x.csv"
        pd.DataFrame({"a": range(len(labels)), "y": labels}).to_csv(path, index=False)
        return read_table(path, "y").task()

    assert task(["ja", "nein", None]) == "classification"
    assert task([True, False, None]) == "classification"
    assert task([0.5, 1.5, None]) == "regression"
    assert task([*range(20), None]) == "regression"
    for labels, words in (([0, 1, None], "2 distinct whole"), ([None, None], "No row")):
        with pytest.raises(ValueError, match=words):
            task(labels)


def test_classes_are_numbers_as_they_were_written(tmp_path: Path, run: Run) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.normal(size=40), "b": rng.normal(size=40)})
    table["y"] = table["a"].gt(0).astype(int).where(np.arange(40) < 20)
    path, out = tmp_path / "x.parquet", tmp_path / "tasks.json"
    pytest.importorskip("pyarrow")
    table.to_parquet(path)
    options = ["--target", "y", "-o", out, "--model", "linear"]
    assert "pass --task" in run("ask", path, *options)[2]
    code, _, said = run("ask", path, *options, "--task", "classification", "-n", 4)
    assert code == 0, said
    assert "strategy Margin" in said
    assert "ids from 'row'" in said
    tasks = json.loads(out.read_text())
    choice = {"from_name": "label", "value": {"choices": ["1"]}}
    for entry in tasks:
        entry["annotations"] = [{"result": [choice], "completed_by": 7}]
    out.write_text(json.dumps(tasks))
    code, printed, said = run("tell", path, out)
    assert code == 0, said
    assert "24 answered" in printed
    assert "7: 4 answer" in printed


def test_excel_files_are_read(tmp_path: Path, messy: Path) -> None:
    pytest.importorskip("openpyxl")
    table = read_table(messy, "Preis")
    path = tmp_path / "x.xlsx"
    whole = table.whole.drop(columns="Objekt-Nr").reset_index()
    whole.to_excel(path, index=False)
    again = read_table(path, "Preis")
    assert again.id_name == "Objekt-Nr"
    assert list(again.X) == list(table.X)
    assert again.X.index.tolist() == table.X.index.tolist()


def test_strategies_are_listed_and_compared(
    messy: Path, tmp_path: Path, run: Run
) -> None:
    code, printed, _ = run("strategies", "--task", "regression")
    assert code == 0
    assert "LCMD" in printed
    assert "Margin" not in printed
    table, page = tmp_path / "scores.csv", tmp_path / "report.html"
    code, printed, said = run(
        *("compare", messy, "--target", "Preis", "--model", "linear", "-n", 2),
        *("--start", 8, "--queries", 2, "--folds", 2, "-o", table, "--html", page),
        *("--strategies", "Random,lcmd"),
    )
    assert code == 0, said
    assert "LCMD" in printed
    scores = pd.read_csv(table)
    assert set(scores["strategy"]) == {"Random", "LCMD"}
    assert sorted(scores["n_labeled"].unique()) == [8, 10, 12]
    assert "<table" in page.read_text()


def test_wrong_arguments_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        ["ask"],
        ["fly"],
        ["ask", "x.csv", "-o", "y.csv", "-n", "0"],
        ["compare", "x.csv", "--campaign", "x.skal"],  # which it does not read
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
        assert "usage: skal" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["ask", "--help"])
    assert ended.value.code == 0
    assert "skal ask houses.csv --target SalePrice" in capsys.readouterr().out


@pytest.mark.filterwarnings("default")
def test_warnings_and_interrupts_are_lines_on_stderr(
    messy: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def warn(options: object) -> None:
        warnings.warn("Mind the gap.", UserWarning, stacklevel=2)

    def interrupt(options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("skal.cli.commands.status", warn)
    assert run("status", messy) == (0, "", "skal: warning: Mind the gap.\n")
    monkeypatch.setattr("skal.cli.commands.status", interrupt)
    assert run("status", messy) == (130, "", "skal: interrupted\n")


def test_wrong_files_are_named(tmp_path: Path) -> None:
    cases: list[tuple[bytes, str]] = [
        (b"", "is not a CSV file"),
        (b'a,y\n1,"2\n', "is not a CSV file"),
        (b"a,y\n", "has no rows"),
        ("größe,y\n1,2\n".encode("latin-1"), "not in UTF-8"),
        (b"a,b\n1,2\n", "no column 'y' for the target"),
    ]
    path = tmp_path / "x.csv"
    for content, words in cases:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=words):
            read_table(path, "y")
    pytest.importorskip("openpyxl")
    path = tmp_path / "x.xlsx"
    pd.DataFrame([["a", "y", "y"], [1, 2, 3]]).to_excel(path, header=False, index=False)
    assert list(read_table(path, "y").X) == ["a", "y.1"]
    table = pd.DataFrame({"1": [1], 1: [2], "y": [3]})
    pytest.importorskip("pyarrow")
    table.set_axis(["1", "2", "y"], axis=1).to_parquet(tmp_path / "x.parquet")
    assert list(read_table(tmp_path / "x.parquet", "y").X) == ["1", "2"]


@pytest.mark.parametrize(
    ("header", "cells", "found"),
    [
        ("a,id,y", ["1,u,5", "2,v,6"], "id"),
        ("Key,Object_ID,y", ["1,u,5", "1,v,6"], "Object_ID"),
        ("nr;a;y", ["1;u;5", ";v;6"], "row"),
        ("nr\tid\ty", [" 1\tu\t5", "1\tu\t6"], "row"),
        ("a|uuid|y", ["1|u|5", "2|v|6"], "uuid"),
        ("width,y", ["1,5", "2,6"], "row"),
    ],
)
def test_ids_are_found_by_their_name(
    header: str, cells: list[str], found: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.csv"
    path.write_text("\n".join([header, *cells]))
    table = read_table(path, "y")
    assert table.id_name == found
    assert found not in table.X
    assert "y" not in table.X
    assert table.y is not None
    assert table.y.tolist() == [5, 6]
    assert found != "row" or table.X.index.tolist() == [1, 2]


def test_no_row_is_left_and_labels_go_to_excel(
    messy: Path, tmp_path: Path, run: Run
) -> None:
    pytest.importorskip("openpyxl")
    out, done = tmp_path / "a.csv", tmp_path / "done.xlsx"
    ask = ["ask", messy, "-o", out, "--model", "linear", "-n", 100]
    code, _, said = run(*ask, "--target", "Preis", "--strategy", "Random")
    assert code == 0, said
    told = answer(out).set_index("Objekt-Nr")["Preis"]
    assert len(told) == 50
    run("tell", messy, out)
    out.unlink()
    assert run(*ask)[2] == "No row is left to ask for.\n"
    assert not out.exists()
    assert "80 of 80 rows have labels" in run("export", messy, "-o", done)[2]
    whole = pd.read_excel(done, dtype=str).set_index("Objekt-Nr")
    assert whole.loc[told.index, "Preis"].astype(float).equals(told.astype(float))
    assert whole.index.tolist() == [f"{k:04d}" for k in range(80)]


def test_a_campaign_of_a_program_is_continued_there(
    messy: Path, tmp_path: Path, run: Run
) -> None:
    path = tmp_path / "own.db"
    Campaign.create(path, pd.DataFrame({"a": range(4)}), model=Ridge())
    for command in (["ask", "-o", tmp_path / "a.csv"], ["export", "-o", path]):
        code, _, said = run(*command[:1], messy, *command[1:], "--campaign", path)
        assert code == 1
        assert "was made by a program" in said


@pytest.mark.parametrize(
    ("host", "warned"),
    [("127.0.0.1", 0), ("localhost", 0), ("::1", 0), ("0.0.0.0", 1), ("10.0.0.7", 1)],
)
def test_labeling_passes_the_options_on(
    host: str, warned: int, messy: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    labeling = pytest.importorskip("skal.labeling")
    served: dict[str, object] = {}

    def serve(campaign: Campaign, **options: object) -> None:
        served.update(options, target=campaign.target)

    monkeypatch.setattr(labeling, "serve", serve)
    code, _, said = run(
        *("label", messy, "--target", "Preis", "--model", "linear", "-n", 3),
        *("--annotator", "ann", "--host", host, "--port", 8123, "--no-browser"),
        "--explain",
    )
    assert code == 0, said
    assert served == {
        **{"target": "Preis", "annotator": "ann", "images": None, "n": 3},
        **{"host": host, "port": 8123, "open_browser": False, "explain": True},
    }
    assert said.count("other machines reach the page") == warned


@pytest.mark.slow
def test_command_is_a_program(messy: Path) -> None:
    pytest.importorskip("sqlalchemy", reason="campaigns need the extra `campaign`")
    done = subprocess.run(
        [sys.executable, "-m", "skal.cli", "status", str(messy)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONUTF8": "1"},
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("skal: error: There is no campaign")
    assert "Traceback" not in done.stderr


@pytest.mark.skipif("SKAL_DATA" not in os.environ, reason="SKAL_DATA is not set")
def test_first_try_on_ames(tmp_path: Path, run: Run) -> None:
    X, y = load_ames(clean=False)
    labeled = np.random.default_rng(0).permutation(len(y)) < 60
    table = X.assign(SalePrice=y.where(labeled)).iloc[:1000]
    path, out = tmp_path / "ames.csv", tmp_path / "to_label.csv"
    table.to_csv(path, index=False)
    code, _, said = run(
        *("ask", path, "--target", "SalePrice", "-n", 20, "-o", out),
        *("--model", "linear"),
    )
    assert code == 0, said
    rows = read(out)
    assert len(rows) == rows["row"].nunique() == 20
    places = rows["row"].astype(int) - 1
    assert not labeled[places].any()
    rows["SalePrice"] = y.iloc[places].to_numpy()
    rows.to_csv(out, index=False)
    code, printed, said = run("tell", path, out)
    assert code == 0, said
    assert "20 rows: 20 new" in printed
