from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from skal import NetClassifier
from skal.learners import ActiveLearner, CEALLearner
from skal.simulation import ActiveLearningSimulation, compare_strategies
from skal.strategies import Entropy, Margin, Random
from tests.simulation.helpers import Data, FirstColumn, Shuffled, simulation

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
def test_a_plain_learner_is_run_as_its_estimator(make, model, classification):
    expected = curve(model, classification)
    for own, other in zip(curve(make(model), classification), expected, strict=True):
        np.testing.assert_array_equal(own, other)


def test_campaign_of_ceal_by_hand(classification: Data):
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
    assert ceal.X_training is None  # a clone was used
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


class _SeedsSeen(Shuffled):
    seeds: list[int] = []  # noqa: RUF012

    def __call__(self, learner: Any, X_pool: Any, n_instances: int = 1) -> Any:
        self.seeds.append(self.random_state)
        return super().__call__(learner, X_pool, n_instances)


def test_each_query_has_another_seed(regression: Data) -> None:
    _SeedsSeen.seeds.clear()
    simulation(query_strategy=_SeedsSeen()).fit(*regression)
    assert len(set(_SeedsSeen.seeds)) == 3


def test_candidates_limit_the_pool(regression: Data) -> None:
    X, y = regression
    offered = []

    def first(learner: Any, X_pool: Any, n_instances: int = 1) -> np.ndarray:
        offered.append(len(X_pool))
        return np.arange(n_instances)

    fitted = simulation(query_strategy=first, n_candidates=9).fit(X, y)
    assert offered == [9, 9, 9]
    assert len(np.unique(fitted.queried_indices_)) == 12
    assert fitted.queried_indices_.max() > 20  # drawn from all, not the first rows
    offered.clear()
    simulation(query_strategy=first, n_candidates=65).fit(X, y)
    assert offered == [65, 65, 62]  # all that is left in the end


def test_a_strategy_that_returns_too_few_rows_is_refused(regression: Data) -> None:
    def lazy(learner: Any, X_pool: Any, n_instances: int = 1) -> np.ndarray:
        return np.arange(n_instances - 1)

    with pytest.raises(ValueError, match="asked for 4 rows but returned 3"):
        simulation(query_strategy=lazy).fit(*regression)


class _GlobalNoise(BaseEstimator):
    """Draws from the global generators, as a plain skorch net does."""

    def fit(self, X: Any, y: Any) -> _GlobalNoise:
        self.noise_ = np.random.rand() + float(torch.rand(()))  # noqa: NPY002
        return self

    def predict(self, X: Any) -> np.ndarray:
        return np.full(len(X), self.noise_)


def test_estimators_on_the_global_generators_repeat_too(regression: Data) -> None:
    X, y = regression
    torch.manual_seed(3)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    noise = [
        [model.noise_ for model in simulation(_GlobalNoise()).fit(X, y).estimators_]
        for _ in range(2)
    ]
    assert noise[0] == noise[1]
    assert len(set(noise[0])) == 4
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002


def test_random_states_are_set_at_any_depth(regression: Data) -> None:
    X, y = regression
    model = TransformedTargetRegressor(
        make_pipeline(StandardScaler(), DecisionTreeRegressor(random_state=7)),
        check_inverse=False,
    )
    strategy = Shuffled(random_state=7)
    fitted = simulation(model, strategy).fit(X, y)
    inner = fitted.estimator_.regressor_[-1]
    assert isinstance(inner.random_state, int)
    assert inner.random_state != 7
    # The user's objects are not changed.
    assert strategy.random_state == 7
    assert model.regressor[-1].random_state == 7
    kept = simulation(model, strategy, random_state=None).fit(X, y)
    assert kept.estimator_.regressor_[-1].random_state == 7


def test_start_is_the_same_whatever_strategy_and_estimator(regression: Data) -> None:
    X, y = regression
    starts = [
        simulation(*pair).fit(X, y).initial_indices_.tolist()
        for pair in [(Ridge(), Shuffled()), (DecisionTreeRegressor(), FirstColumn())]
    ]
    assert starts[0] == starts[1]
