"""Leaves of ensembles against their trees, one by one."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import (
    BaggingRegressor,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestRegressor,
    VotingRegressor,
)
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from skal import ActiveLearner, CommitteeRegressor
from skal.reading.pool import Pool
from skal.reading.trees import count_trees, read_leaves
from tests.models import make_data

X, Y = make_data("regression")
CLASSES = make_data("classification")[1]
POOL = make_data("regression", 40, seed=1)[0]


class ByPrediction(RegressorMixin, BaseEstimator):
    """Tells its leaves as LightGBM does, or as CatBoost does."""

    def __init__(self, forest):
        self.forest = forest

    def fit(self, X, y):
        self.forest_ = self.forest.fit(X, y)
        return self

    def predict(self, X, raw_score=False, pred_leaf=False):
        return self.forest_.apply(X) if pred_leaf else self.forest_.predict(X)


class ByIndexes(ByPrediction):
    def predict(self, X):
        return self.forest_.predict(X)

    def calc_leaf_indexes(self, X):
        return self.forest_.apply(X)


def trees_of(model):
    """Single trees of a model, and the columns that each reads."""
    if isinstance(model, ByPrediction):
        return trees_of(model.forest_)
    if isinstance(model, VotingRegressor):
        return [tree for part in model.estimators_ for tree in trees_of(part)]
    columns = getattr(model, "estimators_features_", None)
    trees = np.ravel(model.estimators_).tolist()
    return list(zip(trees, columns or [slice(None)] * len(trees), strict=True))


MODELS = {
    "forest": RandomForestRegressor(6, random_state=0),
    "extra": ExtraTreesClassifier(5, random_state=0),
    "boosting": GradientBoostingRegressor(n_estimators=4, random_state=0),
    "classes": GradientBoostingClassifier(n_estimators=3, random_state=0),
    "bagging": BaggingRegressor(
        DecisionTreeRegressor(), 4, max_features=3, random_state=0
    ),
    "voting": VotingRegressor(
        [(str(n), RandomForestRegressor(n, random_state=n)) for n in (2, 3)]
    ),
    "pred_leaf": ByPrediction(RandomForestRegressor(3, random_state=0)),
    "calc_leaf_indexes": ByIndexes(RandomForestRegressor(3, random_state=0)),
}


@pytest.mark.parametrize("name", MODELS)
def test_leaves_are_those_of_the_trees(name):
    y = CLASSES if name in ("extra", "classes") else Y
    learner = ActiveLearner(MODELS[name], None, X, y)
    members = Pool(learner, POOL).members
    pool, labeled = read_leaves(members, 512)
    trees = trees_of(learner.estimator)
    assert pool.n_trees == count_trees(members) == len(trees)
    own, known = (
        np.stack([tree.apply(rows[:, columns]) for tree, columns in trees], axis=1)
        for rows in (POOL, X)
    )
    for i in (0, 9):
        expected = (own != own[i]).mean(axis=1)
        np.testing.assert_allclose(pool.sq_dist(i), expected)
    expected = (own[:, None] != known).mean(axis=2).min(axis=1)
    np.testing.assert_allclose(pool.nearest(labeled)[0], expected)
    codes = np.concatenate([pool.codes, labeled.codes])
    assert np.array_equal(np.unique(codes), np.arange(pool.n_codes))


def test_trees_of_a_committee_stand_side_by_side():
    members = [
        ActiveLearner(
            make_pipeline(StandardScaler(), RandomForestRegressor(3, random_state=s)),
            None,
            X,
            Y,
        )
        for s in range(2)
    ]
    pool, labeled = read_leaves(Pool(CommitteeRegressor(members), POOL).members, 512)
    assert (pool.n_trees, len(labeled)) == (6, 60)


def test_models_without_leaves():
    class Broken(ByIndexes):
        def calc_leaf_indexes(self, X):
            raise RuntimeError("a linear booster")

    for model in (
        Ridge(),
        BaggingRegressor(Ridge(), 3),
        Broken(RandomForestRegressor(3)),
    ):
        assert count_trees(Pool(model.fit(X, Y), POOL).members) == 0
    assert count_trees(Pool(DecisionTreeRegressor().fit(X, Y), POOL).members) == 1


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_what_is_no_answer_about_leaves_is_raised(error):
    class Failing(BaseEstimator, RegressorMixin):
        def fit(self, X, y):
            self.fitted_ = True
            return self

        def apply(self, X):
            raise error

    X, y = make_data("regression")
    members = Pool(Failing().fit(X, y), X).members
    with pytest.raises(error):
        count_trees(members)
