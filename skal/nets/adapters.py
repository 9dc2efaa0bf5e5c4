"""Small parts that let a skorch net pass as an estimator of scikit-learn."""

from __future__ import annotations

from typing import Any

from skorch.callbacks import PrintLog

__all__ = ["PrivateState", "QuietPrintLog"]


class PrivateState:
    """Keeps what skorch's ``__init__`` sets beyond its parameters under a private name.

    scikit-learn asks of an estimator that it have nothing but parameters and private
    attributes before `fit`.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self.name, self.key = name, f"_{name.rstrip('_')}"

    def __get__(self, net: Any, owner: type | None = None) -> Any:
        if net is None:
            return self
        try:
            return vars(net)[self.key]
        except KeyError:  # while skorch's __init__ runs, as it expects
            raise AttributeError(self.name) from None

    def __set__(self, net: Any, value: Any) -> None:
        vars(net)[self.key] = value


class QuietPrintLog(PrintLog):
    """skorch's log of epochs, at no cost where the net has ``verbose=0``."""

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Print a row of the table."""
        if net.verbose:
            super().on_epoch_end(net, **kwargs)
