"""BALD and its batches against the mutual information computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import BayesianRidge

from skal.posteriors import MCDropout
from skal.strategies import BALD, BatchBALD, KLDivergence, PowerBALD
from tests.models import make_data, make_net

X, Y = make_data("classification")
X_REG, Y_REG = make_data("regression")
POOL = make_data("classification", 40, seed=1)[0]


@pytest.fixture(scope="module")
def forest() -> RandomForestClassifier:
    return RandomForestClassifier(9, max_depth=3, random_state=0).fit(X, Y)


def tree_probs(forest: RandomForestClassifier) -> np.ndarray:
    return np.stack([tree.predict_proba(POOL) for tree in forest.estimators_])


@pytest.mark.parametrize("cls", [BALD, BatchBALD, PowerBALD])
def test_mutual_information_of_the_trees_of_a_forest(cls, forest):
    p = tree_probs(forest)
    expected = entropy(p.mean(0), axis=1) - entropy(p, axis=2).mean(0)
    scores = cls(random_state=0).score_samples(forest, POOL)
    np.testing.assert_allclose(scores, expected, atol=1e-9)


def test_is_the_divergence_of_the_members_from_their_mean(forest):
    assert KLDivergence is BALD
    p = tree_probs(forest)
    expected = entropy(p, p.mean(0)[None], axis=2).mean(0)
    scores = KLDivergence().score_samples(forest, POOL)
    np.testing.assert_allclose(scores, expected, atol=1e-9)


def test_regression():
    forest = RandomForestRegressor(6, random_state=0).fit(X_REG, Y_REG)
    variance = np.var([t.predict(POOL) for t in forest.estimators_], axis=0)
    scores = BALD(noise_variance=0.5).score_samples(forest, POOL)
    np.testing.assert_allclose(scores, np.log1p(variance / 0.5) / 2)
    default = BALD().score_samples(forest, POOL)
    noise = variance.mean() / 10
    np.testing.assert_allclose(default, np.log1p(variance / noise) / 2)
    targets = np.column_stack([Y_REG, 3 * Y_REG[::-1]])
    forest.fit(X_REG, targets)
    for strategy in (BALD(), BatchBALD()):
        assert len(set(strategy.select(forest, POOL, 8).indices)) == 8


def test_a_large_power_is_bald(forest):
    top = BALD().select(forest, POOL, 3).indices
    drawn = PowerBALD(power=200.0, random_state=0).select(forest, POOL, 3).indices
    assert set(drawn) == set(top)


def test_batch_bald_says_what_it_samples_unless_told_how_many():
    forest = RandomForestClassifier(4, random_state=0).fit(X, Y)  # 3^6 < 2000 < 3^7
    with pytest.warns(UserWarning, match="9 labels of 3 classes.* exact for 6 picks.*"):
        sampled = BatchBALD(random_state=0).select(forest, POOL, 9)
    given = BatchBALD(n_configurations=2000, random_state=0).select(forest, POOL, 9)
    np.testing.assert_array_equal(sampled.indices, given.indices)
    exact = BatchBALD(n_configurations=3**8, random_state=0).select(forest, POOL, 7)
    unasked = BatchBALD(random_state=0).select(forest, POOL, 7)  # not a word
    np.testing.assert_array_equal(exact.indices, unasked.indices)
    np.testing.assert_allclose(exact.scores, unasked.scores, atol=1e-12)


def test_batch_bald_of_one_class_takes_any_rows():
    forest = RandomForestClassifier(3, random_state=0).fit(X, np.zeros(len(X)))
    picks = BatchBALD(random_state=0).select(forest, POOL, 5)
    assert len(set(picks.indices.tolist())) == 5
    assert picks.indices.tolist() != list(range(5))
    assert (picks.scores == 0).all()


def test_diverged_models_are_reported():
    net = make_net("classification").fit(X, Y)
    with torch.no_grad():
        next(net.module_.parameters()).fill_(torch.nan)
    for strategy in (BALD(MCDropout(3)), BatchBALD(MCDropout(3))):
        with pytest.raises(ValueError, match="diverge"):
            strategy.select(net, POOL)


def test_bad_parameters():
    net = make_net("classification").fit(X, Y)
    with pytest.raises(ValueError, match="n_configurations must be"):
        BatchBALD(n_configurations=1).select(net, POOL)
    with pytest.raises(ValueError, match=r"GiB\. Lower n_configurations"):
        BatchBALD(n_configurations=10**9).select(net, POOL, 30)
    with pytest.raises(ValueError, match="power must be a number above 0"):
        PowerBALD(power=0).select(net, POOL)
    for regressor in (RandomForestRegressor(3), BayesianRidge()):
        regressor.fit(X_REG, Y_REG)
        for wrong in (0, "1"):
            with pytest.raises(ValueError, match="noise_variance must be a number"):
                BALD(noise_variance=wrong).select(regressor, POOL)
