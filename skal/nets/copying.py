"""Copies of fitted estimators, and the parts that they are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from sklearn.base import BaseEstimator
from skorch import NeuralNet
from skorch.history import History
from torch import nn

__all__ = ["copy_estimator", "copy_net", "copy_to", "parts_within"]


def copy_estimator(estimator: Any) -> Any:
    """Copy a fitted estimator with everything in it.

    Like :func:`copy.deepcopy`, which copies a plain skorch net by pickling, and so
    fails for a module of a local class, a lambda or a parametrization.

    Parameters
    ----------
    estimator : estimator
        For example a net, or a Pipeline or learner with nets in it.

    Returns
    -------
    copied : estimator
    """
    memo: dict[int, Any] = {}
    for net in parts_within(estimator, NeuralNet):
        if id(net) not in memo and "__deepcopy__" not in dir(net):
            copy_net(net, memo)
    return deepcopy(estimator, memo)


def copy_to(net: Any, device: Any) -> Any:
    """Copy a fitted net to a device.

    Parameters
    ----------
    net : NeuralNet
    device : str or torch.device

    Returns
    -------
    copied : NeuralNet
    """
    copied = copy_net(net, {})
    copied.device = device
    for part in vars(copied).values():
        if isinstance(part, nn.Module):
            part.to(device)
    return copied


def copy_net(net: Any, memo: dict[int, Any]) -> Any:
    """Copy the attributes of a net one by one, as `__deepcopy__` does.

    Parameters
    ----------
    net : NeuralNet
    memo : dict
        Copies by the id of the original, which :func:`copy.deepcopy` shares.

    Returns
    -------
    copied : NeuralNet
    """
    before = dict(memo)
    copied = memo[id(net)] = object.__new__(type(net))
    try:
        state = {key: _copy(value, memo) for key, value in vars(net).items()}
    except RuntimeError:
        # A tensor that was computed, such as torch's older weight_norm keeps in a
        # module, can be pickled but not copied.
        memo.clear()
        memo.update(before)
        memo[id(net)] = copied
        copied.__setstate__(deepcopy(NeuralNet.__getstate__(net), memo))
    else:
        vars(copied).update(state)
    return copied


def _copy(value: Any, memo: dict[int, Any]) -> Any:
    """Copy a value; the finished epochs of a history share their batches.

    A net with a warm start has thousands of them, and they do not change any more.
    """
    if type(value) is not History or not value:
        return deepcopy(value, memo)
    *finished, last = value
    epochs = [
        {**epoch, "batches": list(epoch["batches"])}
        if "batches" in epoch
        else dict(epoch)
        for epoch in finished
    ]
    return History([*epochs, deepcopy(last, memo)])


def parts_within(fitted: Any, kind: type | tuple[type, ...]) -> Iterator[Any]:
    """Find the objects of a kind within an estimator, at any depth.

    Parameters
    ----------
    fitted : object
        Attributes of estimators, lists, tuples and mappings are searched.
    kind : type or tuple of types

    Yields
    ------
    part : object
        Each object once.
    """
    seen: set[int] = set()
    waiting = [fitted]
    while waiting:
        part = waiting.pop()
        if id(part) in seen or isinstance(part, History):  # long, and of numbers
            continue
        seen.add(id(part))
        if isinstance(part, kind):
            yield part
        if isinstance(part, BaseEstimator | NeuralNet):
            waiting.extend(vars(part).values())
        elif isinstance(part, list | tuple):
            waiting.extend(part)
        elif isinstance(part, Mapping):
            waiting.extend(part.values())
