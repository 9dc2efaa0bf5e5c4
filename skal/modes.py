"""Modes of torch in which skal works, whatever modes the caller has set."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

import torch

__all__ = ["outer_device", "own_modes", "training_modes"]

_OUTER = threading.local()


@contextmanager
def training_modes() -> Iterator[None]:
    """Run a block with gradients on, and new tensors on the CPU.

    The modes belong to the thread and are restored afterwards: those of `torch.no_grad`
    and `torch.inference_mode`, in which there are no gradients, and that of
    `torch.set_default_device`, which does not suit rows, indices and generators.

    Examples
    --------
    >>> import torch
    >>> from skal.modes import training_modes
    >>> with torch.inference_mode(), training_modes():
    ...     torch.is_grad_enabled(), torch.is_inference_mode_enabled()
    (True, False)
    """
    outer = getattr(_OUTER, "device", None)
    device = torch.get_default_device()
    on_cpu: AbstractContextManager[object] = nullcontext()
    if device.type != "cpu":
        on_cpu, _OUTER.device = torch.device("cpu"), device
    try:
        with torch.inference_mode(False), torch.enable_grad(), on_cpu:
            yield
    finally:
        _OUTER.device = outer


@contextmanager
def own_modes() -> Iterator[None]:
    """Run a query in `training_modes` and in full precision, without autocast.

    What a module computes under its own autocast is not affected.
    """
    with ExitStack() as stack:
        stack.enter_context(training_modes())
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


def outer_device() -> AbstractContextManager[object]:
    """Run a block with the default device that was set around a query.

    The code of a module may rely on it.
    """
    device: torch.device | None = getattr(_OUTER, "device", None)
    return nullcontext() if device is None else device
