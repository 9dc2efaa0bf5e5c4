"""Copies that share tensors: modules and estimators read without touching them."""

from __future__ import annotations

import copy
import functools
import random
import sys
import types
import weakref
from collections import deque
from collections.abc import Callable
from operator import is_
from typing import Any, TypeVar

import numpy as np
import torch
from sklearn.base import BaseEstimator
from skorch import NeuralNet
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

__all__ = [
    "copy_to_read",
    "plain_names",
    "shared_copy",
    "unwrapped",
]

T = TypeVar("T")

_PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)
_CONTAINERS = (dict, list, set, deque)
#: Left as they are without a further look.
_ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes})
_METHODS = (types.MethodType, types.BuiltinMethodType)
_GENERATORS = (np.random.Generator, np.random.RandomState, random.Random)
#: Bytes up to which an array is copied, and the parameters of a module that is read.
_MOST_COPIED = 2**30


# -- modules -------------------------------------------------------------------------


def unwrapped(module: Any) -> Any:
    """Get the module within those of `torch.compile` and of data parallelism.

    Parameters
    ----------
    module : torch.nn.Module
        What is wrapped shares its tensors.

    Examples
    --------
    >>> from torch import nn
    >>> from skal.shared_copy import unwrapped
    >>> layer = nn.Linear(2, 1)
    >>> unwrapped(nn.DataParallel(layer)) is layer
    True
    """
    while (inner := _wrapped(module)) is not None:
        module = inner
    return module


def plain_names(module: nn.Module) -> Callable[[str], str]:
    """Get the function from names of tensors in a module to those in its copy.

    Parameters
    ----------
    module : torch.nn.Module

    Examples
    --------
    >>> from torch import nn
    >>> from skal.shared_copy import plain_names
    >>> plain_names(nn.DataParallel(nn.Sequential(nn.Linear(2, 1))))("module.0.bias")
    '0.bias'
    """
    paths, wrappers = {"": ""}, set()
    for path, part in module.named_modules(remove_duplicate=False):
        if path:
            parent, _, name = path.rpartition(".")
            outer = paths[parent]
            inner = name if outer == "" else f"{outer}.{name}"
            paths[path] = outer if parent in wrappers else inner
        if _wrapped(part) is not None:
            wrappers.add(path)

    def rename(tensor: str) -> str:
        path, _, name = tensor.rpartition(".")
        path = paths.get(path, path)
        return f"{path}.{name}" if path else name

    return rename


def shared_copy(module: T, *, own_tensors: bool = False, memo: Any = None) -> T:
    """Copy a module such that running the copy leaves the module as it is.

    Parameters
    ----------
    module : torch.nn.Module
    own_tensors : bool
        Copy the parameters, too.
    memo : dict, optional
        Copies by the ``id`` of what was copied, for modules that share parts.

    Returns
    -------
    copied : torch.nn.Module
        Its submodules have separate modes, hooks and attributes.  Modules of
        `torch.compile` and of data parallelism are replaced by what they wrap.

    Notes
    -----
    Whatever the attributes and hooks of the module hold is copied along, if it can hold
    a part of the module or state of a forward pass: lists, dicts, sets, arrays of
    objects, plain objects, also with ``__slots__``, functions with closures or
    defaults, partial functions, bound methods, weak references, random generators.
    `copy.deepcopy` leaves functions as they are, so that a closure would run the layers
    of the original.

    Buffers and tensors that are attributes of a module are copied, as a forward pass
    may write into them in eval mode, too; so are arrays of up to 1 GiB, and the weight
    of an embedding with ``max_norm``.

    The following are still shared: objects that a function refers to by a global name,
    or a class by a closure of its methods; objects that define how they are pickled or
    copied; and, unless they are asked for, parameters and tensors within other objects.

    Tensors made in `torch.inference_mode` are copied, as no gradient can be taken of
    them.  A `torch.jit.ScriptModule` is copied with its tensors.

    Examples
    --------
    >>> from torch import nn
    >>> from skal.shared_copy import shared_copy
    >>> layer = nn.Linear(2, 1)
    >>> copied = shared_copy(layer).eval()
    >>> layer.training, copied.training, copied.weight is layer.weight
    (True, False, True)
    """
    copied: T = _Copier(own_tensors, {} if memo is None else memo)(module)
    return copied


def _wrapped(module: Any) -> Any:
    """Get what a wrapper of torch holds; None for any other module."""
    if isinstance(module, _PARALLEL):
        return module.module
    # What torch.compile returns; its class has no public name.
    if type(module).__name__ == "OptimizedModule":
        return vars(module)["_modules"].get("_orig_mod")
    return None


def _written(module: nn.Module) -> list[Tensor]:
    """List the tensors of a module that a forward pass may write into in eval mode.

    These are counters, running means and memories, kept as buffers or as plain
    attributes, and the weight of an embedding that limits its norm.
    """
    found = [buffer for _, buffer in module.named_buffers(recurse=False)]
    for value in list(vars(module).values()):
        if isinstance(value, Tensor) and not value.requires_grad:
            found.append(value)
    limits = getattr(module, "max_norm", None) is not None
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) and limits:
        found.append(module.weight)
    return found


class _Copier:
    """Copies objects, the same ones to the same copies."""

    def __init__(self, own_tensors: bool, memo: dict[int, Any]) -> None:
        self.own_tensors = own_tensors
        self.memo = memo
        self.kept: list[Any] = []  # so that no id is used twice

    def __call__(self, x: Any) -> Any:
        cls = type(x)
        if cls in _ATOMS or isinstance(x, type):
            return x
        if id(x) in self.memo:
            return self.memo[id(x)]
        self.kept.append(x)
        copied = self._copy(x, cls)
        if copied is not x:
            self.memo[id(x)] = copied
        return copied

    def _copy(self, x: Any, cls: type) -> Any:
        if issubclass(cls, Tensor):
            return self._tensor(x)
        if issubclass(cls, nn.Module):
            return self._module(x)
        if cls is np.ndarray:
            return self._array(x)
        if issubclass(cls, _CONTAINERS):
            return self._container(x)
        if issubclass(cls, (tuple, frozenset)):
            return self._fixed(x)
        if cls is types.FunctionType:
            return self._function(x)
        if cls in _METHODS:
            return self._method(x)
        if cls is functools.partial:
            args, keywords = self(x.args), self(x.keywords)
            return functools.partial(self(x.func), *args, **keywords)
        if cls is weakref.ReferenceType:
            return self._reference(x)
        if cls in weakref.ProxyTypes:  # its methods are those of what it refers to
            return weakref.proxy(self(x.__repr__.__self__))
        if issubclass(cls, torch.Generator):
            return x.clone_state()
        if issubclass(cls, _GENERATORS):
            return copy.deepcopy(x)
        return self._instance(x, cls)

    def _tensor(self, x: Any, own: bool = False) -> Any:
        if nn.parameter.is_lazy(x):
            return x
        if not (own or self.own_tensors or x.is_inference()):
            return x
        with torch.inference_mode(False):
            copied = x.detach().clone()
            if isinstance(x, nn.Parameter):
                return nn.Parameter(copied, x.requires_grad)
            return copied.requires_grad_(x.requires_grad and x.is_leaf)

    def _array(self, x: Any) -> Any:
        if x.dtype == object:
            copied = self.memo[id(x)] = x.copy(order="K")
            for k, value in enumerate(x.flat):
                new = self(value)
                if new is not value:
                    copied[np.unravel_index(k, x.shape)] = new
            return copied
        is_written = x.flags.writeable and x.nbytes <= _MOST_COPIED
        return x.copy(order="K") if is_written else x

    def _module(self, x: Any) -> Any:
        inner = _wrapped(x)
        if inner is not None:
            return self(inner)
        if isinstance(x, torch.jit.ScriptModule):  # its state is not in Python
            return copy.deepcopy(x)
        for tensor in _written(x):
            if id(tensor) not in self.memo:
                self.kept.append(tensor)
                self.memo[id(tensor)] = self._tensor(tensor, own=True)
        # Not cls.__new__: that of torch.fx.GraphModule makes a class for each instance.
        copied = self._fill(object.__new__(type(x)), x)
        vars(copied).pop("_compiled_call_impl", None)  # that of Module.compile
        if self.own_tensors and isinstance(copied, nn.RNNBase):
            copied.flatten_parameters()  # cuDNN wants them side by side
        return copied

    def _fill(self, copied: Any, x: Any) -> Any:
        """Copy the attributes of an object, after its copy has become known."""
        self.memo[id(x)] = copied
        # A list, as another thread may run the module, which may set attributes.
        for name, value in list(getattr(x, "__dict__", {}).items()):
            copied.__dict__[name] = self(value)
        cls: type = type(x)
        for slot in _slots(cls):
            try:
                value = slot.__get__(x)
            except AttributeError:  # it is not set
                continue
            slot.__set__(copied, self(value))
        return copied

    def _container(self, x: Any) -> Any:
        try:
            copied = copy.copy(x)
            self.memo[id(x)] = copied
            if isinstance(x, dict):
                items = list(x.items())
                copied.clear()
                for key, value in items:
                    copied[self(key)] = self(value)
            else:
                items = list(x)
                copied.clear()
                grow = copied.add if isinstance(x, set) else copied.append
                for value in items:
                    grow(self(value))
        except (TypeError, ValueError, AttributeError):  # a subclass that differs
            self.memo[id(x)] = x
            return x
        return self._fill(copied, x)

    def _fixed(self, x: Any) -> Any:
        items = list(x)
        copied = [self(value) for value in items]
        if all(new is old for new, old in zip(copied, items, strict=True)):
            return x
        make = getattr(x, "_make", type(x))  # of a named tuple
        return self.memo.get(id(x)) or make(copied)

    def _function(self, x: Any) -> Any:
        cells = x.__closure__ or ()
        if not (cells or x.__defaults__ or x.__kwdefaults__ or vars(x)):
            return x
        known = [self.memo.get(id(cell)) for cell in cells]
        closure = tuple(own or types.CellType() for own in known)
        copied = types.FunctionType(
            x.__code__, x.__globals__, x.__name__, None, closure or None
        )
        self.memo[id(x)] = copied  # a function may call itself
        changed = any(own is not None for own in known)
        for cell, own, new in zip(cells, known, closure, strict=True):
            if own is None:
                self.memo[id(cell)] = new
                try:
                    content = cell.cell_contents
                except ValueError:  # of a variable that is not set
                    continue
                new.cell_contents = self(content)
                changed |= new.cell_contents is not content
        copied.__defaults__ = self(x.__defaults__)
        copied.__kwdefaults__ = x.__kwdefaults__ and self(x.__kwdefaults__)
        attributes = {name: self(value) for name, value in vars(x).items()}
        changed |= copied.__defaults__ is not x.__defaults__
        changed |= bool(x.__kwdefaults__)
        changed |= any(attributes[name] is not vars(x)[name] for name in attributes)
        if not changed:  # identity may matter
            self.memo[id(x)] = x
            return x
        copied.__dict__.update(attributes)
        copied.__qualname__, copied.__doc__ = x.__qualname__, x.__doc__
        copied.__module__ = x.__module__
        return copied

    def _method(self, x: Any) -> Any:
        owner = x.__self__
        if isinstance(owner, (types.ModuleType, type)):
            return x
        copied = self(owner)
        if isinstance(x, types.MethodType):
            function = self(x.__func__)
            same = copied is owner and function is x.__func__
            return x if same else types.MethodType(function, copied)
        return x if copied is owner else getattr(copied, x.__name__)

    def _reference(self, x: Any) -> Any:
        target = x()
        if target is None:
            return x
        copied = self(target)
        return x if copied is target else weakref.ref(copied)

    def _instance(self, x: Any, cls: type) -> Any:
        if cls is types.SimpleNamespace:
            return self._fill(types.SimpleNamespace(), x)
        if cls is not RemovableHandle and not _is_plain(cls):
            return x
        try:
            copied: Any = object.__new__(cls)
        except TypeError:  # a subclass of a type in C
            return x
        return self._fill(copied, x)


@functools.lru_cache(maxsize=1024)
def _slots(cls: type) -> list[Any]:
    """List the descriptors of the ``__slots__`` of a class."""
    bases = [vars(base) for base in cls.__mro__ if "__slots__" in vars(base)]
    every = [d for attributes in bases for d in attributes.values()]
    return [d for d in every if isinstance(d, types.MemberDescriptorType)]


@functools.lru_cache(maxsize=1024)
def _is_plain(cls: type) -> bool:
    """Whether an instance has its state in attributes alone, as far as is known."""
    root, _, rest = cls.__module__.partition(".")
    if root in sys.stdlib_module_names or (root == "torch" and rest.startswith("_")):
        return False
    return (
        (cls.__dictoffset__ != 0 or bool(_slots(cls)))
        and cls.__reduce_ex__ is object.__reduce_ex__
        and cls.__reduce__ is object.__reduce__
        and getattr(cls, "__getstate__", None) is getattr(object, "__getstate__", None)
        and not hasattr(cls, "__copy__")
        and not hasattr(cls, "__deepcopy__")
    )


# -- estimators that hold nets ------------------------------------------------------


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
        Its nets have separate modules, in eval mode; see `shared_copy`.  They share the
        parameters only of modules that have more than 1 GiB of them.  Everything else
        is shared.  If the estimator contains no net, it is returned itself.

    Notes
    -----
    `predict` of a net sets modes of its module, and a forward pass may set attributes;
    both would disturb other threads.  A forward pass may also write into parameters, as
    one that clamps or normalizes them does.
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
            own = _n_bytes(value) <= _MOST_COPIED
            value = shared_copy(value, own_tensors=own, memo=memo).eval()
        elif name == "callbacks_":
            value = [(label, _callback(callback, net)) for label, callback in value]
        copied.__dict__[name] = value
    return copied


def _callback(callback: Any, net: NeuralNet) -> Any:
    """Copy a callback that refers to the module of its net, without the reference."""
    owner = getattr(callback, "owner_", None)
    own = isinstance(owner, weakref.ref) and owner() is net.module_
    return copy.copy(callback) if own else callback


def _n_bytes(module: nn.Module) -> int:
    parameters = [p for p in module.parameters() if not nn.parameter.is_lazy(p)]
    return sum(p.numel() * p.element_size() for p in parameters)


def _holder(estimator: Any, memo: dict[int, Any]) -> Any:
    attributes = list(vars(estimator).items())
    parts = [copy_to_read(value, memo) for _, value in attributes]
    if all(new is old for new, (_, old) in zip(parts, attributes, strict=True)):
        return estimator
    copied = object.__new__(type(estimator))
    for (name, _), value in zip(attributes, parts, strict=True):
        copied.__dict__[name] = value
    return copied
