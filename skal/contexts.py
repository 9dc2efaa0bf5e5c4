"""How skal runs a module: modes of torch, hidden warnings, eval mode and hooks."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from skal.exceptions import UnsuitableLearnerError

__all__ = [
    "call_with",
    "evaluating",
    "hiding",
    "hooked",
    "input_of",
    "outer_device",
    "own_modes",
    "training_modes",
]

# -- modes of torch, whatever the caller has set ------------------------------------


#: The default device around a query, by thread.
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
    >>> from skal.contexts import training_modes
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
    errors, depth = np.geterr(), _HIDDEN.depth()
    try:
        with ExitStack() as stack:
            stack.enter_context(training_modes())
            for kind in ("cpu", "cuda"):
                if torch.is_autocast_enabled(kind):
                    stack.enter_context(torch.autocast(kind, enabled=False))
            yield
    finally:
        # An interrupt at the end of a block of np.errstate leaves what the block set.
        np.seterr(**errors)
        _HIDDEN.leave(depth)


def outer_device() -> AbstractContextManager[object]:
    """Run a block with the default device that was set around a query.

    The code of a module may rely on it.
    """
    device: torch.device | None = getattr(_OUTER, "device", None)
    return nullcontext() if device is None else device


# -- warnings ----------------------------------------------------------------------


class _Hidden:
    """The blocks of all threads that hide warnings, by filters that threads share."""

    def __init__(self) -> None:
        # An interrupt may leave it locked, by a thread that then comes back.
        self.lock = threading.RLock()
        self.depths: dict[tuple[int, int], int] = {}  # by process and thread
        self.before = ExitStack()

    def depth(self) -> int:
        """Count the blocks that this thread is within."""
        return self.depths.get((os.getpid(), threading.get_ident()), 0)

    def enter(self, category: type[Warning], message: str) -> None:
        """Hide more warnings."""
        with self.lock:
            if not self._inside():
                self.before.enter_context(warnings.catch_warnings())
            key = os.getpid(), threading.get_ident()
            self.depths[key] = self.depths.get(key, 0) + 1
            warnings.filterwarnings("ignore", message, category)

    def leave(self, depth: int) -> None:
        """Go back to a depth; after the last thread, restore the filters."""
        with self.lock:
            key = os.getpid(), threading.get_ident()
            self.depths[key] = min(depth, self.depths.get(key, 0))
            if not self._inside():
                self.before.close()
                self.depths.clear()

    def _inside(self) -> bool:
        """Whether a thread of this process is within a block."""
        pid = os.getpid()
        return any(depth for (of, _), depth in self.depths.items() if of == pid)


_HIDDEN = _Hidden()


@contextmanager
def hiding(category: type[Warning] = Warning, message: str = "") -> Iterator[None]:
    """Run a block without warnings of a category whose text begins with a message.

    `warnings.catch_warnings` restores what it found, which may be the filters of a
    block of another thread: with two threads some stay.  Here the filters are restored
    once no thread is within a block, and after an interrupt by the end of the query.

    Parameters
    ----------
    category : type of Warning
    message : str
        A regular expression.

    Examples
    --------
    >>> import warnings
    >>> from skal.contexts import hiding
    >>> with hiding(UserWarning, "Few rows"):
    ...     warnings.warn("Few rows of the pool.", stacklevel=1)
    """
    depth = _HIDDEN.depth()
    try:
        _HIDDEN.enter(category, message)
        yield
    finally:
        _HIDDEN.leave(depth)


# -- of one module ------------------------------------------------------------------


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Run a block with a module in eval mode and without gradients.

    The mode of each submodule is restored afterwards.

    Parameters
    ----------
    module : torch.nn.Module
    """
    modes = [(part, part.training) for part in module.modules()]
    try:
        module.eval()
        with torch.no_grad():
            yield
    finally:
        for part, training in modes:
            if part.training != training:
                part.training = training


def call_with(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
) -> Any:
    """Run a module with other parameters and buffers, and leave it as it is.

    Parameters
    ----------
    module : torch.nn.Module
    tensors : mapping of str to Tensor
        In place of those of the same names, as `named_parameters` lists them, and of
        all tensors tied to them.
    args, kwargs
        Of the forward pass.

    Returns
    -------
    outputs : Any

    Raises
    ------
    UnsuitableLearnerError
        If the module was compiled by `torch.jit`.

    Notes
    -----
    `torch.func.functional_call` looks for tied tensors by name.  A layer that has two
    names in a module is one object: it would set its tensors twice and, in restoring
    them, leave the layer with what was swapped in.  So each tensor of an object is
    named once here.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from skal.contexts import call_with
    >>> layer = nn.Linear(2, 2, bias=False)
    >>> module, weight = nn.Sequential(layer, layer), layer.weight
    >>> call_with(module, {"0.weight": 2 * torch.eye(2)}, (torch.ones(1, 2),))
    tensor([[4., 4.]])
    >>> layer.weight is weight
    True
    """
    if isinstance(module, torch.jit.ScriptModule):
        raise UnsuitableLearnerError(
            "A module compiled by torch.jit runs only with its own weights, and this "
            "strategy needs gradients or other weights. Fit the net with the module "
            "that torch.jit compiled, or use a strategy of outputs."
        )
    places: dict[int, list[str]] = {}
    known: dict[str, int] = {}
    for path, part in module.named_modules():
        for named in (part.named_parameters, part.named_buffers):
            for place, tensor in named(path, recurse=False, remove_duplicate=False):
                known[place] = id(tensor)
                places.setdefault(id(tensor), []).append(place)
    swapped = {
        place: tensor
        for name, tensor in tensors.items()
        for place in places[known[name]]
    }
    return functional_call(module, swapped, args, dict(kwargs or {}), tie_weights=False)


@contextmanager
def hooked(
    parts: Mapping[str, nn.Module], hook: Callable[..., Any], before: bool = False
) -> Iterator[None]:
    """Run a block with the same forward hook on several modules.

    Parameters
    ----------
    parts : mapping of str to torch.nn.Module
        Modules by name.
    hook : callable
        Called as ``hook(name, part, args, kwargs, output)`` after each forward pass of
        a part; a result other than None replaces the output.
    before : bool
        Call ``hook(name, part, args, kwargs)`` before each forward pass instead.
    """
    handles = []
    try:
        for name, part in parts.items():
            register = (
                part.register_forward_pre_hook if before else part.register_forward_hook
            )
            handles.append(register(partial(hook, name), with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def input_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Get the first argument of a forward pass, by position or by name."""
    return args[0] if args else next(iter(kwargs.values()), None)
