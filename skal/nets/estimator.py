"""EstimatorNet: a skorch net with the parameters and copies of an estimator."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from skorch import NeuralNet
from torch import Tensor, nn

from skal.nets.copying import copy_net
from skal.rng import preserve_global_rng, resolve_rng, seed_from

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["EstimatorNet"]


class PrivateAttribute:
    """Stores an attribute under a private name.

    Before `fit`, scikit-learn allows an estimator only parameters and private
    attributes; skorch's ``__init__`` sets a few others.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self.name, self.key = name, f"_{name.rstrip('_')}"

    def __get__(self, net: Any, owner: type | None = None) -> Any:
        if net is None:
            return self
        try:
            return vars(net)[self.key]
        except KeyError:  # skorch's __init__ asks before it sets the attribute
            raise AttributeError(self.name) from None

    def __set__(self, net: Any, value: Any) -> None:
        vars(net)[self.key] = value


class EstimatorNet(NeuralNet):
    """A skorch net with the conventions of scikit-learn for everything but training.

    Its parameters can be read and set, or none is set; its repr shows those that were
    changed; it can be copied, and pickled by any pickler; and its seeds follow from
    `random_state`.
    """

    seed_: int
    history_ = PrivateAttribute()
    initialized_ = PrivateAttribute()
    virtual_params_ = PrivateAttribute()

    # -- parameters ---------------------------------------------------------------

    def get_params(self, deep: bool = True, **kwargs: Any) -> dict[str, Any]:
        """Get the parameters of the net.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the parameters of callbacks.
        **kwargs : dict
            As in skorch.

        Returns
        -------
        params : dict
        """
        params = super().get_params(deep=deep, **kwargs)
        return {name: val for name, val in params.items() if not name.startswith("_")}

    def set_params(self, **params: Any) -> Self:
        """Set parameters of the net.

        As in skorch, setting a parameter of the module rebuilds the module of a fitted
        net.

        Parameters
        ----------
        **params : dict

        Returns
        -------
        net : self

        Raises
        ------
        ValueError
            If a parameter does not exist; no parameter is set in this case.
        """
        if self.initialized_:
            # skorch sets these, then raises an error that asks to report it.
            readers = ("dataset", "iterator_train", "iterator_valid")
            direct = [name for name in params if name.split("__")[0] in readers]
        else:
            # skorch would initialize old and new callbacks at once, and does not
            # accept a module instance here.
            direct = [name for name in params if name in ("callbacks", "module")]
        rebuilds = self.initialized_ and any("module" in name for name in params)
        with self._all_or_nothing():
            self.__dict__.update({name: params.pop(name) for name in direct})
            with preserve_global_rng(self._next_seed()) if rebuilds else nullcontext():
                super().set_params(**params)
        return self

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Restore the attributes of the net if the block raises an error.

        Where training continues (`warm_start`, `partial_fit`), weights change in
        place and are not restored; only errors before the first step change nothing.
        """
        before = self.__dict__.copy()
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _next_seed(self) -> int:
        """Draw the next seed; each seed is drawn with the one before."""
        if "seed_" in self.__dict__:
            rng = torch.Generator().manual_seed(self.seed_)
        else:
            rng = resolve_rng(self.random_state)
        self.seed_ = seed_from(rng)
        return self.seed_

    def __repr__(self) -> str:
        """Show the parameters that differ from their defaults."""
        defaults = _defaults(type(self))
        changed = [
            f"{name}={_shown(value)}"
            for name, value in self.get_params(deep=False).items()
            if name not in defaults or _shown(value) != _shown(defaults[name])
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    # -- copies and pickles -------------------------------------------------------

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copied: Self = copy_net(self, memo)
        return copied

    def __getstate__(self) -> dict[str, Any]:
        """Get what is pickled.

        skorch pickles what may be on a GPU by itself, so that it can be loaded without
        one. Its pickler is Python's, which fails for a lambda, or a class of a notebook
        in another process. Only what is on a GPU is left to it; the rest is left to the
        pickler that was called, which in joblib's processes knows such classes.
        """
        state = self.__dict__.copy()
        bare: Any = object.__new__(type(self))
        for key in ("device", "cuda_dependent_attributes_", "torch_load_kwargs"):
            if key in state:
                bare.__dict__[key] = state[key]
        if not _is_cpu(self.device):
            params = self.get_params(deep=False)
            for key in list(state):
                if key.startswith(tuple(self.cuda_dependent_attributes_)) and (
                    key not in params or isinstance(state[key], Tensor | nn.Module)
                ):
                    bare.__dict__[key] = state.pop(key)
        packed: dict[str, Any] = super(EstimatorNet, bare).__getstate__()
        return {**state, **packed}


def _is_cpu(device: Any) -> bool:
    """Whether the tensors of a net are on the CPU; None leaves that to the user."""
    try:
        return torch.device(device).type == "cpu"
    except (RuntimeError, TypeError):  # not a device, which `fit` refuses
        return device is not None


def _defaults(kind: type) -> dict[str, Any]:
    """Get the defaults of parameters from all constructors of a class."""
    defaults: dict[str, Any] = {}
    for cls in kind.__mro__:
        if "__init__" not in vars(cls):
            continue
        signature = inspect.signature(vars(cls)["__init__"])
        for name, parameter in signature.parameters.items():
            if parameter.default is not inspect.Parameter.empty:
                defaults.setdefault(name, parameter.default)
    return defaults


def _shown(value: Any) -> str:
    """Name classes and functions; show anything else by its repr."""
    named = inspect.isclass(value) or inspect.isroutine(value)
    return str(value.__qualname__) if named else " ".join(repr(value).split())
