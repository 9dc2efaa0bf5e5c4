"""Learning rates that a module recommends, and their course over a fit."""

from __future__ import annotations

from collections.abc import Iterable
from math import cos, pi
from typing import Any, NamedTuple

import torch
from torch import nn

__all__ = [
    "BETAS",
    "PLAIN_LR",
    "Course",
    "Recipe",
    "has_factors",
    "parameter_groups",
    "set_rates",
    "share_of_decay",
    "warm_cosine",
]

#: Share of a fit in which the learning rate rises.
_WARMUP = 0.1
#: Rate of parameters for which the module has no factor: Adam's usual one.
PLAIN_LR = 1e-3
#: Adam's averages forget faster than by default, as there are few steps.
BETAS = (0.9, 0.95)
#: Keys of a parameter group: its largest rate, and its weight decay with few rows.
_LARGEST, _DECAY = "largest_lr", "largest_weight_decay"
#: Rows beyond which the weights of a net decay less, as the labels determine them.
_FEW_ROWS = 400


class Recipe(NamedTuple):
    """How Adam trains a module that has ``lr_factors()``.

    Attributes
    ----------
    lr : float
        Largest learning rate, before the factors of the module.
    weight_decay : float
        Of the weight matrices; relative to the learning rate and to their initial
        values, so that it is the same for all layers.  With n > 400 rows, `Course`
        multiplies it by 400 / n, as of a prior of fixed strength.
    """

    lr: float
    weight_decay: float


def has_factors(module: nn.Module) -> bool:
    """Whether a module says by `lr_factors` how fast its parameters should move."""
    return callable(getattr(_unwrapped(module), "lr_factors", None))


def _unwrapped(module: nn.Module) -> Any:
    """Get the module of a DataParallel, which does not forward its methods."""
    parallel = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    return module.module if isinstance(module, parallel) else module


def parameter_groups(
    module: Any,
    named: Iterable[tuple[str, torch.Tensor]],
    recipe: Recipe,
    weight_decay: float | None = None,
) -> list[dict[str, Any]]:
    """Group parameters by learning rate and weight decay.

    Parameters
    ----------
    module : torch.nn.Module
        Has a method `lr_factors`, which gives a factor by the name of a parameter.
    named : iterable of (str, Tensor)
        Parameters, or stacked parameters of several such modules.
    recipe : Recipe
    weight_decay : float, optional
        Of all parameters, in place of that of the recipe.

    Returns
    -------
    groups : list of dict
        For Adam and AdamW.  Parameters that `lr_factors` lacks get a rate of 1e-3.

    Examples
    --------
    >>> from skal.nets import TabularMLP
    >>> from skal.nets.rates import Recipe, parameter_groups
    >>> module = TabularMLP(4, 1, hidden_sizes=(16,))
    >>> groups = parameter_groups(module, module.named_parameters(), Recipe(0.1, 0.0))
    >>> [(round(group["lr"], 3), len(group["params"])) for group in groups]
    [(0.6, 1), (0.05, 1), (0.01, 2), (0.04, 1)]
    """
    factors = _unwrapped(module).lr_factors()
    # A compiled module has the method of the module in it.
    named_by = (dict(part.named_parameters()) for part in module.modules())
    own = next(names for names in named_by if factors.keys() <= names.keys())
    rates = {}
    for name, factor in factors.items():
        is_matrix = name.endswith("weight") and own[name].ndim == 2
        decay = recipe.weight_decay / factor if is_matrix else 0.0
        rates[name] = recipe.lr * factor, decay
    names = {id(parameter): name for name, parameter in own.items()}
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, parameter in named:
        name = names.get(id(parameter), name)
        lr, decay = rates.get(name, (PLAIN_LR, 0.0))
        group = {"params": [], "lr": lr, _LARGEST: lr}
        if weight_decay is None:
            group |= {"weight_decay": decay, _DECAY: decay}
        else:
            group["weight_decay"] = weight_decay
        groups.setdefault((lr, decay), group)["params"].append(parameter)
    return list(groups.values())


class Course:
    """The rates of the steps of one fit: a rise, then half a cosine.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        With groups made by `parameter_groups`.
    n_epochs : int
    n_rows : int or None
        Number of all training rows; None if these are only some of them, so that
        weights do not decay.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, n_epochs: int, n_rows: int | None
    ) -> None:
        self.optimizer, self.n_epochs = optimizer, n_epochs
        self.epoch, self.step, self.n_steps = -1, 0, 1
        share = 0.0 if n_rows is None else share_of_decay(n_rows)
        for group in optimizer.param_groups:
            if _DECAY in group:
                group["weight_decay"] = share * group[_DECAY]

    def begin_epoch(self, batches: Any) -> None:
        """Begin an epoch; the rate is constant in one of unknown length."""
        self.epoch, self.step = self.epoch + 1, 0
        try:
            self.n_steps = max(1, len(batches))
        except TypeError:
            self.n_steps = 1

    def begin_step(self) -> None:
        """Set the rates of the next step."""
        step = min(self.step, self.n_steps - 1)
        done = (self.epoch + (step + 0.5) / self.n_steps) / self.n_epochs
        set_rates(self.optimizer, min(done, 1.0))
        self.step += 1

    def end(self) -> None:
        """Set the largest rates, with which the next fit begins."""
        set_rates(self.optimizer, None)


def share_of_decay(n_rows: int, few: int = _FEW_ROWS) -> float:
    """Get the weight decay for a number of rows, relative to that for a few.

    Examples
    --------
    >>> from skal.nets.rates import share_of_decay
    >>> [share_of_decay(n) for n in (20, 400, 1600)]
    [1.0, 1.0, 0.25]
    """
    return few / max(few, n_rows)


def set_rates(optimizer: torch.optim.Optimizer, progress: float | None) -> None:
    """Set the learning rates of groups made by `parameter_groups`.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Other groups are left as they are.
    progress : float or None
        Share of the fit that is done; None sets the largest rates.
    """
    factor = 1.0 if progress is None else warm_cosine(progress)
    for group in optimizer.param_groups:
        if _LARGEST in group:
            group["lr"] = factor * group[_LARGEST]


def warm_cosine(progress: float) -> float:
    """Get a learning rate, relative to the largest: a rise, then half a cosine.

    Examples
    --------
    >>> from skal.nets.rates import warm_cosine
    >>> [round(warm_cosine(t), 3) for t in (0.05, 0.1, 0.55, 1.0)]
    [0.5, 1.0, 0.5, 0.0]
    """
    if progress < _WARMUP:
        return progress / _WARMUP
    return (1 + cos(pi * (progress - _WARMUP) / (1 - _WARMUP))) / 2
