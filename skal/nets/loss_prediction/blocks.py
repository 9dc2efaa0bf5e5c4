"""Blocks: parts of a module whose outputs predict its losses; finding and reading."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor, nn

from skal.contexts import hooked, input_of
from skal.nets.bayesian import LINEAR
from skal.nets.modules import DROPOUTS

__all__ = ["Block", "check_names", "find_blocks", "read_blocks"]

CONVOLUTIONS = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)
LAYERS = (*LINEAR, *CONVOLUTIONS)


class Block(NamedTuple):
    """One run of a part of a module.

    Attributes
    ----------
    name : str
        Name of the part among ``module.named_modules()``.
    call : int
        Index of the run among the runs of the part in a forward pass.
    axis : int
        Axis of the channels in the output: 1, or -1 for the last.
    width : int
        Number of channels.
    """

    name: str
    call: int
    axis: int
    width: int


class Step(NamedTuple):
    """A run of a part of a module, with its input and output."""

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
        Runs the module on some rows and returns its outputs.
    names : "auto" or list of str
        ``"auto"`` stands for every linear and convolutional layer that runs except the
        last one, which is the head. A block ends after the normalization and activation
        modules that directly follow the layer. Otherwise, names among
        ``module.named_modules()``; the last run of each is the block.

    Returns
    -------
    blocks : tuple of Block

    Raises
    ------
    ValueError
        If there are no blocks, or a named part does not exist, does not run or does not
        return a tensor with a vector or a map for each row.

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
            f"{kind} has no parts {unknown}, which are listed in blocks=; its parts "
            f"are {list(parts)[1:]}."
        )
    watched = {
        name: part
        for name, part in parts.items()
        if name in listed or isinstance(part, LAYERS) or not any(part.children())
    }
    trace, outputs = _trace(watched, run)
    n_rows = len(_first(outputs))
    if names == "auto":
        found = [k for k in _layer_ends(trace) if _suits(trace[k].output, n_rows)]
        if not found:
            raise ValueError(
                f"{kind} runs no linear or convolutional layer before its head from "
                "which losses could be predicted. Add a hidden layer, or list the "
                f"parts to read with blocks=, among {list(parts)[1:]}."
            )
        return tuple(_block(trace, k) for k in found)
    last = {step.name: k for k, step in enumerate(trace)}
    for name in listed:
        if name not in last:
            raise ValueError(
                f"{kind} does not run {name!r}, which is listed in blocks=."
            )
        if not _suits(trace[last[name]].output, n_rows):
            raise ValueError(
                f"{name!r} of {kind}, which is listed in blocks=, does not return a "
                "vector or a map for each row."
            )
    return tuple(_block(trace, k) for k in sorted(last[name] for name in listed))


def _trace(
    parts: dict[str, nn.Module], run: Callable[[], Any]
) -> tuple[list[Step], Any]:
    trace: list[Step] = []
    calls = dict.fromkeys(parts, 0)

    def note(name: str, part: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        given = input_of(args, kwargs)
        trace.append(Step(name, calls[name], part, given, _first(output)))
        calls[name] += 1

    with hooked(parts, note):
        return trace, run()


def _layer_ends(trace: list[Step]) -> list[int]:
    """Get the steps at which the blocks of all layers but the last end."""
    layers = [k for k, step in enumerate(trace) if isinstance(step.part, LAYERS)]
    ends = []
    for end in layers[:-1]:
        while end + 1 < len(trace) and _continues(trace[end + 1], trace[end].output):
            end += 1
        ends.append(end)
    return ends


def _continues(step: Step, output: Any) -> bool:
    """Whether a step takes the output of a layer and keeps its shape."""
    return (
        step.input is output
        and not isinstance(step.part, (*LAYERS, *DROPOUTS))
        and isinstance(step.output, Tensor)
        and step.output.shape == output.shape
    )


def _suits(output: Any, n_rows: int) -> bool:
    return isinstance(output, Tensor) and output.ndim > 1 and len(output) == n_rows


def _block(trace: list[Step], k: int) -> Block:
    """Make a block of a step; the last layer that ran determines the channel axis."""
    name, call, _, _, output = trace[k]
    layers = [step.part for step in trace[: k + 1] if isinstance(step.part, LAYERS)]
    maps = isinstance(layers[-1], CONVOLUTIONS) if layers else output.ndim > 3
    axis = 1 if maps else -1
    return Block(name, call, axis, output.shape[axis])


def _first(output: Any) -> Any:
    """Get the output, or the first of several outputs."""
    return output[0] if isinstance(output, tuple) and output else output


class BlockOutputs:
    """Outputs of blocks, collected while their module runs.

    Parameters
    ----------
    module : torch.nn.Module
    blocks : sequence of Block
    """

    def __init__(self, module: nn.Module, blocks: Sequence[Block]) -> None:
        self.module = module
        self.blocks = blocks
        self.calls = dict.fromkeys((block.name for block in blocks), 0)
        self.found: dict[tuple[str, int], Tensor] = {}
        self.axes = {(block.name, block.call): block.axis for block in blocks}

    def catch(
        self, name: str, part: nn.Module, args: Any, kwargs: Any, output: Any
    ) -> None:
        """Keep the output of a part if the run is a block; a hook of `hooked`."""
        run = name, self.calls[name]
        if run in self.axes:
            self.found[run] = _pool(_first(output), self.axes[run])
        self.calls[name] += 1

    def get(self) -> list[Tensor]:
        """Get the outputs, each of shape (b, width).

        Raises
        ------
        ValueError
            If a block has not run.
        """
        missing = [name for name, call in self.axes if (name, call) not in self.found]
        if missing:
            raise ValueError(
                f"{type(self.module).__name__} did not run {missing}, unlike in the "
                "pass in which its blocks were found; list others with blocks=."
            )
        return [self.found[run] for run in self.axes]


@contextmanager
def read_blocks(module: nn.Module, blocks: Sequence[Block]) -> Iterator[BlockOutputs]:
    """Collect the outputs of blocks while the module runs in a ``with`` statement.

    Parameters
    ----------
    module : torch.nn.Module
    blocks : sequence of Block

    Yields
    ------
    outputs : BlockOutputs

    Raises
    ------
    ValueError
        If a block does not exist.

    Notes
    -----
    Forward hooks are removed at the end of the statement. Maps are averaged over
    positions at once, so they are not kept in memory.

    Examples
    --------
    >>> import torch
    >>> from skal.nets import MLP
    >>> from skal.nets.loss_prediction.blocks import find_blocks, read_blocks
    >>> module, X = MLP(n_features=4, n_outputs=3), torch.zeros(2, 4)
    >>> with read_blocks(module, find_blocks(module, lambda: module(X))) as outputs:
    ...     _ = module(X)
    >>> [tuple(output.shape) for output in outputs.get()]
    [(2, 128), (2, 128)]
    """
    outputs = BlockOutputs(module, blocks)
    parts = dict(module.named_modules())
    missing = [name for name in outputs.calls if name not in parts]
    if missing:
        raise ValueError(
            f"{type(module).__name__} has no parts {missing}, from which losses are "
            "predicted. The module of a net that predicts losses cannot be taken "
            "apart, as a split-head ensemble does."
        )
    with hooked({name: parts[name] for name in outputs.calls}, outputs.catch):
        yield outputs


def _pool(output: Tensor, axis: int) -> Tensor:
    """Average over positions; copy, since later layers may write in place."""
    positions = [k for k in range(1, output.ndim) if k != axis % output.ndim]
    return output.mean(positions) if positions else output.clone()
