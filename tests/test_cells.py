"""An error about a cell names its row and column."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skal import ActiveLearner, Committee, NetClassifier
from skal.strategies import GreedySampling, LeastConfident, Margin, TypiClust

RNG = np.random.default_rng(0)
X = pd.DataFrame(RNG.normal(size=(30, 2)), columns=["age", "size"])
X["kind"] = np.where(np.arange(30) % 2, "n/a", "house")
Y = (X["age"] > 0).astype(int)
BAD = X.astype({"age": object})
BAD.loc[17, "age"] = "n/a"  # a level of another column
SCALED = make_column_transformer(
    (OneHotEncoder(), ["kind"]), (StandardScaler(), ["age", "size"])
)
NUMBERS, TEXT = X[["age", "size"]], BAD[["age", "size"]]


def test_taught_rows():
    for learner in (
        ActiveLearner(LogisticRegression(), Margin()),
        ActiveLearner(NetClassifier(max_epochs=40), Margin()),
        Committee([ActiveLearner(LogisticRegression())]),
    ):
        with pytest.raises(
            ValueError, match=r"'n/a' is not .* row 17 of X, column 'age'"
        ):
            learner.fit(TEXT, Y)
        with pytest.raises(ValueError, match=r"'n/a' is not .* row 17 of X, column 0"):
            learner.fit(TEXT.to_numpy(), Y)


@pytest.mark.parametrize("strategy", [Margin(), LeastConfident()])
def test_rows_of_a_pool(strategy):
    for model in (LogisticRegression(), NetClassifier(max_epochs=40, random_state=0)):
        learner = ActiveLearner(model, strategy, NUMBERS, Y)
        for ask in (strategy.select, strategy.score_samples):
            with pytest.raises(ValueError, match="row 17 of the pool, column 'age'"):
                ask(learner, TEXT)


def test_the_same_text_may_be_a_level_of_another_column():
    model = make_pipeline(SCALED, LogisticRegression())
    learner = ActiveLearner(model, Margin(), X, Y)
    with pytest.raises(ValueError, match=r"row 17 of the pool, column 'age'"):
        learner.query(BAD)
    with pytest.raises(ValueError, match=r"row 17 of X, column 'age'"):
        learner.fit(BAD, Y)


def test_inputs_without_distances():
    class Takes(Ridge):
        def fit(self, X, y):
            self.coef_ = 0
            return self

        def predict(self, X):
            return np.zeros(len(X))

    model = Takes().fit(X, Y)
    with pytest.raises(ValueError, match=r"row 17 of the pool, column 'age': 'n/a'"):
        GreedySampling("inputs").select(model, TEXT)
    huge = NUMBERS.assign(size=NUMBERS["size"] * 1e150)
    for strategy in (GreedySampling("inputs"), TypiClust(random_state=0)):
        with pytest.raises(ValueError, match=r"columns \['size'\] of .* overflow"):
            strategy.select(model, huge)


def test_a_column_of_large_integers_has_distances():
    ids = NUMBERS[["size"]].assign(id=2**62 + 2**40 * np.arange(30))
    scaled = ids / 2.0**40
    strategy = GreedySampling("inputs")
    picked = strategy.select(DummyRegressor().fit(ids, Y), ids, 3).indices
    expected = strategy.select(DummyRegressor().fit(scaled, Y), scaled, 3).indices
    assert picked.tolist() == expected.tolist()
