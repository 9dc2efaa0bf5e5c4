"""Estimators, nets, modules and functions: their classes by name, and attributes."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.interpolate import BSpline
from skorch import NeuralNet
from skorch.callbacks import LRScheduler
from torch import nn
from torch.optim import Optimizer

from skal.nets.validation import check_device
from skal.saving.checks import MEMORY, check_nodes, has_memory
from skal.saving.names import CONSTRUCTED, name_of
from skal.saving.tree import Codec, Reader, Writer

__all__ = ["OBJECTS"]


#: What restores an object that consists of attributes.
_NEW = object().__reduce_ex__(2)[0]
#: Cython generates the functions that restore these.
_STATELESS = ("sklearn._loss._loss:CyHalfMultinomialLoss",)

# -- classes and functions ------------------------------------------------------------


def _write_named(value: Any, writer: Writer) -> dict[str, Any]:
    name = writer.name_of(value)
    if _is_bound(value):
        raise writer.refusal(f"{name} is bound to an object")
    return {"name": name, "function": not inspect.isclass(value)}


def _is_bound(value: Any) -> bool:
    """Whether it is a method together with its object."""
    if not inspect.isbuiltin(value):
        return inspect.ismethod(value)
    # Functions in C are bound to their module, their class, or to nothing.
    owner = value.__self__
    return not (owner is None or inspect.ismodule(owner) or inspect.isclass(owner))


def _read_named(node: dict[str, Any], reader: Reader) -> Any:
    return reader.names.look_up(node["name"], function=node["function"])


def _is_named(value: Any) -> bool:
    return (
        inspect.isclass(value)
        or inspect.isroutine(value)
        or isinstance(value, np.ufunc)
    )


def _write_partial(value: partial[Any], writer: Writer) -> dict[str, Any]:
    parts = {"function": value.func, "args": value.args, "keywords": value.keywords}
    return {name: writer.write(part, name) for name, part in parts.items()}


def _read_partial(node: dict[str, Any], reader: Reader) -> Any:
    function, args, keywords = (
        reader.read(node[name]) for name in ("function", "args", "keywords")
    )
    return partial(function, *args, **keywords)


# -- objects --------------------------------------------------------------------------


def _write_object(value: Any, writer: Writer) -> dict[str, Any]:
    cls = type(value)
    try:
        made_by, args, *rest = value.__reduce_ex__(2)
    except (TypeError, ValueError) as error:
        raise writer.refusal(f"{cls.__name__} has no open format") from error
    state = rest[0] if rest else None
    if any(part is not None for part in rest[1:]):
        raise writer.refusal(f"{cls.__name__} has items beside its attributes")
    name = writer.name_of(cls)
    if has_memory(value):
        raise writer.refusal(MEMORY)
    if name in _STATELESS:
        made_by, args, state = cls, (), None
    if isinstance(value, LRScheduler) and state:
        # It is made anew when training begins, and holds the optimizer.
        state = {k: v for k, v in state.items() if k != "lr_scheduler_"}
    if made_by is _NEW and args == (cls,):
        return {"class": name, "state": writer.write(state)}
    if made_by is cls and name in CONSTRUCTED:
        return {
            "class": name,
            "args": writer.write(args, "args"),
            "state": writer.write(state, "state"),
        }
    raise writer.refusal(
        f"{cls.__name__} is restored by its own code, as pickle allows, and has no "
        "open format"
    )


def _read_object(node: dict[str, Any], reader: Reader) -> Any:
    cls = reader.names.look_up(node["class"])
    # skorch's own __setstate__ unpickles.
    if issubclass(cls, NeuralNet):
        raise ValueError(f"{name_of(cls)} is a net, and not described as one")
    if node["class"] in CONSTRUCTED:
        args, state = reader.read(node["args"]), reader.read(node["state"])
        if node["class"] == "sklearn.tree._tree:Tree":
            check_nodes(args, state)
        made = reader.made(node, cls(*args))
    else:
        # Refuses compiled classes, and those of other kinds of objects.
        made = reader.made(node, object.__new__(cls))
        state = reader.read(node["state"])
        _check_names(cls, state)
    if state is not None:
        if hasattr(cls, "__setstate__"):
            made.__setstate__(state)
        else:
            _set_attributes(made, state)
    reader.objects.append(made)
    return made


def _set_attributes(made: Any, state: Any) -> None:
    attributes, slots = state if isinstance(state, tuple) else (state, None)
    vars(made).update(attributes or {})
    for name, value in (slots or {}).items():
        object.__setattr__(made, name, value)


def _check_names(cls: type, state: Any) -> None:
    """Refuse attributes that hide a method, or change the class."""
    for names in state if isinstance(state, tuple) else (state,):
        for name in names or ():
            hidden = inspect.getattr_static(cls, name, None)
            if name.startswith("__") or inspect.isroutine(hidden):
                raise ValueError(f"the attribute {name} of {name_of(cls)} is a method")


# -- nets -----------------------------------------------------------------------------


def _write_net(value: NeuralNet, writer: Writer) -> dict[str, Any]:
    state = dict(vars(value))
    optimizers = {
        name: state.pop(name).state_dict()
        for name, part in vars(value).items()
        if isinstance(part, torch.optim.Optimizer)
    }
    return {
        "class": writer.name_of(type(value)),
        "state": writer.write(state),
        "optimizers": writer.write(optimizers),
    }


def _read_net(node: dict[str, Any], reader: Reader) -> NeuralNet:
    # skorch's own __setstate__ unpickles, and is not called.
    cls = reader.names.look_up(node["class"])
    if not issubclass(cls, NeuralNet):
        raise ValueError(f"{name_of(cls)} is not a net")
    net = reader.made(node, object.__new__(cls))
    state = vars(net)
    attributes = reader.read(node["state"])
    _check_names(cls, attributes)
    state.update(attributes)
    if reader.device is not None:
        state["device"] = reader.device
    device = state["device"]
    if device is not None:
        check_device(device)
        for part in state.values():
            if isinstance(part, nn.Module):
                part.to(device)
    optimizers = reader.read(node["optimizers"])
    if optimizers:
        _check_optimizer(net, reader)
        net.initialize_optimizer()
    for name, its_state in optimizers.items():
        state[name].load_state_dict(its_state)
    reader.objects.append(net)
    return net


def _check_optimizer(net: NeuralNet, reader: Reader) -> None:
    """Refuse to call anything but an optimizer, or what the user passed."""
    made_by = net.optimizer
    while isinstance(made_by, partial):
        made_by = made_by.func
    is_optimizer = inspect.isclass(made_by) and issubclass(made_by, Optimizer)
    if not (is_optimizer or reader.names.is_passed(made_by)):
        raise ValueError(f"{made_by!r} is not an optimizer")


# -- splines --------------------------------------------------------------------------


def _write_spline(value: BSpline, writer: Writer) -> dict[str, Any]:
    parts = {"t": value.t, "c": value.c, "k": int(value.k), "axis": int(value.axis)}
    written = {name: writer.write(part, name) for name, part in parts.items()}
    return {**written, "extrapolate": writer.write(value.extrapolate)}


def _read_spline(node: dict[str, Any], reader: Reader) -> BSpline:
    names = ("t", "c", "k", "extrapolate", "axis")
    parts = {name: reader.read(node[name]) for name in names}
    for name in ("t", "c"):
        if type(parts[name]) is not np.ndarray:
            raise ValueError(f"{name} of a spline is not an array")
    # Compiled code trusts the knots, which the class checks.
    return BSpline(**parts)


OBJECTS = (
    Codec("named", _is_named, _write_named, _read_named),
    Codec("partial", lambda v: type(v) is partial, _write_partial, _read_partial),
    Codec("spline", lambda v: type(v) is BSpline, _write_spline, _read_spline),
    Codec("net", lambda v: isinstance(v, NeuralNet), _write_net, _read_net),
    Codec("object", lambda _: True, _write_object, _read_object),
)
