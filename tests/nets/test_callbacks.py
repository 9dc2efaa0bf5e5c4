"""Weights kept while training, and forgetting counted, against slow replays."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from skorch.dataset import ValidSplit
from torch import nn

from skal.exceptions import UnsuitableLearnerError
from skal.nets import ForgettingEvents, NetClassifier, NetRegressor, WeightSnapshots

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5)).astype(np.float32)
Y = np.array(["a", "b", "c"])[np.digitize(X[:, 0] + RNG.normal(size=60), [-0.5, 0.5])]


def make_net(*callbacks, **parameters):
    settings = {
        "module__hidden_sizes": (8,),
        "max_epochs": 6,
        "lr": 0.03,
        "batch_size": 16,
        "random_state": 0,
        "callbacks": list(callbacks),
    }
    return NetClassifier(**{**settings, **parameters})


# -- WeightSnapshots ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "epochs"),
    [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"every": 2}, [2, 4, 6]),
        ({"every": 2, "warmup": 1}, [3, 5]),
        ({"warmup": 4}, [5, 6]),
        ({"last": 2}, [5, 6]),
        ({"every": 2, "last": 2, "warmup": 0}, [4, 6]),
        ({"warmup": 9}, []),
    ],
)
def test_epochs_that_are_kept(parameters, epochs):
    snapshots = WeightSnapshots(**parameters)
    net = make_net(snapshots).fit(X, Y)
    assert snapshots.epochs_ == epochs
    assert len(snapshots.weights_) == len(epochs)
    if 6 in epochs:
        for name, parameter in net.module_.named_parameters():
            assert torch.equal(snapshots.weights_[-1][name], parameter)


def test_a_refit_starts_anew_and_further_training_goes_on():
    snapshots = WeightSnapshots(last=8, warmup=1)
    net = make_net(snapshots).fit(X, Y)
    first = snapshots.weights_[0]
    net.fit(X, Y)
    assert snapshots.epochs_ == [2, 3, 4, 5, 6]
    assert snapshots.weights_[0] is not first
    net.partial_fit(X, Y)
    assert snapshots.epochs_ == [5, 6, 7, 8, 9, 10, 11, 12]  # the last 8
    net.set_params(warm_start=True, max_epochs=1)
    net.fit(X, Y)
    assert snapshots.epochs_[-1] == 13
    net.set_params(warm_start=False)
    net.fit(X, Y)
    assert snapshots.epochs_ == []  # one epoch, which is the warm-up


def test_training_goes_on_after_unpickling():
    net = pickle.loads(pickle.dumps(make_net(WeightSnapshots()).fit(X, Y)))
    net.partial_fit(X, Y)
    ((_, snapshots),) = [c for c in net.callbacks_ if isinstance(c[1], WeightSnapshots)]
    assert snapshots.epochs_ == list(range(1, 13))


def test_a_refit_after_unpickling_starts_anew():
    net = pickle.loads(pickle.dumps(make_net(WeightSnapshots()).fit(X, Y)))
    net.fit(X, Y)
    snapshots = dict(net.callbacks_)["WeightSnapshots"]
    assert snapshots.epochs_ == list(range(1, 7))


def test_a_module_made_anew_starts_anew():
    snapshots = WeightSnapshots()
    net = make_net(snapshots, module__dropout=0.1).fit(X, Y)
    net.set_params(module__dropout=0.2)  # makes the module anew, not the callbacks
    net.partial_fit(X, Y)
    assert snapshots.epochs_ == list(range(1, 7))


def test_another_net_with_the_same_callback_starts_anew():
    snapshots = WeightSnapshots()
    make_net(snapshots).fit(X, Y)
    make_net(snapshots).fit(X, Y)
    assert len(snapshots.weights_) == 6


def test_memory_is_bounded_and_what_does_not_move_is_kept_once():
    class Frozen(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(5, 8)
            self.body.weight.requires_grad_(False)
            self.norm = nn.BatchNorm1d(8)
            self.head = nn.Linear(8, 3)

        def forward(self, x):
            return self.head(self.norm(self.body(x)))

    snapshots = WeightSnapshots(last=4)
    net = NetClassifier(Frozen, max_epochs=10, callbacks=[snapshots]).fit(X, Y)
    kept = {id(t): t for weights in snapshots.weights_ for t in weights.values()}
    frozen = {id(weights["body.weight"]) for weights in snapshots.weights_}
    assert len(frozen) == 1
    sizes = sum(t.numel() for t in net.module_.state_dict().values())
    moving = sizes - 40
    assert sum(t.numel() for t in kept.values()) <= 4 * moving + 40
    means = [weights["norm.running_mean"] for weights in snapshots.weights_]
    assert len({tuple(mean.tolist()) for mean in means}) == 4


def test_clones_share_nothing_and_parameters_are_searched_over():
    snapshots = WeightSnapshots()
    net = make_net(snapshots).fit(X, Y)
    copied = clone(net)
    assert copied.callbacks[0] is not snapshots
    assert copied.callbacks[0].get_params() == {"every": 1, "warmup": 0, "last": 50}
    model = make_pipeline(StandardScaler(), net)
    search = GridSearchCV(
        model, {"netclassifier__callbacks__WeightSnapshots__every": [2, 3]}, cv=2
    ).fit(X, Y)
    best = search.best_estimator_[-1].callbacks_
    ((_, found),) = [c for c in best if isinstance(c[1], WeightSnapshots)]
    assert found.epochs_[0] == found.every in (2, 3)
    assert snapshots.epochs_ == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"every": 0}, "every must be an int of at least 1"),
        ({"warmup": -1}, "warmup must be an int of at least 0"),
        ({"last": 1}, "last must be an int of at least 2"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        make_net(WeightSnapshots(**parameters)).fit(X, Y)


# -- ForgettingEvents ---------------------------------------------------------------


class Replay(Callback):
    """Writes down what every training batch had and was told, row by row."""

    def initialize(self):
        self.seen_ = []
        return self

    def on_batch_end(self, net, batch=None, training=False, y_pred=None, **kwargs):
        if training:
            self.seen_.append((batch[0].clone(), batch[1].clone(), y_pred.detach()))


def count(replay, n_batches):
    """Events by a plain loop; rows are found by their features."""
    events = {
        i: {"presented": 0, "learned": 0, "forgotten": 0, "first": 0}
        for i in range(len(X))
    }
    right = dict.fromkeys(events, False)
    for b, (rows, labels, outputs) in enumerate(replay.seen_):
        for row, label, output in zip(rows, labels, outputs, strict=True):
            (i,) = np.flatnonzero((row.numpy() == X).all(1))
            event, now = events[i], int(output.argmax()) == int(label)
            event["presented"] += 1
            if now and not right[i]:
                event["learned"] += 1
                event["first"] = event["first"] or b // n_batches + 1
            if right[i] and not now:
                event["forgotten"] += 1
            right[i] = now
    return events


def check(events, expected):
    for name, key in [
        ("n_presented_", "presented"),
        ("n_learned_", "learned"),
        ("n_forgotten_", "forgotten"),
        ("first_learned_", "first"),
    ]:
        assert getattr(events, name).tolist() == [e[key] for e in expected.values()]
    unforgettable = [
        i for i, e in expected.items() if e["learned"] and not e["forgotten"]
    ]
    forgettable = [
        i
        for i, e in expected.items()
        if e["presented"] and (e["forgotten"] or not e["learned"])
    ]
    assert events.unforgettable_.tolist() == unforgettable
    assert events.forgettable_.tolist() == forgettable


def test_counts_are_those_of_a_slow_replay():
    events, replay = ForgettingEvents(), Replay()
    net = make_net(events, replay, max_epochs=25, module__dropout=0.3)
    net.fit(X, Y)
    expected = count(replay, 4)
    check(events, expected)
    assert events.n_forgotten_.sum() > 10  # or there was nothing to count
    assert 0 < len(events.unforgettable_) < 60
    # A row that is never learned counts as forgotten without end.
    assert set(np.flatnonzero(events.n_learned_ == 0)) <= set(events.forgettable_)


def test_rows_keep_their_positions_under_a_validation_split_and_weights():
    events, replay = ForgettingEvents(), Replay()
    weight = np.ones(60, dtype=np.float32)
    weight[::3] = 0
    net = make_net(events, replay, max_epochs=5)
    net.fit(X, Y, sample_weight=weight)  # rows of no weight are left out
    check(events, count(replay, 3))
    assert np.flatnonzero(events.n_presented_ == 0).tolist() == list(range(0, 60, 3))
    net.set_params(train_split=ValidSplit(3, stratified=True))
    net.fit(X, Y)
    check(events, count(replay, 3))
    assert (events.n_presented_ > 0).sum() == 40
    shown = set(events.forgettable_) | set(events.unforgettable_)
    assert shown == set(np.flatnonzero(events.n_presented_))


def test_counts_are_of_the_last_call_without_shuffling_too():
    events, replay = ForgettingEvents(), Replay()
    net = make_net(events, replay, iterator_train__shuffle=False).fit(X, Y)
    check(events, count(replay, 4))
    replay.seen_.clear()
    net.partial_fit(X[:30], Y[:30])
    assert events.n_presented_.tolist() == [6] * 30


def test_binary_nets_with_one_logit():
    events, replay = ForgettingEvents(), Replay()
    y = Y == "a"
    net = make_net(events, replay, criterion=nn.BCEWithLogitsLoss, max_epochs=10)
    net.fit(X, y)
    for i, (rows, labels, outputs) in enumerate(replay.seen_):
        two = torch.cat([-outputs.reshape(-1, 1), outputs.reshape(-1, 1)], dim=1)
        replay.seen_[i] = rows, labels, two
    check(events, count(replay, 4))


def test_counting_does_not_change_training():
    plain, counted = make_net().fit(X, Y), make_net(ForgettingEvents()).fit(X, Y)
    np.testing.assert_array_equal(plain.predict_proba(X), counted.predict_proba(X))


def test_counts_survive_pickling_and_not_cloning():
    net = make_net(ForgettingEvents()).fit(X, Y)
    loaded = dict(pickle.loads(pickle.dumps(net)).callbacks_)["ForgettingEvents"]
    own = dict(net.callbacks_)["ForgettingEvents"]
    assert loaded.n_forgotten_.tolist() == own.n_forgotten_.tolist()
    assert not hasattr(clone(net).callbacks[0], "n_forgotten_")


def test_what_cannot_be_counted_is_told():
    regressor = NetRegressor(max_epochs=1, callbacks=[ForgettingEvents()])
    with pytest.raises(UnsuitableLearnerError, match="NetRegressor is not one"):
        regressor.fit(X, X[:, 0])
    plain = NeuralNetClassifier(
        nn.Linear(5, 3), callbacks=[ForgettingEvents()], verbose=0, train_split=None
    )
    with pytest.raises(UnsuitableLearnerError, match="NeuralNetClassifier is not one"):
        plain.fit(X, np.zeros(60, dtype=int))
    dataset = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.arange(60) % 2)
    with pytest.raises(UnsuitableLearnerError, match="pass X as arrays"):
        make_net(ForgettingEvents()).fit(dataset)
