"""Strategies of disagreement: the right measure of the right posterior."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from skal import ActiveLearner, Committee, CommitteeRegressor
from skal.exceptions import UnsuitableLearnerError
from skal.nets import WeightSnapshots
from skal.posteriors import MCDropout, Members, Snapshots, WeightNoise
from skal.strategies import (
    BALD,
    EPIG,
    BatchBALD,
    ConsensusEntropy,
    LabelDispersion,
    MeanStd,
    PredictiveEntropy,
    PredictiveVariance,
    QBCVariance,
    VariationOfPrediction,
    VariationRatio,
    VoteEntropy,
)
from tests.models import make_data, make_net

X, Y = make_data("classification")
X_REG, Y_REG = make_data("regression")
POOL = make_data("classification", 40, seed=1)[0]


@pytest.fixture(scope="module")
def forest() -> RandomForestClassifier:
    return RandomForestClassifier(9, max_depth=3, random_state=0).fit(X, Y)


def tree_probs(forest: RandomForestClassifier) -> np.ndarray:
    return np.stack([tree.predict_proba(POOL) for tree in forest.estimators_])


def vote_shares(probs: np.ndarray) -> np.ndarray:
    votes = probs.argmax(2).T
    return np.stack([np.bincount(v, minlength=probs.shape[2]) for v in votes]) / 9


CASES = {
    VoteEntropy: lambda p: entropy(vote_shares(p), axis=1),
    VariationRatio: lambda p: 1 - vote_shares(p).max(1),
    ConsensusEntropy: lambda p: entropy(p.mean(0), axis=1),
    MeanStd: lambda p: p.std(0).mean(1),
}


@pytest.mark.parametrize("cls", list(CASES), ids=lambda cls: cls.__name__)
def test_scores_over_the_trees_of_a_forest(cls, forest):
    expected = CASES[cls](tree_probs(forest))
    scores = cls(random_state=0).score_samples(forest, POOL)
    np.testing.assert_allclose(scores, expected, atol=1e-9)
    again = cls(posterior=Members(), random_state=0).score_samples(forest, POOL)
    np.testing.assert_array_equal(scores, again)


def test_other_names():
    assert PredictiveEntropy is ConsensusEntropy
    assert QBCVariance is PredictiveVariance


@pytest.mark.parametrize("cls", [VoteEntropy, VariationRatio, LabelDispersion])
def test_votes_tie_in_a_random_order(cls, forest):
    pool = POOL[np.zeros(30, dtype=int)]
    orders = [
        cls(posterior=Members(), random_state=seed).select(forest, pool, 5).indices
        for seed in (0, 0, 1)
    ]
    assert orders[0].tolist() == orders[1].tolist() != orders[2].tolist()


def test_variance_of_a_forest_and_of_a_committee():
    forest = RandomForestRegressor(6, random_state=0).fit(X_REG, Y_REG)
    variance = np.var([t.predict(POOL) for t in forest.estimators_], axis=0)
    scores = PredictiveVariance().score_samples(forest, POOL)
    np.testing.assert_allclose(scores, variance)
    members = [
        ActiveLearner(
            RandomForestRegressor(3, random_state=s), X_training=X_REG, y_training=Y_REG
        )
        for s in range(3)
    ]
    committee = CommitteeRegressor(members)
    variance = np.var([m.predict(POOL) for m in members], axis=0)
    np.testing.assert_allclose(QBCVariance().score_samples(committee, POOL), variance)


def test_several_targets():
    targets = np.column_stack([Y_REG, 3 * Y_REG[::-1]])
    forest = RandomForestRegressor(6, random_state=0).fit(X_REG, targets)
    variance = np.var([t.predict(POOL) for t in forest.estimators_], axis=0)
    for reduction, expected in (("sum", variance.sum(1)), ("max", variance.max(1))):
        strategy = PredictiveVariance(reduction=reduction)
        np.testing.assert_allclose(strategy.score_samples(forest, POOL), expected)


def test_label_dispersion_by_counting_epochs():
    settings = {"max_epochs": 8, "module__dropout": 0.0}
    net = make_net("classification", callbacks=[WeightSnapshots()], **settings)
    net.fit(X, Y)
    votes = [
        make_net("classification", **{**settings, "max_epochs": e})
        .fit(X, Y)
        .predict(POOL)
        for e in range(1, 9)
    ]
    counts = [np.unique(v, return_counts=True)[1].max() for v in np.transpose(votes)]
    scores = LabelDispersion(random_state=0).score_samples(net, POOL)
    np.testing.assert_allclose(scores, 1 - np.array(counts) / 8)
    assert len(np.unique(scores)) > 1


def test_variation_of_prediction_by_stopping_after_each_epoch():
    settings = {"max_epochs": 6, "module__dropout": 0.0}
    net = make_net("regression", callbacks=[WeightSnapshots(warmup=2)], **settings)
    net.fit(X_REG, Y_REG)
    stopped = [
        make_net("regression", **{**settings, "max_epochs": e}).fit(X_REG, Y_REG)
        for e in range(3, 7)
    ]
    expected = np.var([n.predict(POOL) for n in stopped], axis=0)
    scores = VariationOfPrediction().score_samples(net, POOL)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("posterior", [MCDropout(5), Snapshots(), WeightNoise(5)])
@pytest.mark.parametrize("cls", [BALD, BatchBALD, VoteEntropy, EPIG])
def test_any_measure_takes_any_posterior(cls, posterior):
    net = make_net("classification").fit(X, Y)
    strategy = cls(posterior=posterior, random_state=0)
    assert len(set(strategy.select(net, POOL, 6).indices)) == 6


def test_parameters_of_a_posterior_are_searched_over():
    strategy = BALD(posterior=MCDropout())
    assert "posterior__n_draws" in strategy.get_params()
    assert strategy.set_params(posterior__n_draws=7).posterior.n_draws == 7


def test_errors_say_what_is_missing():
    bare = make_net("classification", module__dropout=0.0, callbacks=None).fit(X, Y)
    with pytest.raises(UnsuitableLearnerError, match=r"module__dropout=0\.2"):
        BALD().select(bare, POOL)
    with pytest.raises(UnsuitableLearnerError, match="WeightSnapshots"):
        LabelDispersion().select(bare, POOL)
    with pytest.raises(ValueError, match="posterior must be 'auto' or an object"):
        BALD(posterior="dropout").select(bare, POOL)
    with pytest.raises(ValueError, match="1 model, and disagreement needs"):
        BALD(posterior=MCDropout(1)).select(make_net("classification").fit(X, Y), POOL)
    lonely = Committee([ActiveLearner(bare, X_training=X, y_training=Y)])
    with pytest.raises(UnsuitableLearnerError, match="single member"):
        VoteEntropy(posterior=Members()).select(lonely, POOL)
    regressor = RandomForestRegressor(3).fit(X_REG, Y_REG)
    with pytest.raises(ValueError, match="reduction"):
        PredictiveVariance(reduction="mean").select(regressor, POOL)
