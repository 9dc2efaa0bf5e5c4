"""Real tables of house prices, cleaned, and a preprocessor for such tables."""

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

# Columns (spelled without blanks) where NA says that the house has no such thing.
# Everywhere else NA is a value that nobody wrote down.
_NA_IS_NONE = {
    "Alley",
    *("BsmtQual", "BsmtCond", "BsmtExposure", "BsmtFinType1", "BsmtFinType2"),
    "FireplaceQu",
    *("GarageType", "GarageFinish", "GarageQual", "GarageCond"),
    *("PoolQC", "Fence", "MiscFeature"),
}
# Not properties of a house; the last two are additions of OpenML's Ames.
_NOT_FEATURES = {"Order", "PID", "Id", "Longitude", "Latitude"}


def load_ames(
    path: str | os.PathLike[str] | None = None, *, clean: bool = True
) -> tuple[pd.DataFrame, pd.Series]:
    """Load the Ames house prices of De Cock: 2930 sales with 79 features.

    Parameters
    ----------
    path : str or path, optional
        A CSV file (gzipped or not), or a folder with ``AmesHousing.csv`` or
        ``AmesHousing.csv.gz``, or with a folder ``ames`` that has it.  By default
        the folder that the environment variable ``SKAL_DATA`` names, and if it is
        not there, `sklearn.datasets.fetch_openml` (set ``ames_housing``, version 1).
    clean : bool, default=True
        Whether to clean as the notes say.  Otherwise only the columns that are no
        features are dropped, and every NA is missing.

    Returns
    -------
    X : DataFrame of shape (2930, 79)
        Numbers and strings.
    y : Series of shape (2930,)
        Sale price in US dollars.

    Raises
    ------
    FileNotFoundError
        If `path` is given and has no such file.
    OSError
        If the data are neither at hand nor to be had from OpenML.

    Notes
    -----
    Cleaning: the order number and the parcel id are dropped.  In the 14 columns where
    the data's description says so (alley, basement, fireplace, garage, pool, fence,
    miscellaneous), NA means that the house has none and becomes the level ``"none"``;
    elsewhere it stays missing.  Blanks around levels go.  The code ``MS SubClass``
    names a kind of dwelling and becomes a string.  No row is dropped, the target is
    not transformed.

    OpenML's copy has other column names (``Overall_Qual``) and levels spelled out,
    and zeros for missing numbers; a CSV of the original is the better source.

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
    """Load the house prices of Kaggle's competition: 1460 sales with 79 features.

    Parameters
    ----------
    path : str or path, optional
        A CSV file (gzipped or not), or a folder with ``train.csv`` or
        ``train.csv.gz``, or with a folder ``house_prices`` that has it.  By default
        the folder that the environment variable ``SKAL_DATA`` names, and if it is
        not there, `sklearn.datasets.fetch_openml` (data id 42165).
    clean : bool, default=True
        As in `load_ames`; ``Id`` is dropped in any case.

    Returns
    -------
    X : DataFrame of shape (1460, 79)
        Numbers and strings.
    y : Series of shape (1460,)
        Sale price in US dollars.

    Raises
    ------
    FileNotFoundError, OSError
        As in `load_ames`.

    Notes
    -----
    Cleaned as `load_ames` says.  All rows are also rows of `load_ames`, so that the
    two are not independent data.

    References
    ----------
    https://www.openml.org/d/42165
    """
    table = _read("house_prices", "train.csv", path, data_id=42165)
    return _split(table, clean)


def make_tabular_preprocessor(clip: float | None = 5.0) -> ColumnTransformer:
    """Make a transformer of mixed tables into numbers a net can learn from.

    Parameters
    ----------
    clip : float or None, default=5.0
        Bound on standardized numbers, approached smoothly: ``x`` becomes
        ``clip * tanh(x / clip)``.  None leaves them as they are.

    Returns
    -------
    preprocessor : ColumnTransformer
        Unfitted.  Numbers: the median for missing values, standardized, bounded.
        All else: ``"missing"`` for missing values, one column a level; a level that
        was not seen in `fit` gives zeros.

    Raises
    ------
    ValueError
        If `clip` is not positive.

    Notes
    -----
    With a few labeled rows, a column is often nearly constant in `fit`, and a usual
    value of it lies hundreds of standard deviations away later.  Without the bound a
    single such value decides a net's prediction, and so the error over all rows.

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
    """Turn strings, categories and bools into strings, and what is missing into NaN.

    Containers of pandas differ by version in dtype and in what they call missing.
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
        # MasVnrType has a level "None": only NA and nothing at all are missing.
        return pd.read_csv(found, keep_default_na=False, na_values=["NA", ""])
    if path is not None:
        raise FileNotFoundError(
            f"No {file} or {file}.gz in {os.fspath(path)!r}, nor in its folder "
            f"{folder!r}. Give path= the CSV file or a folder that has it."
        )
    try:
        fetched = fetch_openml(**openml, as_frame=True, parser="auto")
    except (OSError, HTTPException) as error:
        tried = "is not set" if data_home is None else f"is {data_home!r}, without it"
        raise OSError(
            f"{file} is not at hand (SKAL_DATA {tried}) and OpenML did not answer "
            f"({error}). Either put {file} or {file}.gz into a folder and set "
            "SKAL_DATA to it or pass path=, or run once with access to "
            "www.openml.org: scikit-learn keeps what it fetched in its data home "
            "(sklearn.datasets.get_data_home())."
        ) from error
    return fetched.frame


def _find(where: Path, folder: str, file: str) -> Path | None:
    if where.is_file():
        return where
    folders = (where / folder, where)
    candidates = (at / name for at in folders for name in (file, f"{file}.gz"))
    return next((p for p in candidates if p.is_file()), None)


def _split(table: pd.DataFrame, clean: bool) -> tuple[pd.DataFrame, pd.Series]:
    """Take the target out, and clean the rest."""
    table = table.rename(columns={"Sale_Price": "SalePrice"})
    if "SalePrice" not in table.columns:
        raise ValueError(
            "The table has no column SalePrice. Is it the file that was meant? Its "
            f"columns are {list(table.columns)[:5]}..."
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
