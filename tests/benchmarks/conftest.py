"""Tables where SKAL_DATA has them, small."""

import gzip

import numpy as np
import pandas as pd
import pytest

from benchmarks import sets


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """Two tables where SKAL_DATA has them, with gaps, levels and few rows."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(90, 3)), columns=["a", "b", "c"])
    yacht = X.assign(resistance=X["a"] + 0.1 * X["b"])
    levels = np.where(X["b"] > 0, "u", "v").astype(object)
    levels[::7] = None
    glass = X.assign(level=levels, empty=np.nan, Type=np.where(X["a"] > 0, "p", "q"))
    glass.loc[::5, "c"] = np.nan
    for file, table in {"yacht/yacht": yacht, "classification/glass": glass}.items():
        path = tmp_path / f"{file}.csv.gz"
        path.parent.mkdir()
        with gzip.open(path, "wt") as stream:
            table.to_csv(stream, index=False)
    caches = sets.load_table, sets.load_small
    for cached in caches:
        cached.cache_clear()
    monkeypatch.setenv("SKAL_DATA", str(tmp_path))
    yield tmp_path
    for cached in caches:
        cached.cache_clear()
