"""Random numbers: what a `random_state` gives, and that nothing global moves."""

from __future__ import annotations

import random
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
import torch

from skal.rng import _HOLDERS, preserve_global_rng, resolve_rng, seed_from
from tests.fuzz import interrupted_at


def _global_draws() -> tuple[Any, ...]:
    """Draw from every global generator."""
    return (
        torch.rand(3).tolist(),
        np.random.random(3).tolist(),  # noqa: NPY002
        random.random(),
    )


def _draw_and_raise() -> None:
    _global_draws()
    raise RuntimeError("inside")


def _seed_globals() -> None:
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    random.seed(7)


@pytest.fixture(autouse=True)
def _globals_as_before() -> Any:
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    yield
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    random.setstate(states[2])


class TestResolve:
    @pytest.mark.parametrize("seed", [0, 5, 2**31 - 1, 2**40, np.int64(5)])
    def test_int_repeats_itself(self, seed: int) -> None:
        first, second = resolve_rng(seed), resolve_rng(seed)
        assert first.initial_seed() == seed
        assert torch.equal(
            torch.rand(5, generator=first), torch.rand(5, generator=second)
        )

    def test_int_is_a_seed_of_torch(self) -> None:
        expected = torch.rand(5, generator=torch.Generator().manual_seed(3))
        assert torch.equal(torch.rand(5, generator=resolve_rng(3)), expected)

    def test_none_is_new_each_time(self) -> None:
        assert len({resolve_rng(None).initial_seed() for _ in range(20)}) == 20

    def test_none_does_not_follow_global_seeds(self) -> None:
        _seed_globals()
        first = resolve_rng(None).initial_seed()
        _seed_globals()
        assert resolve_rng(None).initial_seed() != first

    @pytest.mark.parametrize("make", [np.random.RandomState, np.random.default_rng])
    def test_numpy_generator_repeats_and_moves_on(self, make: Any) -> None:
        state, other = make(1), make(1)
        seeds = [resolve_rng(state).initial_seed() for _ in range(3)]
        assert seeds == [resolve_rng(other).initial_seed() for _ in range(3)]
        assert len(set(seeds)) == 3

    def test_torch_generator_is_used_itself(self) -> None:
        rng = torch.Generator().manual_seed(1)
        assert resolve_rng(rng) is rng

    @pytest.mark.parametrize("seed", [0, None])
    def test_lives_on_the_cpu(self, seed: int | None) -> None:
        assert resolve_rng(seed).device.type == "cpu"

    @pytest.mark.parametrize("state", [0, None, "RandomState"])
    def test_leaves_global_generators_alone(self, state: Any) -> None:
        if state == "RandomState":
            state = np.random.RandomState(0)
        _seed_globals()
        expected = _global_draws()
        _seed_globals()
        resolve_rng(state)
        assert _global_draws() == expected

    @pytest.mark.parametrize("state", ["0", 1.0, True, [0], np.random])
    def test_other_kinds_are_refused(self, state: Any) -> None:
        with pytest.raises(ValueError, match="random_state must be None, an int"):
            resolve_rng(state)

    def test_seed_that_does_not_fit_is_refused(self) -> None:
        resolve_rng(2**64 - 1)
        with pytest.raises(ValueError, match=r"below 2\*\*64"):
            resolve_rng(2**64)

    @pytest.mark.parametrize("seed", [-1, np.int64(-5)])
    def test_negative_seed_is_refused(self, seed: int) -> None:
        with pytest.raises(ValueError, match="must not be negative"):
            resolve_rng(seed)


def test_seeds_differ_and_repeat() -> None:
    rng, again = resolve_rng(0), resolve_rng(0)
    seeds = [seed_from(rng) for _ in range(200)]
    assert seeds == [seed_from(again) for _ in range(200)]
    assert len(set(seeds)) == 200
    assert all(isinstance(seed, int) and 0 <= seed < 2**31 - 1 for seed in seeds)
    # Spread over the whole range, not its low end: the mean of 200 uniform draws
    # lies within 6 standard errors of the middle.
    assert abs(np.mean(seeds) / (2**31 - 1) - 0.5) < 6 / np.sqrt(12 * 200)


class TestPreserve:
    @pytest.mark.parametrize("seed", [None, 3])
    def test_later_draws_do_not_notice(self, seed: int | None) -> None:
        _seed_globals()
        expected = _global_draws()
        _seed_globals()
        with preserve_global_rng(seed):
            _global_draws()
        assert _global_draws() == expected

    def test_restored_when_the_block_raises(self) -> None:
        _seed_globals()
        expected = _global_draws()
        _seed_globals()
        with pytest.raises(RuntimeError, match="inside"), preserve_global_rng(3):
            _draw_and_raise()
        assert _global_draws() == expected

    @pytest.mark.parametrize("depth", [1, 2])
    def test_restored_whenever_an_interrupt_comes(self, depth: int) -> None:
        _seed_globals()
        expected = _global_draws()
        for count in range(1, 60):
            _seed_globals()
            try:
                with interrupted_at(count), ExitStack() as stack:
                    for seed in range(depth):
                        stack.enter_context(preserve_global_rng(seed))
                    _global_draws()
            except KeyboardInterrupt:
                interrupted = True
            else:
                interrupted = False
            assert _global_draws() == expected, count
            assert not _HOLDERS.blocks
            if not interrupted:
                break
        assert not interrupted
        assert count > 5

    def test_seed_repeats_what_is_drawn_inside(self) -> None:
        drawn = []
        for _ in range(2):
            with preserve_global_rng(3):
                drawn.append(_global_draws())
            _global_draws()  # what happens outside does not matter
        assert drawn[0] == drawn[1]

    def test_seeds_are_those_of_the_libraries(self) -> None:
        _seed_globals()
        expected = _global_draws()
        with preserve_global_rng(7):
            assert _global_draws() == expected

    def test_seeds_differ_in_every_generator(self) -> None:
        drawn = []
        for seed in (3, 4):
            with preserve_global_rng(seed):
                drawn.append(_global_draws())
        assert all(a != b for a, b in zip(*drawn, strict=True))

    def test_without_seed_goes_on_from_the_outside(self) -> None:
        _seed_globals()
        expected = _global_draws()
        _seed_globals()
        with preserve_global_rng():
            assert _global_draws() == expected

    def test_takes_large_seeds(self) -> None:
        with preserve_global_rng(2**40 + 1):
            _global_draws()
