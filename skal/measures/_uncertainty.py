"""Uncertainty of one predictive distribution, or of one decision, per row."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "decision_margin",
    "entropy",
    "least_confidence",
    "margin",
    "smallest_decision",
]


def _check_columns(values: Tensor, name: str = "probs") -> None:
    if values.ndim != 2 or values.shape[1] < 1:
        raise ValueError(
            f"{name} must have shape (rows, classes), got {tuple(values.shape)}."
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
    _check_columns(probs)
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
    _check_columns(probs)
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
    _check_columns(probs)
    return torch.special.entr(probs).sum(dim=1)


def decision_margin(values: Tensor) -> Tensor:
    """Negative gap between the two largest decision values.

    Parameters
    ----------
    values : Tensor of shape (m, C)
        Values of a `decision_function`, one for each class; one column for two classes,
        positive for one of them and negative for the other.

    Returns
    -------
    scores : Tensor of shape (m,)
        ``v_second - v_first``, at most 0; ``-abs(v)`` of a single column.

    Examples
    --------
    >>> import torch
    >>> from skal.measures import decision_margin
    >>> decision_margin(torch.tensor([[2.0, 1.5, -1.0], [3.0, -3.0, 0.0]]))
    tensor([-0.5000, -3.0000])
    >>> decision_margin(torch.tensor([[-0.25], [2.0]]))
    tensor([-0.2500, -2.0000])
    """
    _check_columns(values, "values")
    if values.shape[1] == 1:
        return -values[:, 0].abs()
    return margin(values)


def smallest_decision(values: Tensor) -> Tensor:
    """Negative of the largest decision value.

    Parameters
    ----------
    values : Tensor of shape (m, C)
        As in `decision_margin`.

    Returns
    -------
    scores : Tensor of shape (m,)
        ``-max_c v_c``; ``-abs(v)`` of a single column, which stands for ``(-v, v)``.

    Examples
    --------
    >>> import torch
    >>> from skal.measures import smallest_decision
    >>> smallest_decision(torch.tensor([[2.0, 1.5, -1.0], [-3.0, -2.0, -2.5]]))
    tensor([-2.,  2.])
    """
    _check_columns(values, "values")
    if values.shape[1] == 1:
        return -values[:, 0].abs()
    return -values.amax(dim=1)
