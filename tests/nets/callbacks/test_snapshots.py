from __future__ import annotations

import pickle

import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skal.nets import NetClassifier, WeightSnapshots
from tests.nets.callbacks.helpers import X, Y, make_net


@pytest.mark.on_cpu
@pytest.mark.parametrize(
    ("parameters", "epochs"),
    [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"every": 2}, [2, 4, 6]),
        ({"every": 2, "warmup": 1}, [3, 5]),
        ({"warmup": 4}, [5, 6]),
        ({"last": 2}, [5, 6]),
        ({"every": 2, "last": 2}, [4, 6]),
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
            assert torch.equal(snapshots.weights_[-1][name], parameter.cpu())


def test_a_refit_discards_snapshots_and_further_training_adds_to_them():
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


def test_training_continues_after_unpickling():
    fitted = pickle.dumps(make_net(WeightSnapshots()).fit(X, Y))
    for method, n_epochs in [("partial_fit", 12), ("fit", 6)]:
        net = pickle.loads(fitted)
        getattr(net, method)(X, Y)
        snapshots = dict(net.callbacks_)["WeightSnapshots"]
        assert snapshots.epochs_ == list(range(1, n_epochs + 1))


def test_a_rebuilt_module_discards_snapshots():
    snapshots = WeightSnapshots()
    net = make_net(snapshots, module__dropout=0.1).fit(X, Y)
    with pytest.warns(UserWarning, match="rebuilt with new weights"):
        net.set_params(module__dropout=0.2)  # rebuilds the module, not the callbacks
    net.partial_fit(X, Y)
    assert snapshots.epochs_ == list(range(1, 7))


def test_another_net_with_the_same_callback_discards_snapshots():
    snapshots = WeightSnapshots()
    make_net(snapshots).fit(X, Y)
    make_net(snapshots).fit(X, Y)
    assert len(snapshots.weights_) == 6


@pytest.mark.on_cpu
def test_memory_is_bounded_and_constant_tensors_are_stored_once():
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
