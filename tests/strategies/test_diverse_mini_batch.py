"""Diverse mini-batches, by hand with scikit-learn's k-means."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression

from skal.exceptions import UnsuitableLearnerError
from skal.rng import resolve_rng, seed_from
from skal.strategies import (
    LCMD,
    DiverseMiniBatch,
    Entropy,
    Margin,
    PredictiveVariance,
    Random,
)
from tests.models import make_data, make_net
from tests.numerics.test_kmeans import by_trying

X, Y = make_data("classification")
POOL = make_data("classification", 120, seed=1)[0]
MODEL = LogisticRegression().fit(X, Y)


@pytest.mark.parametrize("inner", [Margin(), Entropy()])
@pytest.mark.parametrize(("factor", "n"), [(5, 4), (2.5, 5), (1, 6), (99, 3)])
def test_by_hand(inner, factor, n):
    scores = inner.score_samples(MODEL, POOL)
    kept = np.sort(np.argsort(-scores, kind="stable")[: int(np.ceil(factor * n))])
    weights = (scores - min(scores.min(), 0))[kept]
    rng = resolve_rng(7)
    seeds = [seed_from(rng) for _ in range(3)]  # one at each door, then k-means's
    weights = np.maximum(weights, 1e-12 * weights.max())
    centers = POOL[kept][by_trying(POOL[kept], n, seeds[2], weights)]
    means = KMeans(n, init=centers, n_init=1, max_iter=100, tol=0)
    means.fit(POOL[kept], sample_weight=weights)
    expected = []
    for cluster, center in enumerate(means.cluster_centers_):
        own = kept[means.labels_ == cluster]
        distance = np.linalg.norm(POOL[own] - center, axis=1).round(9)
        ties = own[distance == distance.min()]
        expected.append(ties[np.argmax(scores[ties])])
    expected.sort(key=lambda i: -scores[i])
    got = DiverseMiniBatch(inner, factor, random_state=7).select(MODEL, POOL, n)
    np.testing.assert_array_equal(got.indices, expected)
    np.testing.assert_allclose(got.scores, scores[expected])


def test_informative_rows_pull_the_batch():
    class Line:
        classes_ = (0, 1)

        def fit(self, X, y):
            return self

        def predict_proba(self, X):
            return np.stack([X[:, 1], 1 - X[:, 1]], axis=1)

    # In one cluster, all but one of the rows are certain.
    rows = np.stack([np.arange(11.0), np.ones(11)], axis=1)
    rows[2, 1] = 0.5
    picked = DiverseMiniBatch(Margin(), 99, random_state=0).select(Line(), rows, 1)
    assert picked.indices.tolist() == [2]
    # All alike: the middle.
    rows[2, 1] = 1
    picked = DiverseMiniBatch(Margin(), 99, random_state=0).select(Line(), rows, 1)
    assert picked.indices.tolist() == [5]


def test_more_diverse_than_the_top():
    # The least certain row is there twenty times, but for a little.
    best = POOL[Margin().select(MODEL, POOL, 1).indices]
    noise = 1e-3 * np.random.default_rng(0).normal(size=(20, 5))
    rows = np.concatenate([best + noise, POOL])
    top, batch = (
        torch.pdist(torch.from_numpy(rows[s.select(MODEL, rows, 8).indices])).min()
        for s in (Margin(), DiverseMiniBatch(random_state=0))
    )
    assert batch > 100 * top


def test_duplicates_are_filled_up_by_score():
    rows = np.repeat(POOL[:3], 5, axis=0)
    picked = DiverseMiniBatch(factor=99, random_state=0).select(MODEL, rows, 12)
    assert len(set(picked.indices.tolist())) == 12
    assert {i // 5 for i in picked.indices[:3].tolist()} == {0, 1, 2}
    scores = Margin().score_samples(MODEL, rows)
    rest = np.delete(scores, picked.indices[:3])
    assert np.array_equal(scores[picked.indices[3:]], np.sort(rest)[::-1][:9])


def test_defaults_by_task():
    forest = RandomForestRegressor(9, random_state=0).fit(X, X[:, 0])
    expected = DiverseMiniBatch(PredictiveVariance(), random_state=0)
    got = DiverseMiniBatch(random_state=0).select(forest, POOL, 4)
    np.testing.assert_array_equal(got.indices, expected.select(forest, POOL, 4).indices)
    with pytest.raises(UnsuitableLearnerError, match="is a single model"):
        DiverseMiniBatch().select(LinearRegression().fit(X, X[:, 0]), POOL, 4)


def test_seeds_itself_and_its_strategy():
    net = make_net("classification").fit(X, Y)

    def picks(strategy):
        return strategy.select(net, POOL, 10).indices.tolist()

    assert picks(DiverseMiniBatch(random_state=0)) == picks(
        DiverseMiniBatch(random_state=0)
    )
    random = [picks(DiverseMiniBatch(Random(), random_state=s)) for s in (0, 0, 1)]
    assert random[0] == random[1] != random[2]
    strategy = clone(DiverseMiniBatch(Random(), random_state=0))
    fixed = strategy.set_params(strategy__random_state=3)
    assert picks(fixed) == picks(fixed) != random[0]


def test_bad_factor():
    with pytest.raises(ValueError, match="factor must be a number of at least 1"):
        DiverseMiniBatch(factor=0.5).select(MODEL, POOL, 1)


def test_bad_strategy():
    with pytest.raises(TypeError, match="must be a strategy that scores every row"):
        DiverseMiniBatch(LCMD()).select(make_net("classification").fit(X, Y), POOL, 1)
