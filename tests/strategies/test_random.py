"""Random sampling is uniform and seeded, and does not read the model."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chisquare
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression

from skal.strategies import Random

X = np.arange(8.0)[:, None]


def test_every_row_is_as_likely_in_every_place():
    strategy = Random(random_state=np.random.default_rng(0))
    picks = [strategy.select(LinearRegression(), X, 3).indices for _ in range(2000)]
    for place in np.transpose(picks):
        assert chisquare(np.bincount(place, minlength=8)).pvalue > 1e-3


def test_all_rows_come_in_a_random_order():
    indices = Random(random_state=0).select(LinearRegression(), X, 8).indices
    assert sorted(indices.tolist()) == list(range(8))
    assert indices.tolist() != list(range(8))


def test_missing_values_go_to_models_that_take_them():
    bad = np.where(X == 3, np.nan, X)
    with pytest.raises(ValueError, match="1 of 8 rows"):
        Random().select(LinearRegression(), bad)
    Random().select(HistGradientBoostingRegressor(), bad)
