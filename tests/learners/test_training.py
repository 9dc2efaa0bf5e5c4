from __future__ import annotations

from threading import Lock

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from skorch import NeuralNetClassifier

from skal.learners import ActiveLearner, Committee, CommitteeRegressor
from skal.learners.training import (
    bootstrap_sample,
    fit_estimator,
    rows_to_read,
    unchanged_on_error,
)
from skal.nets import NetRegressor

X = np.random.default_rng(0).normal(size=(12, 4)).astype("f4")
y = np.arange(12) % 2


class Recorder(BaseEstimator):
    """Records the arguments of its fit."""

    def fit(self, X, y, **fit_kwargs):
        self.X_, self.y_, self.fit_kwargs_ = X, y, fit_kwargs
        return self


def local_net(locked=False, **kwargs):
    """A net with a local class as module; with a lock, it cannot be copied."""

    class Module(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lock = Lock() if locked else None
            self.linear = torch.nn.Linear(4, 2)

        def forward(self, X):
            return self.linear(X).softmax(-1)

    return NeuralNetClassifier(
        Module, train_split=None, max_epochs=2, verbose=0, **kwargs
    )


class TestBootstrap:
    def test_draws_rows_with_labels_and_weights(self):
        rng = torch.Generator().manual_seed(0)
        weight = np.arange(12.0)
        fit_kwargs = {"sample_weight": weight, "ids": list(range(12)), "other": "a"}
        X_drawn, y_drawn, along = bootstrap_sample(X, y, fit_kwargs, rng)
        drawn = along["sample_weight"].astype(int)
        assert np.array_equal(X_drawn, X[drawn])
        assert np.array_equal(y_drawn, y[drawn])
        assert along["ids"] == drawn.tolist()
        assert along["other"] == "a"
        assert len(set(drawn)) < 12

    def test_frequencies_are_those_of_drawing_with_replacement(self):
        rng = torch.Generator().manual_seed(1)
        rows = np.arange(12)
        drawn = [bootstrap_sample(rows, rows, {}, rng)[0] for _ in range(2000)]
        counts = np.bincount(np.concatenate(drawn), minlength=12)
        # Each count is binomial with mean 2000; five standard deviations.
        assert np.all(np.abs(counts - 2000) < 5 * np.sqrt(2000))
        distinct = np.mean([len(set(d)) for d in drawn]) / 12
        assert abs(distinct - (1 - (11 / 12) ** 12)) < 0.01

    def test_fit_on_sample_of_generator(self):
        estimator = Recorder()
        fit_estimator(estimator, X, y, {}, torch.Generator().manual_seed(0))
        expected = bootstrap_sample(X, y, {}, torch.Generator().manual_seed(0))
        assert np.array_equal(estimator.X_, expected[0])


class TestSharedEstimators:
    def test_a_learner_that_retrains_another_one_warns(self):
        model = LogisticRegression()
        first = ActiveLearner(model, X_training=X, y_training=y)
        with pytest.warns(UserWarning, match="another ActiveLearner.* Pass clone"):
            second = ActiveLearner(model, X_training=X, y_training=1 - y)
        with pytest.warns(UserWarning, match="another ActiveLearner"):
            first.teach(X, y)
        members = [ActiveLearner(clone(model)), ActiveLearner(model)]
        with pytest.warns(UserWarning, match="another ActiveLearner"):
            Committee(members).fit(X, y)
        with pytest.warns(UserWarning, match="another ActiveLearner"):
            second.teach(X, y)

    def test_learners_with_estimators_of_their_own_do_not(self):
        model = LogisticRegression()
        first = ActiveLearner(model, X_training=X, y_training=y)
        first.teach(X, y)
        second = ActiveLearner(clone(model), X_training=X, y_training=y)
        ActiveLearner(model).predict(X)  # trains nothing
        second.set_params(estimator=Ridge()).fit(X, y)
        Committee([first, second]).fit(X, y)
        first.teach(X, y)

    def test_learners_that_are_gone_do_not_count(self):
        model = LogisticRegression()
        for _ in range(2):
            learner = ActiveLearner(model, X_training=X, y_training=y)
            del learner

    def test_members_with_one_estimator_warn(self):
        model = DecisionTreeClassifier()
        members = [ActiveLearner(model), ActiveLearner(model), ActiveLearner(Ridge())]
        for kind in (Committee, CommitteeRegressor):
            with pytest.warns(UserWarning, match="1 of the 3 members .* Pass clone"):
                kind(members)


class TestUnchangedOnError:
    def fail_after(self, *estimators, data=(X, y)):
        def fit_and_fail():
            with unchanged_on_error(estimators):
                for estimator in estimators:
                    estimator.fit(*data)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fit_and_fail()

    def test_nothing_happens_without_error(self):
        model = LogisticRegression()
        with unchanged_on_error([model]):
            model.fit(X, y)
        assert np.array_equal(model.coef_, LogisticRegression().fit(X, y).coef_)

    def test_fitted_state_is_restored(self):
        models = [
            LogisticRegression().fit(X, y),
            make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y),
            SGDClassifier(warm_start=True, random_state=0).fit(X, y),
        ]
        before = [model.decision_function(X) for model in models]
        self.fail_after(*models, data=(X[:6] * 9, y[:6]))
        for model, decision in zip(models, before, strict=True):
            assert np.array_equal(model.decision_function(X), decision)

    def test_unfitted_stays_unfitted(self):
        model = LogisticRegression()
        self.fail_after(model)
        assert not hasattr(model, "coef_")

    def test_same_estimator_twice(self):
        model = LogisticRegression().fit(X, y)
        coef = model.coef_.copy()
        self.fail_after(model, model, data=(-X, y))
        assert np.array_equal(model.coef_, coef)
        net = local_net().fit(X, y)
        before = net.predict_proba(X)
        self.fail_after(net, net)
        assert np.array_equal(net.predict_proba(X), before)

    def test_net_that_cannot_be_copied(self):
        net = local_net(locked=True).fit(X, y)
        before = net.predict_proba(X)
        self.fail_after(net, make_pipeline(StandardScaler(), clone(net)).fit(X, y))
        assert np.array_equal(net.predict_proba(X), before)
        with unchanged_on_error([net]):
            net.fit(X, y)
        assert not np.array_equal(net.predict_proba(X), before)

    def test_a_warm_start_with_a_local_class(self):
        net = local_net(warm_start=True).fit(X, y)
        before = net.predict_proba(X)
        self.fail_after(net)
        assert np.array_equal(net.predict_proba(X), before)

    def test_net_that_can_neither_be_copied_nor_start_over(self):
        net = local_net(locked=True, warm_start=True).fit(X, y)
        before = net.predict_proba(X)
        with (
            pytest.raises(TypeError, match=r"cannot be copied.*such as a lock"),
            unchanged_on_error([net]),
        ):
            net.fit(X, y)
        assert np.array_equal(net.predict_proba(X), before)


def test_rows_are_copied_for_all_but_nets(tmp_path) -> None:
    """A pool on disk may be larger than memory."""
    np.save(tmp_path / "x.npy", np.ones((4, 2)))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert rows_to_read(mapped, NetRegressor()) is mapped
    scaled = make_pipeline(StandardScaler(copy=False), NetRegressor())
    for estimator in (Ridge(), scaled):
        rows = rows_to_read(mapped, estimator)
        assert type(rows) is np.ndarray
        assert rows.flags.writeable
        np.testing.assert_array_equal(rows, mapped)
