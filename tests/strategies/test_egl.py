"""Expected gradient length against autograd, row by row and label by label."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from skal import ActiveLearner, Committee
from skal.exceptions import UnsuitableLearnerError
from skal.strategies import EGL
from skal.strategies import egl as module_under_test
from tests.models import N_FEATURES, make_data, make_net
from tests.reading.test_gradients import Mixed, Twice

X, Y = make_data("classification")
POOL = make_data("classification", 23, seed=1)[0]


def probabilities(net, output: Tensor) -> Tensor:
    """Probabilities of one row by each criterion."""
    output = output.double().flatten()
    criterion = type(net.criterion_)
    if criterion is nn.CrossEntropyLoss:
        return output.softmax(0)
    if criterion is nn.NLLLoss:
        return output
    p = output.sigmoid() if criterion is nn.BCEWithLogitsLoss else output
    return torch.cat([1 - p, p])


def by_autograd(net, rows: np.ndarray, parameters: list[Tensor]) -> list[float]:
    """Sum over labels of p times the length of the gradient of the loss."""
    module = net.module_.eval()
    scores = []
    for x in torch.as_tensor(rows, dtype=torch.float32):
        proba = probabilities(net, module(x[None]))
        total = 0.0
        for p in proba:
            found = torch.autograd.grad(
                -p.log(), parameters, retain_graph=True, allow_unused=True
            )
            squares = [float(g.double().square().sum()) for g in found if g is not None]
            total += float(p.detach()) * sum(squares) ** 0.5
        scores.append(total)
    return scores


def body(*last: nn.Module, bias: bool = True, n_outputs: int = 3) -> nn.Module:
    head = nn.Linear(8, n_outputs, bias=bias)
    return nn.Sequential(nn.Linear(N_FEATURES, 8), nn.ReLU(), head, *last)


def binary(y: np.ndarray) -> np.ndarray:
    return y == "low"


NETS = {
    "cross-entropy": ({"module": body()}, Y),
    "no bias": ({"module": body(bias=False)}, Y),
    "softmax at the end": (
        {"module": body(nn.Softmax(dim=1)), "criterion": nn.NLLLoss},
        Y,
    ),
    "two classes": ({"module": body(n_outputs=2)}, binary(Y)),
    "one logit": (
        {"module": body(n_outputs=1), "criterion": nn.BCEWithLogitsLoss},
        binary(Y),
    ),
    "one probability": (
        {"module": body(nn.Sigmoid(), n_outputs=1), "criterion": nn.BCELoss},
        binary(Y),
    ),
}


class Scaled(nn.Module):
    """After the head: outputs that are logits up to factors, the first of them 1."""

    def forward(self, X: Tensor) -> Tensor:
        return X * torch.tensor([1.0, 2.0, 3.0])


NETS["scaled logits"] = ({"module": body(Scaled())}, Y)
NETS["log softmax"] = ({"module": body(nn.LogSoftmax(dim=1))}, Y)
NETS["centered"] = ({"module": body(nn.LayerNorm(3))}, Y)


@pytest.fixture(params=NETS)
def net(request):
    settings, y = NETS[request.param]
    return make_net("classification", **settings).fit(X, y)


@pytest.mark.on_cpu
def test_last_layer_equals_autograd(net):
    expected = by_autograd(net, POOL, list(net.module_[2].parameters()))
    scores = EGL().score_samples(net, POOL)
    np.testing.assert_allclose(scores, expected, rtol=1e-4)


@pytest.mark.on_cpu
def test_all_layers_equal_autograd(net):
    expected = by_autograd(net, POOL, list(net.module_.parameters()))
    scores = EGL(space="gradients").score_samples(net, POOL)
    np.testing.assert_allclose(scores, expected, rtol=1e-4)


@pytest.mark.on_cpu
@pytest.mark.parametrize("module", [Twice, Mixed])
def test_layers_of_any_kind_equal_autograd(module):
    net = make_net("classification", module=module, module__n_outputs=3).fit(X, Y)
    expected = by_autograd(net, POOL, list(net.module_.parameters()))
    scores = EGL(space="gradients").score_samples(net, POOL)
    np.testing.assert_allclose(scores, expected, rtol=1e-4)


@pytest.mark.on_cpu
def test_last_layer_of_a_softmax_in_closed_form():
    net = make_net("classification", module=body()).fit(X, Y)
    rows = torch.as_tensor(POOL, dtype=torch.float32)
    z = net.module_.eval()[:2](rows).detach().double()
    p = net.module_[2](z.float()).detach().double().softmax(1)
    length = (z.square().sum(1) + 1).sqrt()
    expected = sum(
        p[:, y] * (p - torch.eye(3)[y]).norm(dim=1) * length for y in range(3)
    )
    np.testing.assert_allclose(EGL().score_samples(net, POOL), expected, rtol=1e-5)


@pytest.mark.on_cpu
@pytest.mark.parametrize("frozen", ["weight", "bias"])
def test_frozen_parameters_do_not_count(frozen):
    net = make_net("classification", module=body()).fit(X, Y)
    getattr(net.module_[2], frozen).requires_grad_(False)
    for space, part in (("last_layer", net.module_[2]), ("gradients", net.module_)):
        moving = [p for p in part.parameters() if p.requires_grad]
        expected = by_autograd(net, POOL, moving)
        np.testing.assert_allclose(
            EGL(space).score_samples(net, POOL), expected, rtol=1e-4
        )


@pytest.mark.on_cpu
def test_tied_weights_count_once():
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(N_FEATURES, N_FEATURES)
            self.head = nn.Linear(N_FEATURES, N_FEATURES)
            self.head.weight = self.first.weight

        def forward(self, X: Tensor) -> Tensor:
            return self.head(self.first(X).tanh())

    y = np.arange(60) % N_FEATURES
    net = make_net("classification", module=Tied()).fit(X, y)
    expected = by_autograd(net, POOL, list(net.module_.head.parameters()))
    np.testing.assert_allclose(EGL().score_samples(net, POOL), expected, rtol=1e-4)


def test_a_softmax_is_read_in_one_pass(monkeypatch):
    net = make_net("classification").fit(X, Y)
    sure = make_net("classification").fit(X, Y)
    with torch.no_grad():
        sure.module_.head.weight.mul_(1e3)
    expected = [EGL().score_samples(n, POOL) for n in (net, sure)]

    def refuse(access, space):
        return lambda batch: pytest.fail("label by label")

    with monkeypatch.context() as patch:
        patch.setattr(module_under_test, "_by_label", refuse)
        for n, scores in zip((net, sure), expected, strict=True):
            np.testing.assert_array_equal(EGL().score_samples(n, POOL), scores)
    monkeypatch.setattr(
        module_under_test,
        "softmax_gradient_length",
        lambda proba: torch.full_like(proba[:, 0], torch.nan),
    )
    np.testing.assert_allclose(EGL().score_samples(net, POOL), expected[0], rtol=1e-5)


@pytest.mark.on_cpu
def test_the_head_that_is_named():
    net = make_net("classification", module=body()).fit(X, Y)
    expected = by_autograd(net, POOL, list(net.module_[0].parameters()))
    scores = EGL(head="0").score_samples(net, POOL)
    np.testing.assert_allclose(scores, expected, rtol=1e-4)
    with pytest.raises(UnsuitableLearnerError, match="no module named 'neck'"):
        EGL(head="neck").score_samples(net, POOL)


@pytest.mark.parametrize("space", ["last_layer", "gradients"])
def test_labels_in_groups(monkeypatch, space):
    settings, y = NETS["softmax at the end"]
    net = make_net("classification", **settings).fit(X, y)
    expected = EGL(space).score_samples(net, POOL)
    for together in (1, 2):
        monkeypatch.setattr(module_under_test, "_MAX_LABELS", together)
        monkeypatch.setattr(module_under_test, "_ELEMENTS", 512 * 3 * together)
        scores = EGL(space).score_samples(net, POOL)
        np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_labels_of_large_problems_come_in_groups():
    def softmax(outputs: Tensor) -> Tensor:
        return outputs.softmax(1)

    for n in (3, 100, 1000, 20_000):
        for space in ("last_layer", "gradients"):
            groups = module_under_test._groups(torch.zeros(1, n), softmax, space)
            assert [label for group in groups for label in group] == list(range(n))
            largest, most = max(map(len, groups)), module_under_test._MAX_LABELS
            assert largest == 1 or largest * n * 512 <= module_under_test._ELEMENTS
            assert space == "last_layer" or largest <= most


def test_nets_of_a_committee_are_averaged():
    members = [
        ActiveLearner(
            make_net("classification", random_state=seed), X_training=X, y_training=Y
        )
        for seed in range(3)
    ]
    scores = [EGL().score_samples(member, POOL) for member in members]
    found = EGL().score_samples(Committee(members), POOL)
    np.testing.assert_allclose(found, np.mean(scores, axis=0), rtol=1e-9)


@pytest.mark.parametrize("space", ["last_layer", "gradients"])
def test_sure_nets_have_scores_without_nan(space):
    net = make_net("classification").fit(X, Y)
    expected = EGL(space).score_samples(net, POOL)
    with torch.no_grad():
        net.module_.head.weight.mul_(1e5)
    scores = EGL(space).score_samples(net, POOL)
    assert np.isfinite(scores).all()
    assert (scores >= 0).all()
    assert np.median(scores) < 1e-6 < np.median(expected)


def test_of_two_rows_in_one_direction_the_longer():
    # A linear net: the same probabilities would make the longer row the more wanted.
    net = make_net("classification", module=nn.Linear(N_FEATURES, 3)).fit(X, Y)
    with torch.no_grad():
        net.module_.weight.zero_()
        net.module_.bias.zero_()
    rows = np.outer([1.0, 3.0, 2.0, 0.0], np.ones(N_FEATURES))
    assert EGL().select(net, rows, 4).indices.tolist() == [1, 2, 0, 3]


def test_bad_space():
    net = make_net("classification").fit(X, Y)
    with pytest.raises(ValueError, match=r"space must be one of .*got 'first'"):
        EGL(space="first").select(net, POOL, 1)
