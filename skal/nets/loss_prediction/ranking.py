"""The loss module, which predicts losses, and the loss that trains it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skal.nets.loss_prediction.blocks import Block
from skal.validation import check_positive

__all__ = ["LossModule", "ranking_loss"]


class LossModule(nn.Module):
    """Predicts the loss of each row from the outputs of the blocks of a net.

    Parameters
    ----------
    blocks : sequence of Block
    width : int, default=128
        Number of hidden units per block.

    Notes
    -----
    A linear layer and ReLU for each block, followed by one linear layer over all.

    Examples
    --------
    >>> import torch
    >>> from skal.nets.loss_prediction.blocks import Block
    >>> from skal.nets.loss_prediction.ranking import LossModule
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
        """Predict losses of shape (b,) from outputs of the blocks, each (b, width)."""
        hidden = [
            layer(output).relu()
            for layer, output in zip(self.layers, outputs, strict=True)
        ]
        predicted: Tensor = self.head(torch.cat(hidden, dim=1))
        return predicted.squeeze(1)


def ranking_loss(predicted: Tensor, losses: Tensor, margin: float = 1.0) -> Tensor:
    r"""Compute the mean hinge loss of pairs of rows ranked by their predicted losses.

    Parameters
    ----------
    predicted : Tensor of shape (b,)
        Predicted losses.
    losses : Tensor of shape (b,)
        Losses; only their order matters, so they receive no gradient.
    margin : float, default=1.0
        Required difference between the predictions of a pair.

    Returns
    -------
    loss : Tensor of shape ()
        0 for a batch of one row, which has no pairs.

    Raises
    ------
    ValueError
        If the shapes differ, an element is NaN, or `margin` is not positive.

    Notes
    -----
    Rows i and b - 1 - i form a pair [1]_; the middle row of an odd batch has no
    partner. The loss of a pair is :math:`\max(0, \xi - s\,(\hat l_i - \hat l_j))` with
    margin :math:`\xi` and s = 1 if :math:`l_i > l_j`, otherwise -1. It does not change
    if a constant is added to all predictions.

    References
    ----------
    .. [1] Yoo and Kweon, "Learning loss for active learning", CVPR 2019.
       https://arxiv.org/abs/1905.03677

    Examples
    --------
    >>> import torch
    >>> from skal.nets.loss_prediction import ranking_loss
    >>> losses = torch.tensor([0.1, 0.7])
    >>> ranking_loss(torch.tensor([0.0, 3.0]), losses)
    tensor(0.)
    >>> ranking_loss(torch.tensor([3.0, 0.0]), losses)
    tensor(4.)
    """
    check_positive("margin", margin)
    if predicted.ndim != 1 or predicted.shape != losses.shape:
        raise ValueError(
            "predicted and losses must have one element for each row, got shapes "
            f"{tuple(predicted.shape)} and {tuple(losses.shape)}."
        )
    for name, values in [("losses", losses), ("predicted losses", predicted)]:
        n_nan = int(values.isnan().sum())
        if n_nan:
            raise ValueError(
                f"{n_nan} of {len(values)} {name} are NaN and cannot be ranked. If "
                "training diverges, use a smaller lr, and scale inputs and targets to "
                "unit variance."
            )
    n_pairs = len(losses) // 2
    if n_pairs == 0:
        return 0 * predicted.sum()
    larger = losses[:n_pairs] > losses.flip(0)[:n_pairs]
    difference = predicted[:n_pairs] - predicted.flip(0)[:n_pairs]
    return (margin - torch.where(larger, difference, -difference)).clamp(min=0).mean()
