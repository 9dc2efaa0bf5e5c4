"""ProbCover: its radius, and the rows covered by labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression

from skal._numerics.kmeans import k_means
from skal.reading.pool import Pool
from skal.rng import resolve_rng, seed_from
from skal.selection import prob_cover
from skal.selection._prob_cover import pure_radius
from skal.strategies import ProbCover
from skal.strategies.prob_cover import n_classes
from tests.models import make_data, make_net, with_labeled

X, Y = make_data("classification", 20)
POOL = make_data("classification", 60, seed=1)[0]


def assert_covers_greedily(strategy, learner, radius, labeled=X):
    """Every pick covers the most that is not covered yet; ties in any order."""
    selection = strategy.select(learner, POOL, 8)
    near = np.linalg.norm(POOL[:, None] - POOL, axis=2) < radius
    uncovered = np.ones(len(POOL), dtype=bool)
    if labeled is not None:
        known = np.linalg.norm(POOL[:, None] - labeled, axis=2) < radius
        uncovered &= ~known.any(axis=1)
    for i, score in zip(selection.indices, selection.scores, strict=True):
        counts = (near & uncovered).sum(axis=1)
        assert score == counts.max() == counts[i]
        uncovered &= ~near[i]


@pytest.mark.parametrize("radius", [0.8, 1.5, np.float32(2), 3])
def test_radius_that_is_given(radius):
    learner = with_labeled(LogisticRegression().fit(X, Y), X, Y)
    assert_covers_greedily(ProbCover(radius, random_state=0), learner, float(radius))


@pytest.mark.parametrize(
    ("settings", "n_clusters", "purity", "n_rows"),
    [
        ({}, 3, 0.95, 80),
        ({"purity": 0.5}, 3, 0.5, 80),
        ({"n_clusters": 7}, 7, 0.95, 80),
        ({"n_reference": 30}, 3, 0.95, 30),
    ],
)
def test_radius_by_purity(settings, n_clusters, purity, n_rows):
    learner = with_labeled(LogisticRegression().fit(X, Y), X, Y)
    rng, rows = resolve_rng(4), torch.from_numpy(np.concatenate([POOL, X]))
    seed_from(rng)  # the door draws one
    clusters = k_means(rows, n_clusters, rng).labels
    drawn = torch.randperm(80, generator=rng)[:n_rows]
    radius = pure_radius(rows, clusters, purity, drawn)
    expected = prob_cover(rows[:60], 8, radius, rows[60:], rng)
    picked = ProbCover(random_state=4, **settings).select(learner, POOL, 8)
    assert picked.indices.tolist() == expected.indices.tolist()
    assert picked.scores.tolist() == expected.scores.tolist()


def test_without_labeled_rows_nothing_is_covered():
    model = LogisticRegression().fit(X, Y)
    assert_covers_greedily(ProbCover(1.5, random_state=0), model, 1.5, labeled=None)


def test_heaps_are_covered_one_by_one():
    rng = np.random.default_rng(0)
    heaps = 30 * rng.normal(size=(5, 4))
    rows = heaps[np.arange(100) % 5] + rng.normal(size=(100, 4))
    model = LogisticRegression().fit(rows, np.arange(100) % 5)
    picked = ProbCover(purity=1.0, random_state=0).select(model, rows, 5)
    assert sorted((picked.indices % 5).tolist()) == list(range(5))
    assert picked.scores.tolist() == [20] * 5
    learner = with_labeled(model, heaps[:3], [0, 1, 2])
    picked = ProbCover(purity=1.0, random_state=0).select(learner, rows, 2).indices
    assert sorted((picked % 5).tolist()) == [3, 4]


def test_clusters_stand_for_classes():
    assert n_classes(Pool(LogisticRegression().fit(X, Y), POOL)) == 3
    assert n_classes(Pool(make_net("classification").fit(X, Y), POOL)) == 3
    two = np.stack([Y, Y == "low"], axis=1)
    forest = RandomForestClassifier(3).fit(X, two)
    assert n_classes(Pool(forest, POOL)) == 3
    assert n_classes(Pool(LinearRegression().fit(X, X[:, 0]), POOL)) == 10

    class Silent:
        _estimator_type = "classifier"

    assert n_classes(Pool(Silent(), POOL)) == 10


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"radius": "x"}, 'radius must be a number above 0 or "auto"'),
        ({"radius": 0}, "radius must be a number above 0"),
        ({"radius": np.inf}, "radius must be a number above 0"),
        ({"radius": None}, "radius must be a number above 0"),
        ({"purity": 0}, "purity must be a number above 0"),
        ({"purity": 1.5}, "purity must be at most 1"),
        ({"n_clusters": 0}, "n_clusters must be an int"),
        ({"n_reference": 0}, "n_reference must be an int"),
    ],
)
def test_bad_input(settings, message, monkeypatch):
    monkeypatch.setattr(ProbCover, "_read_space", lambda *_: pytest.fail("read first"))
    model = LogisticRegression().fit(X, Y)
    with pytest.raises(ValueError, match=message):
        ProbCover(**settings).select(model, POOL, 2)
