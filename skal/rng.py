"""Random generators: a `random_state` resolved, and the global generators preserved."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import numpy as np
import torch

__all__ = ["fill_seeds", "preserve_global_rng", "resolve_rng", "seed_from"]

RandomState = int | np.random.RandomState | np.random.Generator | None


def resolve_rng(random_state: Any = None) -> torch.Generator:
    """Make a CPU generator of torch from a ``random_state``.

    Parameters
    ----------
    random_state : int, numpy RandomState, numpy Generator, torch Generator or None
        An int gives the same generator each time.  One seed is drawn from a numpy
        generator.  A torch generator is returned as it is.  None takes a new seed from
        the operating system, not from the global generators.

    Returns
    -------
    rng : torch.Generator
        On the CPU, whatever the device on which the draws are used.

    Raises
    ------
    ValueError
        If `random_state` is of another type, negative, or does not fit 64 bits.

    Examples
    --------
    >>> from skal.rng import resolve_rng
    >>> resolve_rng(0).initial_seed()
    0
    """
    if isinstance(random_state, torch.Generator):
        return random_state
    if random_state is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
    elif isinstance(random_state, Integral) and not isinstance(random_state, bool):
        seed = int(random_state)
        if seed < 0:
            raise ValueError(f"random_state must not be negative, got {seed}.")
        if seed >= 2**64:
            raise ValueError(f"random_state must be below 2**64, got {seed}.")
    elif isinstance(random_state, np.random.RandomState):
        seed = int(random_state.randint(2**31 - 1))
    elif isinstance(random_state, np.random.Generator):
        seed = int(random_state.integers(2**31 - 1))
    else:
        raise ValueError(
            "random_state must be None, an int, a numpy RandomState or Generator, or "
            f"a torch Generator, got {random_state!r}."
        )
    return torch.Generator().manual_seed(seed)


def seed_from(rng: torch.Generator) -> int:
    """Draw an int seed below 2**31 - 1 from a generator."""
    # On the CPU, whatever the default device of torch is.
    return int(torch.randint(2**31 - 1, (), generator=rng, device="cpu"))


def fill_seeds(estimator: Any, rng: torch.Generator) -> Any:
    """Set each ``random_state`` of an estimator that is None to a seed from `rng`.

    Parameters
    ----------
    estimator : estimator
        Changed in place; those of its parts are set, too.
    rng : torch.Generator

    Returns
    -------
    estimator : estimator
        The same object.
    """
    params = estimator.get_params(deep=True)
    seeds = {
        name: seed_from(rng)
        for name in sorted(params)
        if name.rpartition("__")[2] == "random_state" and params[name] is None
    }
    return estimator.set_params(**seeds)


class _Block:
    """A block of code that preserves the global generators."""

    states: _States


class _Holders:
    """The blocks of all threads, which share the global generators."""

    def __init__(self) -> None:
        # An interrupt may leave it locked, by a thread that then comes back.
        self.lock = threading.RLock()
        self.blocks: dict[_Block, tuple[int, int]] = {}  # process and thread
        self.before: _States | None = None

    def others(self) -> bool:
        """Whether another thread of this process is within a block."""
        pid, thread = _here()
        # The process counts, as a fork copies the entries of other threads.
        threads = {key[1] for key in self.blocks.values() if key[0] == pid}
        return bool(threads - {thread})

    def enter(self, block: _Block) -> bool:
        """Note the states before a block; return whether its thread is alone."""
        with self.lock:
            block.states, alone = _States(), not self.others()
            if alone and _here() not in self.blocks.values():
                self.before = block.states
            self.blocks[block] = _here()
        return alone

    def leave(self, block: _Block) -> None:
        """Restore the generators unless they are in use; repeat if interrupted."""
        with self.lock:
            if block not in self.blocks:
                return
            nested = list(self.blocks.values()).count(self.blocks[block]) > 1
            if not self.others():
                (block.states if nested or not self.before else self.before).restore()
            del self.blocks[block]


def _here() -> tuple[int, int]:
    return os.getpid(), threading.get_ident()


_HOLDERS = _Holders()


@contextmanager
def preserve_global_rng(
    seed: int | None = None, *, if_alone: bool = False
) -> Iterator[None]:
    """Run a block and restore the global generators of torch, numpy and Python.

    Parameters
    ----------
    seed : int, optional
        Seeds these generators within the block.
    if_alone : bool
        Do not seed them while another thread is in such a block.

    Notes
    -----
    The generators belong to the process, not to a thread.  If blocks of several threads
    overlap, the last one to end restores the state before the first one, and random
    numbers drawn within them are not reproducible.
    """
    block = _Block()
    try:
        alone = _HOLDERS.enter(block)
        if seed is not None and (alone or not if_alone):
            _seed_torch(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            random.seed(seed)
        yield
    finally:
        try:
            _HOLDERS.leave(block)
        except KeyboardInterrupt:  # within it, or before its first line
            _HOLDERS.leave(block)
            raise


class _States:
    """The states of the global generators."""

    def __init__(self) -> None:
        self.numpy, self.python = np.random.get_state(), random.getstate()  # noqa: NPY002
        self.torch = torch.get_rng_state()
        # Asking for the states of CUDA would initialize it.
        self.cuda: list[torch.Tensor] = []
        if torch.cuda.is_initialized():
            self.cuda = torch.cuda.get_rng_state_all()

    def restore(self) -> None:
        """Set the generators to these states."""
        torch.set_rng_state(self.torch)
        np.random.set_state(self.numpy)  # noqa: NPY002
        random.setstate(self.python)
        if self.cuda:
            torch.cuda.set_rng_state_all(self.cuda)
        elif torch.cuda.is_initialized():
            # Its generators started within the block, from the seed there.
            torch.cuda.manual_seed_all(torch.initial_seed())


def _seed_torch(seed: int) -> None:
    """Seed the generators of torch on all devices."""
    accelerator = getattr(torch, "accelerator", None)  # new in torch 2.6
    if accelerator is None or accelerator.is_available():
        torch.manual_seed(seed)
    else:
        # manual_seed formats the stack for each device type that is not in use yet.
        torch.default_generator.manual_seed(seed)
