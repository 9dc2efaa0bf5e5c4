"""All strategies that suit fold ensembles."""

from __future__ import annotations

import numpy as np
import pytest

from skal import strategies
from skal.learners import ActiveLearner
from skal.nets import FoldEnsembleClassifier, FoldEnsembleRegressor
from skal.strategies import suitable_strategies
from tests.models import make_data, make_strategy


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_each_suitable_strategy_picks_rows(task: str) -> None:
    regression = task == "regression"
    kind = FoldEnsembleRegressor if regression else FoldEnsembleClassifier
    ensemble = kind(2, hidden_sizes=(8, 7), max_steps=10, others=None, random_state=0)
    X, y = make_data(task, 20)
    pool = make_data(task, 14, seed=1)[0]
    learner = ActiveLearner(ensemble, X_training=X, y_training=y)
    found = suitable_strategies(learner, pool)
    wanted = {"LCMD", "BAIT", "CoreSet", "KMeansPP", "Random", "EPIG"}
    wanted |= {"PredictiveVariance"} if regression else {"BALD", "Margin", "BADGE"}
    assert wanted <= set(found)
    expected = learner.predict(pool)
    for name in found:
        strategy = make_strategy(getattr(strategies, name))
        picks = strategy.select(learner, pool, 3).indices.tolist()
        assert len(set(picks)) == 3, name
        np.testing.assert_array_equal(learner.predict(pool), expected)
