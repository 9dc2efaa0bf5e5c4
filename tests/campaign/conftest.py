"""A small table, and campaigns on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import BayesianRidge, LogisticRegression

from skal.campaign import Campaign
from skal.strategies import LCMD, Margin

N_ROWS = 60


@pytest.fixture
def table() -> pd.DataFrame:
    """Rows with ids that are texts."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(N_ROWS, 3)), columns=["a", "b", "größe"])
    X.index = pd.Index([f"r{k:03d}" for k in range(N_ROWS)], name="sample")
    return X


@pytest.fixture
def y(table: pd.DataFrame) -> pd.Series:
    return table["a"] * 2 - table["b"]


@pytest.fixture
def classes(y: pd.Series) -> pd.Series:
    return y.gt(0).map({True: "ja", False: "nein"})


REGRESSION: dict[str, Any] = {"model": BayesianRidge(), "strategy": LCMD()}
CLASSIFICATION: dict[str, Any] = {
    "model": LogisticRegression(),
    "strategy": Margin(),
}


@pytest.fixture
def make(tmp_path: Path, table: pd.DataFrame) -> Callable[..., Campaign]:
    """Start a campaign in a new file."""
    pytest.importorskip("sqlalchemy", reason="campaigns need the extra `campaign`")

    def start(name: str = "campaign.db", **options: Any) -> Campaign:
        parts = CLASSIFICATION if "classes" in options else REGRESSION
        return Campaign.create(
            tmp_path / name, table, **{"random_state": 0, **parts, **options}
        )

    return start
