"""Reads the outputs of blocks while their module runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from skal.hooks import hooked
from skal.nets.loss_prediction.blocks import Block, first_of

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["BlockReader"]


class BlockReader:
    """Reads blocks while their module runs within a ``with`` statement.

    Parameters
    ----------
    module : torch.nn.Module
    blocks : sequence of Block

    Notes
    -----
    Forward hooks are there within the statement only. Maps are averaged over places,
    as they come, so that none is kept for it.

    Examples
    --------
    >>> import torch
    >>> from skal.nets import MLP
    >>> from skal.hooks import hooked
    from skal.nets.loss_prediction.blocks import find_blocks
    >>> from skal.nets.loss_prediction.reader import BlockReader
    >>> module, X = MLP(n_features=4, n_outputs=3), torch.zeros(2, 4)
    >>> with BlockReader(module, find_blocks(module, lambda: module(X))) as reader:
    ...     _ = module(X)
    >>> [tuple(output.shape) for output in reader.outputs()]
    [(2, 128), (2, 128)]
    """

    def __init__(self, module: nn.Module, blocks: Sequence[Block]) -> None:
        self.module = module
        self.blocks = blocks
        self.wanted = {(block.name, block.call): block for block in blocks}
        self.read: dict[Block, Tensor] = {}

    def __enter__(self) -> Self:
        self.read.clear()
        parts = dict(self.module.named_modules())
        names = dict.fromkeys(block.name for block in self.blocks)
        missing = [name for name in names if name not in parts]
        if missing:
            raise ValueError(
                f"{type(self.module).__name__} has no parts {missing}, by which losses "
                "are predicted. Nets that predict losses cannot be taken apart, as "
                "ensembles with split heads do."
            )
        self.calls = dict.fromkeys(names, 0)
        self.hooks = hooked({name: parts[name] for name in names}, self._catch)
        self.hooks.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.hooks.__exit__(*error)

    def _catch(
        self, name: str, part: nn.Module, args: Any, kwargs: Any, output: Any
    ) -> None:
        block = self.wanted.get((name, self.calls[name]))
        if block is not None:
            self.read[block] = _pool(first_of(output), block.axis)
        self.calls[name] += 1

    def outputs(self) -> list[Tensor]:
        """Give the outputs of the blocks in the pass, each of shape ``(b, width)``.

        Raises
        ------
        ValueError
            If a block has not run.
        """
        missing = [block.name for block in self.blocks if block not in self.read]
        if missing:
            raise ValueError(
                f"{type(self.module).__name__} did not run {missing}, as it did when "
                "its blocks were looked for; name others with blocks=."
            )
        return [self.read[block] for block in self.blocks]


def _pool(output: Tensor, axis: int) -> Tensor:
    """Average over places; a new tensor, as what follows may write in place."""
    places = [k for k in range(1, output.ndim) if k != axis % output.ndim]
    return output.mean(places) if places else output.clone()
