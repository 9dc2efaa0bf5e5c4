"""Random generators: a `random_state` resolved, and the global generators preserved."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import numpy as np
import torch

__all__ = ["preserve_global_rng", "resolve_rng", "seed_from"]

RandomState = int | np.random.RandomState | np.random.Generator | None


def resolve_rng(random_state: Any = None) -> torch.Generator:
    """Make a CPU generator of torch from a ``random_state``.

    Parameters
    ----------
    random_state : int, numpy RandomState, numpy Generator, torch Generator or None
        An int gives the same generator each time.  One seed is drawn from a numpy
        generator.  A torch generator is returned as it is.  None uses fresh entropy of
        the operating system, not the global generators.

    Returns
    -------
    rng : torch.Generator
        On the CPU, whatever the device on which the draws are used.

    Raises
    ------
    ValueError
        If `random_state` is of another kind, or negative.

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
    return int(torch.randint(2**31 - 1, (), generator=rng))


@contextmanager
def preserve_global_rng(seed: int | None = None) -> Iterator[None]:
    """Run a block and restore the global generators of torch, numpy and Python.

    Parameters
    ----------
    seed : int, optional
        Seeds these generators within the block.
    """
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    # fork_rng would initialize CUDA: ask for it only if it has been initialized.
    devices = (
        list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    )
    with torch.random.fork_rng(devices=devices):
        try:
            if seed is not None:
                _seed_torch(seed)
                np.random.seed(seed % 2**32)  # noqa: NPY002
                random.seed(seed)
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)


def _seed_torch(seed: int) -> None:
    """Seed the generators of torch on all devices."""
    accelerator = getattr(torch, "accelerator", None)  # new in torch 2.6
    if accelerator is None or accelerator.is_available():
        torch.manual_seed(seed)
    else:
        # manual_seed formats the stack for each device type that is not in use yet.
        torch.default_generator.manual_seed(seed)
