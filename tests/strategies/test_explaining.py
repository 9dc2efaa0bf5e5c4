"""Tables of what tells picks from other rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skal import ActiveLearner, Committee
from skal.reading.pool import Pool
from skal.rng import resolve_rng, seed_from
from skal.strategies import LCMD, CoreSet, Margin, Random, VoteEntropy
from skal.strategies.space import read_space
from tests.models import make_net

RNG = np.random.default_rng(0)
X = pd.DataFrame(RNG.normal(size=(60, 3)), columns=list("abc"))
X.index = [f"r{k}" for k in range(60)]
Y = X["a"] - X["b"] + 0.1 * RNG.normal(size=60)
CODES = np.digitize(Y, [-0.8, 0.8])
LABELED, POOL = X.iloc[:20], X.iloc[20:]


def test_a_table_of_a_classifier_by_hand() -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression())
    learner = ActiveLearner(model, Margin(), LABELED, CODES[:20])
    strategy = Margin(random_state=0)
    table = strategy.explain(learner, POOL, 4)
    picked = strategy.select(learner, POOL, 4)
    assert table["rank"].tolist() == [1, 2, 3, 4]
    np.testing.assert_array_equal(table["position"], picked.indices)
    np.testing.assert_array_equal(table["score"], picked.scores)
    assert table.index.tolist() == POOL.index[picked.indices].tolist()
    proba = learner.predict_proba(POOL.loc[table.index])
    np.testing.assert_allclose(table["uncertainty"], 1 - proba.max(axis=1))
    np.testing.assert_array_equal(table["prediction"], proba.argmax(axis=1))
    scaler = learner.estimator[0]
    apart = scaler.transform(POOL.loc[table.index])[:, None] - scaler.transform(LABELED)
    distances = np.linalg.norm(apart, axis=2)
    np.testing.assert_allclose(table["distance"], distances.min(axis=1), rtol=1e-5)
    nearest = LABELED.index[distances.argmin(axis=1)]
    assert table["nearest_labeled"].tolist() == nearest.tolist()
    assert table.attrs["space"] == "auto"


@pytest.mark.on_cpu
@pytest.mark.parametrize("strategy", [LCMD(random_state=3), CoreSet()])
def test_distances_are_those_of_the_space_of_the_strategy(strategy: Any) -> None:
    net = make_net("regression").fit(LABELED, Y[:20])
    learner = ActiveLearner(net, strategy)
    learner.X_training, learner.y_training = LABELED, Y[:20]
    table = strategy.explain(learner, POOL, 5)
    rng = resolve_rng(3)
    seed_from(rng)
    space = read_space(Pool(learner, POOL), strategy.space_, rng=rng)
    assert table.attrs["space"] == strategy.space_
    assert space.labeled is not None
    rows, labeled = space.pool.features.numpy(), space.labeled.features.numpy()
    apart = rows[table["position"]][:, None] - labeled
    expected = np.linalg.norm(apart, axis=2).min(axis=1)
    np.testing.assert_allclose(table["distance"], expected, rtol=1e-4)
    # The first pick of a core-set is the row farthest from all labeled rows.
    if isinstance(strategy, CoreSet):
        assert table["distance"].iloc[0] == pytest.approx(table["score"].iloc[0])


def test_uncertainty_of_regressors() -> None:
    process = GaussianProcessRegressor(alpha=0.1).fit(LABELED, Y[:20])
    learner = ActiveLearner(process, Random(), LABELED, Y[:20])
    table = Random(random_state=0).explain(learner, POOL, 3)
    _, std = learner.estimator.predict(POOL.loc[table.index], return_std=True)
    np.testing.assert_allclose(table["uncertainty"], std, rtol=1e-4)
    forest = ActiveLearner(RandomForestRegressor(9), Random(), LABELED, Y[:20])
    table = LCMD().explain(forest, POOL, 3)
    members = forest.estimator.estimators_
    rows = POOL.loc[table.index].to_numpy()
    spread = np.std([tree.predict(rows) for tree in members], axis=0)
    np.testing.assert_allclose(table["uncertainty"], spread, rtol=1e-6)
    ridge = ActiveLearner(Ridge(), Random(), LABELED, Y[:20])
    assert "uncertainty" not in LCMD().explain(ridge, POOL, 3)


def test_before_the_first_label_and_without_ids() -> None:
    table = LCMD().explain(Ridge(), POOL.to_numpy(), 3)
    assert list(table.columns) == ["rank", "position", "score"]
    assert table.index.tolist() == table["position"].tolist()
    fitted = LogisticRegression().fit(LABELED, CODES[:20])
    assert "nearest_labeled" not in Margin().explain(fitted, POOL, 3)


def test_committees_and_votes_without_probabilities() -> None:
    members = [
        ActiveLearner(SVC(C=c), X_training=LABELED, y_training=CODES[:20])
        for c in (0.1, 10)
    ]
    table = VoteEntropy().explain(Committee(members), POOL, 4)
    assert "uncertainty" not in table
    assert set(table["nearest_labeled"]) <= {*LABELED.index, *range(40)}
    several = np.c_[CODES > 0, CODES > 1].astype(int)
    forest = ActiveLearner(RandomForestClassifier(5), Margin(), LABELED, several[:20])
    table = Margin().explain(forest, POOL, 3)
    assert all(len(pair) == 2 for pair in table["prediction"])


def test_generators_of_the_user_go_on_as_after_a_query() -> None:
    learner = ActiveLearner(Ridge(), Random(), LABELED, Y[:20])
    seeds = [np.random.RandomState(0) for _ in range(2)]
    LCMD(random_state=seeds[0]).select(learner, POOL, 3)
    LCMD(random_state=seeds[1]).explain(learner, POOL, 3)
    assert seeds[0].randint(10**6) == seeds[1].randint(10**6)
