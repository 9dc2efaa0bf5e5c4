"""A skorch net with a seed of its own that keeps scikit-learn's rules on parameters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from skorch import NeuralNet

from skal.nets.adapters import PrivateState, QuietPrintLog
from skal.nets.modules import make_module
from skal.rng import preserve_global_rng, resolve_rng, seed_from
from skal.validation import check_device

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["SeededNet"]


class SeededNet(NeuralNet):
    """Parameters as scikit-learn has them; whatever is drawn comes from the seed."""

    seed_: int
    history_ = PrivateState()
    initialized_ = PrivateState()
    virtual_params_ = PrivateState()

    def get_params(self, deep: bool = True, **kwargs: Any) -> dict[str, Any]:
        """Parameters by name, those of callbacks among them if `deep`.

        Parameters
        ----------
        deep : bool, default=True
        **kwargs : dict
            As in skorch.

        Returns
        -------
        params : dict
        """
        params = super().get_params(deep=deep, **kwargs)
        return {name: val for name, val in params.items() if not name.startswith("_")}

    def set_params(self, **params: Any) -> Self:
        """Set parameters; those of the module make a fitted net's anew, as in skorch.

        Parameters
        ----------
        **params : dict

        Returns
        -------
        net : self

        Raises
        ------
        ValueError
            If there is no such parameter; none has been set then.
        """
        if self.initialized_:
            # skorch sets these, then raises an error that asks to report it.
            readers = ("dataset", "iterator_train", "iterator_valid")
            direct = [name for name in params if name.split("__")[0] in readers]
        else:
            # skorch would initialize the callbacks, old and new, at once, and does not
            # allow a module instance here.
            direct = [name for name in params if name in ("callbacks", "module")]
        redraws = self.initialized_ and any("module" in name for name in params)
        with self._all_or_nothing():
            self.__dict__.update({name: params.pop(name) for name in direct})
            with preserve_global_rng(self._next_seed()) if redraws else nullcontext():
                super().set_params(**params)
        return self

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Have the net as it was if training cannot begin or breaks off.

        Training goes on in place where the net has been trained before (`warm_start`,
        `partial_fit`): of these, the checks come before any step.
        """
        before = self.__dict__.copy()
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _next_seed(self) -> int:
        """Seed for what is drawn next; each comes from the one before."""
        if "seed_" in self.__dict__:
            rng = torch.Generator().manual_seed(self.seed_)
        else:
            rng = resolve_rng(self.random_state)
        self.seed_ = seed_from(rng)
        return self.seed_

    def initialize(self) -> Self:
        """Make module, criterion, optimizer and callbacks, without training.

        Returns
        -------
        net : self
        """
        check_device("cpu" if self.device is None else self.device)
        with preserve_global_rng(self._next_seed()):
            super().initialize()
        return self

    def initialize_module(self) -> Self:
        """Make ``module_`` anew, sized as X and y demand.

        Returns
        -------
        net : self
        """
        self.module_ = make_module(
            self.module,
            self.get_params_for("module"),
            self.__dict__.get("module_sizes_", {}),
        )
        return self

    def get_default_callbacks(self) -> list[tuple[str, Any]]:
        """Skorch's own, with a log of epochs that is free while ``verbose=0``.

        Returns
        -------
        callbacks : list of (name, callback)
        """
        callbacks = dict(super().get_default_callbacks())
        callbacks["print_log"] = QuietPrintLog()
        return list(callbacks.items())
