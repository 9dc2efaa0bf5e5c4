"""The head of a module: the layer that gives its outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import nn

from skal.exceptions import UnsuitableLearnerError
from skal.hooks import hooked, input_of
from skal.nets.bayesian import LINEAR

__all__ = ["Head", "find_head"]


class Head(NamedTuple):
    """The head of a module, as it was run in one forward pass.

    Attributes
    ----------
    name : str
        Its name among ``module.named_modules()``.
    layer : torch.nn.Module
        The layer itself.
    inputs : Tensor
        The input of its last run.
    outputs : Any
        The output of its last run.
    n_runs : int
        How often it was run.
    """

    name: str
    layer: nn.Module
    inputs: Any
    outputs: Any
    n_runs: int


def find_head(
    module: nn.Module, run: Callable[[], Any], name: str | None = None
) -> Head:
    """Find the head of a module by a forward pass.

    Parameters
    ----------
    module : torch.nn.Module
    run : callable
        Runs the module on a few rows.
    name : str, optional
        Name of the head among ``module.named_modules()``.  By default the head is the
        last `torch.nn.Linear` or `BayesLinear` to run.

    Returns
    -------
    head : Head

    Raises
    ------
    UnsuitableLearnerError
        If the module has no such layer or does not run it.

    Examples
    --------
    >>> import torch
    >>> from skal.nets import MLP
    >>> from skal.nets.heads import find_head
    >>> module = MLP(n_features=4, n_outputs=3, hidden_sizes=(8,))
    >>> head = find_head(module, lambda: module(torch.zeros(2, 4)))
    >>> head.name, head.inputs.shape, head.outputs.shape
    ('head', torch.Size([2, 8]), torch.Size([2, 3]))
    """
    kind, parts = type(module).__name__, dict(module.named_modules())
    linear = [key for key, part in parts.items() if isinstance(part, LINEAR)]
    if name is None and not linear:
        raise UnsuitableLearnerError(
            f"{kind} has no torch.nn.Linear to use as its head. Name its last layer "
            f"with head=, one of {list(parts)[1:]}."
        )
    if name is not None and name not in parts:
        raise UnsuitableLearnerError(
            f"{kind} has no module named {name!r}. Its Linear modules are {linear}."
        )
    candidates = linear if name is None else [name]
    inputs: dict[str, list[Any]] = {}
    outputs: dict[str, Any] = {}

    def enter(key: str, _: nn.Module, args: Any, kwargs: Any) -> None:
        # Inserted again, so that the last candidate to run comes last.
        inputs[key] = [*inputs.pop(key, []), input_of(args, kwargs)]

    def leave(key: str, _: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        outputs[key] = output

    watched = {key: parts[key] for key in candidates}
    with hooked(watched, enter, before=True), hooked(watched, leave):
        run()
    if not inputs:
        raise UnsuitableLearnerError(
            f"The forward pass of {kind} runs none of {candidates}, among which its "
            "head was looked for. Name another layer with head=."
        )
    key, passed = list(inputs.items())[-1]
    return Head(key, parts[key], passed[-1], outputs[key], len(passed))
