from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from skal.nets import MLP, NetClassifier
from skal.nets.ensembles import DiversityEncouragingEnsembleClassifier
from tests.nets.helpers import Unsized, blobs, states_equal

X, Y = blobs(50)


def fit(net: Any = None, **options: Any) -> DiversityEncouragingEnsembleClassifier:
    kind = DiversityEncouragingEnsembleClassifier
    return kind(net, random_state=0, **options).fit(X, Y)


def test_default_has_dropout_and_a_short_start() -> None:
    members = fit(n_estimators=2).estimators_
    dropout = [m for m in members[0].module_.modules() if isinstance(m, nn.Dropout)]
    assert [m.p for m in dropout] == [0.2, 0.2, 0.2]
    one, other = (m.history_[:, "train_loss"] for m in members)
    assert len(one) == len(other) == 300  # a single batch an epoch
    assert one[:60] == other[:60]
    assert not set(one[60:]) & set(other[60:])


def test_length_of_the_common_start() -> None:
    net = NetClassifier(module__dropout=0.5, max_epochs=7)
    one, other = (
        m.history_[:, "train_loss"]
        for m in fit(net, n_estimators=2, base_epochs=4).estimators_
    )
    assert len(one) == 7
    assert one[:4] == other[:4]
    assert one[4:] != other[4:]


def test_members_start_from_the_same_weights() -> None:
    # A learning rate of 0 leaves them where the common start was.
    net = NetClassifier(module__dropout=0.5, lr=0.0, max_epochs=4)
    one, other = fit(net, n_estimators=2, base_epochs=0).estimators_
    assert states_equal(one.module_, other.module_)


def test_masks_of_members_differ() -> None:
    # All rows in one batch and no step: losses differ by dropout alone.
    net = NetClassifier(MLP, module__dropout=0.5, lr=0.0, max_epochs=2, batch_size=-1)
    members = fit(net, n_estimators=3, base_epochs=1).estimators_
    assert len({m.history_[-1, "train_loss"] for m in members}) == 3
    assert len({m.history_[0, "train_loss"] for m in members}) == 1


def test_optimizer_continues() -> None:
    net = NetClassifier(module__dropout=0.5, max_epochs=6, batch_size=-1)
    for member in fit(net, n_estimators=2, base_epochs=2).estimators_:
        states = member.optimizer_.state.values()
        assert {int(torch.as_tensor(s["step"])) for s in states} == {6}


@pytest.mark.parametrize(
    "net",
    [
        NetClassifier(MLP, max_epochs=2),
        NetClassifier(Unsized, max_epochs=2),
        NetClassifier(nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.0)), max_epochs=2),
    ],
    ids=["MLP", "own module", "no probability"],
)
def test_dropout_is_required(net: NetClassifier) -> None:
    with pytest.raises(ValueError, match=r"has none\. Set module__dropout=0\.2"):
        fit(net)


@pytest.mark.parametrize("base_epochs", [-1, 5, 6])
def test_base_epochs_are_fewer_than_all(base_epochs: int) -> None:
    net = NetClassifier(module__dropout=0.5, max_epochs=5)
    with pytest.raises(ValueError, match="max_epochs=5, got"):
        fit(net, base_epochs=base_epochs)
