"""Strategies of disagreement: the right measure of the right posterior."""

from __future__ import annotations

import numpy as np
import pytest
import torch
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
    KLDivergence,
    LabelDispersion,
    MeanStd,
    PowerBALD,
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


MUTUAL = {
    "by hand": lambda p: entropy(p.mean(0), axis=1) - entropy(p, axis=2).mean(0),
}
CASES = {
    VoteEntropy: lambda p: entropy(vote_shares(p), axis=1),
    VariationRatio: lambda p: 1 - vote_shares(p).max(1),
    ConsensusEntropy: lambda p: entropy(p.mean(0), axis=1),
    MeanStd: lambda p: p.std(0).mean(1),
    BALD: MUTUAL["by hand"],
    BatchBALD: MUTUAL["by hand"],
    PowerBALD: MUTUAL["by hand"],
}


@pytest.mark.parametrize("cls", list(CASES), ids=lambda cls: cls.__name__)
def test_scores_over_the_trees_of_a_forest(cls, forest):
    expected = CASES[cls](tree_probs(forest))
    scores = cls(random_state=0).score_samples(forest, POOL)
    np.testing.assert_allclose(scores, expected, atol=1e-9)
    again = cls(posterior=Members(), random_state=0).score_samples(forest, POOL)
    np.testing.assert_array_equal(scores, again)


def test_names_that_the_literature_has_for_the_same(forest):
    assert PredictiveEntropy is ConsensusEntropy
    assert QBCVariance is PredictiveVariance
    assert KLDivergence is BALD
    p = tree_probs(forest)
    expected = entropy(p, p.mean(0)[None], axis=2).mean(0)
    scores = KLDivergence().score_samples(forest, POOL)
    np.testing.assert_allclose(scores, expected, atol=1e-9)


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
    scores = BALD(noise_variance=0.5).score_samples(forest, POOL)
    np.testing.assert_allclose(scores, np.log1p(variance / 0.5) / 2)
    default = BALD().score_samples(forest, POOL)
    noise = variance.mean() / 10
    np.testing.assert_allclose(default, np.log1p(variance / noise) / 2)
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
    for strategy in (BALD(), BatchBALD(), EPIG(random_state=0)):
        assert len(set(strategy.select(forest, POOL, 8).indices)) == 8


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


def test_epig_wants_what_the_targets_need(forest):
    # Rows like the targets, and rows that differ from them in every tree's eyes.
    near = EPIG(X_target=POOL[:1], random_state=0)
    scores = near.score_samples(forest, POOL)
    p = tree_probs(forest)
    joint = np.einsum("kic,kd->icd", p, p[:, 0]) / len(p)
    expected = (
        entropy(p.mean(0), axis=1)
        + entropy(p.mean(0)[0])
        - entropy(joint.reshape(40, -1), axis=1)
    )
    np.testing.assert_allclose(scores, expected, atol=1e-9)
    everything = EPIG(n_targets=1000, random_state=0).score_samples(forest, POOL)
    by_target = [
        EPIG(X_target=POOL[[i]]).score_samples(forest, POOL) for i in range(40)
    ]
    np.testing.assert_allclose(everything, np.mean(by_target, axis=0), atol=1e-9)


def test_a_large_power_is_bald(forest):
    top = BALD().select(forest, POOL, 3).indices
    drawn = PowerBALD(power=200.0, random_state=0).select(forest, POOL, 3).indices
    assert set(drawn) == set(top)


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
    with pytest.raises(UnsuitableLearnerError, match="no members to disagree"):
        VoteEntropy(posterior=Members()).select(lonely, POOL)
    net = make_net("classification").fit(X, Y)
    with pytest.raises(ValueError, match="n_configurations must be"):
        BatchBALD(n_configurations=1).select(net, POOL)
    with pytest.raises(ValueError, match=r"GiB\. Lower n_configurations"):
        BatchBALD(n_configurations=10**9).select(net, POOL, 30)
    with pytest.raises(ValueError, match="power must be a number above 0"):
        PowerBALD(power=0).select(net, POOL)
    with pytest.raises(ValueError, match="n_targets"):
        EPIG(n_targets=0).select(net, POOL)
    regressor = RandomForestRegressor(3).fit(X_REG, Y_REG)
    with pytest.raises(ValueError, match="noise_variance"):
        BALD(noise_variance=-1).select(regressor, POOL)
    with pytest.raises(ValueError, match="reduction"):
        PredictiveVariance(reduction="mean").select(regressor, POOL)


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


def test_batch_bald_of_one_class_takes_rows_in_pool_order():
    forest = RandomForestClassifier(3, random_state=0).fit(X, np.zeros(len(X)))
    picks = BatchBALD(random_state=0).select(forest, POOL, 5)
    assert picks.indices.tolist() == list(range(5))
    assert (picks.scores == 0).all()


def test_diverged_models_are_reported():
    net = make_net("classification").fit(X, Y)
    with torch.no_grad():
        next(net.module_.parameters()).fill_(torch.nan)
    for strategy in (BALD(MCDropout(3)), BatchBALD(MCDropout(3))):
        with pytest.raises(ValueError, match="diverge"):
            strategy.select(net, POOL)
