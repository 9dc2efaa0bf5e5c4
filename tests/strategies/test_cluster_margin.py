"""Cluster-Margin against scipy's average linkage, gone around by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression

from skal.strategies import (
    LCMD,
    ClusterMargin,
    Entropy,
    Margin,
    PredictiveVariance,
)
from tests.models import make_data

X, Y = make_data("classification")
POOL = make_data("classification", 150, seed=1)[0]


@pytest.fixture(scope="module")
def model() -> Any:
    return LogisticRegression().fit(X, Y)


def check_turns(picked: list[int], clusters: dict[int, int]) -> None:
    """Every pick is from the cluster whose turn it is; equal sizes in any order."""
    sizes = {c: list(clusters.values()).count(c) for c in set(clusters.values())}
    taken = dict.fromkeys(sizes, 0)
    for row in picked:
        own = clusters[row]
        open_ = [c for c in sizes if taken[c] < sizes[c]]
        rounds = min(taken[c] for c in open_)
        due = [c for c in open_ if taken[c] == rounds]
        assert own in due
        assert sizes[own] == min(sizes[c] for c in due)
        taken[own] += 1


@pytest.mark.parametrize(
    ("parameters", "n", "cut"),
    [
        ({"factor": 5}, 8, {"t": 8, "criterion": "maxclust"}),
        ({"factor": 4, "n_clusters": 3}, 10, {"t": 3, "criterion": "maxclust"}),
        ({"distance_threshold": 2.2}, 9, {"t": 2.2, "criterion": "distance"}),
        ({"factor": 1}, 12, {"t": 12, "criterion": "maxclust"}),
    ],
)
@pytest.mark.parametrize("inner", [None, Entropy()])
def test_uncertain_rows_of_all_clusters_in_turn(model, inner, parameters, n, cut):
    scores = (inner or Margin()).score_samples(model, POOL)
    size = parameters.get("factor", 10) * n
    kept = np.argsort(-scores)[:size]
    if cut["t"] == size:  # which old versions of scipy do not reach
        labels = np.arange(size)
    else:
        labels = fcluster(linkage(POOL[kept], "average"), **cut)
    for seed in range(5):
        strategy = ClusterMargin(inner, **parameters, random_state=seed)
        picks = strategy.select(model, POOL, n)
        check_turns(
            picks.indices.tolist(),
            dict(zip(kept.tolist(), labels.tolist(), strict=True)),
        )
        np.testing.assert_array_equal(picks.scores, scores[picks.indices])


def test_regressors_have_the_variance_of_their_models():
    target = make_data("regression")[1]
    forest = RandomForestRegressor(10, random_state=0).fit(X, target)
    scores = PredictiveVariance().score_samples(forest, POOL)
    picks = ClusterMargin(factor=3, random_state=0).select(forest, POOL, 6)
    assert set(picks.indices) <= set(np.argsort(-scores)[:18])
    np.testing.assert_array_equal(picks.scores, scores[picks.indices])


def test_more_candidates_than_are_clustered_join_the_nearest(model):
    heaps = np.repeat(np.arange(3) * 50.0, [60, 30, 10])
    rows = POOL[:100].copy()
    rows[:, 4] = heaps
    strategy = ClusterMargin(Margin(), 100, 3, max_rows=40, random_state=0)
    for m in (3, 6, 24):
        picked = strategy.select(model, rows, m).indices
        # All three heaps give as many, and the smallest comes first.
        counts = [(heaps[picked] == k * 50).sum() for k in range(3)]
        assert counts == [m // 3] * 3
        assert heaps[picked[0]] == 100


def test_random_rows_of_a_cluster(model):
    picks = [
        ClusterMargin(random_state=seed).select(model, POOL, 5).indices.tolist()
        for seed in (0, 0, 1)
    ]
    assert picks[0] == picks[1] != picks[2]


def test_one_row_and_all_rows(model):
    assert ClusterMargin().select(model, POOL[:1], 1).indices.tolist() == [0]
    first = ClusterMargin(factor=1).select(model, POOL, 1).indices.tolist()
    assert first == [Margin().score_samples(model, POOL).argmax()]
    everything = ClusterMargin(random_state=0).select(model, POOL, 150).indices
    assert sorted(everything.tolist()) == list(range(150))
    same = ClusterMargin(distance_threshold=1.0, random_state=0)
    assert len(set(same.select(model, np.ones_like(POOL), 7).indices)) == 7


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"factor": 0.5}, "factor must be a number of at least 1"),
        ({"n_clusters": 0}, "n_clusters must be an int of at least 1"),
        ({"distance_threshold": 0.0}, "distance_threshold must be a number above 0"),
        ({"max_rows": 1}, "max_rows must be an int of at least 2"),
    ],
)
def test_what_it_refuses(model, parameters, message):
    with pytest.raises(ValueError, match=message):
        ClusterMargin(**parameters).select(model, POOL, 2)
    with pytest.raises(TypeError, match=r"strategy of ClusterMargin must be .*scores"):
        ClusterMargin(LCMD()).select(model, POOL, 2)  # type: ignore[arg-type]
