from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skal import (
    ActiveLearner,
    ActiveLearningSimulation,
    Committee,
    NetClassifier,
    NetRegressor,
)
from skal.exceptions import UnsuitableLearnerError
from skal.nets import DeepEnsembleClassifier
from skal.strategies import (
    BADGE,
    BALD,
    CoreSet,
    Entropy,
    GreedySampling,
    KMeansPP,
    LeastConfident,
    Margin,
    MaxDist,
    PredictiveVariance,
    Random,
    Subsample,
    ViaProxy,
)
from tests.models import make_data, make_net

POOL = make_data("regression", 50, seed=1)[0]


class Untouchable(ClassifierMixin, BaseEstimator):
    """A learner's model that must not be looked at."""

    def fit(self, X, y):
        raise AssertionError("trained")

    predict = predict_proba = fit


class UntouchableRegressor(RegressorMixin, BaseEstimator):
    """The same for regression."""

    fit = predict = Untouchable.fit


def learner_of(task: str, estimator=None) -> ActiveLearner:
    """A learner with labeled rows that has never been fitted."""
    learner = ActiveLearner(make_net(task) if estimator is None else estimator)
    learner.X_training, learner.y_training = make_data(task)
    return learner


def asked(estimator, X, y) -> ActiveLearner:
    """Independent of `ViaProxy`: a proxy fitted by hand, with its labeled rows."""
    return ActiveLearner(clone(estimator), X_training=X, y_training=y)


class TestOracle:
    @pytest.mark.parametrize(
        ("task", "proxy", "strategy"),
        [
            ("classification", LogisticRegression(), Entropy()),
            ("classification", LogisticRegression(), LeastConfident()),
            ("classification", RandomForestClassifier(random_state=3), BALD()),
            ("classification", make_net("classification"), BADGE(random_state=1)),
            ("classification", make_net("classification"), CoreSet()),
            ("regression", Ridge(), GreedySampling()),
            ("regression", RandomForestRegressor(random_state=3), PredictiveVariance()),
            ("regression", make_net("regression"), MaxDist(random_state=2)),
            ("regression", make_net("regression"), KMeansPP(random_state=2)),
        ],
    )
    def test_picks_are_those_of_a_proxy_fitted_by_hand(self, task, proxy, strategy):
        expected = strategy.select(asked(proxy, *make_data(task)), POOL, 6)
        for wrapped in (
            proxy,
            ActiveLearner(proxy),
            make_pipeline(StandardScaler(with_mean=False, with_std=False), proxy),
        ):
            picked = ViaProxy(wrapped, strategy).select(learner_of(task), POOL, 6)
            np.testing.assert_array_equal(picked.indices, expected.indices)
            np.testing.assert_allclose(picked.scores, expected.scores, rtol=1e-4)

    def test_not_those_of_the_learner(self):
        X, y = make_data("classification")
        learner = asked(make_net("classification", max_epochs=40), X, y)
        proxy = LogisticRegression(C=1e-3)
        via = ViaProxy(proxy, Entropy()).select(learner, POOL, 10).indices
        assert set(via) != set(Entropy().select(learner, POOL, 10).indices)

    def test_labels_of_other_kinds(self):
        X, y = make_data("classification")
        names = [f"f{j}" for j in range(X.shape[1])]
        frame, pool = (pd.DataFrame(values, columns=names) for values in (X, POOL))
        expected = Margin().select(LogisticRegression().fit(frame, y), pool, 5).indices
        for rows, labels, asked_of in [
            (frame, pd.Series(y), pool),
            (frame, list(y), pool),
            (X.tolist(), y, POOL.tolist()),
            (torch.as_tensor(X), y, torch.as_tensor(POOL)),
            (sparse.csr_matrix(X), y, sparse.csr_matrix(POOL)),
        ]:
            learner = ActiveLearner(Untouchable())
            learner.X_training, learner.y_training = rows, labels
            strategy = ViaProxy(LogisticRegression(), Margin())
            picked = strategy.select(learner, asked_of, 5).indices
            np.testing.assert_array_equal(picked, expected)

    def test_text_by_a_pipeline(self):
        learner = ActiveLearner(make_pipeline(TfidfVectorizer(), NetClassifier()))
        learner.X_training = ["good day", "bad day", "good night", "bad night"]
        learner.y_training = [1, 0, 1, 0]
        proxy = make_pipeline(TfidfVectorizer(), LogisticRegression())
        for strategy in (ViaProxy(proxy, Margin()), ViaProxy(random_state=0)):
            picked = strategy.select(learner, ["good good", "good bad", "bad"], 1)
            assert picked.indices.tolist() == [1]


class TestTheLearner:
    def test_need_not_be_fitted_and_is_not_looked_at(self):
        learner = learner_of("classification", Untouchable())
        before = dict(vars(learner))
        picked = ViaProxy(LogisticRegression(), Entropy()).select(learner, POOL, 3)
        assert picked.indices.shape == (3,)
        assert vars(learner) == before
        assert vars(learner.estimator) == {}

    def test_proxy_and_strategy_are_left_as_given(self):
        proxy = LogisticRegression()
        strategy = ViaProxy(proxy, Entropy())
        strategy.select(learner_of("classification"), POOL, 3)
        assert strategy.proxy is proxy
        assert not hasattr(proxy, "coef_")

    def test_without_labeled_rows(self):
        fitted = make_net("classification").fit(*make_data("classification"))
        for learner in (fitted, ActiveLearner(fitted)):
            with pytest.raises(UnsuitableLearnerError, match=r"ViaProxy.*labeled rows"):
                ViaProxy(LogisticRegression(), Entropy()).select(learner, POOL, 1)

    def test_is_seen_by_the_strategies_that_read_labeled_rows(self):
        # Of a pool of two clusters, the one without labels is far from what is labeled.
        X, y = np.r_[np.zeros((5, 1)), np.ones((5, 1))], np.arange(10.0)
        learner = ActiveLearner(Ridge())
        learner.X_training, learner.y_training = X, y
        pool = np.array([[0.1], [0.9], [7.0]])
        picked = ViaProxy(Ridge(), GreedySampling("inputs")).select(learner, pool, 1)
        assert picked.indices.tolist() == [2]
        assert picked.scores.tolist() == [6.0]

    def test_a_committee_that_shares_its_rows(self):
        X, y = make_data("classification")
        members = [ActiveLearner(make_net("classification")) for _ in range(2)]
        committee = Committee(members)
        strategy = ViaProxy(LogisticRegression(), Entropy())
        expected = Entropy().select(LogisticRegression().fit(X, y), POOL, 4).indices
        for member in members:
            member.X_training, member.y_training = X, y
        assert strategy.select(committee, POOL, 4).indices.tolist() == list(expected)
        for member in members:  # as in modAL's, each has its own copy
            member.X_training, member.y_training = X.copy(), y.copy()
        assert strategy.select(committee, POOL, 4).indices.tolist() == list(expected)
        series = pd.Series(y)
        for member in members:
            member.X_training, member.y_training = pd.DataFrame(X), series
        frame = pd.DataFrame(POOL)
        assert strategy.select(committee, frame, 4).indices.tolist() == list(expected)
        members[0].X_training = pd.DataFrame(-X)
        with pytest.raises(UnsuitableLearnerError, match="different labeled rows"):
            strategy.select(committee, frame, 4)
        members[0].X_training, members[0].y_training = X[1:], y[1:]
        with pytest.raises(UnsuitableLearnerError, match="different labeled rows"):
            strategy.select(committee, POOL, 4)


class TestDefaults:
    @pytest.mark.parametrize("task", ["classification", "regression"])
    def test_are_those_of_the_docs(self, task):
        X, y = make_data(task)
        net = {"classification": NetClassifier, "regression": NetRegressor}[task]
        proxy = net(module__hidden_sizes=(64,), lr=0.01, random_state=0)
        inner = {"classification": Margin(), "regression": GreedySampling()}[task]
        strategy = ViaProxy(random_state=0)
        first = strategy.select(learner_of(task), POOL, 5)
        again = strategy.select(learner_of(task), POOL, 5)
        np.testing.assert_array_equal(first.indices, again.indices)
        # The net's seed is drawn: the same rows are among the best by another seed.
        expected = inner.select(asked(proxy, X, y), POOL, 15).indices
        assert len(set(first.indices) & set(expected)) >= 3

    def test_a_net_in_the_transformers_of_the_learner(self):
        X, y = make_data("regression")
        estimator = TransformedTargetRegressor(
            make_pipeline(StandardScaler(), UntouchableRegressor()),
            transformer=StandardScaler(),
        )
        search = GridSearchCV(estimator, {}, cv=3)
        strategy = ViaProxy(random_state=0)
        expected = strategy.select(learner_of("regression", estimator), POOL, 5).indices
        shifted = learner_of("regression", search)
        shifted.X_training, shifted.y_training = X * 64 + 128, y * 16
        picked = strategy.select(shifted, POOL * 64 + 128, 5).indices
        assert picked.tolist() == expected.tolist()

    def test_learners_without_a_net(self):
        learner = learner_of("classification", RandomForestClassifier())
        assert len(ViaProxy(random_state=0).select(learner, POOL, 5).indices) == 5

    def test_a_learner_that_does_not_tell_its_task(self):
        class Unknown:
            X_training, y_training = make_data("regression")

        with pytest.raises(UnsuitableLearnerError, match="Name a proxy"):
            ViaProxy().select(Unknown(), POOL, 1)
        assert len(ViaProxy(Ridge()).select(Unknown(), POOL, 2).indices) == 2


class TestRandomState:
    def strategy(self, seed=None, proxy_seed=None, own=None) -> ViaProxy:
        proxy = NetClassifier(max_epochs=1, random_state=proxy_seed)
        return ViaProxy(proxy, KMeansPP(random_state=own), seed)

    def picks(self, strategy, repeats=4):
        learner = learner_of("classification")
        return {
            tuple(strategy.select(learner, POOL, 8).indices) for _ in range(repeats)
        }

    def test_seeds_proxy_and_strategy(self):
        assert len(self.picks(self.strategy(seed=0))) == 1
        assert len(self.picks(self.strategy())) > 1
        assert self.picks(self.strategy(0)) != self.picks(self.strategy(1))

    def test_seeds_of_their_own_are_kept(self):
        # random_state then plays no part.
        assert len(self.picks(self.strategy(None, 0, 0))) == 1
        assert self.picks(self.strategy(0, 0, 0)) == self.picks(self.strategy(1, 0, 0))
        assert len(self.picks(self.strategy(None, 0))) > 1
        assert len(self.picks(self.strategy(None, None, 0))) > 1

    def test_seeds_at_any_depth(self):
        proxy = make_pipeline(StandardScaler(), NetClassifier(max_epochs=1))
        strategy = ViaProxy(proxy, Entropy(), random_state=0)
        assert len(self.picks(strategy)) == 1
        assert proxy.get_params()["netclassifier__random_state"] is None

    def test_global_generators_are_left_alone(self):
        before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        self.picks(self.strategy(), 1)
        assert torch.equal(torch.get_rng_state(), before[0])
        assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


class TestAsEstimator:
    def test_nested_parameters(self):
        strategy = ViaProxy(LogisticRegression(), Subsample(Entropy()), random_state=0)
        strategy.set_params(proxy__C=3, strategy__max_rows=7)
        copied = clone(strategy)
        assert copied.proxy.C == 3
        assert copied.strategy.max_rows == 7
        assert copied.proxy is not strategy.proxy

    def test_simulation_and_search(self):
        X, y = make_data("classification")
        simulation = ActiveLearningSimulation(
            RandomForestClassifier(10),
            ViaProxy(LogisticRegression(), Entropy()),
            n_initial=12,
            n_instances=4,
            n_queries=2,
            random_state=0,
        )
        grid = {"query_strategy__proxy__C": [0.1, 1.0]}
        assert GridSearchCV(simulation, grid, cv=2).fit(X, y).best_score_ > 0.3

    def test_within_another_strategy(self):
        strategy = Subsample(ViaProxy(LogisticRegression()), 30, random_state=0)
        assert len(strategy.select(learner_of("classification"), POOL, 5).indices) == 5

    def test_of_another_proxy(self):
        strategy = ViaProxy(ActiveLearner(LogisticRegression()), ViaProxy(Ridge()))
        with pytest.raises(UnsuitableLearnerError, match="Ridge is for regression"):
            strategy.select(learner_of("classification"), POOL, 5)
        inner = ViaProxy(LogisticRegression(), Entropy())
        picked = ViaProxy(LogisticRegression(C=2), inner).select(
            learner_of("classification"), POOL, 5
        )
        expected = inner.select(learner_of("classification"), POOL, 5)
        assert picked.indices.tolist() == expected.indices.tolist()


class TestNamedClasses:
    @pytest.mark.parametrize("wrapped", [False, True], ids=["net", "ensemble"])
    def test_the_default_proxy_has_the_classes_of_the_net(self, wrapped):
        # Of one class so far, as before the first query of a rare one.
        estimator = NetClassifier(classes=["no", "yes"], max_epochs=2, random_state=0)
        if wrapped:
            estimator = DeepEnsembleClassifier(estimator, 2, random_state=0)
        X = np.random.default_rng(0).normal(size=(12, 3)).astype("f")
        learner = ActiveLearner(estimator, X_training=X, y_training=["no"] * 12)
        assert ViaProxy(random_state=0).select(learner, X, 3).indices.shape == (3,)


class TestErrors:
    def test_a_proxy_that_cannot_fit(self):
        with pytest.raises(
            ValueError, match=r"proxy Failing .* 60 labeled .*no data"
        ) as e:
            ViaProxy(Failing()).select(learner_of("classification"), POOL, 1)
        assert isinstance(e.value.__cause__, KeyError)

    def test_a_default_proxy_that_cannot_fit(self):
        learner = ActiveLearner(NetClassifier())
        learner.X_training = {
            "left": np.ones((4, 2), "f"),
            "right": np.ones((4, 2), "f"),
        }
        learner.y_training = [0, 1, 0, 1]
        with pytest.raises(ValueError, match="proxy NetClassifier could not be fitted"):
            ViaProxy().select(learner, learner.X_training, 1)

    @pytest.mark.parametrize("task", ["classification", "regression"])
    def test_a_proxy_of_the_other_task(self, task):
        proxy = Ridge() if task == "classification" else LogisticRegression()
        message = rf"is for {task}, and its proxy {type(proxy).__name__} is for"
        with pytest.raises(UnsuitableLearnerError, match=message):
            ViaProxy(proxy).select(learner_of(task), POOL, 1)

    @pytest.mark.parametrize("proxy", [3, "net", LogisticRegression, Margin()])
    def test_what_is_no_estimator(self, proxy):
        with pytest.raises(TypeError, match="proxy of ViaProxy must be an estimator"):
            ViaProxy(proxy).select(learner_of("classification"), POOL, 1)

    @pytest.mark.parametrize("strategy", [3, Entropy, lambda learner, X: [0]])
    def test_what_is_no_strategy_is_refused_before_the_fit(self, strategy):
        with pytest.raises(TypeError, match="strategy of ViaProxy must be"):
            ViaProxy(Failing(), strategy).select(learner_of("classification"), POOL, 1)

    def test_a_strategy_that_the_proxy_does_not_suit(self):
        learner = learner_of("classification")
        with pytest.raises(UnsuitableLearnerError, match=r"BADGE needs.*LogisticRegr"):
            ViaProxy(LogisticRegression(), BADGE()).select(learner, POOL, 1)
        with pytest.raises(
            UnsuitableLearnerError, match="PredictiveVariance is for regr"
        ):
            ViaProxy(LogisticRegression(), PredictiveVariance()).select(
                learner, POOL, 1
            )

    def test_a_proxy_that_forgets_to_be_fitted(self):
        class Lazy(LogisticRegression):
            def fit(self, X, y):
                return self

        with pytest.raises(NotFittedError):
            ViaProxy(Lazy()).select(learner_of("classification"), POOL, 1)

    def test_bad_rows_of_the_pool(self):
        pool = POOL.copy()
        pool[[3, 4], 0] = np.nan
        for strategy in (Entropy(), Random()):
            via = ViaProxy(LogisticRegression(), strategy)
            with pytest.raises(ValueError, match=r"2 of 50 rows of the pool.*row 3"):
                via.select(learner_of("classification"), pool, 1)


class Failing(LogisticRegression):
    """A classifier without training."""

    def fit(self, X, y):
        raise KeyError("no data today")
