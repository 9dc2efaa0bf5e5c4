from __future__ import annotations

import pickle
from functools import partial

import modAL.models
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from modAL.batch import uncertainty_batch_sampling
from modAL.uncertainty import entropy_sampling, margin_sampling, uncertainty_sampling
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skal.exceptions import UnsuitableLearnerError
from skal.learners import ActiveLearner, Committee
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

BUILT_IN = [uncertainty_sampling, margin_sampling, entropy_sampling]


def learner_for(kind, **kwargs):
    estimator = DictClassifier() if kind == "dict" else LogisticRegression()
    return ActiveLearner(estimator, **kwargs)


class Plain(BaseEstimator):
    """Takes any rows."""

    def fit(self, X, y):
        return self


class FunctionOf(BaseEstimator):
    """A fitted classifier behind a fitted transformer, without a Pipeline."""

    def __init__(self, transformer, model):
        self.transformer = transformer
        self.model = model

    def fit(self, X, y):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def predict_proba(self, X):
        return self.model.predict_proba(self.transformer.transform(X))


class Fragile(DecisionTreeClassifier):
    """Fails in the middle of a fit on rows with a value above 100."""

    def fit(self, X, y, sample_weight=None):
        super().fit(X, y, sample_weight)
        if np.max(X) > 100:
            raise RuntimeError("too large")
        return self


class TestEveryKindOfRows:
    @pytest.mark.parametrize("kind", KINDS)
    def test_a_campaign(self, kind, data):
        X, y = data
        start, pool = convert(X[:9], kind), convert(X[9:], kind)
        learner = learner_for(kind, X_training=start, y_training=y[:9])
        expected = LogisticRegression().fit(X[:9], y[:9])

        indices, rows, scores = learner.query(pool, n_instances=2, return_metrics=True)
        uncertainty = 1 - expected.predict_proba(X[9:]).max(1)
        best = np.argsort(-uncertainty)[:2]
        assert set(indices) == set(best)
        assert np.allclose(scores, uncertainty[indices])
        assert same_kind(rows, pool)
        assert np.array_equal(as_dense(rows), X[9:][indices])

        learner.teach(rows, y[9:][indices])
        assert same_kind(learner.X_training, start)
        all_X = np.vstack((X[:9], X[9:][indices]))
        all_y = np.append(y[:9], y[9:][indices])
        assert np.array_equal(as_dense(learner.X_training), all_X)
        expected.fit(all_X, all_y)
        assert np.allclose(
            learner.predict_proba(pool), expected.predict_proba(X[9:]), atol=1e-5
        )
        assert np.array_equal(learner.predict(pool), expected.predict(X[9:]))
        assert learner.score(pool, y[9:]) == expected.score(X[9:], y[9:])
        loaded = pickle.loads(pickle.dumps(learner))
        assert np.array_equal(loaded.predict(pool), learner.predict(pool))
        assert np.array_equal(as_dense(loaded.X_training), all_X)

    @pytest.mark.parametrize("kind", KINDS)
    def test_bootstrap_of_new_rows(self, kind, data):
        X, y = data
        learner = learner_for(kind, random_state=0)
        for part in (slice(30), slice(30, 60)):
            learner.teach(
                convert(X[part], kind), y[part], bootstrap=True, only_new=True
            )
        assert np.array_equal(as_dense(learner.X_training), X)
        assert np.array_equal(learner.y_training, y)
        assert learner.score(convert(X, kind), y) > 0.4

    @pytest.mark.parametrize("strategy", BUILT_IN)
    def test_as_many_distinct_rows_as_asked(self, strategy, data):
        X, y = data
        learner = learner_for("", query_strategy=strategy).fit(X[:9], y[:9])
        for n in (1, 2, 3, 51):
            for indices, rows in (
                learner.query(X[9:], n_instances=n),
                learner.query(X[9:], n),
            ):
                assert len(set(indices)) == len(rows) == n

    @pytest.mark.parametrize("kind", sorted({*TABLES} - {"grad_tensor"}))
    def test_ranked_batch_of_modal(self, kind, data):
        X, y = data
        learner = learner_for(
            kind,
            query_strategy=uncertainty_batch_sampling,
            X_training=convert(X[:9], kind),
            y_training=y[:9],
        )
        reference = ActiveLearner(
            LogisticRegression(), uncertainty_batch_sampling, X[:9], y[:9]
        )
        indices, rows = learner.query(convert(X[9:], kind), n_instances=4)
        assert indices.tolist() == reference.query(X[9:], n_instances=4)[0].tolist()
        assert np.array_equal(as_dense(rows), X[9:][indices])

    @pytest.mark.parametrize("kind", LABELS)
    def test_every_kind_of_labels(self, kind, data):
        X, y = data
        labels = convert_labels(y, kind)
        first, rest = (labels[:9], labels[9:])
        learner = ActiveLearner(
            LogisticRegression(), X_training=X[:9], y_training=first
        )
        learner.teach(X[9:], rest, bootstrap=True)
        assert type(learner.y_training) is type(labels)
        assert list(learner.y_training) == list(labels)
        assert learner.score(X, labels) > 0.6
        assert (
            learner.predict(X).dtype
            == LogisticRegression().fit(X, np.asarray(labels)).predict(X).dtype
        )

    def test_columns_are_matched_by_name(self, data):
        X, y = data
        frame = convert(X, "frame")
        learner = ActiveLearner(
            LogisticRegression(), X_training=frame[:9], y_training=y[:9]
        )
        learner.teach(frame[9:][["f3", "f1", "f0", "f2"]], y[9:])
        assert np.array_equal(learner.X_training.to_numpy(), X)
        assert learner.feature_names_in_.tolist() == ["f0", "f1", "f2", "f3"]
        assert learner.n_features_in_ == 4

    def test_frames_and_series_grow_with_their_index(self, data):
        X = convert(data[0], "frame")
        y = pd.Series(data[1], name="label", index=X.index)
        learner = ActiveLearner(GaussianNB(), X_training=X[:9], y_training=y[:9])
        learner.teach(X[9:], y[9:])
        pd.testing.assert_frame_equal(learner.X_training, X)
        pd.testing.assert_series_equal(learner.y_training, y)

    @pytest.mark.parametrize("only_new", [False, True])
    def test_bootstrap_takes_rows_of_pandas_by_position(self, only_new, data):
        X = pd.DataFrame(data[0], index=np.arange(60) + 500).add_prefix("f")
        y = pd.Series(data[1], index=X.index)
        learner = ActiveLearner(GaussianNB(), bootstrap_init=True, random_state=0)
        learner.fit(X[:30], y[:30], bootstrap=True)
        learner.teach(X[30:], y[30:], bootstrap=True, only_new=only_new)
        assert learner.score(X, y) > 0.5

    def test_text(self):
        learner = ActiveLearner(make_pipeline(TfidfVectorizer(), LogisticRegression()))
        learner.teach(["good day", "bad day"], ["yes", "no"])
        learner.teach(pd.Series(["good night"]), pd.Series(["yes"]))
        assert learner.X_training == ["good day", "bad day", "good night"]
        indices, rows = learner.query(["good", "bad"], n_instances=1)
        assert rows == [["good", "bad"][indices[0]]]

    def test_regression_with_several_outputs(self, data):
        X, y = data
        Y = np.column_stack((y, -y)).astype(float)
        learner = ActiveLearner(Ridge(), lambda learner, X: [0], X[:9], Y[:9])
        learner.teach(X[9:], Y[9:], bootstrap=True)
        assert learner.predict(X).shape == (60, 2)


class TestIndex:
    def taught(self, X, y):
        learner = ActiveLearner(GaussianNB())
        learner.teach(X, y)
        return learner

    @pytest.mark.parametrize("index", [range(500, 560), [f"id{i}" for i in range(60)]])
    def test_teach_matches_labels_by_index(self, index, data):
        X = pd.DataFrame(data[0], index=index).add_prefix("f")
        y = pd.Series(data[1], index=index)
        learner = self.taught(X, y.sort_index(ascending=False))
        pd.testing.assert_series_equal(learner.y_training, y)
        expected = GaussianNB().fit(X, y)
        assert np.array_equal(learner.estimator.theta_, expected.theta_)
        Y = pd.DataFrame({"a": y, "b": -y}).sample(frac=1, random_state=0)
        members = Committee([ActiveLearner(DecisionTreeClassifier())])
        members.teach(X, Y)
        pd.testing.assert_frame_equal(members.y_training, Y.loc[X.index])

    @pytest.mark.parametrize("together", [False, True])
    def test_teach_matches_weights_by_index(self, together, data):
        X = pd.DataFrame(data[0], index=range(500, 560)).add_prefix("f")
        y = pd.Series(data[1], index=X.index)
        weights = pd.Series(np.arange(1.0, 61), index=X.index)
        member = ActiveLearner(GaussianNB(), X_training=X[:40], y_training=y[:40])
        learner = Committee([member]) if together else member
        learner.teach(X[40:], y[40:], sample_weight=weights.sample(frac=1))
        expected = GaussianNB().fit(X, y, sample_weight=weights)
        np.testing.assert_allclose(member.estimator.theta_, expected.theta_)
        learner.on_duplicate = "ignore"
        learner.teach(X[:5], y[:5], only_new=True, sample_weight=weights[4::-1])
        expected = GaussianNB().fit(X[:5], y[:5], sample_weight=weights[:5])
        np.testing.assert_allclose(member.estimator.theta_, expected.theta_)

    def test_teach_refuses_labels_of_other_rows_and_names_them(self, data):
        X = pd.DataFrame(data[0], index=range(500, 560)).add_prefix("f")
        y = pd.Series(data[1], index=range(501, 561))
        learner = ActiveLearner(GaussianNB(), X_training=X, y_training=y.to_numpy())
        with pytest.raises(ValueError, match=r"only in X: 500; only in y: 560"):
            learner.teach(X, y)
        assert learner.X_training is X
        with pytest.raises(ValueError, match=r"500, 501, 502, ... \(60 labels\)"):
            learner.teach(X, y.set_axis(range(600, 660)))
        twice = [*range(500, 530)] * 2
        with pytest.raises(ValueError, match="labels are repeated"):
            self.taught(X.set_axis(twice), y.set_axis(twice[::-1]))

    def test_teach_matches_by_position_what_has_no_common_index(self, data):
        X, y = data
        frame = pd.DataFrame(X, index=range(500, 560)).add_prefix("f")
        for rows, labels in (
            (frame, pd.Series(y)),  # the default index
            (frame.reset_index(drop=True), pd.Series(y, index=range(9, 69))),
            (frame, y),
            (X, pd.Series(y, index=range(9, 69))),
            (frame.set_axis([1] * 60), pd.Series(y, index=[1] * 60)),
        ):
            assert np.array_equal(self.taught(rows, labels).y_training, y)
        with pytest.warns(UserWarning, match="index of X .* cannot be compared"):
            learner = self.taught(convert(X, "frame"), pd.Series(y, index=range(9, 69)))
        assert np.array_equal(learner.y_training, y)

    def test_fit_matches_by_position_and_warns(self, data):
        X = pd.DataFrame(data[0], index=range(500, 560)).add_prefix("f")
        y = pd.Series(data[1], index=X.index[::-1])
        learner = ActiveLearner(GaussianNB())
        for fitted in (learner, Committee([learner])):
            with pytest.warns(UserWarning, match=r"y\.loc\[X\.index\]"):
                fitted.fit(X, y)
        assert learner.y_training is y


class TestDuplicates:
    def rows(self, data):
        X = pd.DataFrame(data[0], index=range(500, 560)).add_prefix("f")
        X["text"] = "a"
        X.iloc[3, 0] = np.nan
        return X, pd.Series(data[1], index=X.index)

    def learner(self, X, y, **kwargs):
        return ActiveLearner(Plain(), X_training=X, y_training=y, **kwargs)

    @pytest.mark.parametrize("kind", ["tuples", "levels", "tuples and numbers"])
    def test_rows_labeled_already_whatever_the_index(self, data, kind):
        X, y = data
        index = pd.MultiIndex.from_product([["a"], range(len(X))])
        if kind != "levels":
            index = index.to_flat_index()
        if kind == "tuples and numbers":
            labels = [label if k % 2 else k for k, label in enumerate(index)]
            index = pd.Index(labels, tupleize_cols=False)
        rows = pd.DataFrame(X, index=index)
        learner = ActiveLearner(LogisticRegression(), X_training=rows, y_training=y)
        learner.teach(rows[:2] + 1, y[:2])  # other values
        with pytest.warns(UserWarning, match="2 of the 2 rows taught"):
            learner.teach(rows[2:4], y[2:4])
        assert len(learner.y_training) == len(y) + 4

    def test_rows_labeled_already_are_counted(self, data):
        X, y = self.rows(data)
        learner = self.learner(X[:5], y[:5])
        again = X.iloc[[9, 3, 8, 1]]
        with pytest.warns(UserWarning, match=r"2 of the 4 .* index: 503, 501\)"):
            learner.teach(again, y.loc[again.index])
        assert len(learner.X_training) == 9
        with pytest.warns(UserWarning, match="4 of the 4 rows"):
            learner.teach(again, y.loc[again.index])
        committee = Committee([self.learner(X[:5], y[:5])])
        with pytest.warns(UserWarning, match="2 of the 4 rows"):
            committee.teach(again, y.loc[again.index])

    def test_they_may_be_refused_or_ignored(self, data):
        X, y = self.rows(data)
        learner = self.learner(X, y, on_duplicate="raise")
        for taught in (learner, Committee([learner], on_duplicate="raise")):
            with pytest.raises(ValueError, match=r"3 of the 3 .* 500, 501, 502"):
                taught.teach(X[:3], y[:3])
            assert learner.X_training is X
        learner.set_params(on_duplicate="ignore").teach(X[:3], y[:3])
        assert len(learner.X_training) == 63
        with pytest.raises(ValueError, match="on_duplicate must be one of"):
            learner.set_params(on_duplicate="drop").teach(X, y)

    def test_other_rows_may_have_the_same_index_labels(self, data):
        X, y = self.rows(data)
        learner = self.learner(X[:5], y[:5], on_duplicate="raise")
        learner.teach(X[5:10].set_axis(X.index[:5]), y[5:10].to_numpy())
        learner.teach(X[:5].set_axis(X.index[5:10]), y[:5].to_numpy())
        assert len(learner.X_training) == 15

    def test_cells_that_cannot_be_hashed(self, data):
        y = pd.Series(data[1])
        X = pd.DataFrame({"tokens": [[k] for k in range(60)]})
        learner = self.learner(X[:5], y[:5])
        with pytest.warns(UserWarning, match="1 of the 6 rows"):
            learner.teach(X[4:10], y[4:10])


class TestTeach:
    def test_the_first_labels_may_come_with_teach(self, data):
        X, y = data
        learner = ActiveLearner(GaussianNB())
        assert learner.X_training is None
        learner.teach(X[:9], y[:9])
        assert learner.X_training.shape == (9, 4)

    def test_fit_forgets(self, data):
        X, y = data
        learner = ActiveLearner(GaussianNB(), X_training=X[:9], y_training=y[:9])
        assert learner.fit(X[9:], y[9:]) is learner
        assert np.array_equal(learner.X_training, X[9:])
        assert np.allclose(
            learner.estimator.theta_, GaussianNB().fit(X[9:], y[9:]).theta_
        )

    def test_only_new_fits_on_new_rows_and_keeps_all(self, data):
        X, y = data
        learner = ActiveLearner(GaussianNB(), X_training=X[:9], y_training=y[:9])
        learner.teach(X[9:30], y[9:30], only_new=True)
        expected = GaussianNB().fit(X[9:30], y[9:30])
        assert np.array_equal(learner.estimator.theta_, expected.theta_)
        assert np.array_equal(learner.X_training, X[:30])

    def test_warm_start_continues(self, data):
        X, y = data
        options = {"warm_start": True, "random_state": 0, "max_iter": 5, "tol": None}
        learner = ActiveLearner(SGDClassifier(**options))
        expected = SGDClassifier(**options)
        for end in (30, 60):
            learner.teach(X[end - 30 : end], y[end - 30 : end], only_new=True)
            expected.fit(X[end - 30 : end], y[end - 30 : end])
        assert np.array_equal(learner.estimator.coef_, expected.coef_)

    def test_bootstrap_is_seeded_and_leaves_the_global_generators_alone(self, data):
        X, y = data
        state = np.random.get_state()[1].copy()  # noqa: NPY002
        torch_state = torch.get_rng_state()
        fits = [
            ActiveLearner(
                GaussianNB(), uncertainty_sampling, X, y, True, random_state=seed
            ).estimator.theta_
            for seed in (0, 0, 1)
        ]
        assert np.array_equal(fits[0], fits[1])
        assert not np.array_equal(fits[0], fits[2])
        assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002
        assert torch.equal(torch.get_rng_state(), torch_state)

    def test_generator_moves_on(self, data):
        X, y = data
        learner = ActiveLearner(GaussianNB(), random_state=np.random.default_rng(0))
        first = learner.fit(X, y, bootstrap=True).estimator.theta_
        second = learner.fit(X, y, bootstrap=True).estimator.theta_
        assert not np.array_equal(first, second)

    def test_fit_arguments_reach_the_estimator(self, data):
        X, y = data
        weight = np.where(y == 0, 9.0, 1.0)
        expected = LogisticRegression().fit(X, y, weight)
        learner = ActiveLearner(
            LogisticRegression(), X_training=X, y_training=y, sample_weight=weight
        )
        assert np.array_equal(learner.estimator.coef_, expected.coef_)
        with pytest.raises(TypeError, match="sample_wieght"):
            learner.teach(X, y, sample_wieght=weight)

    def test_arguments_of_fit_without_rows_are_refused(self):
        with pytest.raises(TypeError, match=r"\['sample_wieght'\]"):
            ActiveLearner(LogisticRegression(), sample_wieght=[1])

    def test_rows_and_labels_come_together(self, data):
        with pytest.raises(ValueError, match="y is None"):
            ActiveLearner(LogisticRegression(), X_training=data[0])
        with pytest.raises(ValueError, match="X is None"):
            ActiveLearner(LogisticRegression(), y_training=data[1])

    def test_missing_values(self, data):
        X, y = data
        X = X.copy()
        X[5, 0] = np.nan
        with pytest.raises(ValueError, match="force_all_finite=False"):
            ActiveLearner(GaussianNB(), X_training=X, y_training=y)
        tree = DecisionTreeClassifier()
        ActiveLearner(tree, X_training=X, y_training=y).teach(X, y)
        learner = ActiveLearner(Fragile(), force_all_finite=False)
        learner.teach(X, y)  # left to the estimator
        assert learner.get_params()["force_all_finite"] is False


WRONG = {
    "fewer labels": (lambda X, y: (X[:3], y[:2]), "3 rows, but y has 2 labels"),
    "no rows": (lambda X, y: (X[:0], y[:0]), "no rows"),
    "features": (lambda X, y: (X[:3, :2], y[:3]), "shape|missing"),
    "infinity": (lambda X, y: (X[:3] * np.inf, y[:3]), "infinite"),
    "strings": (lambda X, y: (X[:3], ["a", "b", "c"]), "do not mix"),
    "estimator": (lambda X, y: (X[:3] + 1e3, y[:3]), "too large"),
}


class TestFailures:
    @pytest.mark.parametrize(
        ("wrong", "kind", "options"),
        [
            *((wrong, "ndarray", {}) for wrong in WRONG),
            *(("estimator", kind, {}) for kind in ("frame", "csr_matrix")),
            *(("features", kind, {}) for kind in ("frame", "csr_matrix")),
            ("estimator", "ndarray", {"only_new": True}),
            ("estimator", "ndarray", {"bootstrap": True}),
        ],
    )
    def test_failed_teach_changes_nothing(self, wrong, kind, options, data):
        X, y = data
        if kind == "csr_matrix":
            X = np.abs(X)
        estimator = Fragile()
        learner = ActiveLearner(
            estimator,
            X_training=convert(X, kind),
            y_training=y,
            random_state=0,
            on_duplicate="ignore",
        )
        X_before, y_before = learner.X_training, learner.y_training
        proba, params = learner.predict_proba(convert(X, kind)), learner.get_params()
        make, message = WRONG[wrong]
        X_new, y_new = make(X, y)
        for method in ("teach", "fit"):
            if method == "fit" and (wrong in ("features", "strings") or options):
                continue
            with pytest.raises((ValueError, RuntimeError), match=message):
                getattr(learner, method)(convert(X_new, kind), y_new, **options)
        assert learner.X_training is X_before
        assert learner.y_training is y_before
        assert learner.estimator is estimator
        assert learner.get_params() == params
        assert np.array_equal(learner.predict_proba(convert(X, kind)), proba)
        learner.teach(convert(X[:3], kind), y[:3])
        assert len(learner.y_training) == 63

    def test_failed_first_teach_leaves_nothing(self, data):
        X, y = data
        learner = ActiveLearner(Fragile())
        with pytest.raises(RuntimeError, match="too large"):
            learner.teach(X + 1e3, y)
        assert learner.X_training is None
        assert not hasattr(learner.estimator, "tree_")


class TestAsEstimator:
    def test_is_a_learner_of_modal(self):
        learner = ActiveLearner(LogisticRegression())
        assert isinstance(learner, modAL.models.ActiveLearner)

    def test_parameters(self, data):
        learner = ActiveLearner(
            LogisticRegression(C=2), margin_sampling, *data, bootstrap_init=True
        )
        assert learner.get_params(deep=False) == {
            "estimator": learner.estimator,
            "query_strategy": margin_sampling,
            "bootstrap_init": True,
            "on_transformed": False,
            "force_all_finite": True,
            "random_state": None,
            "on_duplicate": "warn",
        }
        assert learner.get_params()["estimator__C"] == 2
        learner.set_params(estimator__C=3, random_state=1)
        assert learner.estimator.C == 3
        assert learner.random_state == 1
        with pytest.raises(ValueError, match="Invalid parameter 'X_training'"):
            learner.set_params(X_training=None)

    def test_repr_is_short(self, data):
        learner = ActiveLearner(LogisticRegression(C=2), margin_sampling, *data)
        assert repr(learner).startswith(
            "ActiveLearner(estimator=LogisticRegression(C=2)"
        )
        assert "margin_sampling" in repr(learner)
        assert len(repr(learner)) < 200
        assert "LogisticRegression" in learner._repr_html_()

    @pytest.mark.parametrize("taught", [False, True])
    def test_clone_is_unfitted_and_without_rows(self, taught, data):
        X, y = data
        learner = ActiveLearner(LogisticRegression(C=2), margin_sampling, X, y)
        if taught:
            learner.teach(X, y)
        copy = clone(learner)
        assert copy.X_training is None
        assert copy.y_training is None
        assert not hasattr(copy, "classes_")
        assert copy.estimator is not learner.estimator
        assert copy.estimator.C == 2
        assert copy.query_strategy is margin_sampling
        assert np.array_equal(copy.fit(X, y).predict(X), learner.predict(X))

    def test_cross_validation_is_that_of_the_estimator(self, data):
        X, y = data
        y = np.sort(y)  # sorted: folds that are not stratified would lack classes
        learner = ActiveLearner(LogisticRegression(), X_training=X, y_training=y)
        for scoring in (None, "neg_log_loss", "roc_auc_ovr"):
            assert np.array_equal(
                cross_val_score(learner, X, y, cv=3, scoring=scoring),
                cross_val_score(LogisticRegression(), X, y, cv=3, scoring=scoring),
            )
        regressor = ActiveLearner(Ridge())
        assert np.array_equal(
            cross_val_score(regressor, X, y, cv=3, scoring="r2"),
            cross_val_score(Ridge(), X, y, cv=3),
        )

    def test_search_over_estimator_and_strategy(self, data):
        X, y = data
        grid = {
            "estimator__C": [1e-4, 1],
            "query_strategy": [margin_sampling, entropy_sampling],
        }
        search = GridSearchCV(ActiveLearner(LogisticRegression()), grid, cv=3)
        search.fit(X, y)
        assert search.best_params_["estimator__C"] == 1
        assert np.array_equal(search.best_estimator_.X_training, X)
        assert search.best_estimator_.query(X, n_instances=2)[1].shape == (2, 4)

    def test_scorers_that_need_a_decision_function(self, data):
        X, y = data[0], data[1] > 0
        learner = ActiveLearner(SGDClassifier(random_state=0))
        score = cross_val_score(learner, X, y, scoring="roc_auc", cv=3)
        assert np.array_equal(
            score,
            cross_val_score(
                SGDClassifier(random_state=0), X, y, scoring="roc_auc", cv=3
            ),
        )
        assert not hasattr(learner, "predict_proba")
        assert not hasattr(ActiveLearner(GaussianNB()), "decision_function")

    def test_uncertainty_of_a_regressor_is_refused(self, data):
        X, y = data
        for strategy in (uncertainty_sampling, partial(uncertainty_batch_sampling)):
            learner = ActiveLearner(Ridge(), strategy, X, y)
            with pytest.raises(UnsuitableLearnerError, match=r"no predict_proba.*LCMD"):
                learner.query(X)

    def test_query_before_fit(self, data):
        indices, rows = ActiveLearner(RandomForestClassifier()).query(data[0], 3)
        assert len(set(indices)) == len(rows) == 3
        indices, _ = ActiveLearner(GaussianNB()).query(data[0].tolist(), 3)
        assert len(set(indices)) == 3

    def test_query_changes_nothing(self, data):
        X, y = data
        learner = ActiveLearner(
            LogisticRegression(), X_training=X[:9], y_training=y[:9]
        )
        before = pickle.dumps(learner)
        learner.query(X[9:], n_instances=3)
        assert pickle.dumps(learner) == before

    def test_memmap_pool(self, data, tmp_path):
        X, y = data
        np.save(tmp_path / "pool.npy", X)
        pool = np.load(tmp_path / "pool.npy", mmap_mode="r")
        learner = ActiveLearner(
            LogisticRegression(), X_training=pool[:9], y_training=y[:9]
        )
        indices, rows = learner.query(pool[9:], n_instances=2)
        learner.teach(rows, y[9:][indices])
        assert learner.X_training.shape == (11, 4)


class TestOnTransformed:
    def learner(self, X, y, scaler):
        return ActiveLearner(
            make_pipeline(scaler, LogisticRegression()),
            uncertainty_batch_sampling,
            X,
            y,
            on_transformed=True,
        )

    @pytest.mark.parametrize("output", ["default", "pandas"])
    @pytest.mark.parametrize("kind", ["ndarray", "int_frame", "tensor"])
    def test_ranked_batch_measures_transformed_rows(self, kind, output, data):
        X, y = data
        X = X * [1, 10, 100, 1000]
        scaler = StandardScaler().set_output(transform=output)
        learner = self.learner(convert(X[:9], kind), y[:9], scaler)
        transform = learner.estimator[0].transform
        expected = self.learner(
            np.asarray(
                transform(convert(X[:9], kind if "frame" in kind else "ndarray"))
            ),
            y[:9],
            "passthrough",
        )
        rows = transform(convert(X[9:], kind if "frame" in kind else "ndarray"))
        indices, _ = learner.query(convert(X[9:], kind), n_instances=4)
        assert (
            indices.tolist()
            == expected.query(np.asarray(rows), n_instances=4)[0].tolist()
        )

    def test_or_rows_as_they_are(self, data):
        X, y = data
        X = X * [1, 10, 100, 1000]
        learner = self.learner(X[:9], y[:9], StandardScaler())
        transformed = learner.query(X[9:], n_instances=6)[0]
        picked = learner.set_params(on_transformed=False).query(X[9:], n_instances=6)[0]
        assert picked.tolist() != transformed.tolist()
        # The same probabilities, of a model without transformers.
        scaled = learner.estimator[:-1]
        model = FunctionOf(scaled, learner.estimator[-1])
        plain = ActiveLearner(model, uncertainty_batch_sampling)
        plain.X_training = X[:9]
        assert picked.tolist() == plain.query(X[9:], n_instances=6)[0].tolist()

    def test_sparse(self, data):
        X, y = np.abs(data[0]), data[1]
        scaler = StandardScaler(with_mean=False)
        learner = self.learner(sp.coo_matrix(X[:9]), y[:9], scaler)
        dense = self.learner(X[:9], y[:9], StandardScaler(with_mean=False))
        assert (
            learner.query(sp.csc_matrix(X[9:]), n_instances=4)[0].tolist()
            == dense.query(X[9:], n_instances=4)[0].tolist()
        )
