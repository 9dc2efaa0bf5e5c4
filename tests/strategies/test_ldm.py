"""LDM and LDM-Seeding: features and head of the net, and unsuitable nets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from skorch import NeuralNetBinaryClassifier
from torch import nn

from skal import ActiveLearner, Committee
from skal.exceptions import UnsuitableLearnerError
from skal.measures import least_disagree_metric
from skal.rng import resolve_rng, seed_from
from skal.strategies import LDM, LDMSeeding
from tests.models import make_data, make_net

X, Y = make_data("classification")
POOL = make_data("classification", 120, seed=1)[0]


@pytest.fixture(scope="module")
def net():
    return make_net("classification").fit(X, Y)


def body_and_head(net):
    linear = [m for m in net.module_.modules() if isinstance(m, nn.Linear)]
    seen = []
    handle = linear[-1].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        net.module_.eval()(torch.as_tensor(POOL, dtype=torch.float32))
    handle.remove()
    return seen[0], linear[-1]


@pytest.mark.on_cpu
def test_scores_are_the_metric_of_features_and_head(net):
    z, head = body_and_head(net)
    rng = resolve_rng(5)
    seed_from(rng)  # the door seeds the global generators first
    drawn = torch.randperm(120, generator=rng)[:50]
    metric = least_disagree_metric(
        z, head.weight.detach(), head.bias.detach(), z[drawn], n_unchanged=4, rng=rng
    )
    # The metric counts rows of the reference, of which a row of it is left out.
    counts = metric * 50
    np.testing.assert_allclose(counts, counts.round(), atol=1e-5)
    metric[drawn] = (counts[drawn] - 1) / 49
    strategy = LDM(n_reference=50, n_unchanged=4, random_state=5)
    np.testing.assert_allclose(strategy.score_samples(net, POOL), -metric.numpy())
    picked = strategy.select(net, POOL, 6).indices
    np.testing.assert_allclose(metric[picked], metric.sort().values[:6])


@pytest.mark.on_cpu
def test_rank_of_a_linear_net_is_that_of_the_closed_form():
    # Two outputs and no bias: L = arcsin(|v x| / (|v| |x|)) / pi for isotropic x.
    rng = np.random.default_rng(0)
    data = rng.normal(size=(400, 5)).astype(np.float32)
    module = nn.Sequential(nn.Linear(5, 2, bias=False))
    net = make_net("classification", module=module, max_epochs=20)
    net.fit(data, data[:, 0] + data[:, 1] > 0)
    v = net.module_[0].weight.detach().numpy()
    v = v[1] - v[0]
    cosine = np.abs(data @ v) / np.linalg.norm(data, axis=1) / np.linalg.norm(v)
    truth = np.arcsin(np.clip(cosine, 0, 1)) / np.pi
    scores = LDM(n_unchanged=30, random_state=0).score_samples(net, data)
    assert spearmanr(-scores, truth)[0] > 0.97
    assert abs(np.mean(-scores - truth)) < 0.05


def test_more_draws_never_raise_the_metric(net):
    few, many = (
        LDM(n_unchanged=s, stop="row", random_state=0).score_samples(net, POOL)
        for s in (2, 20)
    )
    assert np.mean(many >= few - 1e-9) > 0.9  # other draws, so not row by row
    assert many.mean() > few.mean()


def test_seeding_starts_from_the_smallest_metric_and_scores_it(net):
    scores = LDM(random_state=0).score_samples(net, POOL)
    for quantile in ("program", "paper"):
        strategy = LDMSeeding(quantile=quantile, random_state=0)
        selection = strategy.select(net, POOL, 10)
        assert scores[selection.indices[0]] == scores.max()
        np.testing.assert_allclose(selection.scores, scores[selection.indices])


def test_seeding_is_more_diverse_than_the_metric_alone():
    # Five rows, many times each: the metric alone repeats the one of the fewest copies.
    copies = np.repeat(np.arange(5), [60, 100, 90, 120, 80])
    pool = POOL[copies]
    net = make_net("classification").fit(X, Y)
    alone = LDM(random_state=0).select(net, pool, 4).indices
    seeded = LDMSeeding(random_state=0).select(net, pool, 4).indices
    assert len(set(copies[alone])) == 1
    assert len(set(copies[seeded])) == 4


def test_the_metric_of_a_committee_is_the_mean(net):
    members = [
        ActiveLearner(
            make_net("classification", random_state=s), X_training=X, y_training=Y
        )
        for s in (0, 1)
    ]
    committee = Committee(members)
    scores = LDM(random_state=0).score_samples(committee, POOL)
    one = LDM(random_state=0).score_samples(members[0], POOL)
    two = LDM(random_state=7).score_samples(members[1], POOL)
    assert spearmanr(scores, one + two)[0] > 0.9


@pytest.mark.on_cpu
def test_a_single_logit():
    module = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 1), nn.Flatten(0))
    net = NeuralNetBinaryClassifier(
        module, max_epochs=5, verbose=0, train_split=None, lr=0.1
    ).fit(X.astype(np.float32), (X[:, 0] > 0).astype(np.float32))
    pool = torch.as_tensor(POOL, dtype=torch.float32)
    scores = LDM(random_state=5).score_samples(net, pool)
    with torch.no_grad():
        z = net.module_[:2](pool)
    rng = resolve_rng(5)
    seed_from(rng)
    reference = z[torch.randperm(120, generator=rng)]
    head = net.module_[2]
    weight, bias = head.weight.detach(), head.bias.detach()
    metric = least_disagree_metric(z, weight, bias, reference, rng=rng)
    np.testing.assert_allclose(scores, -(metric.numpy() * 120 - 1) / 119, atol=1e-7)
    assert len(np.unique(scores)) > 20


class Behind(nn.Module):
    """Something behind the head decides."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return -self.head(x)


def test_a_head_that_does_not_decide_is_refused():
    net = make_net("classification", module=Behind()).fit(X, Y)
    with pytest.raises(UnsuitableLearnerError, match="something behind the head"):
        LDM().select(net, POOL)


def test_a_head_that_is_not_linear_is_refused():
    module = nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3))
    net = make_net("classification", module=module).fit(X, Y)
    with pytest.raises(UnsuitableLearnerError, match="the head is a BatchNorm1d"):
        LDM(head="1").select(net, POOL)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_reference": 0}, "n_reference"),
        ({"n_unchanged": -1}, "n_unchanged"),
        ({"stop": "never"}, "stop must be one of"),
        ({"sigmas": []}, "sigmas"),
        ({"sigmas": [-1.0]}, "sigmas"),
    ],
)
def test_bad_parameters(net, options, message):
    for cls in (LDM, LDMSeeding):
        with pytest.raises(ValueError, match=message):
            cls(**options).select(net, POOL)
    with pytest.raises(ValueError, match="quantile"):
        LDMSeeding(quantile="median").select(net, POOL)
