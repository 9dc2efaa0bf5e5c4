"""Copies that share tensors: running one leaves the module as it is."""

from __future__ import annotations

import functools
import random
import types
import weakref
from collections import OrderedDict, deque, namedtuple
from typing import Any

import numpy as np
import pytest
import torch
from skorch import NeuralNetRegressor
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from skal.shared_copy import copy_to_read, plain_names, shared_copy, unwrapped

X = torch.linspace(-1, 1, 20).reshape(4, 5)


class Closure(nn.Module):
    """Reaches a layer by a closure, which copy.deepcopy leaves as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(5, 2)
        self.activation = lambda x: self.drop(x.relu())

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.activation(x))


class Default(Closure):
    """The layer is the default of an argument, or of a keyword."""

    def __init__(self) -> None:
        super().__init__()

        def activation(x: Tensor, drop: Any = self.drop, *, again: Any = self.drop):
            return again(drop(x.relu()))

        self.activation = activation


class Partial(Closure):
    def __init__(self) -> None:
        super().__init__()
        self.activation = functools.partial(_through, self.drop)


class Method(Closure):
    def __init__(self) -> None:
        super().__init__()
        self.activation = self.through

    def through(self, x: Tensor) -> Tensor:
        return self.drop(x.relu())


class Listed(Closure):
    """The layer is in a nested plain container, unregistered."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = {"a": [(self.drop,)], "b": deque([Pair(self.drop, 1)])}
        self.activation = None

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.kept["b"][0].left(self.kept["a"][0][0](x.relu())))


class Referring(Closure):
    """The layer is reached by a weak reference of an object."""

    def __init__(self) -> None:
        super().__init__()
        self.helper = Helper(self)
        self.activation = self.helper.activation


class InSlot(Closure):
    """The layer is in an object with slots."""

    def __init__(self) -> None:
        super().__init__()
        self.holder = Slotted(self.drop)
        self.activation = lambda x: self.holder.array(x.relu())


class InOwnSlot(Closure):
    """The layer is in a slot of the module."""

    __slots__ = ("held",)

    def __init__(self) -> None:
        super().__init__()
        object.__setattr__(self, "held", self.drop)
        self.activation = lambda x: self.held(x.relu())


class InSlotOfList(Closure):
    """The layer is in a slot of a list."""

    def __init__(self) -> None:
        super().__init__()
        self.holder = SlottedList([1])
        self.holder.layer = self.drop
        self.activation = lambda x: self.holder.layer(x.relu())


class InArray(Closure):
    """The layer is in an array of objects."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = np.array([[None, self.drop], [0, 0]], dtype=object)
        self.layers[1, 0] = [self.drop, 1]
        self.activation = lambda x: self.layers[1, 0][0](self.layers[0, 1](x.relu()))


class Wrapped(Closure):
    """The forward pass was replaced by a function around the bound method."""

    def __init__(self) -> None:
        super().__init__()
        inner = self.forward

        @functools.wraps(inner)
        def forward(x: Tensor) -> Tensor:
            return inner(x)

        self.forward = forward


class Recursive(Closure):
    """A function that calls itself reaches the layer."""

    def __init__(self) -> None:
        super().__init__()

        def activation(x: Tensor, n: int = 2) -> Tensor:
            return x.relu() if n == 0 else self.drop(activation(x, n - 1))

        self.activation = activation


class Keeping(nn.Module):
    """A hook of its own keeps activations in a list, which forward reads."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(5, 5), nn.Linear(10, 2)
        kept: list[Tensor] = []
        self.kept = kept
        self.n_runs = 0
        self.hidden.register_forward_hook(lambda *args: kept.append(args[2]))

    def forward(self, x: Tensor) -> Tensor:
        self.kept.clear()
        self.n_runs += 1
        hidden = self.hidden(x)
        return self.head(torch.cat([hidden, self.kept[0].relu()], dim=1))


class Removing(nn.Module):
    """Removes a hook in its forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(5, 2)
        self.handle = self.head.register_forward_hook(lambda *args: args[2] + 1)

    def forward(self, x: Tensor) -> Tensor:
        outputs = self.head(x)
        self.handle.remove()
        return outputs


class Slotted:
    __slots__ = ("array", "other")

    def __init__(self, array: Any) -> None:
        self.array = array


class SlottedList(list):
    __slots__ = ("layer",)


class Counting(nn.Module):
    """Writes state of its own as it runs: attributes, a namespace, a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(5, 2)
        self.register_buffer("n", torch.zeros(()))
        self.register_buffer("written", torch.zeros(()))
        self.space = types.SimpleNamespace(last=None)
        self.seen = OrderedDict()
        self.own = np.random.default_rng(0), random.Random(0)
        self.torch = torch.Generator().manual_seed(0)
        self.array, self.slots = np.zeros(2), Slotted(np.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        self.array += 1
        self.slots.array += 1
        self.slots.other = len(x)
        self.n = self.n + 1
        self.written += 1
        self.space.last = len(x)
        self.seen[len(self.seen)] = len(x)
        noise = self.own[0].normal() + self.own[1].random()
        return self.head(x) + noise + torch.rand((), generator=self.torch)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(5, 5)
        self.again = self.first
        self.second = nn.Linear(5, 5)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.again(self.first(x)))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.LSTM(5, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x[:, None])[0][:, -1])


class Helper:
    def __init__(self, owner: Closure) -> None:
        self.owner = weakref.ref(owner)

    def activation(self, x: Tensor) -> Tensor:
        return self.owner().drop(x.relu())


Pair = namedtuple("Pair", "left right")


def _through(layer: nn.Module, x: Tensor) -> Tensor:
    return layer(x.relu())


def power() -> nn.Module:
    return nn.Sequential(
        parametrizations.spectral_norm(nn.Linear(5, 4)),
        nn.utils.spectral_norm(nn.Linear(4, 4)),
        parametrizations.weight_norm(nn.Linear(4, 4)),
        nn.BatchNorm1d(4),
    )


def graph() -> nn.Module:
    return torch.fx.symbolic_trace(nn.Sequential(nn.Linear(5, 3), nn.Dropout(0.5)))


REACHING = [
    *(Closure, Default, Partial, Method, Listed, Referring, Wrapped, Recursive),
    *(InSlot, InOwnSlot, InSlotOfList, InArray),
]
STATEFUL = [Keeping, Removing, Counting, Tied, Recurrent, power, graph]


def attributes(module: nn.Module) -> list[Any]:
    """Everything of a module that may change, by value."""
    return [
        [(k, id(v), v.clone()) for k, v in module.state_dict(keep_vars=True).items()],
        [part.training for part in module.modules()],
        [list(part._forward_hooks) for part in module.modules()],
        [list(part._forward_pre_hooks) for part in module.modules()],
        getattr(module, "n_runs", None),
        len(getattr(module, "kept", ())),
        getattr(module, "space", None) and module.space.last,
        dict(getattr(module, "seen", {})),
        getattr(module, "array", np.zeros(0)).tolist(),
        module.slots.array.tolist() if hasattr(module, "slots") else None,
        module.slots.other if hasattr(module, "slots") else None,
        [vars(part).keys() for part in module.modules()],
    ]


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return bool(a == b)


@pytest.mark.filterwarnings("ignore:.*spectral_norm")
@pytest.mark.parametrize("make", REACHING + STATEFUL)
def test_a_run_of_the_copy_changes_nothing_of_the_module(make):
    torch.manual_seed(0)
    module = make().train()
    module(X)
    before = attributes(module)
    copied = shared_copy(module).eval()
    outputs = [copied(X) for _ in range(2)]
    assert equal(attributes(module), before)
    assert copied.state_dict().keys() == module.state_dict().keys()
    if make not in (Counting, Removing):
        assert torch.equal(*outputs)
        module.eval()
        torch.testing.assert_close(module(X), outputs[0], rtol=0, atol=0)


@pytest.mark.parametrize("make", REACHING)
def test_dropout_reached_by_any_way_follows_the_mode_of_the_copy(make):
    module = make()
    copied = shared_copy(module).eval()
    assert module.training
    assert torch.equal(copied(X), copied.head(X.relu()))
    torch.manual_seed(0)
    assert not torch.equal(module(X), module.head(X.relu()))


@pytest.mark.parametrize("make", [*REACHING, Keeping, Tied, Recurrent])
def test_tensors_are_shared_unless_they_are_asked_for(make):
    module = make()
    names = dict(module.named_parameters(remove_duplicate=False))
    copied = dict(shared_copy(module).named_parameters(remove_duplicate=False))
    assert all(copied[name] is p for name, p in names.items())
    owning = shared_copy(module, own_tensors=True)
    own = dict(owning.named_parameters(remove_duplicate=False))
    assert own.keys() == names.keys()
    for name, p in names.items():
        assert own[name] is not p
        assert torch.equal(own[name], p)
        assert own[name].requires_grad
    assert len(set(map(id, own.values()))) == len(set(map(id, names.values())))
    expected = module.eval()(X)
    with torch.no_grad():
        for p in module.parameters():
            p.zero_()
    torch.testing.assert_close(owning.eval()(X), expected)


def test_other_weights_reach_a_recurrent_layer_and_leave_it():
    module = Recurrent().eval()
    before, copied = module(X), shared_copy(module)
    zero = {name: torch.zeros_like(p) for name, p in module.named_parameters()}
    assert not torch.func.functional_call(copied, zero, (X,)).any()
    assert torch.equal(module(X), before)
    assert torch.equal(copied(X), before)


class Writes(nn.Module):
    """Writes into tensors in its forward pass, in eval mode, too."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(4, 3, max_norm=0.5)
        self.bag = nn.EmbeddingBag(4, 3, max_norm=0.5)
        self.tied = nn.Embedding(4, 3)
        self.tied.weight = self.embed.weight
        self.register_buffer("mean", torch.zeros(3))
        self.count = torch.zeros(())
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        codes = torch.arange(len(x)) % 4
        hidden = self.embed(codes) + self.bag(codes[:, None]) + self.tied(codes)
        self.mean.mul_(0.5).add_(hidden.detach().mean(0))
        self.count += 1
        return self.head(hidden)


def test_tensors_that_a_forward_pass_writes_into_are_copied():
    module = Writes().eval()
    with torch.no_grad():
        for p in module.parameters():
            p.mul_(3)
    before = {name: t.clone() for name, t in module.state_dict().items()}
    copied = shared_copy(module)
    outputs = copied(X)
    assert all(torch.equal(t, before[name]) for name, t in module.state_dict().items())
    assert module.count == 0
    assert copied.count == 1
    assert copied.tied.weight is copied.embed.weight
    assert copied.head.weight is module.head.weight
    assert torch.equal(module(X), outputs)


@pytest.mark.parametrize("most", [0, 2**30])
def test_parameters_of_nets_that_are_not_huge_are_copied_to_read(most, monkeypatch):
    monkeypatch.setattr("skal.shared_copy._MOST_COPIED", most)
    rows = np.zeros((4, 5), np.float32)
    net = NeuralNetRegressor(Recurrent, train_split=None, verbose=0, max_epochs=1)
    net.fit(rows, rows[:, :2])
    copied = copy_to_read(net)
    pairs = zip(net.module_.parameters(), copied.module_.parameters(), strict=True)
    for p, own in pairs:
        assert (own is p) == (most == 0)
        assert torch.equal(own, p)


def test_shared_submodules_stay_shared():
    copied = shared_copy(Tied())
    assert copied.first is copied.again
    assert copied.first.weight is copied.second.weight


def test_wrappers_are_taken_off_wherever_they_are():
    inner = nn.Linear(5, 2)
    compiled = torch.compile(inner, backend="eager")
    whole = nn.Sequential(nn.DataParallel(nn.Sequential(compiled, nn.ReLU())))
    assert unwrapped(compiled) is inner
    assert unwrapped(nn.DataParallel(compiled)) is inner
    copied = shared_copy(whole)
    assert [type(m).__name__ for m in copied.modules()] == [
        *("Sequential", "Sequential", "Linear", "ReLU")
    ]
    rename = plain_names(whole)
    names = {rename(name): p for name, p in whole.named_parameters()}
    own = dict(copied.named_parameters())
    assert names.keys() == own.keys()
    assert all(names[name] is own[name] for name in own)
    twice = nn.Sequential(compiled, nn.ReLU(), compiled)
    found = [*map(plain_names(twice), twice.state_dict())]
    assert found == [*shared_copy(twice).state_dict()]
    in_place = nn.Sequential(nn.Linear(5, 2))
    in_place.compile(backend="eager")
    assert shared_copy(in_place)._compiled_call_impl is None
    torch.testing.assert_close(shared_copy(in_place)(X), in_place[0](X))


def test_weights_of_inference_mode_become_usual_tensors():
    with torch.inference_mode():
        module = nn.Linear(5, 2)
    copied = shared_copy(module)
    assert module.weight.is_inference()
    assert not copied.weight.is_inference()
    copied(X).sum().backward()
    assert copied.weight.grad is not None


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_script_module_is_copied_whole():
    module = torch.jit.script(nn.Sequential(nn.Linear(5, 2), nn.Dropout(0.5)))
    copied = shared_copy(nn.Sequential(module)).eval()
    assert module.training
    torch.testing.assert_close(copied(X), module[0](X))


def test_what_defines_how_it_is_copied_is_shared():
    class Opaque:
        def __reduce__(self) -> Any:
            raise AssertionError

    module = nn.Linear(5, 2)
    module.opaque, module.names = (
        Opaque(),
        {"relu": torch.relu, "f": nn.functional.relu},
    )
    copied = shared_copy(module)
    assert copied.opaque is module.opaque
    assert copied.names == module.names
    assert copied.names is not module.names
