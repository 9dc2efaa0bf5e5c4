"""Datasets of house prices, a preprocessor for mixed tables, and a split by label."""

from __future__ import annotations

import os
import re
import warnings
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.datasets import fetch_openml
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from skal._tables import as_pandas, is_other_table, take_table_rows, wrap

__all__ = [
    "load_ames",
    "load_house_prices",
    "make_tabular_preprocessor",
    "split_labeled",
]

#: Share of distinct values from which a column identifies rows, and the number of rows
#: below which such a share says nothing.
_DISTINCT, _ENOUGH = 0.95, 20
#: Names of columns of integers that identify rows.
_ID_NAME = re.compile(
    r"(^|[_ .-])(id|ids|uuid|guid|pid|key|index|rowid)$", re.IGNORECASE
)
#: Strings that begin as dates by ISO 8601 do.
_DATE = r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?$"

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
        standardized and bounded.  A column of dates, also of strings such as
        ``"2024-05-31"`` or ``"2024-05-31 12:00"``, becomes year, month, day of the
        month, day of the week, hour, and the days since the first date in `fit`.  In
        other columns missing values become the level ``"missing"``, and levels are
        one-hot encoded; levels unknown in `fit` become zeros.

    Warns
    -----
    UserWarning
        In `fit`, if a column is left out because it identifies rows: at least 95 % of
        20 or more values are distinct, and they are strings, or integers in a column
        with a name such as ``id`` or ``order_id``.

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
            ("number", numbers, _select_numbers),
            ("date", make_pipeline(_DateParts(), clone(numbers)), _select_dates),
            ("level", levels, _select_levels),
        ],
        sparse_threshold=0,
    )


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


# -- kinds of columns, decided in `fit` ------------------------------------------------


def _select_numbers(X: pd.DataFrame) -> list[Any]:
    numbers = make_column_selector(dtype_include="number")(X)
    ids = [c for c in numbers if _ID_NAME.search(str(c)) and _identifies_rows(X[c])]
    if ids:
        _warn_of_ids(ids)
    return [c for c in numbers if c not in ids]


def _select_dates(X: pd.DataFrame) -> list[Any]:
    return [
        c for c in make_column_selector(dtype_exclude="number")(X) if _is_date(X[c])
    ]


def _select_levels(X: pd.DataFrame) -> list[Any]:
    others = make_column_selector(dtype_exclude="number")(X)
    others = [c for c in others if not _is_date(X[c])]
    ids = [c for c in others if _identifies_rows(X[c])]
    if ids:
        _warn_of_ids(ids)
    return [c for c in others if c not in ids]


def _identifies_rows(column: pd.Series) -> bool:
    """Whether (almost) all values are distinct, so that no level is seen again."""
    known = column.dropna()
    if pd.api.types.is_float_dtype(known) or len(known) < _ENOUGH:
        return False
    return known.astype(str).nunique() >= _DISTINCT * len(known)


def _warn_of_ids(columns: list[Any]) -> None:
    warnings.warn(
        f"The columns {columns} are left out: (almost) every row has another value, so "
        "they identify rows and say nothing about new ones. Drop them, or convert them "
        "to numbers or levels that repeat.",
        UserWarning,
        stacklevel=4,
    )


def _is_date(column: pd.Series) -> bool:
    """Whether values are dates, or strings that are all dates by ISO 8601."""
    if pd.api.types.is_datetime64_any_dtype(column):
        return True
    known = column.dropna()
    if known.empty or not all(hasattr(v, "year") or isinstance(v, str) for v in known):
        return False
    return bool(
        known.astype(str).str.match(_DATE).all() and _as_dates(known).notna().all()
    )


def _as_dates(column: pd.Series) -> pd.Series:
    """Convert to time stamps without a zone; what is no date becomes missing."""
    dates = pd.to_datetime(
        column.astype(object), errors="coerce", utc=True, format="ISO8601"
    )
    return dates.dt.tz_localize(None)


class _DateParts(TransformerMixin, BaseEstimator):
    """Converts dates to calendar parts and the days since the first date in `fit`."""

    def fit(self, X: pd.DataFrame, y: Any = None) -> _DateParts:
        self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        self.first_ = {c: _as_dates(X[c]).min() for c in X.columns}
        return self

    def transform(self, X: pd.DataFrame) -> np.ndarray:
        parts = []
        for column, first in self.first_.items():
            dates = _as_dates(X[column])
            days = (dates - first) / pd.Timedelta(days=1)
            calendar = [getattr(dates.dt, part) for part in _CALENDAR]
            parts += [*calendar, days]
        return np.column_stack([np.asarray(part, dtype=np.float64) for part in parts])

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name the columns, such as ``sold_month``."""
        names = [f"{c}_{part}" for c in self.first_ for part in (*_CALENDAR, "days")]
        return np.asarray(names, dtype=object)


_CALENDAR = ("year", "month", "day", "day_of_week", "hour")


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
