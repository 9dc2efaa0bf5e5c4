"""Blocks of a module: parts whose outputs tell of its losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from skal.hooks import hooked, input_of
from skal.nets.bayesian import BayesLinear

__all__ = ["Block", "check_names", "find_blocks", "first_of"]

CONVOLUTIONS = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)
LAYERS = (nn.Linear, BayesLinear, *CONVOLUTIONS)
DROPOUTS = (
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d),
    *(nn.AlphaDropout, nn.FeatureAlphaDropout),
)


class Block(NamedTuple):
    """One run of a part of a module.

    Attributes
    ----------
    name : str
        Of the part, among ``module.named_modules()``.
    call : int
        Which of its runs in a pass, from 0.
    axis : int
        Of the channels in its output: 1, or -1 for the last.
    width : int
        Number of channels.
    """

    name: str
    call: int
    axis: int
    width: int


class Step(NamedTuple):
    """What was seen of a part of a module as it ran."""

    name: str
    call: int
    part: nn.Module
    input: Any
    output: Any


def check_names(blocks: Any) -> None:
    """Raise ValueError unless `blocks` is "auto" or a list of distinct names."""
    if isinstance(blocks, str) and blocks == "auto":
        return
    named = isinstance(blocks, (list, tuple)) and all(
        isinstance(name, str) for name in blocks
    )
    if not named or len(blocks) == 0 or len(set(blocks)) < len(blocks):
        raise ValueError(
            "blocks must be 'auto' or a list of distinct names of parts of the module, "
            f"got {blocks!r}."
        )


def find_blocks(
    module: nn.Module, run: Callable[[], Any], names: str | Sequence[str] = "auto"
) -> tuple[Block, ...]:
    """Find the blocks of a module, in the order in which they run.

    Parameters
    ----------
    module : torch.nn.Module
    run : callable
        Runs the module on some rows and gives its outputs.
    names : "auto" or list of str
        ``"auto"``: every linear and convolutional layer that runs, but the last, which
        is the head; each through the normalization and activation right behind it that
        are modules. Or names among ``module.named_modules()``, each in its last run.

    Returns
    -------
    blocks : tuple of Block

    Raises
    ------
    ValueError
        If there is none, or one that is named is not there, does not run, or gives no
        tensor with a vector or a map for each row.

    Examples
    --------
    >>> import torch
    >>> from skal.nets import MLP
    >>> from skal.nets.loss_prediction.blocks import find_blocks
    >>> module = MLP(n_features=4, n_outputs=3, hidden_sizes=(8, 6))
    >>> blocks = find_blocks(module, lambda: module(torch.zeros(2, 4)))
    >>> [(block.name, block.width) for block in blocks]
    [('body.1', 8), ('body.3', 6)]
    """
    check_names(names)
    parts, kind = dict(module.named_modules()), type(module).__name__
    listed = [] if names == "auto" else list(names)
    unknown = [name for name in listed if name not in parts]
    if unknown:
        raise ValueError(
            f"{kind} has no parts {unknown}, which blocks= names; it has "
            f"{list(parts)[1:]}."
        )
    watched = {
        name: part
        for name, part in parts.items()
        if name in listed or isinstance(part, LAYERS) or not any(part.children())
    }
    trace, outputs = _trace(watched, run)
    n_rows = len(first_of(outputs))
    if names == "auto":
        found = [k for k in _layer_ends(trace) if _suits(trace[k].output, n_rows)]
        if not found:
            raise ValueError(
                f"{kind} runs no linear or convolutional layer before its head, whose "
                "output could tell of its losses. Give it a hidden layer, or name the "
                f"parts to read with blocks=, among {list(parts)[1:]}."
            )
        return tuple(_block(trace, k) for k in found)
    last = {step.name: k for k, step in enumerate(trace)}
    for name in listed:
        if name not in last:
            raise ValueError(f"{kind} does not run {name!r}, which blocks= names.")
        if not _suits(trace[last[name]].output, n_rows):
            raise ValueError(
                f"{name!r} of {kind}, which blocks= names, does not give a vector or a "
                "map for each row."
            )
    return tuple(_block(trace, k) for k in sorted(last[name] for name in listed))


def _trace(
    parts: dict[str, nn.Module], run: Callable[[], Any]
) -> tuple[list[Step], Any]:
    trace: list[Step] = []
    calls = dict.fromkeys(parts, 0)

    def note(name: str, part: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        given = input_of(args, kwargs)
        trace.append(Step(name, calls[name], part, given, first_of(output)))
        calls[name] += 1

    with hooked(parts, note):
        return trace, run()


def _layer_ends(trace: list[Step]) -> list[int]:
    """Where the blocks of the layers end, that of the last layer left out."""
    layers = [k for k, step in enumerate(trace) if isinstance(step.part, LAYERS)]
    ends = []
    for end in layers[:-1]:
        while end + 1 < len(trace) and _continues(trace[end + 1], trace[end].output):
            end += 1
        ends.append(end)
    return ends


def _continues(step: Step, output: Any) -> bool:
    """Whether a step works on the output of a layer and leaves its shape."""
    return (
        step.input is output
        and not isinstance(step.part, (*LAYERS, *DROPOUTS))
        and isinstance(step.output, Tensor)
        and step.output.shape == output.shape
    )


def _suits(output: Any, n_rows: int) -> bool:
    return isinstance(output, Tensor) and output.ndim > 1 and len(output) == n_rows


def _block(trace: list[Step], k: int) -> Block:
    """Make a block of a step; the layer run last tells where the channels are."""
    name, call, _, _, output = trace[k]
    layers = [step.part for step in trace[: k + 1] if isinstance(step.part, LAYERS)]
    maps = isinstance(layers[-1], CONVOLUTIONS) if layers else output.ndim > 3
    axis = 1 if maps else -1
    return Block(name, call, axis, output.shape[axis])


def first_of(output: Any) -> Any:
    """Give an output, the first of several."""
    return output[0] if isinstance(output, tuple) and output else output
