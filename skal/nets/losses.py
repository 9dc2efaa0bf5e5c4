"""Losses of rows, and their mean with a weight for each."""

from __future__ import annotations

from copy import copy
from typing import Any

import torch

__all__ = ["row_losses", "weighted_loss"]


def row_losses(
    criterion: Any, y_pred: torch.Tensor, y_true: torch.Tensor
) -> torch.Tensor:
    """Loss of each row; of several targets, their mean.

    Parameters
    ----------
    criterion : torch criterion with a ``reduction``
        It is not changed.
    y_pred : Tensor of shape (b, ...)
    y_true : Tensor of shape (b, ...)
        As the criterion wants it.

    Returns
    -------
    losses : Tensor of shape (b,)

    Examples
    --------
    >>> import torch
    >>> from skal.nets.losses import row_losses
    >>> row_losses(torch.nn.MSELoss(), torch.zeros(2, 1), torch.tensor([[1.0], [2.0]]))
    tensor([1., 4.])
    """
    unreduced = copy(criterion)
    unreduced.reduction = "none"
    losses: torch.Tensor = unreduced(y_pred, y_true)
    return losses.reshape(len(y_true), -1).mean(1)


def weighted_loss(
    criterion: Any, y_pred: torch.Tensor, y_true: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    """Weighted mean of the losses of the rows; their sum if the criterion sums.

    Parameters
    ----------
    criterion : torch criterion with a ``reduction``
    y_pred : Tensor of shape (b, ...)
    y_true : Tensor
        As the criterion wants it.
    weight : Tensor of shape (b,)
        Not negative.

    Returns
    -------
    loss : Tensor, a scalar

    Examples
    --------
    >>> import torch
    >>> from skal.nets.losses import weighted_loss
    >>> y_pred, y_true = torch.zeros(2, 1), torch.tensor([[1.0], [2.0]])
    >>> weighted_loss(torch.nn.MSELoss(), y_pred, y_true, torch.tensor([3.0, 1.0]))
    tensor(1.7500)
    """
    total = (weight * row_losses(criterion, y_pred, y_true)).sum()
    if criterion.reduction == "sum":
        return total
    return total / weight.sum().clamp_min(torch.finfo(weight.dtype).tiny)
