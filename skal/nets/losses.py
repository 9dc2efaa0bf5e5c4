"""Losses with a weight for each row."""

from __future__ import annotations

from copy import copy
from typing import Any

import torch

__all__ = ["weighted_loss"]


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
    unreduced = copy(criterion)
    unreduced.reduction = "none"
    losses = unreduced(y_pred, y_true).reshape(len(weight), -1).mean(1)
    total = (weight * losses).sum()
    if criterion.reduction == "sum":
        return total
    return total / weight.sum().clamp_min(torch.finfo(weight.dtype).tiny)
