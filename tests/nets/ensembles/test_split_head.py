from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, LRScheduler
from skorch.dataset import ValidSplit
from torch import nn
from torch.nn import functional as F

from skal.nets import (
    MLP,
    ForgettingEvents,
    NetClassifier,
    NetRegressor,
    WeightSnapshots,
)
from skal.nets.bayesian import BayesianMLP, GaussianNLL, kl_divergence
from skal.nets.ensembles import SplitHeadEnsembleClassifier, SplitHeadEnsembleRegressor
from skal.nets.ensembles.split_head import MultiHead, multi_head_net
from skal.posteriors import Snapshots
from skal.posteriors.snapshots import find_snapshots
from skal.reading.pool import Pool
from tests.nets.helpers import Softmax, WithBatchNorm, blobs, line

X, Y = blobs(50)


class Named(nn.Module):
    """Has its head in a block, before an auxiliary layer that is registered last."""

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__()
        self.block = nn.ModuleDict({"last": nn.Linear(8, n_outputs)})
        self.first = nn.Linear(n_features, 8)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.block["last"](self.first(X).relu())


def fit(net: Any = None, **options: Any) -> SplitHeadEnsembleClassifier:
    return SplitHeadEnsembleClassifier(net, **options, random_state=0).fit(X, Y)


def test_heads_differ_and_the_trunk_is_the_same() -> None:
    members = fit(n_estimators=3).estimators_
    for i, one in enumerate(members):
        for other in members[:i]:
            for a, b in zip(
                one.module_.body.parameters(),
                other.module_.body.parameters(),
                strict=True,
            ):
                assert torch.equal(a, b)
                assert a is not b
            assert not torch.equal(one.module_.head.weight, other.module_.head.weight)


def test_members_compute_the_outputs_of_the_heads() -> None:
    module = MultiHead(MLP(4, 3, hidden_sizes=(8,)), n_heads=2, head="head")
    rows = torch.from_numpy(X)
    outputs = module(rows)
    for k in range(2):
        alone = MLP(4, 3, hidden_sizes=(8,))
        alone.load_state_dict(module.state_of(k))
        torch.testing.assert_close(alone(rows), outputs[:, k])
    torch.testing.assert_close(module.eval()(rows), outputs.mean(1))


@pytest.mark.on_cpu
@pytest.mark.parametrize("Net", [NetClassifier, NetRegressor])
def test_loss_is_the_mean_over_heads(Net: Any) -> None:
    net = multi_head_net(
        Net(MLP, lr=0.0, max_epochs=1, random_state=0), n_heads=3, head="head"
    )
    y = Y if Net is NetClassifier else line(50)[1]
    net.fit(X, y)
    outputs = net.module_.train()(torch.from_numpy(X)).detach()
    target = torch.from_numpy(y)
    losses = [
        F.cross_entropy(outputs[:, k], target)
        if Net is NetClassifier
        else F.mse_loss(outputs[:, k, 0], target)
        for k in range(3)
    ]
    assert len({v.item() for v in losses}) == 3
    expected = torch.stack(losses).mean().item()
    assert net.history_[0, "train_loss"] == pytest.approx(expected, rel=1e-4)


def test_one_training_run_learns_all_heads() -> None:
    ensemble = fit(NetClassifier(lr=0.01, max_epochs=30), n_estimators=4)
    assert len(ensemble.estimators_[0].history_) == 30
    for member in ensemble.estimators_:
        assert member.score(X, Y) > 0.95


def test_validation_sees_the_mean_of_heads() -> None:
    net = NetClassifier(train_split=ValidSplit(5), max_epochs=2)
    history = fit(net, n_estimators=3).estimators_[0].history_
    assert np.isfinite(history[:, "valid_loss"]).all()
    assert len(history[:, "valid_acc"]) == 2


@pytest.mark.on_cpu
def test_weights_of_rows_and_classes() -> None:
    net = multi_head_net(
        NetClassifier(MLP, lr=0.0, max_epochs=1, class_weight={0: 3.0}, random_state=0),
        n_heads=2,
        head="head",
    )
    net.fit(X, Y, sample_weight=np.linspace(1, 2, 50))
    outputs = net.module_.train()(torch.from_numpy(X)).detach()
    weight = np.linspace(1, 2, 50) * np.where(Y == 0, 3.0, 1.0)
    losses = [
        F.cross_entropy(outputs[:, k], torch.from_numpy(Y), reduction="none").numpy()
        for k in range(2)
    ]
    expected = np.mean([np.average(v, weights=weight) for v in losses])
    assert net.history_[0, "train_loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("head", [None, "block.last"])
def test_head_is_the_last_linear_layer_run(head: str | None) -> None:
    members = fit(NetClassifier(Named, max_epochs=2), head=head).estimators_
    assert [type(m.module_) for m in members] == [Named] * 5
    one, other = members[0].module_, members[1].module_
    assert torch.equal(one.first.weight, other.first.weight)
    assert not torch.equal(one.block["last"].weight, other.block["last"].weight)


def test_a_layer_that_is_not_the_head() -> None:
    with pytest.raises(ValueError, match="last step of Named is not its layer 'first'"):
        fit(NetClassifier(Named, max_epochs=2), head="first")


def test_buffers_and_positions_in_a_sequence() -> None:
    members = fit(NetClassifier(WithBatchNorm, max_epochs=3)).estimators_
    layers = [m.module_.layers for m in members]
    assert all(int(s[1].num_batches_tracked) == 3 for s in layers)
    assert torch.equal(layers[0][1].running_mean, layers[1][1].running_mean)
    assert not torch.equal(layers[0][3].weight, layers[1][3].weight)


@pytest.mark.parametrize("head", [None, ""])
def test_a_linear_model_is_all_head(head: str | None) -> None:
    net = NetClassifier(nn.Linear(4, 3), max_epochs=2)
    one, other = fit(net, n_estimators=2, head=head).estimators_
    assert not torch.equal(one.module_.weight, other.module_.weight)


def test_bayesian_nets() -> None:
    net = NetRegressor(BayesianMLP, module__hidden_sizes=(8,), max_epochs=2)
    ensemble = SplitHeadEnsembleRegressor(net, 2, random_state=0).fit(*line())
    one, other = (m.module_ for m in ensemble.estimators_)
    assert torch.equal(one.body[0].weight_rho, other.body[0].weight_rho)
    assert not torch.equal(one.head.weight_mu, other.head.weight_mu)


def test_module_must_end_with_its_head() -> None:
    net = NetClassifier(Softmax, criterion=nn.NLLLoss, max_epochs=2)
    with pytest.raises(
        ValueError, match="last step of Softmax is not its layer 'layer'"
    ):
        fit(net)


class Twice(nn.Module):
    """Begins and ends with the same layer."""

    def __init__(self) -> None:
        super().__init__()
        self.ends, self.middle = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.ends(self.middle(self.ends(X)))


def test_head_is_run_once() -> None:
    with pytest.raises(ValueError, match="Twice runs its layer 'ends' more than once"):
        fit(NetClassifier(Twice, classes=[0, 1, 2, 3], max_epochs=2))


@pytest.mark.parametrize("head", ["nowhere", "body"])
def test_name_of_the_head_is_checked(head: str) -> None:
    with pytest.raises(ValueError, match=rf"MLP has no layer '{head}' whose weights"):
        fit(head=head)


def test_module_without_a_linear_layer() -> None:
    net = NetClassifier(nn.Sequential(nn.Bilinear(4, 4, 3), nn.ReLU()), max_epochs=1)
    with pytest.raises(ValueError, match=r"no torch.nn.Linear .* one of \['0', '1'\]"):
        fit(net)


@pytest.mark.on_cpu
def test_the_divergence_is_the_mean_of_those_of_the_members() -> None:
    net = multi_head_net(
        NetRegressor(BayesianMLP, module__hidden_sizes=(8,), max_epochs=0),
        n_heads=3,
        head="head",
    ).fit(*line())
    with torch.no_grad():
        for k, head in enumerate(net.module_.heads):
            head.weight_mu.fill_(k)
    members = []
    for k in range(3):
        alone = BayesianMLP(4, 1, (8,))
        alone.load_state_dict(net.module_.state_of(k))
        members.append(kl_divergence(alone))
    torch.testing.assert_close(net._divergence(), torch.stack(members).mean())


@pytest.mark.on_cpu
def test_members_of_a_bayesian_net_have_the_exact_posterior() -> None:
    n_rows, noise, prior_scale = 12, 0.5, 0.7
    rows = np.linspace(-1, 1, n_rows, dtype=np.float32)[:, None]
    net = NetRegressor(
        BayesianMLP,
        module__hidden_sizes=(),
        module__prior_scale=prior_scale,
        criterion=GaussianNLL,
        criterion__noise_scale=noise,
        lr=0.05,
        max_epochs=800,
        batch_size=-1,
        callbacks=[LRScheduler("CosineAnnealingLR", T_max=800)],
    )
    ensemble = SplitHeadEnsembleRegressor(net, 4, random_state=0)
    precision = 1 / prior_scale**2 + n_rows / noise**2
    for member in ensemble.fit(rows, 0.8 * rows[:, 0] + 0.3).estimators_:
        scale = F.softplus(member.module_.head.bias_rho).item()
        assert scale == pytest.approx(precision**-0.5, rel=0.08)


@pytest.mark.on_cpu
def test_callbacks_see_the_mean_of_the_heads_and_members_their_records() -> None:
    seen = []

    class Watch(Callback):
        def on_batch_end(
            self, net: Any, training: bool = False, y_pred: Any = None, **kwargs: Any
        ) -> None:
            seen.append(tuple(y_pred.shape))

    callbacks = [Watch(), ForgettingEvents(), WeightSnapshots(every=3)]
    net = NetClassifier(WithBatchNorm, max_epochs=6, lr=0.01, callbacks=callbacks)
    ensemble = fit(net, n_estimators=4)
    assert set(seen) == {(50, 3)}
    for member in ensemble.estimators_:
        records = dict(member.callbacks_)
        assert (records["ForgettingEvents"].n_presented_ == 6).all()
        snapshots = find_snapshots(member)
        assert snapshots.epochs_ == [3, 6]
        last = snapshots.of(member)[-1]  # of the last epoch, which ended the run
        for name, tensor in member.module_.state_dict().items():
            assert torch.equal(last[name], tensor), name
        assert sum(p.numel() for p in last.values()) == sum(
            p.numel() for p in member.module_.state_dict().values()
        )
    draws = Snapshots().draw(Pool(ensemble, X), torch.Generator())
    assert draws.n_draws == 8


def test_members_without_callbacks_have_the_usual_ones() -> None:
    member = fit(NetClassifier(max_epochs=2)).estimators_[0]
    assert "print_log" in dict(member.callbacks_)
    assert len(member.partial_fit(X, Y).history) == 4
