"""Queries and fits within modes of torch that a user may have set; modules watched."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
import torch
from skorch import NeuralNetRegressor as SkorchRegressor
from torch import nn

from skal import ActiveLearner, NetClassifier, NetRegressor
from skal.contexts import call_with, evaluating, hiding, hooked, input_of
from skal.exceptions import UnsuitableLearnerError
from skal.nets import DeepEnsembleClassifier, WeightSnapshots
from skal.posteriors import MCDropout, Snapshots, WeightNoise
from skal.strategies import (
    BADGE,
    BAIT,
    BALD,
    EGL,
    LCMD,
    LDM,
    MAL,
    CoreSet,
    GreedySampling,
    Margin,
    NoiseStability,
    QueryStrategy,
)
from tests.models import cases, make_data, make_net, make_strategy, with_labeled

POOL = make_data("regression", 50, seed=1)[0]


@contextmanager
def default_device() -> Iterator[None]:
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextmanager
def default_dtype() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


MODES: dict[str, Any] = {
    "inference_mode": torch.inference_mode,
    "no_grad": torch.no_grad,
    "autocast": partial(torch.autocast, "cpu", torch.bfloat16),
    "default device": default_device,
    "default dtype": default_dtype,
}


@pytest.mark.parametrize(
    ("cls", "task"), cases(), ids=[f"{cls.__name__}-{task}" for cls, task in cases()]
)
def test_picks_are_those_of_the_usual_modes(cls, task):
    X, y = make_data(task)
    learner = with_labeled(make_net(task, strategy=cls).fit(X, y), X, y)
    expected = make_strategy(cls, task).select(learner, POOL, 4).indices.tolist()
    found = {}
    for name, mode in MODES.items():
        context: AbstractContextManager[Any] = mode()
        with context:
            enabled = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
            found[name] = (
                make_strategy(cls, task).select(learner, POOL, 4).indices.tolist()
            )
            assert enabled == (
                torch.is_grad_enabled(),
                torch.is_inference_mode_enabled(),
            )
    if cls.__name__ == "ViaProxy":
        del found["default dtype"]  # its proxy is another net then: of double precision
    assert found == dict.fromkeys(found, expected)


def test_dropout_is_drawn_on_the_cpu_whatever_the_default_device():
    X, y = make_data("classification")
    net, bald = make_net("classification").fit(X, y), BALD(MCDropout(), random_state=0)
    expected = bald.select(net, POOL, 4).indices.tolist()
    with default_device():
        assert bald.select(net, POOL, 4).indices.tolist() == expected


def test_an_interrupt_within_a_change_of_errors_of_numpy():
    class Interrupted(QueryStrategy):
        def _select(self, pool, n, rng):
            np.seterr(over="ignore")  # as where np.errstate ends, but was not left
            raise KeyboardInterrupt

    X, y = make_data("regression")
    net, before = make_net("regression").fit(X, y), np.geterr()
    with pytest.raises(KeyboardInterrupt):
        Interrupted().select(net, POOL, 4)
    assert np.geterr() == before


class Within:
    """Enters a block in a thread of its own, and leaves it when told to."""

    def __init__(self, category: type[Warning]) -> None:
        self.entered, self.told = Event(), Event()
        self.thread = Thread(target=self._run, args=(category,))
        self.thread.start()
        self.entered.wait()

    def _run(self, category: type[Warning]) -> None:
        with hiding(category):
            self.entered.set()
            self.told.wait()

    def leave(self) -> None:
        self.told.set()
        self.thread.join()


def test_warnings_are_shown_again_after_the_last_of_two_threads():
    before = warnings.filters
    content = list(before)
    first = Within(UserWarning)
    second = Within(RuntimeWarning)  # within the block of the first
    first.leave()
    warnings.warn("hidden", RuntimeWarning, stacklevel=1)
    second.leave()
    assert warnings.filters is before
    assert warnings.filters == content
    with pytest.warns(UserWarning, match="shown"):
        warnings.warn("shown", UserWarning, stacklevel=1)


def test_only_the_named_warnings_are_hidden():
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        with hiding(UserWarning, "Few rows"):
            with hiding(RuntimeWarning):
                warnings.warn("hidden", RuntimeWarning, stacklevel=1)
            warnings.warn("Few rows of the pool", UserWarning, stacklevel=1)
            warnings.warn("Many rows", UserWarning, stacklevel=1)
    assert [str(warning.message) for warning in shown] == ["Many rows"]


def test_an_interrupt_at_the_end_of_hidden_warnings():
    kept = hiding()

    class Interrupted(QueryStrategy):
        def _select(self, pool, n, rng):
            kept.__enter__()  # as where the block ends, but was not left
            raise KeyboardInterrupt

    X, y = make_data("regression")
    net, before = make_net("regression").fit(X, y), list(warnings.filters)
    with pytest.raises(KeyboardInterrupt):
        Interrupted().select(net, POOL, 4)
    assert warnings.filters == before


@pytest.mark.parametrize("mode", ["inference_mode", "no_grad", "default device"])
def test_fits_are_those_of_the_usual_modes(mode):
    X, y = make_data("classification")
    for make in (
        partial(NetClassifier, max_epochs=40, random_state=0),
        partial(
            DeepEnsembleClassifier,
            NetClassifier(max_epochs=40),
            n_estimators=2,
            random_state=0,
        ),
    ):
        expected = make().fit(X, y).predict_proba(X)
        with MODES[mode]():
            net = make().fit(X, y)
        np.testing.assert_array_equal(net.predict_proba(X), expected)


def test_a_pool_and_weights_of_inference_mode():
    X, y = make_data("classification")
    net = NetClassifier(max_epochs=40, random_state=0).fit(X, y)
    pool = torch.as_tensor(POOL, dtype=torch.float32)
    expected = BADGE(random_state=0).select(net, pool, 4).indices
    with torch.inference_mode():
        for part in net.module_.modules():
            for name, p in list(part._parameters.items()):
                part._parameters[name] = nn.Parameter(p.clone())
        pool = pool.clone()
        assert pool.is_inference()
        assert next(net.module_.parameters()).is_inference()
    for strategy in (BADGE(random_state=0), EGL(), LCMD(random_state=0)):
        strategy.select(net, pool, 4)
    found = BADGE(random_state=0).select(net, pool, 4).indices
    np.testing.assert_array_equal(found, expected)


# -- number types --------------------------------------------------------------------


class Casting(nn.Module):
    """Computes in half precision by an autocast of its own."""

    dtype: torch.dtype | None = None

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(n_features, 16)
        self.head = nn.Linear(16, n_outputs)
        self.to(self.dtype)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.dtype is None):
            return self.head(self.hidden(X).tanh())


class Double(Casting):
    dtype = torch.float64


class Half(Casting):
    dtype = torch.bfloat16


@pytest.mark.parametrize("module", [Casting, Double, Half])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_modules_of_any_floating_point_type(module, task):
    X, y = make_data(task)
    cls = NetClassifier if task == "classification" else NetRegressor
    net = cls(module, max_epochs=40, lr=0.01, random_state=0)
    learner = ActiveLearner(net, None, X, y)
    asked = {
        "classification": [Margin(), BADGE(), LDM(), EGL(), MAL(max_epochs=2)],
        "regression": [GreedySampling(), LCMD()],
    }
    shared = [CoreSet(space="gradients"), BAIT(), NoiseStability(n_draws=3)]
    for strategy in asked[task] + shared:
        if "random_state" in strategy.get_params():
            strategy.set_params(random_state=0)
        picked = strategy.select(learner, POOL, 3)
        assert picked.scores.dtype.kind == "f"
        assert len(set(picked.indices.tolist())) == 3
    assert len(learner.predict(X)) == len(X)
    if task == "classification":
        proba = learner.predict_proba(X)
        np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)


# -- wrapped modules ------------------------------------------------------------------


class Plain(Casting):
    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.head(self.hidden(X).tanh())


def compiled(n_features: int, n_outputs: int) -> Any:
    return torch.compile(Plain(n_features, n_outputs), backend="eager")


def parallel(n_features: int, n_outputs: int) -> nn.Module:
    return nn.DataParallel(Plain(n_features, n_outputs))


def inside(n_features: int, n_outputs: int) -> nn.Module:
    module: Any = Plain(n_features, n_outputs)
    module.hidden = torch.compile(module.hidden, backend="eager")
    return module


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
def test_wrapped_modules_are_read_as_what_they_wrap():
    X, y = make_data("classification")

    def fitted(module: Any, **parameters: Any) -> Any:
        callbacks = [WeightSnapshots()]
        net = NetClassifier(
            module, max_epochs=40, random_state=0, callbacks=callbacks, **parameters
        )
        return ActiveLearner(net, None, X, y)

    plain = fitted(Plain)
    others = {
        "compiled": fitted(compiled),
        "parallel": fitted(parallel),
        "inside": fitted(inside),
        "compile=True": fitted(Plain, compile=True, compile__backend="eager"),
    }
    strategies = [
        *(Margin(), CoreSet(), EGL(), BALD(Snapshots()), LDM(random_state=0)),
        *(
            LCMD(random_state=0),
            BAIT(random_state=0),
            NoiseStability(n_draws=3, random_state=0),
        ),
    ]
    for strategy in strategies:
        if "random_state" in strategy.get_params():
            strategy.set_params(random_state=0)
        expected = strategy.select(plain, POOL, 4)
        for name, learner in others.items():
            found = strategy.select(learner, POOL, 4)
            np.testing.assert_array_equal(found.indices, expected.indices, name)
            np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
def test_weighted_losses_leave_a_compiled_criterion_as_it_is():
    X, y = make_data("classification")
    net = NetClassifier(
        max_epochs=40, random_state=0, compile=True, compile__backend="eager"
    )
    net.fit(X, y, sample_weight=np.linspace(0.5, 1, len(X)))
    assert net.criterion_._orig_mod.reduction == "mean"
    same = NetClassifier(max_epochs=40, random_state=0)
    same.fit(X, y, sample_weight=np.linspace(0.5, 1, len(X)))
    np.testing.assert_allclose(net.predict_proba(X), same.predict_proba(X), rtol=1e-4)


# -- eval mode and hooks ------------------------------------------------------------


def test_the_mode_of_each_part_is_restored():
    module = nn.Sequential(nn.Linear(3, 3), nn.Dropout())
    module[1].eval()
    with evaluating(module):
        assert not any(part.training for part in module.modules())
        assert not module(torch.ones(2, 3)).requires_grad
    with pytest.raises(RuntimeError), evaluating(module):
        module(torch.ones(2, 9))
    assert [part.training for part in module.modules()] == [True, True, False]


class Named(nn.Module):
    """Passes its input by name."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(input=x)


@pytest.mark.parametrize("module", [nn.Sequential(nn.Linear(3, 2)), Named()])
def test_hooks_see_inputs_and_outputs_by_name_and_are_removed(module):
    parts = dict(module.named_modules())
    X, seen = torch.ones(4, 3), {}

    def before(name, part, args, kwargs):
        assert part is parts[name]
        seen[name, "input"] = input_of(args, kwargs)

    def after(name, part, args, kwargs, output):
        assert input_of(args, kwargs) is seen[name, "input"]
        seen[name, "output"] = output
        return 2 * output if name else None

    with hooked(parts, before, before=True), hooked(parts, after):
        doubled = module(X)
    assert torch.equal(doubled, 2 * module(X))
    assert set(seen) == {(name, end) for name in parts for end in ("input", "output")}
    assert all(seen[name, "input"] is X for name in parts)
    with pytest.raises(RuntimeError), hooked(parts, after):
        module(X[:, :1])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())


def test_a_call_without_arguments_has_no_input():
    assert input_of((), {}) is None


class Reused(nn.Module):
    """A layer of three names, a tied parameter, and a buffer."""

    def __init__(self, reused: bool = True) -> None:
        super().__init__()
        self.first = nn.Linear(5, 5)
        self.tied = nn.Linear(5, 5)
        self.tied.weight = self.first.weight
        self.norm = nn.BatchNorm1d(5)
        if reused:
            self.blocks = nn.ModuleList([self.first, self.first])
        self.head = nn.Linear(5, 1)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        for _ in range(2):
            X = self.first(X).tanh()
        return self.head(self.norm(self.tied(X)))


def test_a_call_with_other_tensors_leaves_the_module_as_it_is():
    module, written = Reused().eval(), Reused().eval()
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    values = {name: tensor + 1 for name, tensor in tensors.items()}
    written.load_state_dict(values, strict=False)
    X = torch.as_tensor(POOL).float()
    before = module(X)
    assert torch.equal(call_with(module, values, (X,)), written(X))
    some = {name: values[name] for name in ("first.weight", "norm.running_mean")}
    written = Reused().eval()
    state = {**module.state_dict(), **some}
    for alias in ("blocks.0", "blocks.1", "tied"):
        state[f"{alias}.weight"] = some["first.weight"]
    written.load_state_dict(state)
    assert torch.equal(call_with(module, some, (), {"X": X}), written(X))
    with pytest.raises(KeyError, match="second"):
        call_with(module, {"second.weight": X}, (X,))
    assert torch.equal(module(X), before)
    after = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    assert list(after) == list(tensors)
    assert all(after[name] is tensor for name, tensor in tensors.items())
    assert module.tied.weight is module.first.weight


@pytest.mark.parametrize(
    "strategy",
    [
        NoiseStability(n_draws=4, random_state=0),
        BALD(WeightNoise(n_draws=4), random_state=0),
        LCMD(random_state=0),
    ],
    ids=str,
)
def test_picks_where_a_layer_has_several_names(strategy):
    X, y = make_data("regression")
    found = []
    for reused in (True, False):
        torch.manual_seed(0)
        net = NetRegressor(Reused(reused), max_epochs=40, random_state=0)
        selection = strategy.select(with_labeled(net.fit(X, y), X, y), POOL, 5)
        found.append((selection.indices.tolist(), selection.scores.tolist()))
    assert found[0] == found[1]


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_module_of_jit_has_no_other_weights():
    X, y = make_data("regression")
    X = X.astype(np.float32)
    net = SkorchRegressor(
        torch.jit.script(nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 1))),
        max_epochs=2,
        train_split=None,
        verbose=0,
    ).fit(X, y[:, None].astype(np.float32))
    learner = with_labeled(net, X, y)
    for strategy in (LCMD(), NoiseStability()):
        with pytest.raises(UnsuitableLearnerError, match=r"torch\.jit compiled"):
            strategy.select(learner, X, 3)
    assert len(GreedySampling().select(learner, X, 3).indices) == 3
