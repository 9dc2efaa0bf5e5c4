"""Forgetting events, against a slow replay of the training."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from skorch.dataset import ValidSplit
from torch import nn

from skal.exceptions import UnsuitableLearnerError
from skal.nets import (
    DiversityEncouragingEnsembleClassifier,
    ForgettingEvents,
    NetRegressor,
)
from tests.nets.callbacks.helpers import X, Y, make_net


class Replay(Callback):
    """Records the rows, labels and predictions of each training batch."""

    def initialize(self):
        self.seen_ = []
        return self

    def on_batch_end(self, net, batch=None, training=False, y_pred=None, **kwargs):
        if training:
            self.seen_.append((batch[0].clone(), batch[1].clone(), y_pred.detach()))


def count(replay, n_batches):
    """Count events by a plain loop; rows are found by their features."""
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
    """Compare the counts of the callback with those of the loop."""
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
    assert events.n_forgotten_.sum() > 10  # otherwise there was nothing to count
    assert 0 < len(events.unforgettable_) < 60
    # A row that is never learned counts as forgotten.
    assert set(np.flatnonzero(events.n_learned_ == 0)) <= set(events.forgettable_)


def test_rows_keep_their_positions_under_a_validation_split_and_weights():
    events, replay = ForgettingEvents(), Replay()
    weight = np.ones(60, dtype=np.float32)
    weight[::3] = 0
    net = make_net(events, replay, max_epochs=5)
    net.fit(X, Y, sample_weight=weight)  # rows of zero weight are left out
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


def test_counts_survive_pickling_but_not_cloning():
    net = make_net(ForgettingEvents()).fit(X, Y)
    loaded = dict(pickle.loads(pickle.dumps(net)).callbacks_)["ForgettingEvents"]
    own = dict(net.callbacks_)["ForgettingEvents"]
    assert loaded.n_forgotten_.tolist() == own.n_forgotten_.tolist()
    assert not hasattr(clone(net).callbacks[0], "n_forgotten_")


def test_errors_say_what_cannot_be_counted():
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


def test_a_warm_start_on_the_same_rows_goes_on_counting():
    events = ForgettingEvents()
    net = make_net(events, max_epochs=3, warm_start=True)
    net.fit(X, Y)
    first = events.n_learned_.copy()
    net.fit(X, Y)
    assert (events.n_presented_ == 6).all()
    assert (events.n_learned_ >= first).all()
    net.fit(X[:-1], Y[:-1])
    assert (events.n_presented_ == 3).all()
    assert len(events.n_presented_) == len(X) - 1
    net.fit(X[:-1][::-1], Y[:-1])  # other rows with the same labels
    assert (events.n_presented_ == 3).all()
    net.set_params(warm_start=False).fit(X, Y).fit(X, Y)
    assert (events.n_presented_ == 3).all()


def test_members_of_a_diversity_encouraging_ensemble_count_all_epochs():
    replay = Replay()
    net = make_net(ForgettingEvents(), replay, module__dropout=0.2, max_epochs=10)
    ensemble = DiversityEncouragingEnsembleClassifier(net, 2, random_state=0)
    for member in ensemble.fit(X, Y).estimators_:
        records = dict(member.callbacks_)
        assert (records["ForgettingEvents"].n_presented_ == 10).all()
        replayed = records["Replay"]
        n_batches = len(replayed.seen_) // 10
        check(records["ForgettingEvents"], count(replayed, n_batches))
