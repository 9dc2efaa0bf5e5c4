"""Modules: a plain perceptron, and building a module of the right size."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from math import prod
from typing import Any

import numpy as np
import torch
from skorch.utils import is_dataset
from torch import nn

__all__ = ["DROPOUTS", "MLP", "cast_inputs", "make_module", "row_size"]

DROPOUTS = (
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d),
    *(nn.AlphaDropout, nn.FeatureAlphaDropout),
)


class MLP(nn.Module):
    """Multi-layer perceptron.

    Parameters
    ----------
    n_features : int
        Number of elements in a row. Rows of more dimensions are flattened.
    n_outputs : int
        Number of classes (outputs are logits) or targets.
    hidden_sizes : sequence of int, default=(128, 128)
        Width of each hidden layer; an empty sequence gives a linear model.
    dropout : float, default=0.0
        Probability of dropping a hidden unit during training.
    activation : callable, default=torch.nn.ReLU
        Called without arguments; returns the module that follows a hidden layer.

    Examples
    --------
    >>> import torch
    >>> from skal.nets import MLP
    >>> MLP(n_features=4, n_outputs=3, hidden_sizes=(8,))(torch.zeros(5, 4)).shape
    torch.Size([5, 3])
    """

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        hidden_sizes: Sequence[int] = (128, 128),
        dropout: float = 0.0,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = n_features
        for size in hidden_sizes:
            layers += [nn.Linear(width, size), activation()]
            if dropout > 0:
                layers.append(nn.Dropout(dropout))
            width = size
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(width, n_outputs)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Compute raw outputs of shape (m, n_outputs) of rows (m, ...)."""
        outputs: torch.Tensor = self.head(self.body(X.flatten(1)))
        return outputs


def row_size(X: Any) -> dict[str, int]:
    """Get ``{"n_features": number of elements in a row}``; empty if it is unknown.

    Parameters
    ----------
    X : array of shape (m, ...), Dataset, or dict or tuple of several inputs
    """
    if is_dataset(X):
        row = X[0][0]
        shape = None if isinstance(row, (dict, list, tuple)) else np.shape(row)
    else:
        shape = X.shape[1:] if hasattr(X, "shape") else None
    return {} if shape is None else {"n_features": prod(shape)}


def make_module(
    module: Any, options: dict[str, Any], sizes: dict[str, int]
) -> nn.Module:
    """Build a module, with the sizes that its signature asks for.

    Parameters
    ----------
    module : class or other callable, or instance of torch.nn.Module
        An instance is copied or, if there are options, its class is called.
    options : dict
        Arguments set by the user; they take precedence over `sizes`.
    sizes : dict
        ``n_features`` and ``n_outputs``, as far as they are known.

    Returns
    -------
    module : torch.nn.Module

    Raises
    ------
    ValueError
        If a required size is unknown.
    """
    if isinstance(module, nn.Module):
        if not options:
            return deepcopy(module)
        module = type(module)
    asked = inspect.signature(module).parameters
    known = {k: v for k, v in sizes.items() if k in asked and k not in options}
    for name in ("n_features", "n_outputs"):
        needed = name in asked and asked[name].default is inspect.Parameter.empty
        if needed and name not in known and name not in options:
            raise ValueError(
                f"The module requires {name}, which is unknown before fit and cannot "
                "be derived from a dict or tuple of inputs; set "
                f"module__{name}."
            )
    made: nn.Module = module(**known, **options)
    return made


def cast_inputs(X: Any, module: nn.Module) -> Any:
    """Cast floating-point inputs of a module to the type of its parameters.

    Parameters
    ----------
    X : Tensor, or dict or tuple of tensors
        Integers stay integers.
    module : torch.nn.Module
    """
    if isinstance(X, Mapping):
        return {name: cast_inputs(part, module) for name, part in X.items()}
    if type(X) in (tuple, list):  # not a PackedSequence, which is a tuple, too
        return type(X)(cast_inputs(part, module) for part in X)
    if not isinstance(X, torch.Tensor) or not X.is_floating_point():
        return X
    kinds = [p.dtype for p in module.parameters() if p.is_floating_point()]
    return X if not kinds or X.dtype in kinds else X.to(kinds[0])
