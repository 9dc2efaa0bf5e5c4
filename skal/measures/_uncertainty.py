"""Uncertainty of one predictive distribution per row."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["entropy", "least_confidence", "margin"]


def _check_probs(probs: Tensor) -> None:
    if probs.ndim != 2 or probs.shape[1] < 1:
        raise ValueError(
            f"probs must have shape (rows, classes), got {tuple(probs.shape)}."
        )


def least_confidence(probs: Tensor) -> Tensor:
    """Probability that the most likely class is wrong.

    Parameters
    ----------
    probs : Tensor of shape (m, C)
        Class probabilities, one row a distribution.

    Returns
    -------
    scores : Tensor of shape (m,)
        ``1 - max_c p_c``, in [0, 1 - 1/C].

    Examples
    --------
    >>> import torch
    >>> from skal.measures import least_confidence
    >>> least_confidence(torch.tensor([[0.5, 0.5], [0.75, 0.25]]))
    tensor([0.5000, 0.2500])
    """
    _check_probs(probs)
    return 1 - probs.amax(dim=1)


def margin(probs: Tensor) -> Tensor:
    """Negative gap between the two most likely classes.

    Parameters
    ----------
    probs : Tensor of shape (m, C)
        Class probabilities, one row a distribution.

    Returns
    -------
    scores : Tensor of shape (m,)
        ``p_second - p_first``, in [-1, 0]; 0 where two classes tie. With a single
        class there is no rival, and the score is ``-p_first``.

    Examples
    --------
    >>> import torch
    >>> from skal.measures import margin
    >>> margin(torch.tensor([[0.5, 0.5], [0.75, 0.25]]))
    tensor([ 0.0000, -0.5000])
    """
    _check_probs(probs)
    if probs.shape[1] == 1:
        return -probs[:, 0]
    top = probs.topk(2, dim=1).values
    return top[:, 1] - top[:, 0]


def entropy(probs: Tensor) -> Tensor:
    """Shannon entropy of each row.

    Parameters
    ----------
    probs : Tensor of shape (m, C)
        Class probabilities, one row a distribution; zeros are allowed.

    Returns
    -------
    scores : Tensor of shape (m,)
        ``-sum_c p_c log p_c`` in nats, with ``0 log 0 = 0``; in [0, log C].

    Examples
    --------
    >>> import torch
    >>> from skal.measures import entropy
    >>> entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]]))
    tensor([0.6931, 0.0000])
    """
    _check_probs(probs)
    return torch.special.entr(probs).sum(dim=1)
