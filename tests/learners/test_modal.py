from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from modAL import acquisition, batch, disagreement, uncertainty
from modAL.utils.combination import make_query_strategy
from modAL.utils.selection import multi_argmax
from scipy.stats import entropy
from sklearn.ensemble import RandomForestClassifier
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

from skal.exceptions import UnsuitableLearnerError
from skal.learners import (
    ActiveLearner,
    BayesianOptimizer,
    Committee,
    CommitteeRegressor,
)
from skal.learners.modal import parse_answer
from tests.learners.conftest import convert, same_kind

POOL = np.arange(40.0).reshape(10, 4)


def query(strategy, *args, pool=POOL, **kwargs):
    return ActiveLearner(LogisticRegression(), strategy).query(pool, *args, **kwargs)


def constant(answer):
    return lambda learner, X: answer


@pytest.mark.parametrize(
    "answer",
    [
        np.array([7, 3]),
        np.array([[7], [3]]),
        np.array([7, 3], dtype=np.uint8),
        [7, 3],
        (7, 3),
        (np.int64(7), np.int64(3)),
        torch.tensor([7, 3]),
        pd.Series([7, 3], index=[50, 60]),
        pd.Index([7, 3]),
        (np.array([7, 3]), np.array([0.5, 0.4])),
        ([7, 3], [0.5, 0.4]),
        (np.array([7, 3]), POOL[[7, 3]]),  # old style: instances
        (np.array([7, 3]), None),
    ],
)
def test_two_indices_are_two_rows(answer):
    indices, rows = query(constant(answer))
    assert indices.tolist() == [7, 3]
    assert indices.dtype == np.int64
    assert np.array_equal(rows, POOL[[7, 3]])


@pytest.mark.parametrize("answer", [3, np.int64(3), np.array(3), torch.tensor(3), [3]])
def test_one_index_is_one_row(answer):
    indices, rows = query(constant(answer))
    assert indices.tolist() == [3]
    assert rows.shape == (1, 4)


def test_one_index_with_its_metric():
    indices, metrics = parse_answer((3, 0.5), 10, "strategy")
    assert indices.tolist() == [3]
    assert metrics == 0.5


def test_metrics_are_returned_when_asked():
    scores = np.array([0.5, 0.4])
    strategy = constant((np.array([7, 3]), scores))
    indices, rows, metrics = query(strategy, return_metrics=True)
    assert indices.tolist() == [7, 3]
    assert rows.shape == (2, 4)
    assert metrics is scores


@pytest.mark.parametrize("answer", [[1, 2, 3], 2])
def test_indices_are_rows_of_a_frame_never_its_columns(answer):
    pool = pd.DataFrame(POOL)  # its columns are named 0 to 3
    _, rows = query(constant(answer), pool=pool)
    pd.testing.assert_frame_equal(rows, pool.iloc[np.atleast_1d(answer)])


def test_missing_metrics_warn():
    with pytest.warns(UserWarning, match="returns no metrics"):
        *_, metrics = query(constant(np.array([7, 3])), return_metrics=True)
    assert metrics is None


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (np.array([1.0, 2.0]), TypeError, "float64"),
        (np.arange(10) > 6, TypeError, "bool"),
        (None, TypeError, "must return positions"),
        (np.array([[1, 2], [3, 4]]), TypeError, "2-dimensional"),
        ((np.array([1]), 0, 0), TypeError, "a tuple of length 3"),
        ([1, 10], ValueError, "index 10, but the pool's rows are 0 to 9"),
        ([-1, 2], ValueError, "index -1"),
        ([1, 2, 1], ValueError, "twice"),
    ],
)
def test_wrong_answers_are_refused(answer, error, message):
    with pytest.raises(error, match=message):
        query(constant(answer))


def test_an_answer_may_be_empty():
    indices, rows = query(constant([]))
    assert indices.shape == (0,)
    assert rows.shape == (0, 4)


def first(learner, X, n_instances=1, *, offset=0):
    return np.arange(n_instances) + offset


@pytest.mark.parametrize("n", [1, 2, 3, 10])
def test_arguments_reach_the_strategy(n):
    assert query(first, n)[0].tolist() == list(range(n))
    assert query(first, n_instances=n)[0].tolist() == list(range(n))
    assert query(partial(first, n_instances=n))[0].tolist() == list(range(n))
    assert query(first, offset=4)[0].tolist() == [4]


@pytest.mark.parametrize("n", [0, -1, 11])
def test_n_instances_must_fit_the_pool(n):
    for arguments in ({"n_instances": n}, {}):
        with pytest.raises(ValueError, match="from 1 to the 10 rows"):
            query(first, *([] if arguments else [n]), **arguments)


@pytest.mark.parametrize("n", [2.0, "2", True])
def test_n_instances_must_be_an_int(n):
    with pytest.raises(ValueError, match="n_instances must be an int"):
        query(first, n_instances=n)


def test_n_instances_is_found_among_collected_arguments():
    def collects(learner, X, **kwargs):
        return np.arange(kwargs["n_instances"])

    assert query(collects, n_instances=2)[0].tolist() == [0, 1]
    with pytest.raises(ValueError, match="from 1 to"):
        query(collects, n_instances=11)


def test_unknown_argument_of_the_strategy_is_its_own_error():
    with pytest.raises(TypeError, match="unexpected keyword argument 'typo'"):
        query(first, typo=1)


def test_strategy_is_called_once_and_its_error_passes():
    calls = []

    def failing(learner, X):
        calls.append(learner)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        query(failing)
    assert len(calls) == 1


class Counting(LogisticRegression):
    """Counts the calls of predict_proba."""

    def predict_proba(self, X):
        self.n_calls = getattr(self, "n_calls", 0) + 1
        return super().predict_proba(X)


def test_probabilities_are_predicted_once(data):
    learner = ActiveLearner(Counting(), X_training=data[0], y_training=data[1])
    learner.query(data[0], n_instances=2)
    assert learner.estimator.n_calls == 1


def test_learner_and_pool_reach_the_strategy_untouched():
    seen = []

    def look(learner, X):
        seen.append((learner, X))
        return [0]

    pool = POOL.tolist()
    learner = ActiveLearner(LogisticRegression(), look)
    learner.query(pool)
    assert seen[0][0] is learner
    assert seen[0][1] is pool


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


class _OneHot(LogisticRegression):
    """Takes a column of zeros and ones for each class, and predicts one of them."""

    def fit(self, X, y):
        return super().fit(X, np.asarray(y).argmax(axis=1))


def test_labels_in_columns_of_one_distribution(data):
    X, y = data
    columns = np.eye(y.max() + 1)[y]
    learner = ActiveLearner(_OneHot(), uncertainty.margin_sampling, X[:9], columns[:9])
    plain = ActiveLearner(
        LogisticRegression(), uncertainty.margin_sampling, X[:9], y[:9]
    )
    for name in (uncertainty.margin_sampling, uncertainty.entropy_sampling):
        picked = [
            one.set_params(query_strategy=name).query(X[9:], n_instances=3)[0]
            for one in (learner, plain)
        ]
        np.testing.assert_array_equal(*picked)


class _NotHashable(dict):
    def __call__(self, learner, X):
        return [0]


def test_metrics_of_strategies_that_cannot_be_hashed():
    with pytest.warns(UserWarning, match="returns no metrics"):
        *_, metrics = query(_NotHashable(), return_metrics=True)
    assert metrics is None


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


@pytest.mark.parametrize("kind", ["ndarray", "frame"])
def test_ranked_batch_of_an_unfitted_learner(kind, data):
    X = convert(data[0], kind)
    learner = ActiveLearner(GaussianNB(), batch.uncertainty_batch_sampling)
    indices, rows = learner.query(X, n_instances=3)
    assert len(set(indices)) == 3
    assert same_kind(rows, X)


def test_ranked_batch_refuses_a_dict(data):
    learner = ActiveLearner(GaussianNB(), batch.uncertainty_batch_sampling)
    with pytest.raises(TypeError, match="does not take a dict"):
        learner.query({"a": data[0]})


def test_ranked_batch_of_committee_starts_from_shared_rows(data):
    X, y = data
    members = [ActiveLearner(GaussianNB()), ActiveLearner(LogisticRegression())]
    committee = Committee(members, batch.uncertainty_batch_sampling)
    for kind in ("ndarray", "frame", "list"):
        committee.fit(convert(X[:9], kind), y[:9])
        indices, rows = committee.query(convert(X[9:], kind), n_instances=5)
        assert len(set(indices)) == len(rows) == 5


@pytest.mark.parametrize(
    "strategy", [uncertainty.uncertainty_sampling, uncertainty.margin_sampling]
)
def test_labels_are_not_read_as_classes(strategy):
    X = np.random.default_rng(0).normal(size=(40, 3))
    labels = (X[:, :2] > 0).astype(int)
    model = OneVsRestClassifier(LogisticRegression())
    learner = ActiveLearner(model, strategy, X[:30], labels[:30])
    with pytest.raises(UnsuitableLearnerError, match=r"have 2 columns.*Margin"):
        learner.query(X[30:])


def labels_of_two():
    X = np.random.default_rng(0).normal(size=(40, 3))
    return X, (X[:, :2] > 0).astype(int)


MULTILABEL = {
    "one-versus-rest": lambda: OneVsRestClassifier(LogisticRegression()),
    "forest": lambda: RandomForestClassifier(5, random_state=0),
    "chain": lambda: ClassifierChain(LogisticRegression()),
    "neighbors": KNeighborsClassifier,
}


@pytest.mark.parametrize("kind", MULTILABEL)
@pytest.mark.parametrize(
    "strategy",
    [
        *(disagreement.vote_entropy_sampling, disagreement.consensus_entropy_sampling),
        *(disagreement.max_disagreement_sampling, uncertainty.entropy_sampling),
    ],
)
def test_members_of_committees_do_not_read_labels_as_classes(kind, strategy):
    X, labels = labels_of_two()
    # Members with other rows, so that the committee holds none.
    members = [
        ActiveLearner(MULTILABEL[kind](), X_training=X[:n], y_training=labels[:n])
        for n in (20, 30)
    ]
    committee = Committee(members, strategy)
    with pytest.raises(UnsuitableLearnerError, match=r"several outputs.*Margin"):
        committee.query(X[30:])


@pytest.mark.parametrize("kind", MULTILABEL)
def test_labels_of_a_fitted_estimator_are_not_read_as_classes(kind):
    X, labels = labels_of_two()
    model = MULTILABEL[kind]().fit(X[:30], labels[:30])
    learner = ActiveLearner(model, uncertainty.uncertainty_sampling)
    with pytest.raises(UnsuitableLearnerError, match=r"several outputs.*Margin"):
        learner.query(X[30:])


def test_standard_deviations_of_several_targets():
    X, _ = labels_of_two()
    members = [
        ActiveLearner(LinearRegression(), X_training=X[:n], y_training=X[:n, :2])
        for n in (20, 30)
    ]
    with pytest.raises(UnsuitableLearnerError, match=r"predicts 2.*PredictiveVariance"):
        CommitteeRegressor(members).query(X[30:])
