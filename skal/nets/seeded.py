"""A skorch net with a seed of its own that keeps scikit-learn's rules on parameters."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from skorch import NeuralNet

from skal.nets.adapters import PrivateState, QuietPrintLog
from skal.nets.modules import make_module
from skal.utils import preserve_global_rng, resolve_rng, seed_from

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
        """
        if not self.initialized_:
            # skorch would initialize the callbacks, old and new, at once.
            direct = [name for name in params if name == "callbacks"]
        else:
            # skorch sets these, then raises an error that asks to report it.
            readers = ("dataset", "iterator_train", "iterator_valid")
            direct = [name for name in params if name.split("__")[0] in readers]
        for name in direct:
            setattr(self, name, params.pop(name))
        redraws = self.initialized_ and any("module" in name for name in params)
        seeded = preserve_global_rng(self._next_seed()) if redraws else nullcontext()
        with seeded:
            super().set_params(**params)
        return self

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
        device = "cpu" if self.device is None else self.device
        if torch.device(device).type == "cuda" and not torch.cuda.is_available():
            raise ValueError(
                f"device={self.device!r} was asked for, but torch finds no GPU; use "
                "device='cpu'."
            )
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
