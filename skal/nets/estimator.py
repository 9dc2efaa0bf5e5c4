"""EstimatorNet: parameters, copies, batches and outputs of a net; all but training."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.dataset import Dataset, unpack_data
from skorch.utils import is_dataset, to_device
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from skal.nets.bayesian import one_draw
from skal.nets.copying import copy_net
from skal.nets.data import (
    STABLE_ROWS,
    ArrayDataset,
    TargetDataset,
    make_iterator,
    refuse_shuffling,
    refuse_weights,
)
from skal.nets.held_out import (
    EncodedStream,
    held_out_arrays,
    is_taken_from,
    warn_if_in_other_units,
)
from skal.nets.modules import copy_inputs
from skal.nets.outcome import warn_of_new_weights
from skal.nets.validation import check_inputs
from skal.rng import preserve_global_rng, resolve_rng, seed_from

if TYPE_CHECKING:
    from sklearn.utils import Tags
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
    `random_state`.  Rows are checked and cast, arrays are sliced into batches, and the
    module runs on them.

    A subclass defines `_held_out_target`, which encodes the targets of a validation
    set.
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
        net, with new weights, and a warning.  Another optimizer starts anew.

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
            direct += ["optimizer"] * ("optimizer" in params)
        else:
            # skorch would initialize old and new callbacks at once, and does not
            # accept a module instance here.
            direct = [name for name in params if name in ("callbacks", "module")]
        rebuilds = self.initialized_ and any("module" in name for name in params)
        with self._all_or_nothing():
            self.__dict__.update({name: params.pop(name) for name in direct})
            with preserve_global_rng(self._next_seed()) if rebuilds else nullcontext():
                super().set_params(**params)
            # skorch writes these into the optimizer alone, which the next fit replaces.
            own = [n for n in params if n.startswith("optimizer__")]
            own = [n for n in own if not n.startswith("optimizer__param_groups")]
            self.__dict__.update({name: params[name] for name in own})
            if self.initialized_ and "optimizer" in direct:
                self.initialize_optimizer()
        if rebuilds and len(self.history_):
            warn_of_new_weights(self, stacklevel=3)
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

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

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

    # -- datasets -----------------------------------------------------------------

    def check_data(self, X: Any, y: Any = None) -> None:
        """Do nothing: `fit` has checked X and y."""

    def get_dataset(self, X: Any, y: Any = None) -> Any:
        """Check X and wrap it in a Dataset, unless it is one.

        Parameters
        ----------
        X : as in `fit`
        y : array-like, optional

        Returns
        -------
        dataset : torch.utils.data.Dataset
        """
        if is_dataset(X):
            return X
        return self._make_dataset(check_inputs(self, X, reset=False), y)

    def _make_dataset(self, X: Any, y: Any = None) -> Any:
        if self.dataset is Dataset and not self.get_params_for("dataset"):
            return ArrayDataset(X, y)
        return super().get_dataset(X, y)

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Get the batches of a dataset: slices of arrays, or those of a DataLoader.

        Parameters
        ----------
        dataset : torch.utils.data.Dataset
        training : bool, default=False
            Training batches are shuffled unless ``iterator_train__shuffle=False``.

        Returns
        -------
        iterator : iterable of (X, y)

        Raises
        ------
        ValueError
            If the iterator for validation and prediction shuffles.
        """
        prefix = "iterator_train" if training else "iterator_valid"
        options = self.get_params_for(prefix)
        if (
            getattr(self, prefix) is not DataLoader
            or isinstance(dataset, IterableDataset)
            or options.keys() & {"sampler", "batch_sampler"}
        ):
            refuse_weights(dataset)
            iterator = super().get_iterator(dataset, training=training)
            return iterator if training else refuse_shuffling(iterator)
        return make_iterator(dataset, self.batch_size, training, options)

    def get_split_datasets(
        self, X: Any, y: Any = None, **fit_params: Any
    ) -> tuple[Any, Any]:
        """Split into training and validation rows by `train_split`.

        Validation rows that are not taken from the training rows, such as those of
        skorch's ``predefined_split``, are cast and encoded as these are.

        Parameters
        ----------
        X : as in `fit`
        y : array-like of shape (m,), optional
        **fit_params : dict
            Passed to `train_split`.

        Returns
        -------
        training : Dataset
        validation : Dataset or None

        Raises
        ------
        ValueError
            If the validation rows or their targets do not suit the net.

        Warns
        -----
        UserWarning
            If the validation rows seem to be in other units.
        """
        dataset = X if is_dataset(X) else self.get_dataset(X, y)
        training, held_out = super().get_split_datasets(dataset, y, **fit_params)
        if held_out is None or is_taken_from(held_out, dataset):
            return training, held_out
        try:
            held_out = self._held_out_set(held_out)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"In the validation set of train_split: {error}"
            ) from error
        warn_if_in_other_units(training, held_out, stacklevel=2)
        return training, held_out

    def _held_out_set(self, dataset: Any) -> Any:
        if isinstance(dataset, IterableDataset):
            return EncodedStream(dataset, lambda y: self._held_out_target(y, y))
        arrays = held_out_arrays(dataset)
        if arrays is None:
            return TargetDataset(dataset, self._held_out_target(dataset, None))
        X = check_inputs(self, arrays[0], reset=False)
        return self._make_dataset(X, self._held_out_target(X, arrays[1]))

    def _held_out_target(self, X: Any, y: Any) -> np.ndarray:
        raise NotImplementedError

    # -- forward passes -----------------------------------------------------------

    def infer(self, x: Any, **fit_params: Any) -> Any:
        """Run the module on a copy of a batch, cast to the type that it computes in.

        In training mode, a Bayesian layer has the same weights wherever a pass uses it.

        Parameters
        ----------
        x : Tensor of shape (b, ...), or dict or tuple of tensors
        **fit_params : dict
            As in `fit`.

        Returns
        -------
        outputs : Tensor of shape (b, n_outputs), or tuple of tensors
        """
        with one_draw(self.module_):
            return super().infer(copy_inputs(x, self.module_), **fit_params)

    def forward_iter(
        self, X: Any, training: bool = False, device: str = "cpu"
    ) -> Iterator[Any]:
        """Yield the raw outputs of the module batch by batch, in the order of X.

        Parameters
        ----------
        X : as in `fit`
        training : bool, default=False
            Run the module in training mode, with gradients. Rows keep their order.
        device : str, default="cpu"
            Device to which outputs are moved.

        Yields
        ------
        outputs : Tensor of shape (b, n_outputs)
        """
        for batch in self.get_iterator(self.get_dataset(X)):
            yield to_device(self.evaluation_step(batch, training=training), device)

    def evaluation_step(self, batch: Any, training: bool = False) -> Any:
        """Compute the raw outputs of a batch.

        Parameters
        ----------
        batch : (X, y)
        training : bool, default=False
            Run the module in training mode, with gradients.

        Returns
        -------
        outputs : Tensor of shape (b, n_outputs), or tuple of tensors
        """
        X, y = unpack_data(batch)
        table = isinstance(X, Tensor) and X.ndim == 2
        if training or not table or len(X) >= STABLE_ROWS:
            return super().evaluation_step(batch, training=training)
        outputs = super().evaluation_step((X[torch.arange(STABLE_ROWS) % len(X)], y))
        if isinstance(outputs, tuple):
            return tuple(part[: len(X)] for part in outputs)
        return outputs[: len(X)]

    def _outputs(self, X: Any) -> Tensor:
        """Compute the (first) outputs of all rows, on the CPU."""
        self.check_is_fitted()
        with preserve_global_rng():
            batches = list(self.forward_iter(X))
        # Scores of epochs pass the outputs that skorch kept, on the device of the net.
        outputs = torch.cat(
            [(out[0] if isinstance(out, tuple) else out).cpu() for out in batches]
        )
        # numpy has no bfloat16, and half precision is too coarse for probabilities.
        half = outputs.dtype in (torch.float16, torch.bfloat16)
        return outputs.float() if half else outputs


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
