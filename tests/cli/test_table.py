"""Files of rows that are split or written otherwise than it seems."""

from __future__ import annotations

from pathlib import Path

import pytest

from skal.cli.table import read_table


def test_separators_at_the_end_of_lines_shift_nothing(tmp_path: Path) -> None:
    """pandas would take the first column for an index, as there are more cells."""
    path = tmp_path / "x.csv"
    path.write_text("id,a,y\n" + "".join(f"u{k},{k},{k + 0.5},\n" for k in range(5)))
    table = read_table(path, "y")
    assert table.id_name == "id"
    assert table.X["a"].to_dict() == {f"u{k}": k for k in range(5)}
    assert table.display["a"].tolist() == ["0", "1", "2", "3", "4"]
    assert table.y is not None
    assert table.y.tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]


@pytest.mark.parametrize("end", ["", ",z"])
def test_lines_with_more_cells_are_named(end: str, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(f"id,a,y\n1,2,3{end}\n2,1,234,5\n3,4,5{end}\n")
    line = 2 if end else 3
    with pytest.raises(ValueError, match=f"Line {line} .* must be in quotes"):
        read_table(path, "y")


def test_a_cell_that_is_longer_than_csv_allows(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(f"id,a,y\n1,{'x' * 200_000},3\n")
    assert len(read_table(path, "y").X["a"].iloc[0]) == 200_000


@pytest.mark.filterwarnings("ignore:The columns:UserWarning")
@pytest.mark.parametrize(
    "labels",
    [
        ['"1,234"', '"12,500"'],
        ["$5", "$12.50"],
        ["1 234 €", "950 €"],
        ["12 %", "7 %"],
        ["1'234", "950"],
    ],
)
def test_amounts_that_are_texts_are_not_taken_for_classes(
    labels: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "x.csv"
    path.write_text("id,y\n" + "".join(f"{k},{v}\n" for k, v in enumerate(labels)))
    with pytest.raises(
        ValueError, match=r"look like numbers: .* --task classification"
    ):
        read_table(path, "y").task()


@pytest.mark.parametrize("labels", [["a1", "b2"], ["5 $ off", "1st"], ["$", "€"]])
def test_other_texts_are_classes(labels: list[str], tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("id,y\n" + "".join(f"{k},{v}\n" for k, v in enumerate(labels)))
    assert read_table(path, "y").task() == "classification"


def test_commas_of_thousands_between_commas(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(
        'id,sure,unclear,text,huge,y\n1,"1,234.5","1,234","1,23",1234567890123456789012'
        ',5\n2,950,"2,500",x,1,6\n3,"-1,234,567","1,001",z,2,7\n'
    )
    with pytest.warns(UserWarning, match=r"columns \['unclear'\] are read as texts"):
        X = read_table(path, "y").X
    assert X["sure"].tolist() == [1234.5, 950.0, -1234567.0]
    assert X["unclear"].tolist() == ["1,234", "2,500", "1,001"]
