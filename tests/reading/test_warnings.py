"""Queries where warnings are errors: probes neither fail nor choose otherwise."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from torch import nn

from skal.contexts import hiding
from skal.posteriors import Bagged
from skal.strategies import LCMD, PredictiveVariance, TypiClust
from tests.models import make_data, make_net, with_labeled

X, Y = make_data("regression", 60)
POOL = make_data("regression", 40, seed=1)[0]
TABLE = pd.DataFrame(X, columns=list("abcde"))


class Boosting(GradientBoostingRegressor):
    def apply(self, X):
        warnings.warn("leaves", stacklevel=1)
        return super().apply(X)


class Columns(TransformerMixin, BaseEstimator):
    """Uses two columns by name, and warns."""

    def fit(self, X, y=None):
        warnings.warn("fit", stacklevel=1)
        self.columns_ = ["a", "b"]
        return self

    def transform(self, X):
        warnings.warn("transform", stacklevel=1)
        return X[self.columns_].to_numpy()


class Pairs(nn.Module):
    """Has a layer of which torch.func warns that it is slow."""

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__()
        self.pairs = nn.Bilinear(n_features, n_features, 4)
        self.head = nn.Linear(4, n_outputs)

    def forward(self, X):
        return self.head(self.pairs(X, X))


def query(strategy, learner, pool, action):
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        before = list(warnings.filters)
        try:
            return strategy.select(learner, pool, 4).indices.tolist()
        finally:
            assert list(warnings.filters) == before


def test_gradients_that_are_slow():
    with hiding():
        net = make_net("regression", module=Pairs).fit(X, Y)
    learner = with_labeled(net, X, Y)
    strategy = LCMD(random_state=0)
    expected = query(strategy, learner, POOL, "ignore")
    assert query(strategy, learner, POOL, "error") == expected


def test_a_probe_of_leaves_does_not_choose_another_space():
    learner = with_labeled(Boosting(n_estimators=5, random_state=0).fit(X, Y), X, Y)
    strategy = LCMD(random_state=0)
    query(strategy, learner, POOL, "ignore")
    assert strategy.space_ == "leaves"
    with pytest.raises(UserWarning, match="leaves"):
        query(LCMD(random_state=0), learner, POOL, "error")


def test_a_probe_of_columns_does_not_refuse_them():
    with hiding():
        model = make_pipeline(Columns(), Ridge()).fit(TABLE, Y)
    learner, pool = with_labeled(model, TABLE, Y), TABLE[["b", "a"]]
    assert len(
        query(
            PredictiveVariance(Bagged(n_estimators=3), random_state=0),
            learner,
            pool,
            "ignore",
        )
    )
    with pytest.raises(UserWarning, match="transform"):
        query(LCMD(random_state=0), learner, pool, "error")


def test_a_probe_before_the_first_fit_does_not_refuse_missing_values():
    class Loud(SimpleImputer):
        def fit(self, X, y=None):
            warnings.warn("fit", stacklevel=1)
            return super().fit(X)

    pool = np.where(X > 2, np.nan, X)
    learner = make_pipeline(Loud(), Ridge())
    assert len(query(TypiClust(), learner, pool, "ignore")) == 4
    with pytest.raises(UserWarning, match="fit"):
        query(TypiClust(), learner, pool, "error")


def test_a_warning_of_a_copy_is_not_called_a_failure():
    class Loud(Ridge):
        def fit(self, X, y):
            warnings.warn("slow", stacklevel=1)
            return super().fit(X, y)

    with hiding():
        learner = with_labeled(Loud().fit(X, Y), X, Y)
    strategy = PredictiveVariance(Bagged(n_estimators=3), random_state=0)
    with pytest.raises(UserWarning, match="slow"):
        query(strategy, learner, X, "error")
