"""Data sets of the studies: where they are, their targets, and how they are split.

Classification: letter, pendigits, MNIST, and the tables of `TABLES`.  Regression: five
large tables and eleven small ones.  They are read from the folder that SKAL_DATA names;
letter, pendigits and MNIST otherwise come from OpenML.  Exact duplicates are dropped,
so that no row of a test is also in its pool.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.datasets import fetch_openml, load_svmlight_file
from sklearn.preprocessing import StandardScaler

from benchmarks.campaigns import Split
from skal.datasets import load_ames, load_house_prices

POOL, TEST = 5000, 2000

# Name and version in OpenML, used if SKAL_DATA is not set.
_OPENML = {"letter": ("letter", 1), "pendigits": ("pendigits", 1)}


@cache
def load_classes(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Load a set without exact duplicates; raise OSError if it is missing."""
    folder = os.environ.get("SKAL_DATA")
    if name == "mnist":
        X, y = _mnist(Path(folder) / "mnist" if folder else None)
        return X, y
    file = Path(folder or ".") / name / f"{name}.csv.gz"
    if folder and file.exists():
        table = pd.read_csv(file)
    else:
        openml, version = _OPENML[name]
        table = fetch_openml(openml, version=version, as_frame=True).frame
    table = table.drop_duplicates(ignore_index=True)
    X = table.iloc[:, :-1].to_numpy(np.float32)
    return X, table.iloc[:, -1].astype(str).to_numpy(object).astype(str)


def _mnist(folder: Path | None) -> tuple[np.ndarray, np.ndarray]:
    if folder is None or not folder.exists():
        X, y = fetch_openml("mnist_784", version=1, return_X_y=True, as_frame=False)
        return X.astype(np.float32), y.astype(str)
    images = _idx(folder / "train-images-idx3-ubyte.gz", 16).reshape(-1, 784)
    labels = _idx(folder / "train-labels-idx1-ubyte.gz", 8)
    return images.astype(np.float32), labels.astype(str)


def _idx(file: Path, header: int) -> np.ndarray:
    return np.frombuffer(gzip.decompress(file.read_bytes()), np.uint8, offset=header)


def draw(name: str, seed: int, *, pool: int = POOL, test: int = TEST) -> Split:
    """Draw a pool and a test; features are standardized by the pool's rows."""
    X, y = load_classes(name)
    rows = np.random.default_rng(seed).permutation(len(X))[: pool + test]
    chosen, held_out = rows[:pool], rows[pool:]
    if name == "mnist":  # one scale for all pixels: rarely used ones would explode
        mean, std = X[chosen].mean(), X[chosen].std()
        parts = (X[chosen] - mean) / std, (X[held_out] - mean) / std
    else:
        scaler = StandardScaler().fit(X[chosen])
        parts = scaler.transform(X[chosen]), scaler.transform(X[held_out])
    return Split(*parts, y[chosen], y[held_out])


Frame = tuple[pd.DataFrame, np.ndarray]


class Source(NamedTuple):
    """A file below SKAL_DATA, and how to read it.

    Attributes
    ----------
    file : str
    target : str or int
        Column, by name or by its position in a file without a header.
    transform : callable
        Applied to the target.
    drop : tuple of str
        Columns that would reveal the target.
    """

    file: str
    target: str | int
    transform: Callable[[np.ndarray], np.ndarray] = np.asarray
    drop: tuple[str, ...] = ()


_RUNS = tuple(f"Run{k} (ms)" for k in range(1, 5))
#: Number of rows drawn, once, from a larger table (sgemm has 241 600).
MOST_LARGE = 200_000
LARGE = {
    "fried": Source("fried/fried.csv.gz", "Y"),
    "diamonds": Source("diamonds/diamonds.csv.gz", "price"),
    "protein": Source("protein/CASP.csv.gz", "RMSD"),
    "kegg_undirected": Source("kegg_undirected/data.csv.gz", 27),
    # `read` computes the target from four columns.
    "sgemm": Source("sgemm/sgemm_product.csv.gz", "median", np.log, _RUNS),
}

SMALL = {
    "ames": None,
    "house_prices": None,
    "concrete": Source("concrete/concrete.csv.gz", "strength"),
    "energy": Source("energy/energy.csv.gz", "Y1"),
    "yacht": Source("yacht/yacht.csv.gz", "resistance"),
    "power_plant": Source("power_plant/power_plant.csv.gz", "PE"),
    "naval": Source(
        "naval/naval.csv.gz", "gt_compressor_decay", drop=("gt_turbine_decay",)
    ),
    "kin8nm": Source("kin8nm/kin8nm.csv.gz", "y"),
    "cpu_act": Source("cpu_act/cpu_act.csv.gz", "usr"),
    "abalone": Source("abalone/abalone.csv.gz", "Class_Rings"),
    "cal_housing": Source("cal_housing/cal_housing.csv.gz", "medianHouseValue", np.log),
}


def _file(name: str) -> Path:
    folder = os.environ.get("SKAL_DATA")
    if not folder:
        raise OSError(
            "The tables are read from a folder: set SKAL_DATA to where "
            f"{LARGE['fried'].file} and the others lie."
        )
    file = Path(folder) / name
    if not file.exists():
        raise OSError(f"There is no {name} below SKAL_DATA={folder}.")
    return file


def read(source: Source) -> Frame:
    """Read a table; raise OSError if it is missing."""
    header = None if isinstance(source.target, int) else "infer"
    table = pd.read_csv(_file(source.file), header=header)
    table = table.drop_duplicates(ignore_index=True)
    if source.drop == _RUNS:
        table["median"] = table[list(_RUNS)].median(axis=1)
    y = source.transform(table[source.target].to_numpy(float))
    return table.drop(columns=[source.target, *source.drop]), y


def standardized(y: np.ndarray) -> np.ndarray:
    """Scale a target to mean 0 and variance 1."""
    scaled: np.ndarray = (y - y.mean()) / y.std()
    return scaled


@cache
def load_small(name: str) -> Frame:
    """Load a table with its categories, and the target at unit variance."""
    source = SMALL[name]
    if source is not None:
        X, y = read(source)
        return X, standardized(y)
    load = {"ames": load_ames, "house_prices": load_house_prices}[name]
    X, prices = load(_file(name))
    return X, standardized(np.log(prices.to_numpy(float)))


@cache
def load_large(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Load rows with one-hot categories, and the target at unit variance."""
    X, y = read(LARGE[name])
    levels = [c for c in X if not pd.api.types.is_numeric_dtype(X[c])]
    X = pd.get_dummies(X, columns=levels, dtype=float)
    rows = np.arange(len(X))
    if len(X) > MOST_LARGE:
        rows = np.random.default_rng(0).permutation(len(X))[:MOST_LARGE]
    X = X.iloc[rows].loc[:, X.nunique() > 1]
    return X.to_numpy(float), standardized(y[rows])


#: Tables for classification in a folder of their own.
_ALONE = ("letter", "pendigits", "optdigits", "spambase")
# Tables with their categories, as a user has them: name and task.
_CLASSES = (
    *("vehicle", "waveform5000", "splice", "kr_vs_kp", "car", "cmc", "dermatology"),
    *("anneal", "nursery", "hypothyroid", "credit_a", "balance_scale", "glass"),
    *_ALONE,
)
TABLES = {
    **dict.fromkeys((*SMALL, "diamonds", "protein"), "regression"),
    **dict.fromkeys(_CLASSES, "classification"),
}
#: Rows drawn from a table, and tested at most.
MOST_TABLE, MOST_TEST = 5000, 2000


@cache
def load_table(name: str) -> Frame:
    """Load a table of `TABLES`; levels are strings or NaN, regression targets scaled.

    The ``id`` of splice is a column as the others are.
    """
    if TABLES[name] == "regression":
        X, y = load_small(name) if name in SMALL else read(LARGE[name])
        y = standardized(y)
    else:
        folder = name if name in _ALONE else "classification"
        table = pd.read_csv(
            _file(f"{folder}/{name}.csv.gz"), keep_default_na=False, na_values=[""]
        ).drop_duplicates(ignore_index=True)
        X, y = table.iloc[:, :-1], table.iloc[:, -1].astype(str).to_numpy(object)
        y = y.astype(str)
    levels = [c for c in X if not pd.api.types.is_numeric_dtype(X[c])]
    X = X.astype(dict.fromkeys(levels, object))
    X[levels] = X[levels].where(X[levels].notna(), np.nan)
    return X, y


def draw_table(
    name: str, seed: int
) -> tuple[pd.DataFrame, np.ndarray, pd.DataFrame, np.ndarray, str]:
    """Draw a pool in random order, and a test of a quarter of the rows or more.

    Returns
    -------
    X_pool, y_pool, X_test, y_test : DataFrame or ndarray
        The first n rows of the pool are a random sample of any size n.  The test has
        the rows beyond the first 1000, at least a quarter and at most 2000.
    task : str
        "regression" or "classification".
    """
    X, y = load_table(name)
    rows = np.random.default_rng(seed).permutation(len(X))[:MOST_TABLE]
    n_test = min(MOST_TEST, max(len(rows) // 4, len(rows) - 1000))
    pool, test = np.split(rows, [len(rows) - n_test])
    parts = X.iloc[pool].reset_index(drop=True), X.iloc[test].reset_index(drop=True)
    return parts[0], y[pool], parts[1], y[test], TABLES[name]


#: Binary tables of Zhan et al. (2021) and Lu et al. (2023), by their numbers of rows.
BINARY26 = (
    *("appendicitis", "sonar", "ex8b", "heart", "ionosphere", "breast", "wdbc"),
    *("australian", "ex8a", "diabetes", "german", "splice", "gcloudub"),
    *("checkerboard", "phoneme"),
)


@cache
def load_binary26(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Load a binary table as it is published: scaled, with its duplicates."""
    X, y = load_svmlight_file(str(_file(f"binary26/{name}.txt.gz")))
    return X.toarray(), y.astype(int)


def published_binary26() -> pd.DataFrame:
    """Areas under the curve that Lu et al. publish: set, strategy, mean, deviation."""
    return pd.read_csv(_file("binary26/published_aubc.csv"))
