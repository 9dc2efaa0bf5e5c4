"""Modules: perceptrons for rows of any kind, and building one of the right size."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from skorch.utils import is_dataset
from torch import Tensor, nn

from skal.validation import check_sizes

__all__ = [
    "DROPOUTS",
    "MLP",
    "ColumnScale",
    "PeriodicEmbedding",
    "TabularMLP",
    "copy_inputs",
    "make_module",
    "row_size",
]

#: Standard deviation of silu(z) for z ~ N(0, 1) is about 1 / 1.7: weights behind it are
#: larger by this factor, so that all layers pass on values of unit variance.
_GAIN = 1.6
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
        check_sizes("hidden_sizes", hidden_sizes)
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


class ColumnScale(nn.Module):
    """Multiplies each column by a weight, which is learned.

    Parameters
    ----------
    n_features : int

    Examples
    --------
    >>> import torch
    >>> from skal.nets.modules import ColumnScale
    >>> ColumnScale(2)(torch.tensor([[1.0, 2.0]])).tolist()
    [[1.0, 2.0]]
    """

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n_features))

    def forward(self, X: Tensor) -> Tensor:
        """Scale rows of shape (m, n_features)."""
        return self.run(X, {"weight": self.weight})

    def run(self, X: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Scale rows (..., m, n_features) by weights (..., n_features)."""
        return X * parameters["weight"][..., None, :]


class PeriodicEmbedding(nn.Module):
    r"""Puts learned periodic functions of single columns beside the columns.

    Column x becomes x and :math:`W \cos(2 \pi f x + p) + b`, with frequencies f,
    phases p, a matrix W and a vector b that are learned for each column.

    Parameters
    ----------
    n_features : int
    columns : sequence of int, optional
        The columns to embed; all by default. Periodic functions of a column of two
        values add nothing.
    n_frequencies : int, default=8
    n_values : int, default=3
        Values added for each column.
    spread : float, default=0.3
        Standard deviation of the initial frequencies, in periods for each unit of x.

    References
    ----------
    Gorishniy, Rubachev and Babenko, "On embeddings for numerical features in tabular
    deep learning", NeurIPS 2022. https://arxiv.org/abs/2203.05556

    Holzmüller, Grinsztajn and Steinwart, "Better by default: strong pre-tuned MLPs and
    boosted trees on tabular data", NeurIPS 2024. https://arxiv.org/abs/2407.04491

    Examples
    --------
    >>> import torch
    >>> from skal.nets.modules import PeriodicEmbedding
    >>> PeriodicEmbedding(4, columns=[0, 2])(torch.zeros(5, 4)).shape
    torch.Size([5, 10])
    """

    columns: Tensor

    def __init__(
        self,
        n_features: int,
        columns: Sequence[int] | None = None,
        n_frequencies: int = 8,
        n_values: int = 3,
        spread: float = 0.3,
    ) -> None:
        super().__init__()
        chosen = torch.arange(n_features) if columns is None else torch.tensor(columns)
        self.register_buffer("columns", chosen.long(), persistent=False)
        q = len(chosen)
        self.frequency = nn.Parameter(torch.randn(q, n_frequencies) * spread)
        self.phase = nn.Parameter((2 * torch.rand(q, n_frequencies) - 1) * math.pi)
        weight = torch.randn(q, n_frequencies, n_values) / math.sqrt(n_frequencies)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(q, n_values))
        self.n_outputs = n_features + q * n_values

    def forward(self, X: Tensor) -> Tensor:
        """Embed rows (m, n_features); returns (m, n_features + q * n_values)."""
        return self.run(X, dict(self.named_parameters()))

    def run(self, X: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Embed rows (..., m, n_features) by parameters with the same first axes."""
        values = X[..., self.columns, None]  # (..., m, q, 1)
        frequency = parameters["frequency"][..., None, :, :]
        waves = 2 * math.pi * values * frequency + parameters["phase"][..., None, :, :]
        waves = waves.cos()
        mixed = torch.einsum("...mqf,...qfv->...mqv", waves, parameters["weight"])
        mixed = mixed + parameters["bias"][..., None, :, :]
        return torch.cat((X, mixed.flatten(-2)), dim=-1)


class TabularMLP(MLP):
    """Perceptron for rows of tables, the default module of skal's nets.

    Parameters
    ----------
    n_features : int
        Number of elements in a row, which should have about unit scale. Rows of more
        dimensions are flattened.
    n_outputs : int
        Number of classes (outputs are logits) or targets.
    hidden_sizes : sequence of int, default=(128, 128, 128)
        Width of each hidden layer.
    dropout : float, default=0.1
        Probability of dropping a hidden unit during training.
    activation : callable, default=torch.nn.SiLU
        Called without arguments; returns the module that follows a hidden layer.
    periodic : sequence of int, optional
        Columns that get a `PeriodicEmbedding`; none by default.

    See Also
    --------
    MLP : The same without a scale for each column and embeddings.

    Notes
    -----
    The columns pass a `ColumnScale`, the embedding, and the hidden layers. All layers
    start with values of unit variance, and the head with zero weights.

    Examples
    --------
    >>> import torch
    >>> from skal.nets import TabularMLP
    >>> module = TabularMLP(n_features=4, n_outputs=3, periodic=[0, 1])
    >>> module(torch.zeros(5, 4)).shape
    torch.Size([5, 3])
    """

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        hidden_sizes: Sequence[int] = (128, 128, 128),
        dropout: float = 0.1,
        activation: Callable[[], nn.Module] = nn.SiLU,
        periodic: Sequence[int] | None = None,
    ) -> None:
        first: list[nn.Module] = [ColumnScale(n_features)]
        width = n_features
        if periodic is not None and len(periodic):
            embedding = PeriodicEmbedding(n_features, periodic)
            first, width = [*first, embedding], embedding.n_outputs
        super().__init__(width, n_outputs, hidden_sizes, dropout, activation)
        self.body = nn.Sequential(*first, *self.body)
        for layer in self._linear():
            nn.init.normal_(layer.weight, std=self._spread(layer))
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.head.weight)

    def _linear(self) -> list[nn.Linear]:
        found = [layer for layer in self.body if isinstance(layer, nn.Linear)]
        return [*found, self.head]

    def _spread(self, layer: nn.Linear) -> float:
        """Compute the standard deviation of the initial weights of a layer."""
        gain = 1.0 if layer is self._linear()[0] else _GAIN
        return gain / math.sqrt(layer.in_features)

    def lr_factors(self) -> dict[str, float]:
        """Get the learning rate of each parameter, as a multiple of the net's.

        Returns
        -------
        factors : dict of str to float
            By the names of the parameters. Adam moves all weights by about the learning
            rate, so it is proportional to the spread of the initial weights; columns
            are scaled by larger steps, biases and embeddings move by smaller ones.

        Examples
        --------
        >>> from skal.nets import TabularMLP
        >>> TabularMLP(4, 1).lr_factors()["body.1.weight"]
        0.5
        """
        factors = dict.fromkeys(dict(self.named_parameters()), 0.1)
        for name, part in self.named_modules():
            if isinstance(part, nn.Linear):
                factors[f"{name}.weight"] = self._spread(part)
            elif isinstance(part, ColumnScale):
                factors[f"{name}.weight"] = 6.0
        return factors


# -- building and calling modules -----------------------------------------------------


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
    return {} if shape is None else {"n_features": math.prod(shape)}


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


def copy_inputs(X: Any, module: nn.Module) -> Any:
    """Copy the inputs of a module, which may write into them.

    Floating-point numbers are cast to the type of the parameters.

    Parameters
    ----------
    X : Tensor, or dict or tuple of tensors
        Integers stay integers.
    module : torch.nn.Module
    """
    if isinstance(X, Mapping):
        return {name: copy_inputs(part, module) for name, part in X.items()}
    if type(X) in (tuple, list):  # not a PackedSequence, which is a tuple, too
        return type(X)(copy_inputs(part, module) for part in X)
    if not isinstance(X, torch.Tensor):
        return X
    kinds = [p.dtype for p in module.parameters() if p.is_floating_point()]
    casts = X.is_floating_point() and kinds and X.dtype not in kinds
    return X.to(kinds[0]) if casts else X.clone()
