"""Every known defect of modAL's learners, by its number, absent from skal's.

The rows of the list are: what fails in modAL 0.4.1 or 0.4.2.1 beside current
scikit-learn, pandas and scipy, or at all.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from modAL.batch import uncertainty_batch_sampling
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, check_cv, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier, NeuralNetRegressor

from skal.learners import (
    ActiveLearner,
    BayesianOptimizer,
    Committee,
    CommitteeRegressor,
)
from tests.learners.conftest import SPARSE, convert, same_kind


def forest(**kwargs):
    return RandomForestClassifier(5, random_state=0, **kwargs)


def net(**kwargs):
    """A plain net of skorch."""
    options = {
        "module__in_features": 4,
        "module__out_features": 3,
        "criterion": torch.nn.CrossEntropyLoss,
        "classes": [0, 1, 2],
        "max_epochs": 2,
        "verbose": 0,
    }
    return NeuralNetClassifier(torch.nn.Linear, **{**options, **kwargs})


class Counting(LogisticRegression):
    """Tells how often its probabilities were asked for."""

    def predict_proba(self, X):
        self.n_calls = getattr(self, "n_calls", 0) + 1
        return super().predict_proba(X)


def committee_of(*estimators, **kwargs):
    return Committee([ActiveLearner(e) for e in estimators], **kwargs)


# 1
@pytest.mark.parametrize(
    "make",
    [
        lambda: ActiveLearner(forest()),
        lambda: ActiveLearner(net(train_split=None)),
        lambda: ActiveLearner(make_pipeline(StandardScaler(), forest())),
        lambda: BayesianOptimizer(GaussianProcessRegressor(optimizer=None)),
        lambda: committee_of(forest(), net(train_split=None)),
        lambda: CommitteeRegressor([ActiveLearner(Ridge())]),
    ],
)
def test_fit_and_teach_work(make, data):
    X, y = data[0].astype("f4"), data[1]
    for options in ({}, {"only_new": True}, {"bootstrap": True}):
        learner = make()
        learner.teach(X[:30], y[:30], **options)
        learner.teach(X[30:], y[30:], **options)
        assert len(learner.X_training) == 60
        assert make().fit(X, y).predict(X).shape == (60,)


# 2
def test_frame_grows(data):
    X, y = convert(data[0], "frame"), data[1]
    learner = ActiveLearner(forest(), X_training=X[:9], y_training=y[:9])
    learner.teach(X[9:], y[9:])
    pd.testing.assert_frame_equal(learner.X_training, X)


# 3
def test_series_grows(data):
    X, y = data[0], pd.Series(data[1], name="label")
    learner = ActiveLearner(forest(), X_training=X[:9], y_training=y[:9])
    learner.teach(X[9:], y[9:])
    pd.testing.assert_series_equal(learner.y_training, y)


# 4
@pytest.mark.parametrize("only_new", [False, True])
def test_bootstrap_takes_rows_of_pandas_by_position(only_new, data):
    X = pd.DataFrame(data[0], index=np.arange(60) + 500).add_prefix("f")
    y = pd.Series(data[1], index=X.index)
    learner = ActiveLearner(forest(), bootstrap_init=True, random_state=0)
    learner.fit(X[:30], y[:30], bootstrap=True)
    learner.teach(X[30:], y[30:], bootstrap=True, only_new=only_new)
    assert learner.score(X, y) > 0.5


# 5
def test_bootstrap_of_lists(data):
    X, y = data[0].tolist(), data[1].tolist()
    learner = ActiveLearner(
        forest(), X_training=X[:30], y_training=y[:30], bootstrap_init=True
    )
    learner.teach(X[30:], y[30:], bootstrap=True)
    assert len(learner.X_training) == 60


# 6
def test_rows_not_columns_of_a_frame_with_integer_labels(data):
    X, y = pd.DataFrame(data[0][:40]), data[1][:40]
    learner = ActiveLearner(forest(), lambda learner, X: [1, 2, 3], X, y)
    pd.testing.assert_frame_equal(learner.query(X)[1], X.iloc[[1, 2, 3]])
    learner.query_strategy = lambda learner, X: 2
    pd.testing.assert_frame_equal(learner.query(X)[1], X.iloc[[2]])


# 7
@pytest.mark.parametrize("committee", [False, True])
def test_transformers_may_give_frames(committee, data):
    X, y = data
    pipeline = make_pipeline(StandardScaler().set_output(transform="pandas"), forest())
    options = {"query_strategy": uncertainty_batch_sampling, "on_transformed": True}
    if committee:
        learner = committee_of(pipeline, clone(pipeline), **options)
    else:
        learner = ActiveLearner(pipeline, **options)
    learner.fit(X[:9], y[:9])
    assert learner.transform_without_estimating(X).shape == (60, 8 if committee else 4)
    assert len(set(learner.query(X[9:], n_instances=3)[0])) == 3


# 8
@pytest.mark.parametrize("fitted", [False, True])
def test_ranked_batch_on_a_frame(fitted, data):
    X, y = convert(data[0], "frame"), data[1]
    learner = ActiveLearner(forest(), uncertainty_batch_sampling)
    if fitted:
        learner.teach(X[:9], y[:9])
    indices, rows = learner.query(X[9:], n_instances=3)
    assert same_kind(rows, X)
    assert len(set(indices)) == 3


# 9
@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("estimator", [forest(), net(train_split=None)])
def test_tensors(estimator, requires_grad, data):
    X = torch.tensor(data[0], dtype=torch.float32, requires_grad=requires_grad)
    y = torch.tensor(data[1])
    learner = ActiveLearner(clone(estimator), X_training=X[:9], y_training=y[:9])
    indices, rows = learner.query(X[9:], n_instances=3)
    learner.teach(rows, y[9:][indices])
    learner.teach(rows, y[9:][indices], bootstrap=True, only_new=True)
    assert torch.equal(learner.X_training[9:12], X[9:][indices].detach())
    assert learner.score(X, y) == learner.score(X.detach().numpy(), y.numpy())


def test_tensor_on_another_device():
    class OnDevice(BaseEstimator):
        def fit(self, X, y):
            self.device_ = X.device
            return self

    learner = ActiveLearner(OnDevice())
    for _ in range(2):
        learner.teach(torch.ones(3, 4, device="meta"), torch.ones(3, device="meta"))
    assert learner.estimator.device_.type == "meta"
    assert learner.X_training.shape == (6, 4)


# 10
def test_net_of_several_inputs(data):
    class Sum(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = torch.nn.Linear(2, 3), torch.nn.Linear(2, 3)

        def forward(self, left, right):
            return self.left(left) + self.right(right)

    X, y = convert(data[0].astype("f4"), "dict"), data[1]
    estimator = NeuralNetClassifier(
        Sum,
        criterion=torch.nn.CrossEntropyLoss,
        train_split=None,
        verbose=0,
        max_epochs=2,
    )
    learner = ActiveLearner(estimator).fit(X, y)
    indices, rows = learner.query(X, n_instances=3)
    assert rows["left"].shape == (3, 2)
    learner.teach(rows, y[indices], bootstrap=True)
    assert learner.X_training["right"].shape == (63, 2)
    assert learner.predict(X).shape == (60,)


# 11
@pytest.mark.parametrize("container", ["matrix", "array"])
@pytest.mark.parametrize("format", SPARSE)
@pytest.mark.parametrize("estimator", [forest(), net(train_split=None)])
def test_sparse_pools(estimator, format, container, data):
    X, y = data[0].astype("f4"), data[1]
    make = getattr(sp, f"{format}_{container}")
    learner = ActiveLearner(clone(estimator), X_training=make(X[:9]), y_training=y[:9])
    indices, rows = learner.query(make(X[9:]), n_instances=3)
    assert rows.format == format
    learner.teach(rows, y[9:][indices])
    assert learner.X_training.format == format
    assert learner.predict(make(X)).shape == (60,)


# 12
def test_scikit_learns_tools(data):
    X, y = data
    learner = ActiveLearner(forest(), X_training=X, y_training=y, bootstrap_init=True)
    assert "RandomForestClassifier" in repr(learner)
    assert learner.get_params()["bootstrap_init"] is True
    assert learner.set_params(bootstrap_init=False).bootstrap_init is False
    assert clone(learner).estimator.get_params() == learner.estimator.get_params()
    assert cross_val_score(learner, X, y, cv=3).shape == (3,)
    search = GridSearchCV(learner, {"estimator__max_depth": [1, 3]}, cv=3).fit(X, y)
    assert search.best_params_["estimator__max_depth"] in (1, 3)


# 13
def test_last_step_of_a_pipeline(data):
    X, y = data
    pipeline = make_pipeline(StandardScaler(), ActiveLearner(GaussianNB())).fit(X, y)
    assert pipeline.predict(X).shape == (60,)
    assert pipeline.score(X, y) > 0.5


# 14
def test_classifiers_are_known_as_such(data):
    X, y = data
    learner = ActiveLearner(LogisticRegression())
    assert is_classifier(learner)
    splitter = check_cv(3, y, classifier=is_classifier(learner))
    assert type(splitter).__name__ == "StratifiedKFold"
    for scoring, labels in (("roc_auc", y > 0), ("roc_auc_ovr", y)):
        scores = cross_val_score(learner, X, labels, cv=3, scoring=scoring)
        assert np.array_equal(
            scores,
            cross_val_score(LogisticRegression(), X, labels, cv=3, scoring=scoring),
        )


# 15
def test_force_all_finite_with_rows(data):
    X, y = data
    X = X.copy()
    X[0, 0] = np.nan
    learner = ActiveLearner(
        forest(), X_training=X, y_training=y, force_all_finite=False
    )
    learner.teach(X, y)
    assert learner.get_params()["force_all_finite"] is False


# 16
def test_committee_of_string_labels(data):
    X, y = data[0], np.array(["ant", "bee", "wasp"])[data[1]]
    committee = committee_of(forest(), GaussianNB()).fit(X, y)
    assert set(committee.vote(X).ravel()) == {"ant", "bee", "wasp"}
    assert len(set(committee.query(X, n_instances=3)[0])) == 3
    assert committee.score(X, y) > 0.5


# 17
def test_positional_n_instances_of_a_committee(data):
    X, y = data
    committee = committee_of(forest(), GaussianNB()).fit(X, y)
    assert len(committee.query(X, 5)[0]) == 5
    assert len(ActiveLearner(GaussianNB()).fit(X, y).query(X, 5)[0]) == 5


# 18
def test_committee_of_regressors_scores_and_takes_sparse_rows(data):
    X, y = data
    members = [Ridge(), RandomForestRegressor(5, random_state=0)]
    committee = CommitteeRegressor([ActiveLearner(m) for m in members])
    committee.fit(sp.csr_matrix(X), y)
    assert committee.score(sp.csr_matrix(X), y) > 0.5
    assert len(committee.query(sp.coo_matrix(X), 2)[0]) == 2


# 19
def test_optimizer_of_a_net_says_what_it_needs(data):
    X, y = data[0].astype("f4"), data[1].astype("f4")[:, None]
    estimator = NeuralNetRegressor(
        torch.nn.Linear,
        module__in_features=4,
        module__out_features=1,
        train_split=None,
        max_epochs=1,
        verbose=0,
    )
    optimizer = BayesianOptimizer(estimator, X_training=X, y_training=y)
    with pytest.raises(TypeError, match="return_std=True"):
        optimizer.query(X)


# 20
def test_nets_in_pipelines_committees_and_ranked_batches(data):
    X, y = data[0].astype("f4"), data[1]
    pipeline = make_pipeline(StandardScaler(), net(train_split=None))
    learner = ActiveLearner(
        pipeline, uncertainty_batch_sampling, X[:9], y[:9], on_transformed=True
    )
    assert len(set(learner.query(X[9:], n_instances=3)[0])) == 3
    committee = committee_of(net(train_split=None), clone(pipeline)).fit(X[:9], y[:9])
    committee.teach(X[9:12], y[9:12])
    assert committee.vote_proba(X).shape == (60, 2, 3)


# 21 concerns modAL's MC dropout, which skal does not pass on.


# 22
@pytest.mark.parametrize("only_new", [False, True])
def test_failed_teach_may_be_tried_again(only_new, data):
    X, y = data
    learner = ActiveLearner(GaussianNB(), X_training=X[:9], y_training=y[:9])
    for _ in range(3):
        with pytest.raises(TypeError, match="unknown"):
            learner.teach(X[9:], y[9:], only_new=only_new, unknown=1)
    assert learner.X_training.shape == (9, 4)
    learner.teach(X[9:], y[9:], only_new=only_new)
    assert np.array_equal(learner.X_training, X)


# 23
@pytest.mark.parametrize("only_new", [False, True])
@pytest.mark.parametrize("bootstrap", [False, True])
def test_arguments_of_fit_are_passed(bootstrap, only_new, data):
    X, y = data
    options = {"bootstrap": bootstrap, "only_new": only_new}
    learners = [ActiveLearner(GaussianNB(), random_state=0) for _ in range(2)]
    for learner, weight in zip(learners, (np.ones(60), np.arange(60.0)), strict=True):
        learner.teach(X, y, sample_weight=weight, **options)
    assert not np.array_equal(*(learner.estimator.theta_ for learner in learners))


def test_strategy_is_called_once(data):
    X, y = data
    for returned in ([4], [4, 2], ([4, 2], [0.1, 0.2]), 4):
        calls = []

        def strategy(learner, X, returned=returned, calls=calls):
            calls.append(1)
            return returned

        ActiveLearner(GaussianNB(), strategy, X, y).query(X)
        assert calls == [1]
    learner = ActiveLearner(Counting(), X_training=X, y_training=y)
    learner.query(X, n_instances=2)
    assert learner.estimator.n_calls == 1


def test_training_data_keep_their_type(data):
    X, y = data
    learner = ActiveLearner(
        GaussianNB(), X_training=X[:9].astype("f4"), y_training=y[:9]
    )
    learner.teach(X[9:], y[9:])
    assert learner.X_training.dtype == np.float32
