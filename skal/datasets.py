"""Datasets of house prices, and a preprocessor for mixed tables."""

from __future__ import annotations

import os
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.datasets import fetch_openml
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["load_ames", "load_house_prices", "make_tabular_preprocessor"]

# Columns (without blanks) where NA means that the house has no such part.  In all other
# columns NA is a missing value.
_NA_IS_NONE = {
    "Alley",
    *("BsmtQual", "BsmtCond", "BsmtExposure", "BsmtFinType1", "BsmtFinType2"),
    "FireplaceQu",
    *("GarageType", "GarageFinish", "GarageQual", "GarageCond"),
    *("PoolQC", "Fence", "MiscFeature"),
}
# Columns that are not features; OpenML added the last two.
_NOT_FEATURES = {"Order", "PID", "Id", "Longitude", "Latitude"}


def load_ames(
    path: str | os.PathLike[str] | None = None, *, clean: bool = True
) -> tuple[pd.DataFrame, pd.Series]:
    """Load the Ames house prices: 2930 sales with 79 features.

    Parameters
    ----------
    path : str or path, optional
        A CSV file, optionally gzipped, or a folder that contains ``AmesHousing.csv`` or
        ``AmesHousing.csv.gz``, directly or in a folder ``ames``.  By default the folder
        in the environment variable ``SKAL_DATA`` is searched; if the file is not there,
        `sklearn.datasets.fetch_openml` loads ``ames_housing``, version 1.
    clean : bool, default=True
        Whether to clean the table, see Notes.  Otherwise only the columns that are not
        features are dropped, and every NA is a missing value.

    Returns
    -------
    X : DataFrame of shape (2930, 79)
        Columns of numbers and strings.
    y : Series of shape (2930,)
        Sale price in US dollars.

    Raises
    ------
    FileNotFoundError
        If `path` is given and there is no such file.
    OSError
        If there is no local file and OpenML cannot be reached.

    Notes
    -----
    Cleaning drops the order number and the parcel id.  In the 14 columns about alley,
    basement, fireplace, garage, pool, fence and miscellaneous features, NA means that
    the house has none, by the description of the data, and becomes the level
    ``"none"``; in other columns it stays missing.  Blanks around levels are stripped.
    The code ``MS SubClass`` denotes a type of dwelling and becomes a string.  No row is
    dropped, and the target is not transformed.

    The copy of OpenML has other column names (``Overall_Qual``), levels written out,
    and zeros for missing numbers; a CSV file of the original is preferable.

    References
    ----------
    D. De Cock, "Ames, Iowa: Alternative to the Boston Housing Data as an End of
    Semester Regression Project", Journal of Statistics Education 19(3), 2011,
    https://doi.org/10.1080/10691898.2011.11889627
    """
    table = _read("ames", "AmesHousing.csv", path, name="ames_housing", version=1)
    return _split(table, clean)


def load_house_prices(
    path: str | os.PathLike[str] | None = None, *, clean: bool = True
) -> tuple[pd.DataFrame, pd.Series]:
    """Load the house prices of the Kaggle competition: 1460 sales with 79 features.

    Parameters
    ----------
    path : str or path, optional
        A CSV file, optionally gzipped, or a folder that contains ``train.csv`` or
        ``train.csv.gz``, directly or in a folder ``house_prices``.  By default the
        folder in the environment variable ``SKAL_DATA`` is searched; if the file is not
        there, `sklearn.datasets.fetch_openml` loads the data with id 42165.
    clean : bool, default=True
        As in `load_ames`; ``Id`` is always dropped.

    Returns
    -------
    X : DataFrame of shape (1460, 79)
        Columns of numbers and strings.
    y : Series of shape (1460,)
        Sale price in US dollars.

    Raises
    ------
    FileNotFoundError, OSError
        As in `load_ames`.

    Notes
    -----
    Cleaned as in `load_ames`.  All rows are also rows of `load_ames`, so the two are
    not independent datasets.

    References
    ----------
    https://www.openml.org/d/42165
    """
    table = _read("house_prices", "train.csv", path, data_id=42165)
    return _split(table, clean)


def make_tabular_preprocessor(clip: float | None = 5.0) -> ColumnTransformer:
    """Make a transformer from mixed tables to numbers on which a net can be trained.

    Parameters
    ----------
    clip : float or None, default=5.0
        Smooth bound on standardized values: ``x`` becomes ``clip * tanh(x / clip)``.
        None leaves them unbounded.

    Returns
    -------
    preprocessor : ColumnTransformer
        Unfitted.  In numeric columns missing values become the median, and values are
        standardized and bounded.  In other columns missing values become the level
        ``"missing"``, and levels are one-hot encoded; levels unknown in `fit` become
        zeros.

    Raises
    ------
    ValueError
        If `clip` is not positive.

    Notes
    -----
    With few labeled rows, a column is often nearly constant in `fit`, and typical
    values of other rows are hundreds of standard deviations away.  Without the bound a
    single such value dominates a net's prediction, and with it the error over all rows.

    Examples
    --------
    >>> import pandas as pd
    >>> from skal.datasets import make_tabular_preprocessor
    >>> X = pd.DataFrame({"area": [50.0, 70.0, None], "kind": ["flat", "house", None]})
    >>> make_tabular_preprocessor().fit_transform(X).shape
    (3, 4)
    """
    if clip is not None and not clip > 0:
        raise ValueError(f"clip must be positive or None, got {clip!r}.")
    steps = [
        SimpleImputer(strategy="median", keep_empty_features=True),
        StandardScaler(),
    ]
    if clip is not None:
        bound = FunctionTransformer(
            _squash, kw_args={"bound": clip}, feature_names_out="one-to-one"
        )
        steps.append(bound)
    levels = make_pipeline(
        FunctionTransformer(_as_object, feature_names_out="one-to-one"),
        SimpleImputer(
            strategy="constant", fill_value="missing", keep_empty_features=True
        ),
        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    )
    numbers = make_pipeline(*steps)
    return ColumnTransformer(
        [
            ("number", numbers, make_column_selector(dtype_include="number")),
            ("level", levels, make_column_selector(dtype_exclude="number")),
        ],
        sparse_threshold=0,
    )


def _squash(X: np.ndarray, bound: float) -> np.ndarray:
    return bound * np.tanh(X / bound)


def _as_object(X: pd.DataFrame) -> pd.DataFrame:
    """Convert strings, categories and bools to strings, and missing values to NaN.

    The dtypes and missing values of pandas differ between versions.
    """
    return X.astype(str).astype(object).where(X.notna(), np.nan)


def _read(
    folder: str, file: str, path: str | os.PathLike[str] | None, **openml: str | int
) -> pd.DataFrame:
    import pandas as pd

    data_home = os.environ.get("SKAL_DATA")
    where = data_home if path is None else path
    found = where and _find(Path(where), folder, file)
    if found:
        # MasVnrType has a level "None": only NA and empty strings are missing.
        return pd.read_csv(found, keep_default_na=False, na_values=["NA", ""])
    if path is not None:
        raise FileNotFoundError(
            f"No {file} or {file}.gz in {os.fspath(path)!r}, nor in its folder "
            f"{folder!r}. Pass the CSV file or a folder that contains it as path=."
        )
    try:
        fetched = fetch_openml(**openml, as_frame=True, parser="auto")
    except (OSError, HTTPException) as error:
        tried = "is not set" if data_home is None else f"is {data_home!r}, without it"
        raise OSError(
            f"There is no local {file} (SKAL_DATA {tried}), and OpenML did not answer "
            f"({error}). Either put {file} or {file}.gz into a folder and set "
            "SKAL_DATA to it or pass it as path=, or run once with access to "
            "www.openml.org: scikit-learn caches the data in "
            "sklearn.datasets.get_data_home()."
        ) from error
    return fetched.frame


def _find(where: Path, folder: str, file: str) -> Path | None:
    if where.is_file():
        return where
    folders = (where / folder, where)
    candidates = (at / name for at in folders for name in (file, f"{file}.gz"))
    return next((p for p in candidates if p.is_file()), None)


def _split(table: pd.DataFrame, clean: bool) -> tuple[pd.DataFrame, pd.Series]:
    """Split the table into features, cleaned, and target."""
    table = table.rename(columns={"Sale_Price": "SalePrice"})
    if "SalePrice" not in table.columns:
        raise ValueError(
            "The table has no column SalePrice. Is it the right file? Its columns are "
            f"{list(table.columns)[:5]}..."
        )
    y = table["SalePrice"].astype(float)
    X = table.drop(columns=["SalePrice", *(_NOT_FEATURES & set(table.columns))])
    if not clean:
        return X, y
    for column in X.select_dtypes(exclude="number").columns:
        X[column] = X[column].astype(object).str.strip()
    for column in X.columns:
        plain = str(column).replace(" ", "").replace("_", "")
        if plain in _NA_IS_NONE:
            X[column] = X[column].where(X[column].notna(), "none")
        elif plain == "MSSubClass":
            X[column] = X[column].astype(str).astype(object)
    return X, y
