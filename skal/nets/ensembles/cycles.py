"""A learning rate that falls along a cosine, again and again."""

from __future__ import annotations

from math import cos, pi
from typing import Any

import torch
from skorch.callbacks import Callback

__all__ = ["CosineCycles"]


class CosineCycles(Callback):
    """Sets the learning rate of each batch, and keeps the weights of each cycle's end.

    Parameters
    ----------
    cycle_epochs : int
        Epochs in a cycle.

    Attributes
    ----------
    states_ : list of dict
        The module's state at the end of each cycle, on the CPU.
    """

    states_: list[dict[str, torch.Tensor]]

    def __init__(self, cycle_epochs: int) -> None:
        self.cycle_epochs = cycle_epochs

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kw: Any) -> None:
        """Note the rates that cycles begin with."""
        self.states_ = []
        self.rates_ = [group["lr"] for group in net.optimizer_.param_groups]
        self.epoch_ = self.step_ = 0

    def on_epoch_begin(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kw: Any
    ) -> None:
        """Count the steps of an epoch, and go back at the beginning of a cycle."""
        self.n_steps_ = self.cycle_epochs * len(net.get_iterator(dataset_train, True))
        if self.epoch_ % self.cycle_epochs == 0:
            self.step_ = 0

    def on_batch_begin(
        self, net: Any, batch: Any = None, training: bool = False, **kw: Any
    ) -> None:
        """Set the rate of the step to come."""
        if not training:
            return
        factor = (1 + cos(pi * self.step_ / self.n_steps_)) / 2
        for group, rate in zip(net.optimizer_.param_groups, self.rates_, strict=True):
            group["lr"] = factor * rate
        net.history.record_batch("event_lr", factor * self.rates_[0])
        self.step_ += 1

    def on_epoch_end(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kw: Any
    ) -> None:
        """Keep the weights where a cycle ends."""
        self.epoch_ += 1
        if self.epoch_ % self.cycle_epochs == 0:
            state = net.module_.state_dict()
            copies = {name: value.to("cpu", copy=True) for name, value in state.items()}
            self.states_.append(copies)

    def on_train_end(self, net: Any, X: Any = None, y: Any = None, **kw: Any) -> None:
        """Put the rates back that were there."""
        for group, rate in zip(net.optimizer_.param_groups, self.rates_, strict=True):
            group["lr"] = rate
