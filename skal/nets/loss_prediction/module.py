"""The module that predicts losses from the outputs of blocks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skal.nets.loss_prediction.blocks import Block

__all__ = ["LossModule"]


class LossModule(nn.Module):
    """Predicts the loss of rows from what the blocks of a net give for them.

    Parameters
    ----------
    blocks : sequence of Block
    width : int, default=128
        Hidden units for each block.

    Notes
    -----
    A linear layer and ReLU for each block, and a linear layer over all of these.

    Examples
    --------
    >>> import torch
    >>> from skal.nets.loss_prediction.blocks import Block
    >>> from skal.nets.loss_prediction.module import LossModule
    >>> blocks = [Block("first", 0, 1, width=4), Block("second", 0, 1, width=8)]
    >>> LossModule(blocks)([torch.zeros(5, 4), torch.zeros(5, 8)]).shape
    torch.Size([5])
    """

    def __init__(self, blocks: Sequence[Block], width: int = 128) -> None:
        super().__init__()
        self.blocks = tuple(blocks)
        self.layers = nn.ModuleList(nn.Linear(block.width, width) for block in blocks)
        self.head = nn.Linear(width * len(blocks), 1)

    def forward(self, outputs: Sequence[Tensor]) -> Tensor:
        """Predicted losses, (b,), from outputs of the blocks, (b, width) each."""
        hidden = [
            layer(output).relu()
            for layer, output in zip(self.layers, outputs, strict=True)
        ]
        predicted: Tensor = self.head(torch.cat(hidden, dim=1))
        return predicted.squeeze(1)
