from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.utils import Bunch

from skal import ActiveLearner, datasets
from skal._tables import as_pandas
from skal.datasets import (
    load_ames,
    load_house_prices,
    split_labeled,
)
from skal.strategies import Random

AMES = """\
Order,PID,MS SubClass,Lot Frontage,Alley,Mas Vnr Type,Bsmt Qual,Sale Type,SalePrice
1,526301100,20,141,NA,Stone,TA,WD ,215000
2,526350040,60,NA,Pave,None,NA,New,105000
3,526351010,20,81,NA,NA,Gd,WD ,172000
"""
HOUSE = """\
Id,MSSubClass,LotFrontage,Alley,MasVnrType,SalePrice
1,60,65,NA,BrkFace,208500
2,20,NA,Grvl,None,181500
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SKAL_DATA", raising=False)
    (tmp_path / "ames").mkdir()
    (tmp_path / "ames" / "AmesHousing.csv").write_text(AMES)
    (tmp_path / "house_prices").mkdir()
    with gzip.open(tmp_path / "house_prices" / "train.csv.gz", "wt") as file:
        file.write(HOUSE)
    return tmp_path


def test_ames_is_cleaned_as_documented(folder: Path) -> None:
    X, y = load_ames(folder)
    assert list(X.columns) == [
        "MS SubClass",
        "Lot Frontage",
        "Alley",
        "Mas Vnr Type",
        "Bsmt Qual",
        "Sale Type",
    ]
    assert list(X["MS SubClass"]) == ["20", "60", "20"]
    assert list(X["Alley"]) == ["none", "Pave", "none"]
    assert list(X["Bsmt Qual"]) == ["TA", "none", "Gd"]
    assert list(X["Sale Type"]) == ["WD", "New", "WD"]
    # A real level "None" stays; NA is missing where it does not mean "none".
    assert list(X["Mas Vnr Type"][:2]) == ["Stone", "None"]
    assert X["Mas Vnr Type"].isna().tolist() == [False, False, True]
    assert X["Lot Frontage"].isna().tolist() == [False, True, False]
    assert y.tolist() == [215000.0, 105000.0, 172000.0]
    assert y.name == "SalePrice"


def test_uncleaned_table_keeps_numbers_and_missing_values(folder: Path) -> None:
    X, _ = load_house_prices(folder, clean=False)
    assert list(X.columns) == ["MSSubClass", "LotFrontage", "Alley", "MasVnrType"]
    assert X["MSSubClass"].tolist() == [60, 20]
    assert X["Alley"].isna().tolist() == [True, False]


def test_file_folder_and_environment_give_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, _ = load_house_prices(folder)
    file = folder / "house_prices" / "train.csv.gz"
    monkeypatch.setenv("SKAL_DATA", str(folder))
    for path in (file, str(file), file.parent, None):
        X, y = load_house_prices(path)
        pd.testing.assert_frame_equal(X, expected)
        assert y.tolist() == [208500.0, 181500.0]


def test_wrong_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"No AmesHousing.csv.*as path="):
        load_ames(tmp_path / "nowhere")


def test_other_table_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.csv"
    file.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="no column SalePrice"):
        load_ames(file)


def test_openml_is_asked_where_no_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKAL_DATA", str(tmp_path))
    asked = {}

    def fetch(**kwargs: object) -> Bunch:
        asked.update(kwargs)
        frame = pd.DataFrame(
            {
                "MS_SubClass": pd.Categorical(["One_Story", "Two_Story"]),
                "Alley": pd.Categorical(["No_Alley_Access", "Paved"]),
                "Longitude": [-93.6, -93.7],
                "Sale_Price": [215000, 105000],
            }
        )
        return Bunch(frame=frame)

    monkeypatch.setattr(datasets, "fetch_openml", fetch)
    load_house_prices()
    assert asked == {"data_id": 42165, "as_frame": True, "parser": "auto"}
    asked.clear()
    X, y = load_ames()
    assert asked.pop("as_frame") is True
    assert asked == {"name": "ames_housing", "version": 1, "parser": "auto"}
    assert list(X.columns) == ["MS_SubClass", "Alley"]
    assert X.dtypes.tolist() == [object, object]
    assert y.tolist() == [215000.0, 105000.0]


def test_a_price_that_is_missing_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "AmesHousing.csv"
    file.write_text(AMES.replace("215000", ""))
    with pytest.warns(UserWarning, match="1 of 3 rows have no price"):
        _, y = load_ames(file)
    assert y.isna().tolist() == [True, False, False]


def test_error_without_data_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SKAL_DATA", raising=False)

    def fetch(**kwargs: object) -> Bunch:
        raise OSError("no route to host")

    monkeypatch.setattr(datasets, "fetch_openml", fetch)
    with pytest.raises(OSError, match=r"SKAL_DATA is not set.*no route.*path="):
        load_house_prices()


@pytest.mark.parametrize(
    "labels",
    [
        pd.Series([1.0, np.nan, 3.0, None]),
        pd.Series(["a", None, "b", np.nan]),
        pd.Series([1, None, 0, None], dtype="Int64"),
        pd.Series(["a", None, "b", None], dtype="string"),
        pd.Series(["a", None, "b", None], dtype="category"),
        pd.Series([True, None, False, None], dtype="boolean"),
    ],
    ids=lambda labels: str(labels.dtype),
)
def test_rows_are_split_by_whether_they_have_a_label(labels: pd.Series) -> None:
    table = pd.DataFrame({"x": [1, 2, 3, 4]}).assign(y=labels)
    table.index = ["p", "q", "r", "s"]
    labeled, pool = split_labeled(table, "y")
    assert labeled.index.tolist() == ["p", "r"]
    assert list(labeled) == ["x", "y"]
    assert pool.index.tolist() == ["q", "s"]
    assert pool["x"].tolist() == [2, 4]
    assert list(pool) == ["x"]
    with pytest.raises(ValueError, match="no column 'z'"):
        split_labeled(table, "z")
    learner = ActiveLearner(DummyClassifier(), Random())
    for y in (labels, labels.tolist(), labels.to_numpy(dtype=object)):
        with pytest.raises(
            ValueError, match=r"no label .* 2 of 4.*first is row 1.*pool"
        ):
            learner.fit(np.zeros((4, 1)), y)


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_tables_of_other_libraries_are_split_too(library: str) -> None:
    module = pytest.importorskip(library)
    make = module.table if library == "pyarrow" else module.DataFrame
    table = make({"x": [1, 2, 3], "y": ["a", None, "b"]})
    labeled, pool = split_labeled(table, "y")
    assert type(labeled) is type(pool) is type(table)
    assert as_pandas(labeled)["y"].tolist() == ["a", "b"]
    assert as_pandas(pool).to_dict("list") == {"x": [2]}


@pytest.mark.skipif("SKAL_DATA" not in os.environ, reason="needs the real tables")
def test_real_tables_have_the_documented_shapes() -> None:
    X, y = load_ames()
    assert X.shape == (2930, 79)
    assert y.min() == 12789
    X, _ = load_house_prices()
    assert X.shape == (1460, 79)
    raw, _ = load_house_prices(clean=False)
    complete = raw.loc[:, raw.notna().all()]
    assert pd.get_dummies(complete).shape == (1460, 215)
