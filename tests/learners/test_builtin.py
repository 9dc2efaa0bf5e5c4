from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from modAL import acquisition, batch, disagreement, uncertainty
from modAL.utils.combination import make_query_strategy
from modAL.utils.selection import multi_argmax
from scipy.stats import entropy
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from skal.learners import (
    ActiveLearner,
    BayesianOptimizer,
    Committee,
    CommitteeRegressor,
)
from skal.learners.builtin import adapt, metrics_of
from tests.learners.conftest import convert


def gaussian_process(**kwargs):
    return GaussianProcessRegressor(optimizer=None, **kwargs)


def proba_scores(learner, X):
    ordered = np.sort(learner.predict_proba(X), axis=1)
    return {
        "uncertainty_sampling": 1 - ordered[:, -1],
        "uncertainty_batch_sampling": 1 - ordered[:, -1],
        "margin_sampling": ordered[:, -1] - ordered[:, -2],
        "entropy_sampling": entropy(ordered, axis=1),
    }


@pytest.mark.parametrize(
    "strategy",
    [
        uncertainty.uncertainty_sampling,
        uncertainty.margin_sampling,
        uncertainty.entropy_sampling,
        batch.uncertainty_batch_sampling,
    ],
)
def test_metrics_of_classifiers(strategy, data):
    X, y = data
    learner = ActiveLearner(LogisticRegression(), strategy, X[:9], y[:9])
    indices, _, metrics = learner.query(X[9:], n_instances=4, return_metrics=True)
    expected = proba_scores(learner, X[9:])[strategy.__name__]
    assert np.allclose(metrics, expected[indices])


def test_metrics_of_committees(data):
    X, y = data
    members = [ActiveLearner(LogisticRegression()), ActiveLearner(GaussianNB())]
    committee = Committee(members).fit(X[:9], y[:9])
    proba = committee.vote_proba(X[9:])
    votes = committee.vote(X[9:])
    shares = np.stack([(votes == c).mean(1) for c in range(3)], axis=1)
    consensus = proba.mean(1)
    expected = {
        disagreement.vote_entropy_sampling: entropy(shares, axis=1),
        disagreement.consensus_entropy_sampling: entropy(consensus, axis=1),
        disagreement.max_disagreement_sampling: np.max(
            entropy(proba, consensus[:, None], axis=2), axis=1
        ),
    }
    for strategy, scores in expected.items():
        committee.set_params(query_strategy=strategy)
        indices, _, metrics = committee.query(X[9:], 4, return_metrics=True)
        assert np.allclose(metrics, scores[indices])
        assert np.allclose(np.sort(metrics), np.sort(scores)[-4:])


def test_metrics_of_regressors(data):
    X = data[0]
    y = X.sum(axis=1)
    gaussian = BayesianOptimizer(gaussian_process(), X_training=X[:9], y_training=y[:9])
    mean, std = gaussian.predict(X[9:], return_std=True)
    gaussian.query_strategy = partial(acquisition.max_UCB, beta=3)
    indices, _, metrics = gaussian.query(X[9:], n_instances=4, return_metrics=True)
    assert np.allclose(metrics, (mean + 3 * std)[indices])
    committee = CommitteeRegressor(
        [
            ActiveLearner(gaussian_process()),
            ActiveLearner(gaussian_process(alpha=1)),
        ]
    ).fit(X[:9], y[:9])
    indices, _, metrics = committee.query(X[9:], n_instances=4, return_metrics=True)
    assert np.allclose(metrics, committee.predict(X[9:], return_std=True)[1][indices])


def test_metrics_of_other_strategies_are_unknown(data):
    for strategy in (lambda learner, X: [0], {}.get):
        assert metrics_of(strategy, None, data[0], (), {}, np.array([0])) is None


def test_positional_arguments_are_those_of_the_function(data):
    X = data[0]
    optimizer = BayesianOptimizer(
        gaussian_process(), acquisition.max_PI, X[:9], X[:9].sum(1)
    )
    # tradeoff comes before n_instances
    indices, _, metrics = optimizer.query(X[9:], 0.5, 3, return_metrics=True)
    expected = acquisition.optimizer_PI(optimizer, X[9:], tradeoff=0.5)
    assert len(indices) == 3
    assert np.allclose(metrics, expected[indices])


def test_what_is_not_modals_gets_what_was_passed(data):
    pool, learner = data[0].tolist(), object()
    asked, given = adapt(lambda learner, X: [0], learner, pool)
    assert asked is learner
    assert given is pool


def test_strategy_combined_from_modals_parts(data):
    X, y = data
    strategy = make_query_strategy(uncertainty.classifier_entropy, multi_argmax)
    learner = ActiveLearner(GaussianNB(), strategy, X[:9], y[:9])
    best = np.argmax(proba_scores(learner, X[9:])["entropy_sampling"])
    assert learner.query(X[9:])[0].tolist() == [best]


@pytest.mark.parametrize("kind", ["list", "dict", "coo_array", "tensor", "frame"])
def test_unfitted_committee_is_asked_whatever_the_pool(kind, data):
    committee = Committee([ActiveLearner(GaussianNB()), ActiveLearner(GaussianNB())])
    indices, _ = committee.query(convert(data[0], kind), n_instances=3)
    assert len(set(indices)) == 3


def test_ranked_batch_refuses_a_dict(data):
    learner = ActiveLearner(GaussianNB(), batch.uncertainty_batch_sampling)
    with pytest.raises(TypeError, match="takes no dict"):
        learner.query({"a": data[0]})


def test_ranked_batch_of_committee_starts_from_shared_rows(data):
    X, y = data
    members = [ActiveLearner(GaussianNB()), ActiveLearner(LogisticRegression())]
    committee = Committee(members, batch.uncertainty_batch_sampling)
    for kind in ("ndarray", "frame", "list"):
        committee.fit(convert(X[:9], kind), y[:9])
        indices, rows = committee.query(convert(X[9:], kind), n_instances=5)
        assert len(set(indices)) == len(rows) == 5
