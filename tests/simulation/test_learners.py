"""Campaigns of learners that have their own ways."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from skal import NetClassifier
from skal.learners import ActiveLearner, CEALLearner
from skal.simulation import ActiveLearningSimulation, compare_strategies
from skal.strategies import Entropy, Margin, Random

Data = tuple[np.ndarray, np.ndarray]
BUDGET = {"n_initial": 12, "n_instances": 4, "n_queries": 3, "random_state": 0}


def curve(estimator, data: Data) -> tuple[np.ndarray, np.ndarray]:
    played = ActiveLearningSimulation(estimator, Entropy(), **BUDGET).fit(*data)
    return played.queried_indices_, played.learning_curve(*data)


@pytest.mark.parametrize("model", [LogisticRegression(), NetClassifier(max_epochs=3)])
@pytest.mark.parametrize(
    "make",
    [
        lambda model: ActiveLearner(model, Random()),
        lambda model: CEALLearner(model, Random(), threshold=0.0),
    ],
)
def test_a_learner_of_no_other_ways_plays_as_its_estimator(make, model, classification):
    expected = curve(model, classification)
    for own, other in zip(curve(make(model), classification), expected, strict=True):
        np.testing.assert_array_equal(own, other)


def test_ceal_plays_as_by_hand(classification: Data):
    X, y = classification
    ceal = CEALLearner(LogisticRegression(), Random(), threshold=0.4, decay=0.1)
    played = ActiveLearningSimulation(ceal, Entropy(), **BUDGET).fit(X, y)
    labeled = list(played.initial_indices_)
    model, sure = LogisticRegression().fit(X[labeled], y[labeled]), []
    counts = []
    for t, picked in enumerate(played.queried_indices_):
        proba = model.predict_proba(X)
        entropies = -(proba * np.log(proba)).sum(1)
        rest = np.setdiff1d(np.arange(len(X)), labeled)
        assert set(picked) == set(rest[np.argsort(-entropies[rest])[:4]])
        labeled += list(picked)
        sure = [i for i in rest if entropies[i] < 0.4 - t * 0.1 and i not in picked]
        counts.append(len(sure))
        guessed = model.classes_[proba[sure].argmax(1)]
        model = LogisticRegression().fit(
            X[labeled + sure], np.append(y[labeled], guessed)
        )
        np.testing.assert_allclose(
            played.estimators_[t + 1].coef_, model.coef_, atol=1e-4
        )
    assert counts[0] > 0
    assert isinstance(played.estimator_, LogisticRegression)
    assert ceal.X_training is None  # a clone was played with
    assert isinstance(ceal.query_strategy, Random)


def test_ceal_is_compared_and_searched_over(classification: Data):
    X, y = classification
    ceal = CEALLearner(LogisticRegression(), threshold=0.2)
    strategies = {"Random": Random(), "Margin": Margin()}
    comparison = compare_strategies(ceal, strategies, X, y, cv=3, **BUDGET)
    assert comparison.data["score"].notna().all()
    assert comparison.data["score"].mean() > 0.4
    search = GridSearchCV(
        ActiveLearningSimulation(ceal, Margin(), **BUDGET),
        {"estimator__threshold": [0.0, 0.3], "estimator__estimator__C": [1e-6, 1.0]},
        cv=3,
    )
    assert search.fit(X, y).best_params_["estimator__estimator__C"] == 1.0
