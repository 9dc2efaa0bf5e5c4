from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from skorch import NeuralNetRegressor as SkorchRegressor
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from skal.exceptions import UnsuitableLearnerError
from skal.nets import NetClassifier, NetRegressor
from skal.reading.access import NetAccess
from skal.reading.gradients import GradientReader, per_row_gradients
from skal.rows import Rows
from skal.spaces import Factors
from tests.models import N_FEATURES, make_data, make_net


class Twice(nn.Module):
    """Linear layers passed twice, alone and with tied weights, and a sequence."""

    def __init__(self, n_features: int = N_FEATURES, n_outputs: int = 1) -> None:
        super().__init__()
        self.first = nn.Linear(n_features, n_features)
        self.tied = nn.Linear(n_features, n_features, bias=False)
        self.tied.weight = self.first.weight
        self.again = nn.Linear(n_features, n_features)
        self.scalar = nn.Linear(1, 3)
        self.head = nn.Linear(3, n_outputs)

    def forward(self, X: Tensor) -> Tensor:
        hidden = self.first(self.first(X).tanh()).tanh() + self.tied(X)
        hidden = self.again(self.again(hidden).tanh())
        return self.head(self.scalar(hidden[:, :, None]).tanh().mean(dim=1))


class Mixed(nn.Module):
    """Layers of several kinds, writing in place, with one the pass leaves out."""

    def __init__(self, n_features: int = N_FEATURES, n_outputs: int = 1) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.linspace(0.5, 1.5, n_features))
        self.conv = nn.Conv1d(1, 2, 3)
        self.norm = nn.LayerNorm(2 * (n_features - 2))
        self.first = nn.utils.parametrizations.weight_norm(
            nn.Linear(2 * (n_features - 2), 7)
        )
        self.second = nn.Linear(7, 6, bias=False)
        self.unused = nn.Linear(4, 4)
        self.head = nn.Linear(6, n_outputs)

    def forward(self, X: Tensor) -> Tensor:
        hidden = self.norm(self.conv((X * self.scale)[:, None]).flatten(1))
        hidden = torch.relu_(self.first(hidden))
        return self.head(nn.functional.elu(self.second(input=hidden), inplace=True))


class Aside(nn.Module):
    """Layers that run, and of which nothing reaches the outputs."""

    def __init__(self, n_features: int = N_FEATURES, n_outputs: int = 1) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(n_features)
        self.aside = nn.Linear(n_features, 2)
        self.head = nn.Linear(n_features, n_outputs)

    def forward(self, X: Tensor) -> Tensor:
        self.noted = self.aside(self.norm(X))
        return self.head(X.tanh())


class Sequence(nn.Module):
    """An embedding bag of a linear layer that sees rows times steps as its rows."""

    def __init__(self, n_features: int = N_FEATURES, n_outputs: int = 1) -> None:
        super().__init__()
        self.step = nn.Linear(1, 3)
        self.head = nn.Linear(3 * n_features, n_outputs)

    def forward(self, X: Tensor) -> Tensor:
        return self.head(self.step(X.reshape(-1, 1)).tanh().reshape(len(X), -1))


class StepsFirst(nn.Module):
    """A linear layer that takes steps for rows, of the number that is asked for."""

    def __init__(
        self, n_features: int = N_FEATURES, n_outputs: int = 1, n_steps: int = 5
    ) -> None:
        super().__init__()
        self.n_steps = n_steps
        self.step = nn.Linear(n_features, 3)
        self.head = nn.Linear(3 * n_steps, n_outputs)

    def forward(self, X: Tensor) -> Tensor:
        steps = self.step(torch.stack([X * k for k in range(self.n_steps)])).tanh()
        return self.head(steps.transpose(0, 1).flatten(1))


def fitted(module: Any, task: str = "regression", **parameters: Any) -> NetAccess:
    X, y = make_data(task)
    if task == "regression" and parameters.pop("two_targets", False):
        y = np.stack([y, y**2], axis=1)
    net = make_net(task, module=module, **parameters).fit(X, y)
    return NetAccess(net)


def by_autograd(access: NetAccess, X: np.ndarray, vectors: Tensor) -> Tensor:
    """Gradients of each row and direction, ``(m, K, numbers)``, the slow way."""
    access.module.eval()
    parameters = [p for p in access.module.parameters() if p.requires_grad]
    rows = []
    for x, V in zip(torch.as_tensor(X, dtype=torch.float32), vectors, strict=True):
        out = access.module(x[None]).reshape(-1)
        for v in V.T:
            gradients = torch.autograd.grad(
                out @ v, parameters, retain_graph=True, allow_unused=True
            )
            rows.append(
                torch.cat(
                    [
                        (torch.zeros_like(p) if g is None else g).flatten()
                        for p, g in zip(parameters, gradients, strict=True)
                    ]
                )
            )
    return torch.stack(rows).reshape(len(X), vectors.shape[2], -1)


def gram(factors: list[Factors]) -> Tensor:
    return sum((a @ a.T) * (g @ g.T) for a, g in factors)


def eye_vectors(m: int, n_outputs: int) -> Tensor:
    return torch.eye(n_outputs).expand(m, n_outputs, n_outputs)


@pytest.mark.on_cpu
@pytest.mark.parametrize("two_targets", [False, True])
def test_each_layer_of_an_mlp_equals_autograd(two_targets):
    X, y = make_data("regression")
    y = np.stack([y, y**2], axis=1) if two_targets else y
    access = NetAccess(make_net("regression").fit(X, y))
    pool = make_data("regression", 31, seed=1)[0]
    n_outputs = 2 if two_targets else 1
    expected = by_autograd(access, pool, eye_vectors(31, n_outputs))
    start = 0
    for a, g in per_row_gradients(access, Rows(pool)):
        whole = torch.einsum("bko,bi->bkoi", g.reshape(31, n_outputs, -1), a)
        found = torch.cat([whole[..., :-1].flatten(2), whole[..., -1]], dim=2)
        stop = start + found.shape[2]
        torch.testing.assert_close(found, expected[:, :, start:stop])
        start = stop
    assert start == expected.shape[2]


@pytest.mark.on_cpu
@pytest.mark.parametrize("module", [Twice, Mixed, Aside, Sequence])
@pytest.mark.parametrize("two_targets", [False, True])
def test_kernel_of_any_module_equals_autograd(module, two_targets):
    access = fitted(module, two_targets=two_targets)
    pool = make_data("regression", 23, seed=1)[0]
    expected = by_autograd(access, pool, eye_vectors(23, 2 if two_targets else 1))
    found = gram(per_row_gradients(access, Rows(pool)))
    flat = expected.flatten(1)
    torch.testing.assert_close(found, flat @ flat.T, rtol=1e-4, atol=1e-5)


@pytest.mark.on_cpu
@pytest.mark.parametrize("n_steps", [5, 7, 8])
@pytest.mark.parametrize("m", [1, 5, 8, 23])
def test_as_many_steps_as_rows(n_steps, m):
    access = fitted(StepsFirst, module__n_steps=n_steps)
    pool = make_data("regression", m, seed=1)[0]
    flat = by_autograd(access, pool, eye_vectors(m, 1)).flatten(1)
    found = gram(per_row_gradients(access, Rows(pool)))
    torch.testing.assert_close(found, flat @ flat.T, rtol=1e-4, atol=1e-5)


@pytest.mark.on_cpu
def test_frozen_parameters_have_no_gradients():
    access = fitted(Mixed)
    module = access.module
    for p in (module.head.bias, module.conv.weight, *module.first.parameters()):
        p.requires_grad_(False)
    pool = make_data("regression", 11, seed=1)[0]
    flat = by_autograd(access, pool, eye_vectors(11, 1)).flatten(1)
    found = gram(per_row_gradients(access, Rows(pool)))
    torch.testing.assert_close(found, flat @ flat.T, rtol=1e-4, atol=1e-5)


def test_only_a_bias_trainable():
    access = fitted(Mixed)
    access.module.requires_grad_(False)
    access.module.head.bias.requires_grad_(True)
    (factors,) = per_row_gradients(access, Rows(np.ones((3, N_FEATURES))))
    assert factors.inputs.tolist() == factors.outputs.tolist() == [[1.0]] * 3


class Steps(nn.Module):
    """A linear layer that each row passes once for each of its features."""

    def __init__(self, n_features: int = N_FEATURES, n_outputs: int = 1) -> None:
        super().__init__()
        self.step, self.head = nn.Linear(1, 3), nn.Linear(3 * n_features, n_outputs)

    def forward(self, X: Tensor) -> Tensor:
        return self.head(self.step(X[:, :, None]).tanh().flatten(1))


@pytest.mark.on_cpu
@pytest.mark.parametrize("frozen", ["weight", "bias"])
def test_one_parameter_of_a_layer_of_steps_is_frozen(frozen):
    access = fitted(Steps)
    getattr(access.module.step, frozen).requires_grad_(False)
    pool = make_data("regression", 9, seed=1)[0]
    flat = by_autograd(access, pool, eye_vectors(9, 1)).flatten(1)
    found = gram(per_row_gradients(access, Rows(pool)))
    torch.testing.assert_close(found, flat @ flat.T, rtol=1e-4, atol=1e-5)


@pytest.mark.on_cpu
def test_last_layer_is_the_features_with_one_appended():
    access = NetAccess(make_net("regression").fit(*make_data("regression")))
    pool = Rows(make_data("regression", 13, seed=1)[0])
    (factors,) = per_row_gradients(access, pool, space="last_layer")
    features = access.features(pool)
    expected = torch.cat([features, torch.ones(13, 1)], dim=1)
    torch.testing.assert_close(factors.inputs, expected, rtol=0, atol=0)
    assert (factors.outputs == 1).all()


@pytest.mark.on_cpu
def test_last_layer_before_a_softmax_has_its_jacobian():
    module = nn.Sequential(nn.Linear(N_FEATURES, 4), nn.ReLU(), nn.Linear(4, 3))
    module = nn.Sequential(*module, nn.Softmax(dim=1))
    access = fitted(module, "classification", criterion=nn.NLLLoss)
    pool = make_data("classification", 9, seed=1)[0]
    (factors,) = per_row_gradients(access, Rows(pool), space="last_layer")
    access.module[0].requires_grad_(False)
    flat = by_autograd(access, pool, eye_vectors(9, 3)).flatten(1)
    torch.testing.assert_close(gram([factors]), flat @ flat.T)


@pytest.mark.on_cpu
def test_directions_are_contracted_with_the_outputs():
    access = NetAccess(make_net("classification").fit(*make_data("classification")))
    pool = make_data("classification", 12, seed=1)[0]

    def loss_of_own_label(logits: Tensor) -> Tensor:
        p = logits.softmax(dim=1)
        return (p - nn.functional.one_hot(p.argmax(dim=1), 3))[:, :, None]

    factors = per_row_gradients(access, Rows(pool), "gradients", loss_of_own_label)
    logits = access.outputs(Rows(pool))
    access.module.eval()
    rows = []
    for x, label in zip(torch.as_tensor(pool).float(), logits.argmax(1), strict=True):
        loss = nn.functional.cross_entropy(access.module(x[None]), label[None])
        gradients = torch.autograd.grad(loss, list(access.module.parameters()))
        rows.append(torch.cat([g.flatten() for g in gradients]))
    flat = torch.stack(rows)
    torch.testing.assert_close(gram(factors), flat @ flat.T, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("module", [nn.Sequential(nn.Linear(5, 1)), Mixed])
def test_chunks_and_batches_change_nothing(module, monkeypatch):
    access = fitted(module)
    pool = Rows(make_data("regression", 50, seed=1)[0])
    expected = per_row_gradients(access, pool)
    monkeypatch.setattr("skal.reading.access._CHUNK", 7)
    monkeypatch.setattr("skal.reading.access._CHUNK_ELEMENTS", 7)
    monkeypatch.setattr("skal.reading.layer_gradients._WHOLE_ELEMENTS", 500)
    access.net.set_params(batch_size=17)
    for found, layer in zip(per_row_gradients(access, pool), expected, strict=True):
        torch.testing.assert_close(found, layer)


@pytest.mark.on_cpu
def test_inputs_in_a_dict():
    class Two(nn.Module):
        def __init__(self, n_outputs: int = 1) -> None:
            super().__init__()
            self.left, self.right = nn.Linear(3, 4), nn.Linear(2, 4)
            self.scale = nn.Parameter(torch.ones(4))
            self.head = nn.Linear(4, n_outputs)

        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return self.head(
                torch.tanh(self.left(left) + self.right(right) * self.scale)
            )

    X, y = make_data("regression", 40)
    X = X.astype(np.float32)
    parts = {"left": X[:, :3], "right": X[:, 3:]}
    net = make_net("regression", module=Two).fit(parts, y)
    found = gram(per_row_gradients(NetAccess(net), Rows(parts)))
    rows = []
    for x in torch.as_tensor(X):
        value = net.module_(left=x[None, :3], right=x[None, 3:]).sum()
        gradients = torch.autograd.grad(value, list(net.module_.parameters()))
        rows.append(torch.cat([g.flatten() for g in gradients]))
    flat = torch.stack(rows)
    torch.testing.assert_close(found, flat @ flat.T, rtol=1e-4, atol=1e-5)


def test_the_net_is_left_as_it_was():
    access = fitted(Mixed)
    module = access.module
    module.train()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    for p in module.parameters():
        p.grad = None
    per_row_gradients(access, Rows(make_data("regression", 9)[0]))
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert all(p.grad is None for p in module.parameters())
    assert module.training
    for m in module.modules():
        assert not m._forward_hooks
        assert not m._forward_pre_hooks or m is module.first


@pytest.mark.filterwarnings("ignore:The outputs of Branch")
def test_a_module_torch_func_cannot_see_through_is_named():
    class Branch(nn.Module):
        def __init__(self, n_features: int, n_outputs: int) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(n_features))
            self.head = nn.Linear(n_features, n_outputs)

        def forward(self, X: Tensor) -> Tensor:
            hidden = X * self.scale
            return self.head(hidden if bool(hidden.sum() > 0) else -hidden)

    access = fitted(Branch)
    pool = Rows(make_data("regression", 9)[0])
    with pytest.raises(UnsuitableLearnerError, match=r"Branch by \['scale'\]"):
        per_row_gradients(access, pool)
    assert len(per_row_gradients(access, pool, space="last_layer")) == 1


@pytest.mark.filterwarnings("ignore:The outputs of OfBatch")
def test_a_module_that_needs_several_rows_is_named():
    class OfBatch(nn.Module):
        def __init__(self, n_features: int, n_outputs: int) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(n_features, track_running_stats=False)
            self.head = nn.Linear(n_features, n_outputs)

        def forward(self, X: Tensor) -> Tensor:
            return self.head(self.norm(X))

    access = fitted(OfBatch)
    pool = Rows(make_data("regression", 9)[0])
    with pytest.raises(UnsuitableLearnerError, match=r"OfBatch .* more than 1 value"):
        per_row_gradients(access, pool)


def test_bad_input():
    access = NetAccess(make_net("regression").fit(*make_data("regression")))
    with pytest.raises(ValueError, match=r"space must be one of .*'first'"):
        GradientReader(access, space="first")
    access.module.requires_grad_(False)
    with pytest.raises(UnsuitableLearnerError, match="no trainable parameter"):
        per_row_gradients(access, Rows(np.ones((2, N_FEATURES))))


@pytest.mark.parametrize("cls", [NetClassifier, NetRegressor])
def test_on_the_device_of_the_net(cls, device):
    task = "classification" if cls is NetClassifier else "regression"
    access = NetAccess(make_net(task, device).fit(*make_data(task)))
    factors = per_row_gradients(access, Rows(make_data(task, 5)[0]))
    assert {x.device.type for layer in factors for x in layer} == {device[:4]} or (
        device == "cpu"
    )


@pytest.mark.on_cpu
@pytest.mark.parametrize(
    ("module", "lengths"),
    [
        (Mixed, [7] * 7 + [1]),
        (nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 1)), [12] * 4 + [2]),
        (nn.Sequential(nn.Linear(5, 99), nn.Tanh(), nn.Linear(99, 1)), [7] * 7 + [1]),
    ],
)
def test_a_function_of_few_rows_at_a_time(module, lengths, monkeypatch):
    access = fitted(module)
    batch = torch.as_tensor(make_data("regression", 50, seed=1)[0]).float()
    access.module.eval()
    read = GradientReader(access)

    def norms(factors: list[Factors]) -> Tensor:
        return sum(a.square().sum(1) * g.square().sum(1) for a, g in factors)

    expected = norms(read(batch))
    monkeypatch.setattr("skal.reading.access._CHUNK", 7)
    monkeypatch.setattr("skal.reading.access._CHUNK_ELEMENTS", 12 * 16)
    seen = []

    def watched(part: Tensor) -> Tensor:
        seen.append(len(part))
        return norms(read(part))

    found = access.collect(Rows(batch.numpy()), watched, access.chunk_size)
    torch.testing.assert_close(found, expected)
    assert seen == lengths


class Attention(nn.Module):
    """Uses the weight of a Linear, ``out_proj``, without calling it."""

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__()
        self.lift = nn.Linear(1, 4)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.head = nn.Linear(4, n_outputs)

    def forward(self, X: Tensor) -> Tensor:
        steps = self.lift(X[:, :, None])
        found, _ = self.attention(steps, steps, steps, need_weights=False)
        return self.head(found.mean(dim=1))


class Encoder(Attention):
    """Skips its linear layers where no gradient is asked for."""

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__(n_features, n_outputs)
        self.attention = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)

    def forward(self, X: Tensor) -> Tensor:
        return self.head(self.attention(self.lift(X[:, :, None])).mean(dim=1))


class Functional(nn.Module):
    """Uses the weight of a layer only as a function, or beside a call of the layer."""

    def __init__(self, n_features: int, n_outputs: int, called: bool = False) -> None:
        super().__init__()
        self.hidden = nn.Linear(n_features, 6, bias=False)
        self.head = nn.Linear(6, n_outputs)
        self.called = called

    def forward(self, X: Tensor) -> Tensor:
        hidden = nn.functional.linear(X, self.hidden.weight)
        return self.head((hidden + self.hidden(X) if self.called else hidden).tanh())


class Regularized(nn.Module):
    """Uses the weight of a layer that is called in another way, too."""

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(n_features, 6)
        self.head = nn.Linear(6, n_outputs)

    def forward(self, X: Tensor) -> Tensor:
        scale = self.hidden.weight.square().mean()
        return self.head(self.hidden(X).tanh()) * (1 + scale)


@pytest.mark.on_cpu
@pytest.mark.parametrize(
    "module",
    [Attention, Encoder, Functional, partial(Functional, called=True), Regularized],
)
def test_layers_that_are_used_without_a_call_are_complete(module):
    def make(n_features: int, n_outputs: int) -> nn.Module:
        return module(n_features, n_outputs)

    access = fitted(make)
    X = make_data("regression", 13, seed=1)[0].astype(np.float32)
    found = gram(per_row_gradients(access, Rows(X)))
    flat = by_autograd(access, X, eye_vectors(len(X), 1))[:, 0]
    torch.testing.assert_close(found, flat @ flat.T, rtol=1e-4, atol=1e-5)


class Detached(nn.Module):
    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__()
        self.head = nn.Linear(n_features, n_outputs)

    def forward(self, X: Tensor) -> Tensor:
        outputs = self.head(X)
        return outputs if self.training else outputs.detach()


def test_a_missing_gradient_is_not_zero():
    access = fitted(Detached)
    with pytest.raises(UnsuitableLearnerError, match="Detached have no gradient"):
        per_row_gradients(access, Rows(make_data("regression", 9)[0]))


class Exhausting(nn.Module):
    """Runs out of memory where gradients are taken row by row."""

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(n_features))
        self.head = nn.Linear(n_features, n_outputs)

    def forward(self, X: Tensor) -> Tensor:
        if len(X) == 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return self.head(X * self.scale)


def test_running_out_of_memory_is_not_blamed_on_the_learner():
    access = fitted(Exhausting)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        per_row_gradients(access, Rows(make_data("regression", 9)[0]))


class Sorted(nn.Module):
    """Sorts the rows, as for sequences of different lengths, up to some layer."""

    def __init__(
        self, n_features: int, n_outputs: int, ascending: bool = True, until: int = 2
    ) -> None:
        super().__init__()
        self.first = nn.Linear(n_features, 6)
        self.head = nn.Linear(6, n_outputs)
        self.ascending, self.until = ascending, until

    def forward(self, X: Tensor) -> Tensor:
        order = X[:, 0].argsort(descending=not self.ascending)
        back = order.argsort()
        hidden = self.first(X[order]).tanh()
        if self.until == 1:
            return self.head(hidden[back])
        return self.head(hidden)[back]


@pytest.mark.on_cpu
@pytest.mark.parametrize("sorts_pool", [None, False, True])
@pytest.mark.parametrize("ascending", [False, True])
@pytest.mark.parametrize("until", [1, 2])
def test_layers_that_see_rows_in_another_order(sorts_pool, ascending, until):
    access = fitted(partial(Sorted, ascending=ascending, until=until))
    X = make_data("regression", 23, seed=1)[0].astype(np.float32)
    if sorts_pool is not None:
        order = X[:, 0].argsort()
        X = X[order if sorts_pool else order[::-1]].copy()
    found = gram(per_row_gradients(access, Rows(X)))
    flat = by_autograd(access, X, eye_vectors(len(X), 1))[:, 0]
    torch.testing.assert_close(found, flat @ flat.T, rtol=1e-4, atol=1e-5)


class Sometimes(nn.Module):
    """Runs a layer only in batches that hold a large value, on some or all rows."""

    def __init__(self, n_features: int, n_outputs: int, kind: str) -> None:
        super().__init__()
        self.first = nn.Linear(n_features, n_features)
        self.second = nn.Linear(n_features, n_features)
        self.head = nn.Linear(n_features, n_outputs)
        self.kind = kind

    def forward(self, X: Tensor) -> Tensor:
        hidden, large = self.first(X).tanh(), X[:, 0] > 5
        if self.kind == "skipped":
            return self.head(hidden if large.all() else self.second(hidden).tanh())
        if not large.any():
            return self.head(hidden)
        if self.kind == "some rows":
            hidden = hidden.clone()
            hidden[large] += self.second(X[large])
        else:
            layer = self.first if self.kind == "again" else self.second
            hidden = torch.where(large[:, None], layer(hidden).tanh(), hidden)
        return self.head(hidden)


@pytest.mark.on_cpu
@pytest.mark.parametrize("kind", ["all rows", "skipped", "some rows", "again"])
def test_layers_that_only_some_batches_run(kind):
    access = fitted(partial(Sometimes, kind=kind))
    X = make_data("regression", 40, seed=1)[0].astype(np.float32)
    few, others = X[:20], X[20:]
    (others[:] if kind == "skipped" else others[:1])[:, 0] = 6
    read = GradientReader(access)
    parts = [read(torch.as_tensor(few))]
    if kind in ("some rows", "again"):
        what = "on 1 of 20" if kind == "some rows" else "again"
        with pytest.raises(UnsuitableLearnerError, match=f"Sometimes runs .* {what}"):
            read(torch.as_tensor(others))
        return
    parts.append(read(torch.as_tensor(others)))
    together = [
        Factors(*(torch.cat(pair) for pair in zip(*layer, strict=True)))
        for layer in zip(*parts, strict=True)
    ]
    flat = by_autograd(access, X, eye_vectors(40, 1))[:, 0]
    torch.testing.assert_close(gram(together), flat @ flat.T, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_layer_compiled_by_jit():
    plain = nn.Sequential(nn.Linear(N_FEATURES, 4), nn.Tanh(), nn.Linear(4, 1))
    compiled = nn.Sequential(torch.jit.script(plain[0]), *plain[1:])
    X = make_data("regression", 13, seed=1)[0].astype(np.float32)
    found = []
    for module in (plain, compiled):
        net = SkorchRegressor(module, max_epochs=0, train_split=None, verbose=0)
        access = NetAccess(net.fit(X, X[:, :1]))
        found.append(gram(per_row_gradients(access, Rows(X))))
    torch.testing.assert_close(found[0], found[1])


class Complex(nn.Module):
    """Layers and parameters that are complex, up to their magnitude."""

    def __init__(self, n_features: int = N_FEATURES, n_outputs: int = 1) -> None:
        super().__init__()
        self.first = nn.Linear(n_features, 4, dtype=torch.complex64)
        self.turn = nn.Parameter(torch.randn(4, dtype=torch.complex64))
        self.head = nn.Linear(4, n_outputs)

    def forward(self, X: Tensor) -> Tensor:
        hidden = self.first(X.to(torch.complex64)) * self.turn
        return self.head(hidden.real.tanh() + hidden.imag.exp() * 0.1)


def test_complex_parameters_count_as_pairs_of_real_ones():
    access = fitted(Complex)
    X = make_data("regression", 13, seed=1)[0].astype(np.float32)
    found = gram(per_row_gradients(access, Rows(X)))
    parameters = list(access.module.parameters())
    flat = []
    for x in torch.as_tensor(X):
        gradients = torch.autograd.grad(access.module(x[None])[0, 0], parameters)
        real = [torch.view_as_real(g) if g.is_complex() else g for g in gradients]
        flat.append(torch.cat([g.flatten() for g in real]))
    rows = torch.stack(flat)
    torch.testing.assert_close(found, rows @ rows.T, rtol=1e-4, atol=1e-5)


class Scale(nn.Module):
    """Has a single parameter without dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(0.7))

    def forward(self, X: Tensor) -> Tensor:
        return X * self.factor.exp()


class Scalars(nn.Module):
    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__()
        self.first, self.scale = nn.Linear(n_features, 4), Scale()
        self.temperature = nn.Parameter(torch.tensor(1.5))
        self.head = nn.Linear(4, n_outputs)

    def forward(self, X: Tensor) -> Tensor:
        return self.head(self.scale(self.first(X)).tanh()) / self.temperature


class Prototypes(nn.Module):
    """Normalizes a weight in place at each forward pass."""

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(n_features, 6)
        self.prototypes = nn.Linear(6, 4, bias=False)
        self.head = nn.Linear(4, n_outputs)

    def forward(self, X: Tensor) -> Tensor:
        weight = self.prototypes.weight
        with torch.no_grad():
            weight.div_(weight.norm(dim=1, keepdim=True))
        return self.head(self.prototypes(self.first(X).tanh()))


@pytest.mark.on_cpu
@pytest.mark.parametrize("module", [Scalars, Prototypes])
def test_scalars_and_weights_that_are_normalized_in_place(module):
    access = fitted(module)
    X = make_data("regression", 13, seed=1)[0].astype(np.float32)
    found = gram(per_row_gradients(access, Rows(X)))
    flat = by_autograd(access, X, eye_vectors(len(X), 1))[:, 0]
    torch.testing.assert_close(found, flat @ flat.T, rtol=1e-4, atol=1e-5)


def test_a_module_that_checkpoints_its_activations():
    class Checkpoints(nn.Module):
        def __init__(self, n_features: int, n_outputs: int) -> None:
            super().__init__()
            self.body, self.head = nn.Linear(n_features, 4), nn.Linear(4, n_outputs)

        def forward(self, X: Tensor) -> Tensor:
            return self.head(checkpoint(self.hidden, X, use_reentrant=False))

        def hidden(self, X: Tensor) -> Tensor:
            return self.body(X).relu()

    access = fitted(Checkpoints)
    rows = Rows(make_data("regression", 9)[0])
    assert access.features(rows).shape == (9, 4)
    with pytest.raises(UnsuitableLearnerError, match=r"differentiated.* self.training"):
        per_row_gradients(access, rows)
