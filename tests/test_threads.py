"""Queries of several threads, and queries that are interrupted, leave nets alone."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from skal import ActiveLearner, NetClassifier
from skal.posteriors import MCDropout, WeightNoise
from skal.strategies import (
    BADGE,
    BALD,
    LDM,
    NoiseStability,
    QueryStrategy,
    Random,
)
from tests.models import cases, make_data, make_net, make_strategy

POOL = make_data("regression", 80, seed=1)[0]


@pytest.fixture
def fast_switches() -> Iterator[None]:
    """Let threads take turns often, so that what can go wrong does."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def body() -> nn.Module:
    return nn.Sequential(
        nn.utils.parametrizations.spectral_norm(nn.Linear(5, 8)),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        nn.Dropout(0.5),
    )


def learner_of(task: str, cls: Any = None) -> ActiveLearner:
    X, y = make_data(task)
    module = nn.Sequential(*body(), nn.Linear(8, 3 if task == "classification" else 1))
    learner = ActiveLearner(make_net(task, strategy=cls, module=module), None, X, y)
    # Modes that a query would have to set: batch norm and dropout in training.
    learner.estimator.module_.train()
    return learner


def state(net: Any) -> list[Any]:
    module = net.module_
    return [
        [(name, value.clone()) for name, value in module.state_dict().items()],
        [part.training for part in module.modules()],
        [list(part._forward_hooks) for part in module.modules()],
        [list(part._forward_pre_hooks) for part in module.modules()],
    ]


def same(a: list[Any], b: list[Any]) -> bool:
    tensors = zip(a[0], b[0], strict=True)
    return a[1:] == b[1:] and all(torch.equal(x, y) for (_, x), (_, y) in tensors)


def globals_() -> tuple[bytes, str, Any]:
    numpy = repr(np.random.get_state(legacy=False))  # noqa: NPY002
    return torch.get_rng_state().numpy().tobytes(), numpy, random.getstate()


# ViaProxy trains a net, whose weights torch draws from its global generator.
CASES = [(cls, task) for cls, task in cases() if cls.__name__ != "ViaProxy"]


@pytest.mark.usefixtures("fast_switches")
@pytest.mark.parametrize(
    ("cls", "task"), CASES, ids=[f"{cls.__name__}-{task}" for cls, task in CASES]
)
def test_threads_that_share_a_net_answer_as_if_alone(cls, task):
    learner = learner_of(task, cls)
    net = learner.estimator
    before, generators = state(net), globals_()
    alone = make_strategy(cls).select(learner, POOL, 4)
    assert same(before, state(net))

    def ask(_: int) -> Any:
        return make_strategy(cls).select(learner, POOL, 4)

    with ThreadPoolExecutor(4) as executor:
        answers = list(executor.map(ask, range(8)))
    for answer in answers:
        np.testing.assert_array_equal(answer.indices, alone.indices)
        np.testing.assert_array_equal(answer.scores, alone.scores)
    assert same(before, state(net))
    assert globals_() == generators


@pytest.mark.usefixtures("fast_switches")
@pytest.mark.parametrize(
    "strategy",
    [
        NoiseStability(n_draws=5),
        BALD(WeightNoise(5)),
        BALD(MCDropout(5)),
        BADGE(),
        LDM(),
    ],
    ids=repr,
)
def test_predictions_beside_queries_are_those_without(strategy):
    learner = learner_of("classification")
    expected = learner.predict_proba(POOL)
    strategy = clone(strategy).set_params(random_state=0)

    def run(k: int) -> Any:
        if k % 2:
            return learner.predict_proba(POOL)
        return strategy.select(learner, POOL, 4).indices

    with ThreadPoolExecutor(4) as executor:
        found = list(executor.map(run, range(24)))
    for proba in found[1::2]:
        np.testing.assert_array_equal(proba, expected)
    for indices in found[::2]:
        np.testing.assert_array_equal(indices, found[0])


@pytest.mark.usefixtures("fast_switches")
def test_threads_with_nets_of_their_own_leave_the_global_generators():
    named = {cls.__name__: (cls, task) for cls, task in CASES}
    chosen = [
        named[name] for name in ("VAAL", "MAL", "BADGE", "LCMD", "NoiseStability")
    ]
    learners = [learner_of(task, cls) for cls, task in chosen]
    pairs = list(zip(learners, chosen, strict=True))

    def ask(pair: Any) -> list[int]:
        learner, (cls, _) = pair
        return make_strategy(cls).select(learner, POOL, 4).indices.tolist()

    alone, before = [ask(pair) for pair in pairs], globals_()
    with ThreadPoolExecutor(5) as executor:
        assert list(executor.map(ask, pairs * 4)) == alone * 4
    assert globals_() == before


class Interrupted(QueryStrategy):
    """Draws from global generators, as a strategy of a user's own may."""

    def _select(self, pool: Any, n: int, rng: torch.Generator) -> Any:
        np.random.rand(), torch.rand(3), random.random()  # noqa: NPY002
        return Random()._select(pool, n, rng)


INTERRUPTED = [
    *(NoiseStability, BADGE, LDM, Interrupted),
    *(cls for cls, _ in CASES if cls.__name__ in ("LCMD", "MAL", "VAAL", "BAIT")),
]


@pytest.mark.parametrize("cls", INTERRUPTED, ids=lambda cls: cls.__name__)
def test_an_interrupt_at_any_line_leaves_all_as_it_was(cls):
    task = "classification" if cls._task == "any" else cls._task
    learner = learner_of(task)
    net, strategy = learner.estimator, make_strategy(cls)
    rng = np.random.default_rng(0)
    n_lines = interrupt_at(None, strategy, learner)
    before = state(net), globals_(), np.geterr(), torch.is_grad_enabled()
    for line in rng.integers(1, n_lines, size=12):
        interrupted = False
        try:
            interrupt_at(int(line), strategy, learner)
        except KeyboardInterrupt:  # not by pytest, which keeps the frames alive
            interrupted = True
        assert interrupted
        after = state(net), globals_(), np.geterr(), torch.is_grad_enabled()
        assert same(before[0], after[0])
        assert after[1:] == before[1:]


def interrupt_at(line: int | None, strategy: Any, learner: Any) -> int:
    """Raise KeyboardInterrupt at a line of the package's code; count the lines."""
    n = 0

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal n
        own = "skal" in frame.f_globals.get("__name__", "").split(".")[0]
        # What restores the generators cannot be interrupted halfway and yet restore.
        if not own or frame.f_globals["__name__"] == "skal.rng":
            return None
        if event == "line":
            n += 1
            if n == line:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        strategy.select(learner, POOL, 4)
    finally:
        sys.settrace(before)
    return n


def test_a_query_after_teaching_moves_no_buffer_of_spectral_norm():
    X, y = make_data("classification")
    learner = learner_of("classification")
    learner.teach(X, y)
    net = learner.estimator
    buffers = {k: v.clone() for k, v in net.module_.named_buffers()}
    proba = net.predict_proba(POOL)
    BADGE(random_state=0).select(learner, POOL, 4)
    for name, value in net.module_.named_buffers():
        assert torch.equal(value, buffers[name]), name
    np.testing.assert_array_equal(net.predict_proba(POOL), proba)


def test_a_net_in_an_ensemble_keeps_its_modes():
    from sklearn.ensemble import VotingClassifier

    X, y = make_data("classification")
    net = NetClassifier(module__dropout=0.5, max_epochs=2, random_state=0)
    voting = VotingClassifier([("a", net), ("b", clone(net))], voting="soft").fit(X, y)
    for part in voting.estimators_:
        part.module_.train()
    make_strategy(cases()[0][0]).select(voting, POOL, 2)
    BALD(random_state=0).select(voting, POOL, 2)
    for part in voting.estimators_:
        assert all(m.training for m in part.module_.modules())
