"""XGBoost, LightGBM and CatBoost in what scikit-learn and skal build of learners."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skal import ActiveLearner, Committee, CommitteeRegressor
from skal.simulation import ActiveLearningSimulation, compare_strategies
from skal.strategies import LCMD, PredictiveVariance, Random, VoteEntropy
from tests.matrix.learners import LEARNERS, data_for, make, pool_rows

DEPTH = {"catboost": "depth", "lightgbm": "max_depth", "xgboost": "max_depth"}
BOOSTED = [name for name in LEARNERS if LEARNERS[name].module in DEPTH]
pytestmark = [
    pytest.mark.parametrize("name", BOOSTED),
    pytest.mark.filterwarnings("ignore:X does not have valid feature names"),
]


@pytest.fixture(autouse=True)
def _installed(name: str) -> None:
    package = LEARNERS[name].module
    pytest.importorskip(package, reason=f"{package} is missing: make test-learners")


def test_pipeline_and_search_are_unwrapped(name):
    """The leaves read are those of the best model, of rows that were scaled."""
    X, y = data_for(name)
    depth = {DEPTH[LEARNERS[name].module]: 2}
    scaler = StandardScaler().fit(X)
    alone = ActiveLearner(make(name).set_params(**depth), None, scaler.transform(X), y)
    strategy = LCMD(space="leaves", random_state=0)
    expected = strategy.select(alone, scaler.transform(pool_rows()), 4).indices
    grid = {f"{name.lower()}__{key}": [value] for key, value in depth.items()}
    search = GridSearchCV(make_pipeline(StandardScaler(), make(name)), grid, cv=2)
    searched = ActiveLearner(search, None, X, y)
    picked = strategy.select(searched, pool_rows(), 4).indices
    np.testing.assert_array_equal(picked, expected)


def test_committee_disagrees_most_where_its_members_do(name):
    (X, y), rows = data_for(name), pool_rows()
    halves = [(X[k::2], y[k::2]) for k in (0, 1)]
    members = [ActiveLearner(make(name), None, *half) for half in halves]
    first, second = (np.ravel(member.predict(rows)) for member in members)
    if name.endswith("Regressor"):
        committee, strategy = CommitteeRegressor(members), PredictiveVariance()
        differ = np.abs(first - second)
    else:
        committee, strategy = Committee(members), VoteEntropy()
        differ = (first != second).astype(float)
    scores = strategy.score_samples(committee, rows)
    assert differ.max() > 0
    np.testing.assert_allclose(scores == scores.max(), differ >= differ.max() - 1e-6)


def test_campaign_labels_each_row_once(name):
    X, y = data_for(name, 40)
    campaign = ActiveLearningSimulation(
        make(name),
        LCMD(),
        n_initial=20,
        n_instances=3,
        n_queries=2,
        random_state=0,
    ).fit(X, y)
    labeled = [*campaign.initial_indices_, *campaign.queried_indices_.ravel()]
    assert len(set(labeled)) == len(labeled) == 26


@pytest.mark.slow
def test_campaigns_in_two_processes_are_those_of_one(name):
    X, y = data_for(name, 60)
    one, two = (
        compare_strategies(
            make(name),
            {"lcmd": LCMD(), "random": Random()},
            X,
            y,
            cv=2,
            n_initial=20,
            n_instances=2,
            n_queries=1,
            random_state=0,
            n_jobs=n_jobs,
        )
        for n_jobs in (1, 2)
    )
    for name_, curve in one.curves()[1].items():
        np.testing.assert_array_equal(curve, two.curves()[1][name_])
