from __future__ import annotations

from itertools import pairwise
from math import cos, pi
from typing import Any

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, EarlyStopping

from skal.nets import MLP, NetClassifier, WeightSnapshots
from skal.nets.ensembles import SnapshotEnsembleClassifier
from skal.posteriors import Snapshots
from skal.posteriors.snapshots import find_snapshots
from skal.reading.pool import Pool
from tests.nets.helpers import WithBatchNorm, blobs

X, Y = blobs(50)


class WeightsOfEpochs(Callback):
    """Keeps copies of the head's weight after each epoch."""

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self.weights_: list[np.ndarray] = []

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        self.weights_.append(net.module_.head.weight.detach().cpu().numpy().copy())


def fit(net: NetClassifier, **options: Any) -> SnapshotEnsembleClassifier:
    return SnapshotEnsembleClassifier(net, **options, random_state=0).fit(X, Y)


def test_members_are_the_ends_of_cycles() -> None:
    net = NetClassifier(callbacks=[WeightsOfEpochs()], lr=0.01)
    ensemble = fit(net, n_estimators=3, cycle_epochs=4)
    assert len(ensemble.estimators_) == 3
    seen = dict(ensemble.estimators_[0].callbacks_)["WeightsOfEpochs"].weights_
    assert len(seen) == 12
    for k, member in enumerate(ensemble.estimators_):
        weight = member.module_.head.weight.detach().cpu().numpy()
        np.testing.assert_array_equal(weight, seen[4 * k + 3])
    assert not np.array_equal(seen[3], seen[7])


def test_learning_rate_falls_along_a_cosine_in_each_cycle() -> None:
    ensemble = fit(
        NetClassifier(lr=0.03, batch_size=20), n_estimators=3, cycle_epochs=2
    )
    history = ensemble.estimators_[0].history_
    rates = np.ravel(history[:, "batches", :, "event_lr"])
    steps = 2 * 3  # two epochs of three batches
    cycle = [0.03 * (1 + cos(pi * t / steps)) / 2 for t in range(steps)]
    np.testing.assert_allclose(rates, cycle * 3)
    assert rates.max() == 0.03


def test_the_recorded_rate_is_used() -> None:
    # A step of plain SGD moves weights by the rate times the gradient.
    net = NetClassifier(
        MLP,
        optimizer=torch.optim.SGD,
        lr=1e-3,
        batch_size=-1,
        callbacks=[WeightsOfEpochs()],
    )
    member = fit(net, n_estimators=1, cycle_epochs=10).estimators_[0]
    seen = dict(member.callbacks_)["WeightsOfEpochs"].weights_
    moves = [np.linalg.norm(b - a) for a, b in pairwise(seen)]
    rates = member.history_[1:, "batches", 0, "event_lr"]
    # The gradient hardly changes over steps that small.
    gradients = np.divide(moves, rates)
    np.testing.assert_allclose(gradients / gradients[0], 1, rtol=0.05)


def test_epochs_are_divided_among_cycles() -> None:
    ensemble = fit(NetClassifier(max_epochs=13), n_estimators=3)
    assert len(ensemble.estimators_[0].history_) == 12
    ensemble = fit(NetClassifier(max_epochs=2), n_estimators=3)
    assert len(ensemble.estimators_[0].history_) == 3


def test_full_rate_is_restored_after_training() -> None:
    member = fit(NetClassifier(lr=0.02, max_epochs=4), n_estimators=2).estimators_[1]
    assert member.optimizer_.param_groups[0]["lr"] == 0.02
    member.partial_fit(X, Y)
    assert "event_lr" not in member.history_[-1]["batches"][0]


def test_groups_of_weights_keep_their_proportion() -> None:
    groups = [("head.*", {"lr": 0.1})]
    net = NetClassifier(lr=0.02, max_epochs=4, optimizer__param_groups=groups)
    member = fit(net, n_estimators=2).estimators_[0]
    assert [g["lr"] for g in member.optimizer_.param_groups] == [0.1, 0.02]


def test_statistics_of_batch_norm_are_those_of_the_end_of_the_cycle() -> None:
    net = NetClassifier(WithBatchNorm, max_epochs=6)
    counts = [
        int(m.module_.layers[1].num_batches_tracked)
        for m in fit(net, n_estimators=3).estimators_
    ]
    assert counts == [2, 4, 6]


@pytest.mark.parametrize("callbacks", [None, "disable"])
def test_callbacks_are_as_they_were(callbacks: Any) -> None:
    ensemble = fit(NetClassifier(max_epochs=3, callbacks=callbacks), n_estimators=3)
    for member in ensemble.estimators_:
        assert member.callbacks == callbacks
        assert "CosineCycles" not in dict(member.callbacks_)


def test_a_run_cut_short_is_an_error() -> None:
    stop = EarlyStopping("train_loss", patience=1, threshold=10.0)
    net = NetClassifier(max_epochs=20, callbacks=[stop])
    message = r"ended after 2 epochs, 0 cycles of 4 epochs, .* 5 members"
    with pytest.raises(ValueError, match=message):
        fit(net, n_estimators=5)


@pytest.mark.parametrize("cycle_epochs", [0, -1, 1.5])
def test_length_of_cycles_is_checked(cycle_epochs: Any) -> None:
    with pytest.raises(ValueError, match="cycle_epochs must be an int of at least 1"):
        fit(NetClassifier(), cycle_epochs=cycle_epochs)


@pytest.mark.on_cpu
def test_members_have_the_snapshots_of_their_own_cycles() -> None:
    net = NetClassifier(lr=0.01, callbacks=[WeightSnapshots()])
    ensemble = SnapshotEnsembleClassifier(net, 3, cycle_epochs=4, random_state=0)
    members = ensemble.fit(*blobs()).estimators_
    kept = [find_snapshots(member) for member in members]
    assert [s.epochs_ for s in kept] == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]
    for member, snapshots in zip(members, kept, strict=True):
        last = snapshots.of(member)[-1]  # at the end of a cycle, as the member
        for name, tensor in member.module_.state_dict().items():
            assert torch.equal(last[name], tensor)
    pool = Pool(ensemble, blobs()[0])
    assert Snapshots().draw(pool, torch.Generator()).n_draws == 12
