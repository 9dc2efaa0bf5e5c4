"""Learners with nets, of skal and of skorch, nested as users nest them."""

from __future__ import annotations

import pickle
import signal
import warnings

import numpy as np
import pytest
import torch
from modAL.batch import uncertainty_batch_sampling
from sklearn.base import BaseEstimator, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, EarlyStopping

from skal import ActiveLearner, Committee, CommitteeRegressor
from skal.exceptions import TrainingWarning
from skal.nets import MLP, NetClassifier, NetRegressor
from skal.strategies import (
    CoreSet,
    Entropy,
    LDMSeeding,
    Margin,
    NoiseStability,
    Random,
)
from tests.learners.conftest import TABLES, as_dense, convert, same_kind

PLAIN_X = np.random.default_rng(1).normal(size=(24, 4)).astype(np.float32)
PLAIN_Y = (PLAIN_X[:, 0] > 0).astype(int)
QUICK = {"module__hidden_sizes": (8,), "max_epochs": 3, "random_state": 0}


def classifier(**kwargs):
    return NetClassifier(**{**QUICK, **kwargs})


def regressor(**kwargs):
    return NetRegressor(**{**QUICK, **kwargs})


class TwoInputs(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = torch.nn.Linear(2, 3), torch.nn.Linear(2, 3)

    def forward(self, left, right):
        return self.left(left) + self.right(right)


class StopAtSecondEpoch(Callback):
    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            raise KeyboardInterrupt


class CtrlC(Callback):
    """Presses Ctrl-C while a callback computes something."""

    def on_epoch_end(self, net, **kwargs):
        self.compute()

    def compute(self):
        signal.raise_signal(signal.SIGINT)


class Failing(torch.nn.Module):
    """Fails after a number of steps."""

    steps = 10**9

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 3)
        self.n = 0

    def forward(self, X):
        self.n += self.training
        if self.n > self.steps:
            raise RuntimeError("out of memory")
        return self.linear(X)


@pytest.mark.parametrize(
    ("kind", "strategy"),
    [
        *((kind, Entropy()) for kind in TABLES),
        ("ndarray", Random(0)),
        ("ndarray", LDMSeeding(n_reference=20, random_state=0)),
    ],
)
def test_campaign_of_a_classifier(strategy, kind, data):
    X, y = data[0], np.array(["ant", "bee", "wasp"])[data[1]]
    pool = convert(X[9:], kind)
    learner = ActiveLearner(
        classifier(),
        strategy,
        X_training=convert(X[:9], kind),
        y_training=y[:9],
        on_duplicate="ignore",
    )
    for _ in range(2):
        indices, rows, scores = learner.query(pool, n_instances=3, return_metrics=True)
        assert len(set(indices)) == len(scores) == 3
        assert same_kind(rows, pool)
        learner.teach(rows, y[9:][indices])
    assert len(learner.y_training) == 15
    loaded = pickle.loads(pickle.dumps(learner))
    assert np.array_equal(loaded.predict(pool), learner.predict(pool))


@pytest.mark.parametrize("kind", ["ndarray", "frame", "csr_array", "tensor"])
def test_campaign_of_a_scaled_regressor(kind, data):
    X = data[0]
    y = X.sum(axis=1) * 100
    model = TransformedTargetRegressor(
        make_pipeline(StandardScaler(with_mean=False), regressor()),
        transformer=StandardScaler(),
    )
    learner = ActiveLearner(model, CoreSet(), convert(X[:9], kind), y[:9])
    for strategy in (NoiseStability(n_draws=3, random_state=0), CoreSet()):
        learner.set_params(query_strategy=strategy)
        indices, rows = learner.query(convert(X[9:], kind), n_instances=3)
        learner.teach(rows, y[9:][indices], bootstrap=True)
    assert learner.predict(convert(X, kind)).shape == (60,)


def test_several_inputs(data):
    X, y = convert(data[0].astype("f4"), "dict"), data[1]
    learner = ActiveLearner(NetClassifier(TwoInputs, max_epochs=2), Random(0))
    learner.fit(X, y)
    indices, rows = learner.query(X, n_instances=3)
    learner.teach(rows, y[indices])
    assert learner.X_training["left"].shape == (63, 2)


def skorch_net():
    return NeuralNetClassifier(
        torch.nn.Linear,
        module__in_features=4,
        module__out_features=3,
        criterion=torch.nn.CrossEntropyLoss,
        classes=[0, 1, 2],
        train_split=None,
        max_epochs=2,
        verbose=0,
    )


@pytest.mark.parametrize("kind", ["ndarray", "grad_tensor", "coo_array", "dok_matrix"])
@pytest.mark.parametrize("nested", [False, True])
def test_campaign_of_a_net_of_skorch(nested, kind, data):
    X, y = data[0].astype("f4"), data[1]
    net = skorch_net()
    if nested:
        net = make_pipeline(StandardScaler(with_mean=False), net)
    start, pool = convert(X[:9], kind), convert(X[9:], kind)
    learner = ActiveLearner(net, X_training=start, y_training=y[:9], random_state=0)
    for options in ({}, {"only_new": True}, {"bootstrap": True}):
        indices, rows = learner.query(pool, n_instances=3)
        assert same_kind(rows, pool)
        learner.teach(rows, y[9:][indices], **options)
    assert np.array_equal(as_dense(learner.X_training)[:9], X[:9])
    assert np.array_equal(as_dense(learner.X_training)[-3:], X[9:][indices])
    assert learner.score(pool, y[9:]) == learner.score(X[9:], y[9:])


def test_ranked_batch_on_rows_transformed_for_a_net(data):
    X, y = data[0].astype("f4"), data[1]
    learner = ActiveLearner(
        make_pipeline(StandardScaler(), skorch_net()),
        uncertainty_batch_sampling,
        X[:9],
        y[:9],
        on_transformed=True,
    )
    assert len(set(learner.query(X[9:], n_instances=3)[0])) == 3


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


def test_failing_training_leaves_the_net_as_it_was(data, monkeypatch):
    X, y = data
    net = NetClassifier(Failing, max_epochs=3, batch_size=10, warm_start=True)
    learner = ActiveLearner(net, Random(0), X[:30], y[:30])
    weights = {k: v.clone() for k, v in net.module_.state_dict().items()}
    monkeypatch.setattr(Failing, "steps", learner.estimator.module_.n + 4)
    with pytest.raises(RuntimeError, match="out of memory"):
        learner.teach(X[30:], y[30:])
    assert learner.estimator is net
    assert len(learner.X_training) == 30
    for name, value in net.module_.state_dict().items():
        assert torch.equal(value, weights[name])
    assert len(net.history) == 3
    monkeypatch.undo()
    learner.teach(X[30:], y[30:])
    assert len(net.history) == 6  # training continues from there


class Interrupted(torch.nn.Module):
    """Presses Ctrl-C in a step of training."""

    at_step = 10**9

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 3)
        self.n = 0

    def forward(self, X):
        self.n += self.training
        if self.n == self.at_step:
            signal.raise_signal(signal.SIGINT)
        return self.linear(X)


@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("nested", [False, True])
def test_an_interrupt_is_raised_and_undone(nested, warm_start, data, monkeypatch):
    X, y = data
    net = NetClassifier(
        Interrupted, max_epochs=3, batch_size=10, warm_start=warm_start, random_state=0
    )
    model = make_pipeline(StandardScaler(), net) if nested else net
    learner = ActiveLearner(model, Random(0), X[:30], y[:30])
    before = learner.predict_proba(X)
    state = torch.get_rng_state()
    monkeypatch.setattr(Interrupted, "at_step", net.module_.n + 4 if warm_start else 4)
    with pytest.raises(KeyboardInterrupt):
        learner.teach(X[30:], y[30:])
    assert len(learner.X_training) == 30
    assert np.array_equal(learner.predict_proba(X), before)
    assert torch.equal(torch.get_rng_state(), state)
    monkeypatch.undo()
    learner.teach(X[30:], y[30:])
    assert len(learner.X_training) == 60


def test_a_callback_may_end_training(data):
    X, y = data
    for callback in (
        EarlyStopping("train_loss", patience=2, threshold=10.0),
        StopAtSecondEpoch(),
    ):
        net = classifier(max_epochs=9).set_params(callbacks=[("stop", callback)])
        learner = ActiveLearner(net, Random(0), X, y)
        assert 2 <= len(learner.estimator.history) <= 3


def test_an_interrupt_within_a_callback_is_no_request_to_stop(data):
    net = classifier(max_epochs=9).set_params(callbacks=[("slow", CtrlC())])
    with pytest.raises(KeyboardInterrupt):
        net.fit(*data)
    assert not net.initialized_


def test_teach_starts_over_without_warm_start(data):
    X, y = data
    learner = ActiveLearner(classifier(), Random(0), X[:30], y[:30])
    learner.teach(X[30:], y[30:])
    expected = classifier().fit(X, y)
    assert np.array_equal(learner.predict_proba(X), expected.predict_proba(X))


def test_committee_of_nets_that_missed_a_class(data):
    X, y = data
    nets = [classifier(classes=[0, 1, 2]), classifier(random_state=1)]
    members = [
        ActiveLearner(net, X_training=X[y != k], y_training=y[y != k])
        for k, net in enumerate(nets)
    ]
    committee = Committee([*members, ActiveLearner(GaussianNB(), Random(0), X, y)])
    proba = committee.vote_proba(X)
    assert np.allclose(proba.sum(axis=2), 1)
    assert np.all(proba[:, 1, 1] == 0)
    assert set(committee.predict(X)) <= {0, 1, 2}
    indices, rows = committee.query(X, 3)
    committee.teach(rows, y[indices])


def test_committee_of_net_regressors(data):
    X = data[0]
    y = X.sum(axis=1)
    committee = CommitteeRegressor(
        [ActiveLearner(regressor(random_state=k)) for k in range(2)]
    ).fit(X, y)
    assert committee.predict(X, return_std=True)[1].shape == (60,)
    assert len(set(committee.query(X, 3)[0])) == 3


def test_search_and_validation(data):
    X, y = data
    learner = ActiveLearner(
        make_pipeline(StandardScaler(), classifier()),
        NoiseStability(n_draws=3, random_state=0),
    )
    assert cross_val_score(learner, X, y, cv=3, n_jobs=1).shape == (3,)
    grid = {
        "estimator__netclassifier__lr": [0.0, 0.05],
        "query_strategy__n_draws": [2, 3],
    }
    search = GridSearchCV(clone(learner), grid, cv=2).fit(X, y)
    assert search.best_params_["estimator__netclassifier__lr"] == 0.05
    assert len(search.best_estimator_.query(X, n_instances=2)[0]) == 2


PLAIN = {
    "train_split": None,
    "verbose": 0,
    "module__n_features": 4,
    "module__n_outputs": 2,
}


def plain_net(**kwargs):
    """A net of skorch itself, with one of skal's modules."""
    return NeuralNetClassifier(
        MLP, criterion=torch.nn.CrossEntropyLoss, **{**PLAIN, "lr": 0.1, **kwargs}
    )


def in_pipeline(net):
    return make_pipeline(StandardScaler(), net)


def in_search(net):
    return GridSearchCV(net, {"batch_size": [8]}, cv=2)


@pytest.mark.parametrize("wrap", [lambda net: net, in_pipeline, in_search])
def test_training_of_plain_skorch_nets_that_came_to_nothing(wrap):
    X, y = PLAIN_X, PLAIN_Y

    def fitted(**kwargs):
        return ActiveLearner(wrap(plain_net(**kwargs)), Margin(), X, y)

    with pytest.warns(TrainingWarning, match="Too little training: NeuralNet"):
        fitted(max_epochs=3)
    with pytest.warns(TrainingWarning, match="Training failed: the loss"):
        fitted(lr=1e30, max_epochs=40)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learner = fitted(max_epochs=40)
        learner.teach(X[:2], y[:2])
    committee = Committee([ActiveLearner(wrap(plain_net(max_epochs=3)))])
    with pytest.warns(TrainingWarning, match="Too little training"):
        committee.fit(X, y)


def test_a_net_that_records_no_losses_is_not_judged():
    class Silent(NeuralNetClassifier):
        def fit_loop(self, X, y=None, epochs=None, **fit_params):
            self.history.new_epoch()
            self.history.record("train_loss", 1.0)
            return self

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ActiveLearner(Silent(MLP, **PLAIN), Margin(), PLAIN_X, PLAIN_Y)


@pytest.mark.parametrize("wrap", [lambda net: net, in_pipeline])
@pytest.mark.filterwarnings("ignore::skal.exceptions.TrainingWarning")
def test_setting_a_parameter_rebuilds_the_module_of_a_plain_skorch_net(wrap):
    prefix = "estimator__" + (
        "" if wrap is not in_pipeline else "neuralnetclassifier__"
    )
    learner = ActiveLearner(wrap(plain_net(max_epochs=3)), Margin(), PLAIN_X, PLAIN_Y)
    before = learner.predict_proba(PLAIN_X)
    learner.set_params(**{f"{prefix}lr": 0.5, "on_duplicate": "ignore"})
    np.testing.assert_array_equal(learner.predict_proba(PLAIN_X), before)
    with pytest.warns(UserWarning, match="NeuralNetClassifier is rebuilt") as caught:
        assert learner.set_params(**{f"{prefix}module__dropout": 0.2}) is learner
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        unfitted = ActiveLearner(wrap(plain_net(max_epochs=3)))
        unfitted.set_params(**{f"{prefix}module__dropout": 0.2})
