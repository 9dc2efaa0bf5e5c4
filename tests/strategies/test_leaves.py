"""Picks by the leaves of trees against picks by their one-hot vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

from skal import ActiveLearner
from skal.reading.pool import Pool
from skal.reading.space import Space
from skal.selection._prob_cover import pure_radius
from skal.strategies import (
    InformationDensity,
    KMedoids,
    MaxHerding,
    PredictiveVariance,
    ProbCover,
    SuggestiveAnnotation,
    UHerding,
)
from skal.strategies.herding import smallest_distance
from skal.strategies.space import read_space
from tests.models import make_data

X, Y = make_data("regression")
POOL = make_data("regression", 120, seed=1)[0]
#: Vectors of the leaves of eight trees have exact distances.
FORESTS = [
    ExtraTreesRegressor(8, random_state=0),
    RandomForestRegressor(8, min_samples_leaf=3, random_state=0),
]


def one_hot(forest: Any, rows: np.ndarray) -> np.ndarray:
    leaves = forest.apply(rows)
    widths = [tree.tree_.node_count for tree in forest.estimators_]
    return np.concatenate(
        [np.eye(w)[own] for w, own in zip(widths, leaves.T, strict=True)], axis=1
    ) / np.sqrt(2 * len(widths))


def picks(forest: Any, strategy: Any, labeled: bool, space: Any) -> Any:
    """Pick by a learner with labeled rows, or by a fitted forest."""
    learner = forest.fit(X, Y)
    if labeled:
        learner = ActiveLearner(forest, X_training=X, y_training=Y)
    return strategy.set_params(space=space, random_state=3).select(learner, POOL, 12)


@pytest.mark.parametrize("forest", FORESTS)
@pytest.mark.parametrize("labeled", [False, True])
@pytest.mark.parametrize(
    "strategy",
    [
        KMedoids(),
        MaxHerding(),
        MaxHerding(bandwidth=0.4),
        UHerding(PredictiveVariance()),
        SuggestiveAnnotation(factor=4),
        InformationDensity(),
        InformationDensity(metric="euclidean", n_reference=40),
        InformationDensity(metric="euclidean", n_reference=None),
        ProbCover(radius=0.6),
        ProbCover(radius=0.75**0.5),
    ],
    ids=repr,
)
def test_picks_are_those_of_one_hot_vectors(forest, labeled, strategy):
    found = picks(forest, strategy, labeled, "leaves")
    expected = picks(forest, strategy, labeled, one_hot)
    # Vectors are rounded in some of these strategies, leaves are not.
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5)
    assert found.indices.tolist() == expected.indices.tolist()


def test_the_radius_is_a_share_of_trees(monkeypatch):
    radii = []

    def recording(rows, clusters, purity, some):
        radii.append(pure_radius(rows, clusters, purity, some))
        return radii[-1]

    monkeypatch.setattr("skal.strategies.prob_cover.pure_radius", recording)
    picks(FORESTS[0], ProbCover(), True, "leaves")
    assert (radii[0] ** 2 * 8) % 1 == pytest.approx(0, abs=1e-9)


def read(labeled: bool = True) -> Space:
    forest = FORESTS[1].fit(X, Y)
    learner = ActiveLearner(forest, X_training=X, y_training=Y)
    return read_space(Pool(learner if labeled else forest, POOL), "leaves")


@pytest.mark.parametrize("labeled", [False, True])
def test_what_is_clustered(labeled):
    space = read(labeled)
    vectors = space.to_cluster()
    assert vectors.dtype == torch.float32
    exact = torch.cat(space.vectors()).float()
    torch.testing.assert_close(vectors @ vectors.T, exact @ exact.T, atol=1e-4, rtol=0)
    rows, known = space.leaves_or_vectors()
    assert len(vectors) == len(rows) + len(known) == 120 + labeled * len(X)


def test_the_smallest_distance_of_labeled_rows():
    _, labeled = read().leaves_or_vectors()
    expected = smallest_distance(torch.from_numpy(one_hot(FORESTS[1], X)))
    assert smallest_distance(labeled) == pytest.approx(expected)
    assert smallest_distance(labeled.take(torch.tensor([0, 0]))) is None
