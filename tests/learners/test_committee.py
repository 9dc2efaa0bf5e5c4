from __future__ import annotations

import pickle

import modAL.models
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from modAL.batch import uncertainty_batch_sampling
from modAL.disagreement import (
    consensus_entropy_sampling,
    max_disagreement_sampling,
    max_std_sampling,
    vote_entropy_sampling,
)
from modAL.uncertainty import uncertainty_sampling
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    clone,
    is_classifier,
    is_regressor,
)
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import get_tags
from skorch import NeuralNetClassifier

from skal.exceptions import UnsuitableLearnerError
from skal.learners import ActiveLearner, Committee, CommitteeRegressor
from skal.strategies import Margin
from tests.learners.conftest import (
    KINDS,
    LABELS,
    TABLES,
    DictClassifier,
    as_dense,
    convert,
    convert_labels,
    same_kind,
)

STRATEGIES = [
    vote_entropy_sampling,
    consensus_entropy_sampling,
    max_disagreement_sampling,
    uncertainty_sampling,
]


def committee_of(*estimators, **kwargs):
    return Committee([ActiveLearner(e) for e in estimators], **kwargs)


def pair(kind="ndarray", **kwargs):
    if kind == "dict":
        return committee_of(DictClassifier(), DictClassifier(), **kwargs)
    return committee_of(
        LogisticRegression(), DecisionTreeClassifier(random_state=0), **kwargs
    )


class Fragile(DecisionTreeClassifier):
    def fit(self, X, y):
        super().fit(X, y)
        if len(X) > 60:
            raise RuntimeError("too many")
        return self


class TestEveryKindOfRows:
    @pytest.mark.parametrize("kind", KINDS)
    def test_a_campaign(self, kind, data):
        X, y = data
        start, pool = convert(X[:9], kind), convert(X[9:], kind)
        committee = pair(kind, random_state=0, on_duplicate="ignore")
        committee.fit(start, y[:9])
        assert committee.X_training is start
        indices, rows = committee.query(pool, n_instances=20)
        assert len(set(indices)) == 20
        assert same_kind(rows, pool)
        for options in ({}, {"bootstrap": True}, {"only_new": True}):
            committee.teach(rows, y[9:][indices], **options)
        assert same_kind(committee.X_training, start)
        assert np.array_equal(
            as_dense(committee.X_training),
            np.vstack((X[:9], *[X[9:][indices]] * 3)),
        )
        committee.fit(convert(X, kind), y)
        votes, proba = committee.vote(pool), committee.vote_proba(pool)
        for k, member in enumerate(committee):
            assert np.array_equal(votes[:, k], member.predict(pool))
            assert np.array_equal(proba[:, k], member.predict_proba(pool))
        assert np.allclose(committee.predict_proba(pool), proba.mean(axis=1))
        expected = committee.classes_[proba.mean(axis=1).argmax(axis=1)]
        assert np.array_equal(committee.predict(pool), expected)
        assert committee.score(pool, y[9:]) == np.mean(expected == y[9:])
        loaded = pickle.loads(pickle.dumps(committee))
        assert np.array_equal(loaded.vote(pool), votes)
        assert np.array_equal(as_dense(loaded.X_training), X)

    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_as_many_distinct_rows_as_asked(self, strategy, data):
        X, y = data
        committee = pair(query_strategy=strategy).fit(X[:9], y[:9])
        for n in (1, 2, 3, 51):
            for answer in (
                committee.query(X[9:], n),
                committee.query(X[9:], n_instances=n),
                committee.query(X[9:], n, return_metrics=True),
            ):
                assert len(set(answer[0])) == len(answer[1]) == n

    @pytest.mark.parametrize(
        ("strategy", "kind"),
        [
            *((vote_entropy_sampling, kind) for kind in LABELS),
            *((strategy, "strings") for strategy in STRATEGIES[1:]),
        ],
    )
    def test_every_kind_of_labels(self, strategy, kind, data):
        X, y = data
        labels = convert_labels(y, kind)
        committee = pair(query_strategy=strategy).fit(X[:9], labels[:9])
        indices, rows = committee.query(X[9:], n_instances=3)
        reference = pair(query_strategy=strategy).fit(X[:9], y[:9])
        assert indices.tolist() == reference.query(X[9:], n_instances=3)[0].tolist()
        committee.teach(rows, convert_labels(y[9:][indices], kind))
        assert type(committee.y_training) is type(labels)
        known = {str(label) for label in np.unique(np.asarray(labels))}
        assert {str(v) for v in committee.vote(X).ravel()} <= known
        assert committee.score(X, labels) > 0.5


class TestClasses:
    def test_columns_are_the_union_of_classes(self, data):
        X, y = data
        names = np.array(["c", "a", "b"])[y]
        halves = [(y != 0), (y != 1)]
        committee = Committee(
            [
                ActiveLearner(
                    LogisticRegression(), X_training=X[h], y_training=names[h]
                )
                for h in halves
            ]
        )
        assert committee.classes_.tolist() == ["a", "b", "c"]
        assert committee.n_classes_ == 3
        proba = committee.vote_proba(X)
        first, second = (m.predict_proba(X) for m in committee)
        assert np.array_equal(proba[:, 0], np.column_stack((first, np.zeros(60))))
        assert np.array_equal(proba[:, 1], np.column_stack((np.zeros(60), second)))
        assert np.allclose(committee.predict_proba(X).sum(axis=1), 1)
        assert set(committee.predict(X)) <= {"a", "b", "c"}
        for strategy in STRATEGIES:
            committee.set_params(query_strategy=strategy)
            assert len(set(committee.query(X, n_instances=3)[0])) == 3

    def test_new_class_in_teach(self, data):
        X, y = data
        committee = pair().fit(X[y > 0], y[y > 0])
        assert committee.classes_.tolist() == [1, 2]
        committee.teach(X[y == 0], y[y == 0])
        assert committee.vote_proba(X).shape == (60, 2, 3)

    def test_more_columns_than_classes_are_refused(self, data):
        class TooMany(ClassifierMixin, BaseEstimator):
            def fit(self, X, y):
                self.classes_ = np.unique(y)
                return self

            def predict_proba(self, X):
                return np.full((len(X), 3), 1 / 3)

        X, y = data
        committee = committee_of(TooMany(), GaussianNB()).fit(X, y)
        assert committee.vote_proba(X).shape == (60, 2, 3)
        committee.fit(X[y != 1], y[y != 1])
        with pytest.raises(
            ValueError, match=r"Member 0 returns 3 .* 2 classes .*classes="
        ):
            committee.vote_proba(X)

    def test_before_fit(self, data):
        committee = pair()
        assert committee.classes_ is None
        assert committee.n_classes_ == 0
        for method in (committee.predict, committee.vote, committee.vote_proba):
            with pytest.raises(NotFittedError, match="call fit or teach"):
                method(data[0])


@pytest.mark.parametrize("kind", [Committee, CommitteeRegressor])
def test_members_of_one_estimator_are_warned_of(kind, recwarn):
    estimator = LinearRegression() if kind is CommitteeRegressor else GaussianNB()
    kind([ActiveLearner(estimator), ActiveLearner(clone(estimator))])
    assert not recwarn.list
    with pytest.warns(UserWarning, match="2 of the 3 members .* both always agree"):
        kind([ActiveLearner(estimator) for _ in range(3)])


class TestTraining:
    def test_members_share_rows(self, data):
        X, y = data
        committee = pair().fit(X[:9], y[:9])
        committee.teach(X[9:], y[9:])
        first, second = committee
        assert first.X_training is second.X_training is committee.X_training
        assert first.y_training is committee.y_training
        assert len(committee) == 2

    def test_members_may_have_rows_of_their_own(self, data):
        X, y = data
        members = [
            ActiveLearner(GaussianNB(), X_training=X[a:b], y_training=y[a:b])
            for a, b in ((0, 20), (20, 50))
        ]
        committee = Committee(members)
        assert committee.X_training is None
        assert committee.y_training is None
        committee.teach(X[50:], y[50:])
        assert np.array_equal(members[0].X_training, X[[*range(20), *range(50, 60)]])
        assert np.array_equal(members[1].X_training, X[20:])
        expected = GaussianNB().fit(X[20:], y[20:])
        assert np.allclose(members[1].estimator.theta_, expected.theta_)

    def test_members_of_modal(self, data):
        X, y = data
        members = [modAL.models.ActiveLearner(GaussianNB()) for _ in range(2)]
        committee = Committee(members)
        committee.teach(X[:30], y[:30])
        committee.teach(X[30:], y[30:])
        assert np.array_equal(committee.X_training, X)
        assert committee.score(X, y) > 0.5

    def test_only_new_fits_on_new_rows_and_keeps_all(self, data):
        X, y = data
        committee = committee_of(GaussianNB(), GaussianNB()).fit(X[:20], y[:20])
        committee.teach(X[20:], y[20:], only_new=True)
        expected = GaussianNB().fit(X[20:], y[20:])
        for member in committee:
            assert np.array_equal(member.estimator.theta_, expected.theta_)
        assert np.array_equal(committee.X_training, X)

    def test_rebag_draws_another_sample_for_each(self, data):
        X, y = data
        committee = committee_of(GaussianNB(), GaussianNB(), random_state=0)
        committee.fit(X, y)
        same = [m.estimator.theta_ for m in committee]
        assert np.array_equal(*same)
        committee.rebag()
        bagged = [m.estimator.theta_ for m in committee]
        assert not np.array_equal(*bagged)
        assert np.array_equal(committee.X_training, X)
        again = committee_of(GaussianNB(), GaussianNB(), random_state=0)
        again.fit(X, y, bootstrap=True)
        assert np.array_equal(again.learner_list[1].estimator.theta_, bagged[1])

    def test_rebag_needs_rows(self):
        with pytest.raises(NotFittedError, match="labeled rows"):
            pair().rebag()

    @pytest.mark.parametrize("options", [{}, {"only_new": True}, {"bootstrap": True}])
    def test_a_member_that_fails_undoes_the_others(self, options, data):
        X, y = data
        committee = committee_of(GaussianNB(), Fragile(random_state=0), GaussianNB())
        committee.fit(X[:60], y)
        rows, proba = committee.X_training, committee.vote_proba(X)
        X_more, y_more = np.vstack((X, X[:30])), np.append(y, y[:30])
        for method in (committee.teach, committee.fit):
            if method == committee.fit and "only_new" in options:
                continue
            with pytest.raises(RuntimeError, match="too many"):
                method(X_more, y_more, **options)
            assert committee.X_training is rows
            assert all(m.X_training is rows for m in committee)
            assert np.array_equal(committee.vote_proba(X), proba)

    def test_wrong_rows_are_named(self, data):
        X, y = data
        committee = pair().fit(X, y)
        for X_new, y_new, message in (
            (X[:3], y[:2], "2 labels"),
            (X[:0], y[:0], "no rows"),
            (X[:3, :2], y[:3], "shape"),
            (X[:3] * np.nan, y[:3], "NaN"),
        ):
            with pytest.raises(ValueError, match=message):
                committee.teach(X_new, y_new)
        assert committee.X_training is X

    def test_no_members(self, data):
        for call in (Committee([]).fit, Committee([]).teach):
            with pytest.raises(ValueError, match="no members"):
                call(*data)
        assert Committee([]).X_training is None

    def test_members_are_learners(self, data):
        committee = Committee([LogisticRegression()])
        for call in (committee.fit, committee.teach):
            with pytest.raises(TypeError, match=r"ActiveLearner\(LogisticRegression\("):
                call(*data)


class TestAsEstimator:
    def test_is_modals(self):
        assert isinstance(pair(), modAL.models.Committee)

    def test_parameters_clone_and_repr(self, data):
        X, y = data
        committee = pair(random_state=3).fit(X, y)
        assert set(committee.get_params()) == {
            "learner_list",
            "query_strategy",
            "on_transformed",
            "random_state",
            "on_duplicate",
        }
        copy = clone(committee)
        assert copy.random_state == 3
        assert copy.X_training is None
        assert copy.classes_ is None
        assert copy.learner_list[0] is not committee.learner_list[0]
        assert np.array_equal(copy.fit(X, y).vote(X), committee.vote(X))
        assert repr(committee).startswith("Committee(learner_list=[ActiveLearner(")

    def test_missing_values_need_all_members_to_accept_them(self, data):
        X, y = data
        gaps = X[:10].copy()
        gaps[0, 0] = np.nan
        trees = [HistGradientBoostingClassifier(), HistGradientBoostingClassifier()]
        committee_of(*trees).fit(X, y).teach(gaps, y[:10])
        mixed = committee_of(trees[0], GaussianNB()).fit(X, y)
        # Before a member is fitted: GaussianNB's own error would come later.
        with pytest.raises(ValueError, match="X holds NaN or infinite values in 1 row"):
            mixed.teach(gaps, y[:10])

    def test_features_and_tags_are_those_of_the_members(self, data):
        X, y = data
        committee = pair()
        assert not hasattr(committee, "n_features_in_")
        committee.fit(convert(X, "frame"), y)
        assert committee.n_features_in_ == 4
        assert committee.feature_names_in_.tolist() == ["f0", "f1", "f2", "f3"]
        assert is_classifier(committee)
        taken = [get_tags(m.estimator).input_tags.sparse for m in committee]
        assert get_tags(committee).input_tags.sparse == all(taken)
        assert not get_tags(committee).input_tags.allow_nan
        assert not get_tags(committee_of(GaussianNB())).input_tags.sparse
        assert not hasattr(Committee([]), "n_features_in_")

    def test_cross_validation(self, data):
        X, y = data
        y = np.sort(y)
        committee = committee_of(LogisticRegression())
        for scoring in (None, "neg_log_loss", "roc_auc_ovr"):
            assert np.allclose(
                cross_val_score(committee, X, y, cv=3, scoring=scoring),
                cross_val_score(LogisticRegression(), X, y, cv=3, scoring=scoring),
            )
        search = GridSearchCV(pair(), {"query_strategy": STRATEGIES}, cv=3).fit(X, y)
        assert search.best_estimator_.X_training.shape == (60, 4)

    def test_last_step_of_a_pipeline(self, data):
        X, y = data
        pipeline = make_pipeline(StandardScaler(), pair())
        with pytest.raises(NotFittedError):
            pipeline.predict(X)
        assert pipeline.fit(X, y).score(X, y) > 0.6

    def test_transformed_rows_of_members_stand_side_by_side(self, data):
        X, y = data
        committee = committee_of(
            make_pipeline(StandardScaler(), GaussianNB()), GaussianNB()
        ).fit(X, y)
        expected = np.hstack((StandardScaler().fit_transform(X), X))
        assert np.allclose(committee.transform_without_estimating(X), expected)


def test_committee_of_nets_and_pipelines(data):
    X, y = data[0].astype("f4"), data[1]
    net = NeuralNetClassifier(
        torch.nn.Linear,
        module__in_features=4,
        module__out_features=3,
        criterion=torch.nn.CrossEntropyLoss,
        train_split=None,
        verbose=0,
        max_epochs=3,
        classes=[0, 1, 2],
    )
    committee = committee_of(
        net, make_pipeline(StandardScaler(), clone(net)), RandomForestClassifier(5)
    )
    committee.fit(X[:9], y[:9])
    indices, rows = committee.query(X[9:], n_instances=3)
    committee.teach(rows, y[9:][indices], bootstrap=True)
    assert committee.vote_proba(X).shape == (60, 3, 3)
    assert committee.X_training.dtype == np.float32


@pytest.mark.parametrize("output", ["default", "pandas"])
def test_ranked_batch_on_transformed_rows(output, data):
    X, y = data
    pipeline = make_pipeline(
        StandardScaler().set_output(transform=output), GaussianNB()
    )
    committee = committee_of(
        pipeline,
        clone(pipeline),
        query_strategy=uncertainty_batch_sampling,
        on_transformed=True,
    ).fit(X[:9], y[:9])
    assert committee.transform_without_estimating(X).shape == (60, 8)
    assert len(set(committee.query(X[9:], n_instances=3)[0])) == 3


@pytest.fixture
def targets(data):
    return data[0] @ np.array([1.0, 2.0, 3.0, 4.0])


def regressors(**kwargs):
    members = [
        ActiveLearner(Ridge()),
        ActiveLearner(DecisionTreeRegressor(max_depth=2)),
    ]
    return CommitteeRegressor(members, **kwargs)


@pytest.mark.parametrize("kind", TABLES)
def test_a_campaign_of_regressors(kind, data, targets):
    X = data[0]
    start, pool = convert(X[:9], kind), convert(X[9:], kind)
    committee = regressors(random_state=0).fit(start, targets[:9])
    mean, std = committee.predict(pool, return_std=True)
    votes = np.column_stack([m.predict(pool) for m in committee])
    # pandas 2 orders a copy of a frame otherwise, in which sums are rounded otherwise.
    np.testing.assert_allclose(committee.vote(pool), votes, rtol=1e-12)
    assert np.allclose(mean, votes.sum(1) / 2)
    assert np.allclose(std, np.abs(votes[:, 0] - votes[:, 1]) / 2)
    for n in (1, 2, 3, 51):
        indices, rows = committee.query(pool, n)
        assert set(indices) == set(np.argsort(-std)[:n])
        assert same_kind(rows, pool)
        assert len(np.unique(as_dense(rows), axis=0)) == n
    committee.teach(rows, targets[9:][indices], bootstrap=True)
    assert same_kind(committee.X_training, start)
    assert committee.score(pool, targets[9:]) == pytest.approx(
        r2_score(targets[9:], committee.predict(pool))
    )
    loaded = pickle.loads(pickle.dumps(committee))
    assert np.array_equal(loaded.predict(pool), committee.predict(pool))


def test_several_outputs_and_columns(data, targets):
    X = data[0]
    committee = regressors().fit(X, np.column_stack((targets, -targets)))
    assert committee.vote(X).shape == (60, 2, 2)
    assert committee.predict(X).shape == (60, 2)
    columns = CommitteeRegressor(
        [ActiveLearner(LinearRegression()), ActiveLearner(Ridge())]
    ).fit(X, targets[:, None])
    assert columns.learner_list[0].predict(X).shape == (60, 1)
    assert columns.vote(X).shape == (60, 2)
    assert len(set(columns.query(X, 2)[0])) == 2


def test_regressors_as_estimator(data, targets):
    X = data[0]
    committee = regressors()
    assert isinstance(committee, modAL.models.CommitteeRegressor)
    assert committee.query_strategy is max_std_sampling
    with pytest.raises(NotFittedError, match="not fitted"):
        committee.predict(X)
    one = CommitteeRegressor([ActiveLearner(Ridge())])
    for scoring in (None, "neg_root_mean_squared_error"):
        assert np.allclose(
            cross_val_score(one, X, targets, cv=3, scoring=scoring),
            cross_val_score(Ridge(), X, targets, cv=3, scoring=scoring),
        )
    pipeline = make_pipeline(StandardScaler(), clone(one)).fit(X, targets)
    expected = make_pipeline(StandardScaler(), Ridge()).fit(X, targets)
    assert pipeline.score(X, targets) == pytest.approx(expected.score(X, targets))
    assert is_regressor(one)


def test_regressors_on_sparse_rows(data, targets):
    X = data[0]
    members = [Ridge(), RandomForestRegressor(5, random_state=0)]
    committee = CommitteeRegressor([ActiveLearner(m) for m in members])
    committee.fit(sp.csr_matrix(X), targets)
    assert committee.score(sp.coo_matrix(X), targets) > 0.5
    assert len(committee.query(sp.coo_matrix(X), 2)[0]) == 2


@pytest.mark.parametrize(
    ("model", "of_classes"),
    [
        (OneVsRestClassifier(LogisticRegression()), False),
        (DecisionTreeClassifier(max_depth=2), False),
        (DecisionTreeClassifier(max_depth=2), True),
        (MultiOutputClassifier(LogisticRegression()), True),
    ],
)
def test_several_labels_are_not_averaged_as_classes(model, of_classes):
    X = np.random.default_rng(0).normal(size=(60, 3))
    y = (X > 0).astype(int)
    if of_classes:
        y = np.stack([y[:, 0], np.digitize(X[:, 1], [-0.5, 0.5]), y[:, 2]], axis=1)
    committee = Committee(
        [
            ActiveLearner(clone(model), X_training=X[:n], y_training=y[:n])
            for n in (30, 40)
        ]
    )
    for n in (2, 3, 20):  # as many rows as outputs, too
        for method in ("predict", "predict_proba", "vote_proba"):
            with pytest.raises(UnsuitableLearnerError, match="several outputs"):
                getattr(committee, method)(X[-n:])
        with pytest.raises(UnsuitableLearnerError, match="several outputs"):
            committee.score(X[-n:], y[-n:])
        votes = committee.vote(X[-n:])
        assert votes.shape == (n, 2, 3)
        for k, member in enumerate(committee.learner_list):
            assert (votes[:, k] == member.predict(X[-n:])).all()
    picked = Margin(random_state=0).select(committee, X[40:], 2).indices
    table = Margin(random_state=0).explain(committee, X[40:], 2)
    assert table["position"].tolist() == picked.tolist()
