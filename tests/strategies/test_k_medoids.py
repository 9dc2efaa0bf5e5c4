"""KMedoids: labeled rows are medoids, in every space, and before the first label."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.svm import SVC

from skal import ActiveLearner
from skal.reading.pool import Pool
from skal.rng import resolve_rng, seed_from
from skal.selection import k_medoids
from skal.strategies import KMedoids, Margin, Prefilter
from skal.strategies.space import read_space
from tests.models import make_data, make_net, with_labeled

X, Y = make_data("classification")
POOL = make_data("classification", 80, seed=1)[0]
ROWS, LABELED = torch.from_numpy(POOL), torch.from_numpy(X)


def test_labeled_rows_are_medoids():
    learner = ActiveLearner(LogisticRegression(), X_training=X, y_training=Y)
    for asked, labeled in [(learner, LABELED), (learner.estimator, None)]:
        expected = k_medoids(ROWS, 7, labeled)
        got = KMedoids().select(asked, POOL, 7)
        np.testing.assert_array_equal(got.indices, expected.indices)
        np.testing.assert_array_equal(got.scores, expected.scores)


@pytest.mark.on_cpu
@pytest.mark.parametrize("space", ["auto", "features", "last_layer", "gradients"])
def test_rows_are_compared_in_the_space_of_a_net(space):
    learner = with_labeled(make_net("classification").fit(X, Y), X, Y)
    picks = KMedoids(space, random_state=3).select(learner, POOL, 6).indices
    pool = Pool(learner, POOL)
    named = "features" if space == "auto" else space
    rng = resolve_rng(3)
    seed_from(rng)  # as each query does, for what draws from the global generators
    rows, labeled = read_space(pool, named, rng=rng).vectors()
    np.testing.assert_array_equal(picks, k_medoids(rows, 6, labeled).indices)


@pytest.mark.parametrize("space", ["leaves", "predictions", "inputs"])
def test_rows_are_compared_in_the_space_of_a_forest(space):
    forest = RandomForestRegressor(9, random_state=0)
    learner = ActiveLearner(forest, X_training=X, y_training=X[:, 0])
    picks = KMedoids(space).select(learner, POOL, 6).indices
    read = read_space(Pool(learner, POOL), space, rng=resolve_rng(0))
    rows, labeled = read.leaves_or_vectors()
    np.testing.assert_array_equal(picks, k_medoids(rows, 6, labeled).indices)


@pytest.mark.parametrize("estimator", [LogisticRegression(), SVC(), Ridge()], ids=str)
def test_from_nothing_to_a_fitted_learner(estimator):
    learner = ActiveLearner(estimator, KMedoids())
    picked, rows = learner.query(X, n_instances=10)
    np.testing.assert_array_equal(picked, k_medoids(LABELED, 10).indices)
    left = np.setdiff1d(np.arange(len(X)), picked)
    learner.teach(rows, (X[picked, 0] > 0).astype(int))
    again, _ = learner.query(X[left], n_instances=5)
    expected = k_medoids(LABELED[left], 5, LABELED[picked]).indices
    np.testing.assert_array_equal(again, expected)


def test_among_uncertain_rows():
    learner = ActiveLearner(LogisticRegression(), X_training=X, y_training=Y)
    picks = Prefilter(KMedoids(), factor=4).select(learner, POOL, 5).indices
    uncertain = np.sort(Margin().score_samples(learner, POOL).argsort()[-20:])
    expected = k_medoids(ROWS[uncertain], 5, LABELED).indices
    np.testing.assert_array_equal(picks, uncertain[expected])


def test_rows_that_are_labeled_already_are_named():
    learner = ActiveLearner(LogisticRegression(), X_training=X, y_training=Y)
    with pytest.warns(UserWarning, match="or like those that are labeled"):
        picks = KMedoids().select(learner, X, 4)
    assert picks.scores.tolist() == [0] * 4
