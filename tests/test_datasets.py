from __future__ import annotations

import gzip
import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.utils import Bunch

from skal import ActiveLearner, datasets
from skal._tables import as_pandas
from skal.datasets import (
    load_ames,
    load_house_prices,
    make_tabular_preprocessor,
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
    X, y = load_ames()
    assert asked["name"] == "ames_housing"
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


def _table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "area": [10.0, 20.0, np.nan, 30.0],
            "rooms": [1, 2, 3, 4],
            "kind": ["flat", None, "house", "flat"],
            "heated": [True, False, True, True],
            "code": pd.Categorical(["a", "b", None, "a"]),
            "empty": [np.nan] * 4,
        }
    )


def test_preprocessor_imputes_encodes_and_scales() -> None:
    X = _table()
    out = make_tabular_preprocessor(clip=None).set_output(transform="pandas")
    Z = out.fit_transform(X)
    area = np.array([10.0, 20.0, 20.0, 30.0])  # the median in the gap
    np.testing.assert_allclose(
        Z["number__area"], (area - area.mean()) / area.std(), atol=1e-12
    )
    assert Z["level__kind_flat"].tolist() == [1, 0, 0, 1]
    assert Z["level__kind_missing"].tolist() == [0, 1, 0, 0]
    assert Z["level__heated_True"].tolist() == [1, 0, 1, 1]
    assert Z["level__code_missing"].tolist() == [0, 0, 1, 0]
    assert Z["number__empty"].tolist() == [0, 0, 0, 0]


def test_preprocessor_takes_unseen_levels_and_bounds_numbers() -> None:
    X = _table()
    transformer = make_tabular_preprocessor().fit(X)
    new = X.iloc[:1].assign(kind="castle", area=1e9)
    Z = pd.DataFrame(
        transformer.transform(new), columns=transformer.get_feature_names_out()
    )
    assert Z.filter(like="kind").to_numpy().sum() == 0
    assert Z["number__area"].item() == pytest.approx(5.0)
    sd = np.std([10.0, 20.0, 20.0, 30.0])
    near = transformer.transform(X.iloc[:1].assign(area=20.0 + 2 * sd))
    assert near[0, 0] == pytest.approx(5 * np.tanh(2 / 5))


def test_preprocessor_in_a_pipeline_is_cloned_and_fitted() -> None:
    model = clone(make_pipeline(make_tabular_preprocessor(), Ridge()))
    y = np.array([1.0, 2.0, 3.0, 4.0])
    assert np.isfinite(model.fit(_table(), y).predict(_table())).all()


@pytest.mark.parametrize("clip", [0, -1.0, float("nan")])
def test_bad_clip_is_refused(clip: float) -> None:
    with pytest.raises(ValueError, match="clip must be positive"):
        make_tabular_preprocessor(clip=clip)


def _dated(n: int = 40) -> pd.DataFrame:
    when = pd.Series(pd.date_range("2024-02-27 06:00", periods=n, freq="36h"))
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "sold": when.where(np.arange(n) != 3),
            "text": when.dt.strftime("%Y-%m-%d %H:%M"),
            "day": when.dt.date,
            "zone": when.dt.tz_localize("UTC"),
            "order_id": range(1000, 1000 + n),
            "serial": [f"s{k}" for k in range(n)],
            "kind": rng.choice(["a", "b"], n),
            "size": rng.normal(size=n),
            "count": range(n),
        }
    )


@pytest.mark.filterwarnings("ignore:The columns")
def test_dates_become_calendar_parts_and_elapsed_days() -> None:
    X = _dated()
    transformer = make_tabular_preprocessor(clip=None)
    transformer.set_output(transform="pandas")
    Z = transformer.fit_transform(X)
    when = pd.Series(pd.date_range("2024-02-27 06:00", periods=40, freq="36h"))
    elapsed = 1.5 * np.arange(40)

    def scaled(x: np.ndarray) -> np.ndarray:
        return (x - x.mean()) / x.std()

    for column in ("text", "zone"):
        days = Z[f"date__{column}_days"]
        np.testing.assert_allclose(days, scaled(elapsed), atol=1e-12)
        for part in ("month", "day", "day_of_week", "hour"):
            expected = scaled(getattr(when.dt, part).to_numpy())
            np.testing.assert_allclose(Z[f"date__{column}_{part}"], expected)
        assert (Z[f"date__{column}_year"] == 0).all()  # one year only
    whole = np.floor(elapsed + 0.25)
    np.testing.assert_allclose(Z["date__day_days"], scaled(whole), atol=1e-12)
    assert Z.loc[3, "date__sold_days"] == pytest.approx(Z["date__sold_days"].median())
    kept = {name.split("__")[1] for name in Z if not name.startswith("date__")}
    assert kept == {"kind_a", "kind_b", "size", "count"}


def test_columns_that_identify_rows_are_left_out() -> None:
    transformer = make_tabular_preprocessor()
    with pytest.warns(UserWarning, match="identify rows") as warned:
        transformer.fit(_dated())
    assert [str(w.message).partition(" are left")[0] for w in warned] == [
        "The columns ['order_id']",
        "The columns ['serial']",
    ]
    with warnings.catch_warnings():  # too few rows to tell
        warnings.simplefilter("error")
        make_tabular_preprocessor().fit(_dated(19))


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
