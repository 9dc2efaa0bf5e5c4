"""Copies of fitted estimators, whose predictions do not change the original nets."""

from __future__ import annotations

from operator import is_
from typing import Any

from sklearn.base import BaseEstimator
from skorch import NeuralNet
from torch import nn

from skal.shared_copy import shared_copy

__all__ = ["copy_to_read"]


def copy_to_read(estimator: Any, memo: dict[int, Any] | None = None) -> Any:
    """Copy the nets of an estimator, and what holds them, so far as needed.

    Parameters
    ----------
    estimator : estimator
        A net, or an ensemble or another estimator that may hold nets.
    memo : dict, optional
        Copies by ``id``.

    Returns
    -------
    copied : estimator
        Its nets have separate modules, in eval mode, which share the tensors; see
        `skal.shared_copy`.  Everything else is shared.  If the estimator contains no
        net, it is returned itself.

    Notes
    -----
    `predict` of a net sets modes of its module, and a forward pass may set attributes;
    both would disturb other threads.
    """
    memo = {} if memo is None else memo
    if id(estimator) in memo:
        return memo[id(estimator)]
    if isinstance(estimator, NeuralNet):
        copied = _net(estimator, memo)
    elif isinstance(estimator, BaseEstimator):
        copied = _holder(estimator, memo)
    elif type(estimator) in (list, tuple):
        parts = [copy_to_read(part, memo) for part in estimator]
        same = all(map(is_, parts, estimator))
        copied = estimator if same else type(estimator)(parts)
    else:
        return estimator
    memo[id(estimator)] = copied
    return copied


def _net(net: NeuralNet, memo: dict[int, Any]) -> NeuralNet:
    # Not by copy.copy, for which skorch saves the state of the whole net.
    copied: NeuralNet = object.__new__(type(net))
    memo[id(net)] = copied  # an attribute of its module may refer to it
    for name, value in list(vars(net).items()):
        if isinstance(value, nn.Module) and name.endswith("_"):
            value = shared_copy(value, memo=memo).eval()
        copied.__dict__[name] = value
    return copied


def _holder(estimator: Any, memo: dict[int, Any]) -> Any:
    attributes = list(vars(estimator).items())
    parts = [copy_to_read(value, memo) for _, value in attributes]
    if all(new is old for new, (_, old) in zip(parts, attributes, strict=True)):
        return estimator
    copied = object.__new__(type(estimator))
    for (name, _), value in zip(attributes, parts, strict=True):
        copied.__dict__[name] = value
    return copied
