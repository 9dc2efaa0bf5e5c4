"""Information density against explicit similarities."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import cosine_similarity, euclidean_distances

from skal.measures import mean_nearness
from skal.rng import resolve_rng, seed_from
from skal.strategies import Entropy, InformationDensity, Margin, PredictiveVariance
from tests.models import make_data, make_net

X, Y = make_data("classification")
POOL = make_data("classification", 80, seed=1)[0] + 0.4
MODEL = LogisticRegression().fit(X, Y)


def similarity(metric):
    if metric == "cosine":
        return cosine_similarity(POOL)
    return 1 / (1 + euclidean_distances(POOL))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("beta", [0, 0.5, 1, 2])
@pytest.mark.parametrize("inner", [Entropy(), Margin()])
def test_formula(metric, beta, inner):
    scores = inner.score_samples(MODEL, POOL)
    scores = scores - min(scores.min(), 0)
    density = np.maximum(similarity(metric).mean(axis=1), 0)
    strategy = InformationDensity(inner, beta, metric, n_reference=None)
    got = strategy.score_samples(MODEL, POOL)
    np.testing.assert_allclose(got, scores * density**beta, rtol=1e-7, atol=1e-12)
    picks = strategy.select(MODEL, POOL, 7)
    np.testing.assert_array_equal(picks.indices, np.argsort(-got, kind="stable")[:7])


def test_reference_stands_for_the_pool():
    expected = InformationDensity(metric="euclidean", n_reference=None)
    expected = expected.score_samples(MODEL, POOL)
    for n_reference in (80, 81, 1000):
        strategy = InformationDensity(metric="euclidean", n_reference=n_reference)
        np.testing.assert_array_equal(strategy.score_samples(MODEL, POOL), expected)
    strategy = InformationDensity(
        metric="euclidean", n_reference=40, beta=2, random_state=3
    )
    rng = resolve_rng(3)
    seed_from(rng), seed_from(rng)  # one at each door
    drawn = torch.randperm(80, generator=rng)[:40]
    density = mean_nearness(torch.from_numpy(POOL), drawn).numpy()
    scores = Margin().score_samples(MODEL, POOL)
    got = strategy.score_samples(MODEL, POOL)
    np.testing.assert_allclose(got, (scores - scores.min()) * density**2)
    assert spearmanr(got, expected).statistic > 0.9


def test_defaults_by_task():
    forest = RandomForestRegressor(9, random_state=0).fit(X, X[:, 0])
    got = InformationDensity(space="inputs").score_samples(forest, POOL)
    inner = PredictiveVariance().score_samples(forest, POOL)
    density = np.maximum(similarity("cosine").mean(axis=1), 0)
    np.testing.assert_allclose(got, inner * density)


def test_density_is_in_the_features_of_a_net():
    net = make_net("classification").fit(X, Y)
    inputs = InformationDensity(Margin(), space="inputs").score_samples(net, POOL)
    features = InformationDensity(Margin(), space="features").score_samples(net, POOL)
    auto = InformationDensity(Margin()).score_samples(net, POOL)
    np.testing.assert_array_equal(auto, features)
    assert not np.allclose(inputs, features)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beta": -1}, "beta must be a number of at least 0"),
        ({"metric": "x"}, "metric must be one of"),
        ({"n_reference": 0}, "n_reference must be an int"),
        ({"space": "x"}, "space must be one of"),
    ],
)
def test_bad_input(settings, message):
    with pytest.raises(ValueError, match=message):
        InformationDensity(**settings).select(MODEL, POOL, 2)
