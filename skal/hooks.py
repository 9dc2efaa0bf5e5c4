"""Watching a module of torch while it runs: eval mode and forward hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

__all__ = ["evaluating", "hooked", "input_of"]


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
