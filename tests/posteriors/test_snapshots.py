"""Snapshots against nets that were trained for fewer epochs."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skal.exceptions import UnsuitableLearnerError
from skal.nets import NetClassifier, NetRegressor, WeightSnapshots
from skal.posteriors import PredictiveDistribution, Snapshots, predictive_std
from tests.posteriors.helpers import (
    TARGET,
    Dropped,
    X,
    Y,
    collect,
    draw,
    fit,
    unchanged,
)


def make_net(max_epochs=5, **parameters):
    callback = WeightSnapshots(**parameters)
    return NetClassifier(
        Dropped, max_epochs=max_epochs, callbacks=[callback], random_state=0
    )


@pytest.mark.on_cpu
def test_a_snapshot_is_the_net_of_its_epoch():
    # BatchNorm's statistics are among what is kept, or these would differ.
    outputs = collect(Snapshots(), make_net(5, warmup=1, every=2).fit(X, Y))
    assert len(outputs) == 2
    for output, epochs in zip(outputs, [3, 5], strict=True):
        net = make_net(epochs).fit(X, Y)
        np.testing.assert_allclose(output, net.predict_proba(X), atol=1e-6)


def test_the_last_are_taken():
    net = make_net(5).fit(X, Y)
    every = collect(Snapshots(), net)
    assert len(every) == 5
    assert torch.equal(collect(Snapshots(n_draws=2), net), every[3:])


def test_the_net_is_as_before():
    callback = WeightSnapshots()
    net = fit(callbacks=[callback])
    kept = copy.deepcopy(callback.weights_)
    with unchanged(net):
        collect(Snapshots(), net)
    for before, now in zip(kept, callback.weights_, strict=True):
        assert all(torch.equal(before[name], now[name]) for name in before)


def test_a_module_that_was_cast_after_training():
    net = make_net().fit(X, Y)
    expected = collect(Snapshots(), net)
    net.module_.double()
    torch.testing.assert_close(collect(Snapshots(), net), expected, rtol=1e-5, atol=0)


def test_a_module_that_was_changed_after_training():
    net = make_net().fit(X, Y)
    nn.utils.parametrizations.weight_norm(net.module_.head)
    with pytest.raises(UnsuitableLearnerError, match="rebuilt or changed"):
        collect(Snapshots(), net)


@pytest.mark.on_cpu
def test_pipelines_clones_and_pickles():
    inner = NetRegressor(max_epochs=3, callbacks=[WeightSnapshots()], random_state=0)
    model = TransformedTargetRegressor(
        make_pipeline(StandardScaler(), inner), transformer=StandardScaler()
    )
    fitted = clone(model).fit(X, 10 * TARGET[:, 0])
    outputs = collect(Snapshots(), fitted)
    assert outputs.shape == (3, 60, 1)
    last = fitted.regressor_.predict(X)
    np.testing.assert_allclose(outputs[2, :, 0], last, atol=1e-5)
    for copied in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        assert torch.equal(collect(Snapshots(), copied), outputs)


def test_committees_and_ensembles_give_the_snapshots_of_all():
    nets = [make_net(3).fit(X, Y), make_net(4).fit(X, Y)]

    class Committee:
        learner_list = nets

    assert draw(Snapshots(), Committee()).n_draws == 7


def test_a_net_that_kept_nothing_is_told():
    with pytest.raises(UnsuitableLearnerError, match=r"callbacks=\[WeightSnapshots"):
        collect(Snapshots(), fit())


@pytest.mark.parametrize(
    ("posterior", "net", "message"),
    [
        (Snapshots(), make_net(1), "weights of 1 epochs, and Snapshots needs 2"),
        (Snapshots(), make_net(3, warmup=5), "of 0 epochs.*max_epochs=3, or change"),
        (Snapshots(n_draws=5), make_net(9, last=4), "of 4 epochs.*needs 5.*last=4"),
    ],
)
def test_fewer_snapshots_than_asked(posterior, net, message):
    with pytest.raises(UnsuitableLearnerError, match=message):
        collect(posterior, net.fit(X, Y))


def test_a_callback_that_two_nets_share_is_told():
    shared = WeightSnapshots()
    one = NetClassifier(max_epochs=2, callbacks=[shared]).fit(X, Y)
    two = NetClassifier(max_epochs=2, callbacks=[shared]).fit(X, Y)
    assert collect(Snapshots(), two).shape == (2, 60, 3)
    with pytest.raises(UnsuitableLearnerError, match="separate WeightSnapshots"):
        collect(Snapshots(), one)


def test_a_module_that_was_made_anew_is_told():
    net = make_net(2).fit(X, Y)
    with pytest.warns(UserWarning, match="rebuilt with new weights"):
        net.set_params(module__p=0.1)
    with pytest.raises(UnsuitableLearnerError, match="was rebuilt"):
        collect(Snapshots(), net)


@pytest.mark.parametrize("n_draws", [1, 0, 2.0, "all"])
def test_bad_n_draws(n_draws):
    with pytest.raises(ValueError, match="n_draws must be an int of at least 2"):
        collect(Snapshots(n_draws=n_draws), make_net(3).fit(X, Y))


def test_standard_deviations_of_a_net_are_read_from_its_snapshots():
    target = X[:, 0]
    settings = {"max_epochs": 6, "lr": 0.05, "random_state": 0}
    net = NetRegressor(callbacks=[WeightSnapshots(last=4)], **settings).fit(X, target)
    _, std = net.predict(X, return_std=True)
    found = predictive_std(net, X, PredictiveDistribution())[:, 0]
    np.testing.assert_allclose(found, std.ravel(), rtol=1e-5)


def test_a_copy_of_a_net_does_not_read_the_snapshots_of_another():
    shared, settings = WeightSnapshots(), {"max_epochs": 3, "random_state": 0}
    one, two = (
        NetRegressor(callbacks=[shared], **settings).fit(X, X[:, k]) for k in (0, 1)
    )
    assert predictive_std(two, X, PredictiveDistribution()).shape == (60, 1)
    with pytest.raises(UnsuitableLearnerError, match="another net used the same"):
        predictive_std(one, X, PredictiveDistribution())
