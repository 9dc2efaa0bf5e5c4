"""The head of a module: the layer that gives its outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from skal.contexts import hooked, input_of
from skal.exceptions import UnsuitableLearnerError
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
    module_outputs : Any
        What `run` returned.
    n_runs : int
        Number of times it was run.
    """

    name: str
    layer: nn.Module
    inputs: Any
    outputs: Any
    module_outputs: Any
    n_runs: int


def find_head(
    module: nn.Module, run: Callable[[], Any], name: str | None = None
) -> Head:
    """Find the head of a module by a forward pass.

    Parameters
    ----------
    module : torch.nn.Module
    run : callable
        Runs the module on a few rows, and returns its outputs; the first of several
        counts.
    name : str, optional
        Name of the head among ``module.named_modules()``.  By default the head is the
        last `torch.nn.Linear` or `BayesLinear` to run of those that the outputs depend
        on: not an auxiliary head or a decoder that runs later.

    Returns
    -------
    head : Head

    Raises
    ------
    UnsuitableLearnerError
        If the module has no such layer or does not run it.

    Notes
    -----
    Runs the module with gradients.  Where none of its outputs can be differentiated,
    the last layer to run is the head.

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
    runs: list[tuple[str, Any]] = []  # in the order in which they begin
    outputs: dict[int, Any] = {}  # by position in `runs`
    marks: dict[int, Tensor] = {}
    open_runs: list[int] = []

    def enter(key: str, _: nn.Module, args: Any, kwargs: Any) -> None:
        open_runs.append(len(runs))
        runs.append((key, input_of(args, kwargs)))

    def leave(_: str, __: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        position = open_runs.pop()
        outputs[position] = output
        if not isinstance(output, Tensor) or not torch.is_grad_enabled():
            return None
        if not output.requires_grad:  # a frozen layer, with fixed inputs
            output = output.detach().requires_grad_()
        marks[position] = output
        # The next layer may write in place.  The clone is what the module returns.
        outputs[position] = output.clone()
        return outputs[position]

    watched = {key: parts[key] for key in candidates}
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        hooked(watched, enter, before=True),
        hooked(watched, leave),
    ):
        found = run()
    if not runs:
        raise UnsuitableLearnerError(
            f"The forward pass of {kind} runs none of {candidates}, among which its "
            "head was looked for. Name another layer with head=."
        )
    first = found[0] if isinstance(found, tuple) and found else found
    position = max(_connected(first, marks), default=len(runs) - 1)
    key, inputs = runs[position]
    n_runs = sum(other == key for other, _ in runs)
    if isinstance(inputs, Tensor) and inputs.requires_grad:
        inputs = inputs.detach()
    return Head(key, parts[key], inputs, outputs[position], found, n_runs)


def _connected(output: Any, marks: dict[int, Tensor]) -> list[int]:
    """List the keys of the tensors on which an output depends, by torch's graph."""
    if not isinstance(output, Tensor) or not output.requires_grad or not marks:
        return []
    gradients = torch.autograd.grad(
        output, list(marks.values()), torch.ones_like(output), allow_unused=True
    )
    found = zip(marks, gradients, strict=True)
    return [position for position, gradient in found if gradient is not None]
