"""Datasets of house prices, and a split of tables by label."""

from __future__ import annotations

import os
import warnings
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import fetch_openml

from skal._tables import as_pandas, is_other_table, take_table_rows, wrap

__all__ = [
    "load_ames",
    "load_house_prices",
    "split_labeled",
]

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
    De Cock, "Ames, Iowa: alternative to the Boston housing data as an end of semester
    regression project", Journal of Statistics Education 2011.
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


def split_labeled(table: Any, target: Any) -> tuple[Any, Any]:
    """Split a table into the rows that have a label and those that have none.

    Parameters
    ----------
    table : DataFrame of shape (n, d)
        Of pandas, polars or pyarrow.
    target : column name
        A label is missing where it is None, NaN, or the missing value of a nullable
        type.

    Returns
    -------
    labeled : DataFrame of shape (L, d)
        With the target.
    pool : DataFrame of shape (n - L, d - 1)
        Without it.  Rows of pandas keep their index.

    Raises
    ------
    ValueError
        If there is no such column.

    Examples
    --------
    >>> import pandas as pd
    >>> from skal.datasets import split_labeled
    >>> table = pd.DataFrame({"area": [50, 70, 90], "price": [100.0, None, 180.0]})
    >>> labeled, pool = split_labeled(table, "price")
    >>> X, y = labeled.drop(columns="price"), labeled["price"]
    >>> len(X), len(pool), list(pool.columns)
    (2, 1, ['area'])
    """
    columns = list(wrap(table).columns if is_other_table(table) else table.columns)
    if target not in columns:
        raise ValueError(f"The table has no column {target!r}, only {columns[:20]}.")
    if is_other_table(table):
        missing = np.asarray(as_pandas(table)[target].isna())
        labeled, pool = (
            take_table_rows(table, np.flatnonzero(rows)) for rows in (~missing, missing)
        )
        return labeled, wrap(pool).drop(target).to_native()
    missing = table[target].isna()
    return table[~missing], table[missing].drop(columns=target)


def _read(
    folder: str, file: str, path: str | os.PathLike[str] | None, **openml: str | int
) -> pd.DataFrame:
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
    n_missing = int(y.isna().sum())
    if n_missing:
        warnings.warn(
            f"{n_missing} of {len(y)} rows have no price: y is NaN there. Rows without "
            "a label belong to the pool.",
            UserWarning,
            stacklevel=3,
        )
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
