"""What all studies share: arguments, files, and the command in the report."""

import sys

import pytest

from benchmarks.campaigns import can_load, command_of, study_parser, work_file


def test_arguments_of_studies(tmp_path):
    args = study_parser("A study.", seeds=3).parse_args(["--work", str(tmp_path)])
    assert (args.seeds, args.n_jobs, args.report_only) == (3, 1, False)
    assert work_file(args, "study") == tmp_path / "study.csv"
    parser = study_parser("A study.", quick="little")
    args = parser.parse_args(["--quick", "--jobs", "4", "--work", str(tmp_path)])
    assert args.n_jobs == 4
    assert work_file(args, "study") == tmp_path / "study_quick.csv"
    with pytest.raises(SystemExit):
        study_parser("A study.").parse_args(["--quick"])


def test_missing_sets_are_printed(capsys):
    def load(name):
        if name != "there":
            raise OSError(f"no {name}")

    assert can_load(load, ["there"])
    assert not can_load(load, ["there", "b", "c"])
    assert capsys.readouterr().err == "no b\n"


def test_the_command_can_be_pasted(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["study.py", "--sets", "10 % wrong"])
    assert (
        command_of("benchmarks.a", None) == "python -m benchmarks.a --sets '10 % wrong'"
    )
    assert command_of("benchmarks.a", []) == "python -m benchmarks.a"


def test_the_report_does_not_overwrite_what_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parser = study_parser("A study.")
    args = parser.parse_args(["--work", "kept", "--output", str(tmp_path / "kept")])
    with pytest.raises(SystemExit, match="must be different folders"):
        work_file(args, "study")
