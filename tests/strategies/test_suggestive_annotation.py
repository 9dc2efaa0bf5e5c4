"""Suggestive annotation: variance of the models, then plain greedy cover."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.metrics.pairwise import cosine_similarity

from skal.posteriors import MCDropout
from skal.rng import resolve_rng, seed_from
from skal.selection import top_k
from skal.strategies import PredictiveVariance, SuggestiveAnnotation
from tests.models import make_data, make_net, with_labeled

POOL = make_data("classification", 80, seed=1)[0]


def forest(task):
    cls = RandomForestClassifier if task == "classification" else RandomForestRegressor
    return cls(15, random_state=0).fit(*make_data(task))


def uncertainty(model, task):
    if task == "regression":
        return np.var([tree.predict(POOL) for tree in model.estimators_], axis=0)
    probs = [tree.predict_proba(POOL) for tree in model.estimators_]
    return np.var(probs, axis=0).mean(axis=1)


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize(("factor", "n"), [(1, 5), (2, 6), (3.5, 4), (99, 5)])
def test_by_hand(task, factor, n):
    model = forest(task)
    value = uncertainty(model, task)
    strategy = SuggestiveAnnotation(factor=factor, space="inputs", random_state=0)
    np.testing.assert_allclose(strategy.score_samples(model, POOL), value)
    rng = resolve_rng(0)
    seed_from(rng)  # the door seeds the global generators first
    scores = torch.from_numpy(strategy.score_samples(model, POOL))
    size = min(int(np.ceil(factor * n)), len(POOL))
    candidates = np.sort(top_k(scores, size, rng).indices.numpy())  # ties are drawn
    similarity = cosine_similarity(POOL)
    picked, gains, covered = [], [], np.full(80, -1.0)
    while len(picked) < n:
        left = [i for i in candidates if i not in picked]
        gain = [np.maximum(similarity[:, i] - covered, 0).sum() for i in left]
        best = left[int(np.argmax(gain))]
        picked.append(best)
        gains.append(max(gain))
        covered = np.maximum(covered, similarity[:, best])
    got = strategy.select(model, POOL, n)
    assert got.indices.tolist() == picked
    np.testing.assert_allclose(got.scores, gains)


def test_labeled_rows_play_no_part():
    model = forest("classification")
    expected = SuggestiveAnnotation().select(model, POOL, 6).indices
    learner = with_labeled(model, *make_data("classification"))
    got = SuggestiveAnnotation().select(learner, POOL, 6).indices
    np.testing.assert_array_equal(got, expected)


def test_any_posterior():
    net = make_net("regression").fit(*make_data("regression"))
    posterior = MCDropout(n_draws=8)
    strategy = SuggestiveAnnotation(posterior, random_state=0)
    variance = PredictiveVariance(posterior, random_state=0)
    np.testing.assert_allclose(
        strategy.score_samples(net, POOL), variance.score_samples(net, POOL)
    )
    top = np.argsort(-variance.score_samples(net, POOL))[:10]
    assert set(strategy.select(net, POOL, 5).indices) <= set(top)


def test_bad_factor():
    with pytest.raises(ValueError, match="factor must be a number of at least 1"):
        SuggestiveAnnotation(factor=0.5).select(forest("regression"), POOL, 1)
