"""Letter, pendigits and MNIST, split by seed, as the worth studies use them."""

from __future__ import annotations

import gzip
import os
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import fetch_openml
from sklearn.preprocessing import StandardScaler

from benchmarks.campaigns import Split

POOL, TEST = 5000, 2000

# Name and version in OpenML, for those who have no folder SKAL_DATA.
_OPENML = {"letter": ("letter", 1), "pendigits": ("pendigits", 1)}


@cache
def load(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Load a set without exact duplicates; OSError if it is not to be had."""
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


def split(name: str, seed: int, *, pool: int = POOL, test: int = TEST) -> Split:
    """Draw a pool and a test; features are standardized by the pool's rows."""
    X, y = load(name)
    rows = np.random.default_rng(seed).permutation(len(X))[: pool + test]
    chosen, held_out = rows[:pool], rows[pool:]
    if name == "mnist":  # one scale for all pixels, or the rare ones would explode
        mean, std = X[chosen].mean(), X[chosen].std()
        parts = (X[chosen] - mean) / std, (X[held_out] - mean) / std
    else:
        scaler = StandardScaler().fit(X[chosen])
        parts = scaler.transform(X[chosen]), scaler.transform(X[held_out])
    return Split(*parts, y[chosen], y[held_out])
