"""The strategy to start with answers every learner, and follows from results."""

from __future__ import annotations

import functools
import pickle
import warnings
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from modAL.models import ActiveLearner as ModALActiveLearner
from modAL.uncertainty import uncertainty_sampling
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_regressor
from sklearn.cluster import KMeans
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    BaggingRegressor,
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.gaussian_process import (
    GaussianProcessClassifier,
    GaussianProcessRegressor,
)
from sklearn.linear_model import LogisticRegression, Perceptron, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC
from skorch import NeuralNetRegressor
from torch import nn

import skal
from skal import ActiveLearner, Committee, NetClassifier, NetRegressor
from skal.exceptions import UnsuitableLearnerError
from skal.learners import CommitteeRegressor
from skal.nets import DeepEnsembleRegressor, FoldEnsembleClassifier
from skal.strategies import (
    BADGE,
    BAIT,
    LCMD,
    Margin,
    Random,
    VoteEntropy,
    recommended_strategy,
    suitable_strategies,
)
from skal.strategies.recommended import CHOICES
from tests.models import make_data

X, TARGET = make_data("regression")
CLASSES = make_data("classification")[1]
POOL = make_data("regression", 20, seed=1)[0]
LABELS = np.column_stack([X[:, 0] > 0, X[:, 1] > 0]).astype(int)
TARGETS = np.column_stack([TARGET, X[:, 0]])
QUICK = {"max_epochs": 3, "random_state": 0}


class Bare(ClassifierMixin, BaseEstimator):
    """A classifier that tells classes alone."""

    def fit(self, X, y):
        self.classes_, self.n_features_in_ = np.unique(y), X.shape[1]
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


def scaled(model):
    return make_pipeline(StandardScaler(), model)


LEARNERS = {
    "net": (lambda: NetClassifier(**QUICK), CLASSES, Margin),
    "net for regression": (lambda: NetRegressor(**QUICK), TARGET, LCMD),
    "net of skorch": (
        lambda: NeuralNetRegressor(
            nn.Sequential(nn.Linear(X.shape[1], 8), nn.ReLU(), nn.Linear(8, 1)),
            max_epochs=2,
            verbose=0,
        ),
        TARGET.astype(np.float32)[:, None],
        LCMD,
    ),
    "net in wrappers": (
        lambda: TransformedTargetRegressor(
            scaled(NetRegressor(**QUICK)), transformer=StandardScaler()
        ),
        TARGET,
        LCMD,
    ),
    "deep ensemble": (
        lambda: DeepEnsembleRegressor(NetRegressor(**QUICK), 2),
        TARGET,
        LCMD,
    ),
    "fold ensemble": (
        lambda: FoldEnsembleClassifier(
            2, hidden_sizes=(8,), others=None, max_steps=20, random_state=0
        ),
        CLASSES,
        Margin,
    ),
    "forest": (lambda: RandomForestClassifier(5, random_state=0), CLASSES, Margin),
    "forest for regression": (lambda: RandomForestRegressor(6), TARGET, BAIT),
    "boosting": (lambda: GradientBoostingRegressor(n_estimators=5), TARGET, LCMD),
    "hist boosting": (
        lambda: HistGradientBoostingClassifier(max_iter=3),
        CLASSES,
        Margin,
    ),
    "process": (GaussianProcessRegressor, TARGET, LCMD),
    "process for classes": (GaussianProcessClassifier, CLASSES, Margin),
    "svc": (SVC, CLASSES, Margin),
    "linear svc in a pipeline": (lambda: scaled(LinearSVC()), CLASSES, Margin),
    "perceptron": (Perceptron, CLASSES, Margin),
    "svr": (SVR, TARGET, LCMD),
    "logistic": (LogisticRegression, CLASSES, Margin),
    "voting": (
        lambda: VotingClassifier([("a", LogisticRegression()), ("b", SVC())]),
        CLASSES,
        None,
    ),
    "bagging": (lambda: BaggingRegressor(Ridge(), 5), TARGET, LCMD),
    "search": (
        lambda: GridSearchCV(scaled(Ridge()), {"ridge__alpha": [0.1, 1.0]}, cv=2),
        TARGET,
        LCMD,
    ),
    "several labels": (
        lambda: MultiOutputClassifier(LogisticRegression()),
        LABELS,
        Margin,
    ),
    "several labels of a forest": (lambda: RandomForestClassifier(5), LABELS, Margin),
    "several targets": (lambda: RandomForestRegressor(5), TARGETS, BAIT),
    "neither": (Bare, CLASSES, LCMD),
}
if find_spec("catboost"):
    from catboost import CatBoostRegressor

    LEARNERS["catboost"] = (
        lambda: CatBoostRegressor(
            iterations=5, thread_count=1, verbose=0, allow_writing_files=False
        ),
        TARGET,
        LCMD,
    )


@functools.cache
def fitted(name):
    """Learner with labeled rows, fitted once."""
    make, y, _ = LEARNERS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ActiveLearner(make(), None, X.astype(np.float32), y)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", LEARNERS)
def test_it_answers_whether_it_was_chosen_before_or_after_the_fit(name):
    make, _, expected = LEARNERS[name]
    before, after = recommended_strategy(make()), recommended_strategy(fitted(name))
    if expected is not None:
        assert type(before) is type(after) is expected
    if name != "voting":  # its members show what they lack once they are fitted
        picked = before.select(fitted(name), POOL.astype(np.float32), 3).indices
        assert len(set(picked.tolist())) == 3
    picked = after.select(fitted(name), POOL.astype(np.float32), 3).indices
    assert len(set(picked.tolist())) == 3
    for strategy in (before, after):
        assert strategy.reason.startswith(type(strategy).__name__)
        assert strategy.reason.count(".") >= 1


class Votes(ClassifierMixin, BaseEstimator):
    """Predicts classes, and says nothing of how sure it is."""

    def fit(self, X, y):
        self.classes_, self.model_ = np.unique(y), LogisticRegression().fit(X, y)
        return self

    def predict(self, X):
        return self.model_.predict(X)


@pytest.mark.parametrize(
    ("owner", "models", "expected"),
    [
        (Committee, (LogisticRegression(), LogisticRegression(C=9)), Margin),
        (Committee, (SVC(), LogisticRegression()), VoteEntropy),
        (Committee, (SVC(), Votes()), VoteEntropy),
        (CommitteeRegressor, (Ridge(), SVR()), LCMD),
    ],
)
def test_committees(owner, models, expected):
    y = TARGET if owner is CommitteeRegressor else CLASSES
    unfitted = owner([ActiveLearner(model) for model in models])
    assert type(recommended_strategy(unfitted)) is expected
    committee = owner([ActiveLearner(model, None, X, y) for model in models])
    strategy = recommended_strategy(committee, 2)
    assert type(strategy) is expected
    assert len(set(strategy.select(committee, POOL, 2).indices.tolist())) == 2


def test_another_is_returned_where_the_first_fails():
    class Broken(LogisticRegression):
        def predict_proba(self, X):
            raise RuntimeError("no probabilities today")

    learner = ActiveLearner(Broken(), None, X, CLASSES)
    with pytest.warns(UserWarning, match="RuntimeError: no probabilities today"):
        strategy = recommended_strategy(learner)
    assert not isinstance(strategy, Margin)
    assert "Margin, the first choice, fails" in strategy.reason
    assert "no probabilities today" in strategy.reason
    assert len(strategy.select(learner, POOL, 2).indices) == 2


def test_a_fault_is_not_passed_over_in_silence(monkeypatch):
    def fail(*args):
        raise OverflowError("too large")

    monkeypatch.setattr(LCMD, "_select", fail)
    learner = ActiveLearner(Ridge(), None, X[:20], X[:20, 0])
    with pytest.warns(UserWarning, match="LCMD, .* fails .*: OverflowError: too large"):
        strategy = recommended_strategy(learner)
    assert type(strategy) is not LCMD


def test_of_what_is_neither_random_rows_are_picked():
    clusters = KMeans(2, n_init=1).fit(X)
    assert isinstance(recommended_strategy(clusters), Random)


def test_learners_of_modal_and_wrong_numbers():
    learner = ModALActiveLearner(LogisticRegression())
    assert isinstance(recommended_strategy(learner), Margin)
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="n_instances must be an int"):
            recommended_strategy(SVC(), wrong)


@pytest.mark.parametrize(
    "model",
    [
        SVC(),
        LogisticRegression(),
        Ridge(),
        scaled(ExtraTreesRegressor(5, random_state=0)),
    ],
    ids=lambda m: type(m).__name__,
)
def test_suitable_strategies_and_errors_begin_with_it(model: Any) -> None:
    model = clone(model).fit(X, TARGET if is_regressor(model) else CLASSES)
    chosen = type(recommended_strategy(model)).__name__
    assert next(iter(suitable_strategies(model, X))) == chosen
    with pytest.raises(UnsuitableLearnerError, match=f"this learner: {chosen}, "):
        BADGE().select(model, X, 1)


def test_a_choice_changes_neither_the_learner_nor_global_generators():
    learner = ActiveLearner(NetRegressor(**QUICK), None, X, TARGET)
    state, held = torch.get_rng_state(), learner.X_training
    weights = [p.detach().clone() for p in learner.estimator.module_.parameters()]
    recommended_strategy(learner)
    assert bool((torch.get_rng_state() == state).all())
    assert learner.X_training is held
    for before, now in zip(
        weights, learner.estimator.module_.parameters(), strict=True
    ):
        assert bool((before == now).all())


def test_results_that_are_named_are_there():
    results = skal.strategies.__path__[0] + "/../../benchmarks/results"
    for choice in CHOICES:
        for name in choice.results:
            with open(f"{results}/{name}.md") as stream:
                assert choice.strategy.__name__ in stream.read(), name


# -- the default of ActiveLearner ------------------------------------------------------


@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame])
def test_a_regressor_without_a_strategy_queries(kind):
    learner = ActiveLearner(Ridge(), X_training=kind(X), y_training=TARGET)
    positions, rows = learner.query(kind(POOL), n_instances=3)
    expected = LCMD().select(learner, kind(POOL), 3).indices
    assert set(positions.tolist()) == set(expected.tolist())
    learner.teach(rows, np.zeros(3))
    assert len(learner.X_training) == len(X) + 3
    assert learner.query_strategy is None


def test_its_random_state_is_that_of_the_learner():
    picks = []
    for _ in range(2):
        learner = ActiveLearner(Ridge(), random_state=3)
        picks.append(learner.query(POOL, n_instances=4)[0].tolist())
    expected = LCMD(random_state=3).select(Ridge(), POOL, 4).indices.tolist()
    assert picks == [expected, expected]


def test_a_classifier_without_a_strategy_queries_as_in_modal():
    ours = ActiveLearner(LogisticRegression(), X_training=X, y_training=CLASSES)
    theirs = ModALActiveLearner(ours.estimator)
    expected = theirs.query_strategy(theirs, POOL, n_instances=3)
    expected = expected[0] if isinstance(expected, tuple) else expected
    assert ours.query(POOL, n_instances=3)[0].tolist() == list(expected)


@pytest.mark.parametrize(
    ("model", "y"),
    [(SVC(), CLASSES), (MultiOutputClassifier(LogisticRegression()), LABELS)],
)
def test_a_classifier_that_modals_default_refuses_queries_by_margin(model, y):
    learner = ActiveLearner(model, X_training=X, y_training=y)
    expected = Margin().select(learner, POOL, 3).indices
    assert learner.query(POOL, n_instances=3)[0].tolist() == expected.tolist()
    assert "Margin()" in learner._repr_mimebundle_()["text/html"]


def test_the_strategy_in_use_is_an_attribute():
    learner = ActiveLearner(Ridge(), None, X, TARGET, random_state=3)
    strategy = learner.query_strategy_
    assert repr(strategy) == "LCMD(random_state=3)"
    assert strategy.reason == recommended_strategy(learner).reason
    positions, _ = learner.query(POOL, n_instances=4)
    table = learner.query_strategy_.explain(learner, POOL, 4)
    assert table.index.tolist() == positions.tolist()
    assert learner.query_strategy is None
    assert learner.get_params()["query_strategy"] is None
    assert clone(learner).query_strategy is None
    assert pickle.loads(pickle.dumps(learner)).query_strategy is None


def test_the_strategy_in_use_follows_the_learner():
    learner = ActiveLearner(LogisticRegression())
    assert learner.query_strategy_ is uncertainty_sampling
    learner.set_params(estimator=SVC(), random_state=5)
    assert repr(learner.query_strategy_) == "Margin(random_state=5)"
    given = Random()
    assert learner.set_params(query_strategy=given).query_strategy_ is given
    committee = Committee([learner], given)
    assert committee.query_strategy_ is committee.query_strategy is given
    with pytest.raises(AttributeError):
        learner.query_strategy_ = Random()
