"""Cells that programs for tables have rewritten are known again, and others are not."""

from __future__ import annotations

import pytest

from skal.campaign.cells import escaped, plain_number, same_cell, unescaped


@pytest.mark.parametrize(
    ("text", "before", "same"),
    [
        *(("Haus", " haus ", True), ("a  b", "a\nb", True), ("a", "b", False)),
        *(("1", "1.0", True), ("1.00000000000001", "1", True), ("1.0001", "1", False)),
        *(("2024-01-31", "2024-01-31 00:00:00", True), ("1", "a", False)),
        *(("2024-01-31", "2024-01-30", False), ("2024-01-31", "x", False)),
        *(("2024-01-31T00:00+00:00", "2024-01-31", False), ("", "0", False)),
        *(("NA", "", True), ("nan", "None", True), ("NA", "0", False)),
        *(("'=1+1", "=1+1", True), ("'a", "a", False), ("'5", "5", False)),
        *(("1:30", "13:30:15", False), ("1:30 PM", "13:30:15", True)),
        *(("12:00 am", "00:00", True), ("12:05", "12:05:59", True)),
        *(("12:05:58", "12:05:59", False), ("1.5", "1.50", True)),
    ],
)
def test_cells_that_programs_write_otherwise(
    text: str, before: str, same: bool
) -> None:
    assert same_cell(text, before) is same
    assert same_cell(before, text) is same


@pytest.mark.parametrize(
    ("before", "text"),
    [
        # What LibreOffice made of CSV files, set to English and to German.
        ("00019", "19"),
        ("12345678901234567909", "1.23456789012346E+019"),
        ("9007199254741017", "9.00719925474102E+015"),
        ("1.0425133694426776", "1.04251336944268"),
        ("-1.401520214917428e-300", "-1.40152021491743E-300"),
        ("True", "TRUE"),
        ("1E5", "100000"),
        ("12:19:00", "12:19:00 PM"),
        ("20.08.2024", "08/20/2024"),
        ("01.05.2024", "05/01/2024"),
        ("a\r\nb", "a\nb"),
        # Excel writes what it shows.
        ("1.0425133694426776", "1.042513369"),
        ("0.000123456789012", "0.000123457"),
        ("123456789012345", "1.23457E+14"),
        ("2024-02-19 00:00:00", "2/19/2024 0:00"),
        ("2024-02-19 13:05:59", "19.02.2024 13:05"),
        ("2024-02-19", "19/02/2024"),
        ("2024-02-19", "2/19/24"),
        # pandas reads some words as missing values.
        ("None", ""),
        ("NA", ""),
        ("x" * 40000, "x" * 32767),
    ],
)
def test_cells_that_came_back_from_programs(before: str, text: str) -> None:
    assert same_cell(text, before)


@pytest.mark.parametrize(
    ("before", "text"),
    [
        ("1.0425133694426776", "1.0425133"),  # not rounded, but cut
        ("1.0425133694426776", "1.0425"),
        ("526301149", "526301100"),
        ("215001", "2.15E+05"),
        ("2024-02-19", "2/20/2024"),
        ("2024-02-19 13:05:00", "2/19/2024 13:06"),
        ("2024-02-19 13:05:00", "2/19/2024"),
        ("20.08.2024", "08/20/2025"),
        ("x" * 40000, "x" * 32766),
        ("x" * 40000, "y" * 32767),
        ("0", ""),
        ("1000", "1_000"),
    ],
)
def test_cells_that_were_changed(before: str, text: str) -> None:
    assert not same_cell(text, before)


@pytest.mark.parametrize("text", ["=1+1", "@user", "+a", "-a", "--1", "\tx", "-1-2"])
def test_texts_that_programs_would_compute_are_escaped(text: str) -> None:
    assert escaped(text) == f"'{text}"
    assert unescaped(escaped(text)) == text


@pytest.mark.parametrize("text", ["", "a=b", "-5", "+1.5e3", "'a", "'5", "'", "-inf"])
def test_other_texts_stay(text: str) -> None:
    assert escaped(text) == text
    assert unescaped(text) == text


def test_numbers_are_those_of_programs() -> None:
    assert plain_number(" 1e3 ") == 1000.0
    assert [plain_number(text) for text in ("1_000", "1,5", "", "a")] == [None] * 4
