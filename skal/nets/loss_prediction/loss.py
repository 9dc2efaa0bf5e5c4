"""What it costs to rank the losses of rows wrongly."""

from __future__ import annotations

import torch
from torch import Tensor

from skal.validation import check_positive

__all__ = ["ranking_loss"]


def ranking_loss(predicted: Tensor, losses: Tensor, margin: float = 1.0) -> Tensor:
    r"""Mean hinge of pairs of rows whose losses are predicted in the wrong order.

    Parameters
    ----------
    predicted : Tensor of shape (b,)
        Predicted losses.
    losses : Tensor of shape (b,)
        Losses; only their order counts, which has no gradient.
    margin : float
        By how much the larger loss is to be predicted larger.

    Returns
    -------
    loss : Tensor, a scalar
        0 for a batch of one row, which has no pair.

    Raises
    ------
    ValueError
        If the shapes differ, or a number is NaN.

    Notes
    -----
    Row i and row b - 1 - i are a pair, [1]_; the middle row of an odd batch has none.
    A pair costs :math:`\max(0, \xi - s\,(\hat l_i - \hat l_j))` with the margin
    :math:`\xi` and s = 1 if :math:`l_i > l_j`, else -1. A constant added to all
    predictions changes nothing.

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
            "predicted and losses must have one number for each row, got shapes "
            f"{tuple(predicted.shape)} and {tuple(losses.shape)}."
        )
    for name, numbers in [("losses", losses), ("predicted losses", predicted)]:
        n_nan = int(numbers.isnan().sum())
        if n_nan:
            raise ValueError(
                f"{n_nan} of {len(numbers)} {name} are NaN, and cannot be ranked. Did "
                "the training diverge? Use a smaller lr, and inputs and targets near "
                "unit variance."
            )
    n_pairs = len(losses) // 2
    if n_pairs == 0:
        return 0 * predicted.sum()
    larger = losses[:n_pairs] > losses.flip(0)[:n_pairs]
    difference = predicted[:n_pairs] - predicted.flip(0)[:n_pairs]
    return (margin - torch.where(larger, difference, -difference)).clamp(min=0).mean()
