"""From a module's raw outputs to probabilities, by what its criterion says of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

__all__ = ["check_proba", "find_nonlinearity", "is_binary"]

Nonlinearity = Callable[[torch.Tensor], torch.Tensor]


def _softmax(outputs: torch.Tensor) -> torch.Tensor:
    return outputs.softmax(1)


def _identity(outputs: torch.Tensor) -> torch.Tensor:
    return outputs


def _two_columns(proba: torch.Tensor) -> torch.Tensor:
    proba = proba.reshape(len(proba))
    return torch.stack([1 - proba, proba], 1)


def _sigmoid_two_columns(logits: torch.Tensor) -> torch.Tensor:
    return _two_columns(logits.sigmoid())


# What the module's outputs are to each criterion; as in skorch, NLLLoss and BCELoss
# are for modules that give probabilities.
KNOWN: dict[type, Nonlinearity] = {
    nn.CrossEntropyLoss: _softmax,
    nn.NLLLoss: _identity,
    nn.BCEWithLogitsLoss: _sigmoid_two_columns,
    nn.BCELoss: _two_columns,
}


def criterion_class(criterion: Any) -> Any:
    """Class of a criterion that is given as a class, an instance or a maker."""
    return criterion if inspect.isclass(criterion) else type(criterion)


def is_binary(criterion: Any) -> bool:
    """Whether the criterion wants one output for two classes.

    Parameters
    ----------
    criterion : class or instance
    """
    return issubclass(criterion_class(criterion), (nn.BCEWithLogitsLoss, nn.BCELoss))


def find_nonlinearity(nonlinearity: Any, criterion: Any) -> Nonlinearity:
    """Find the function that makes outputs probabilities.

    Parameters
    ----------
    nonlinearity : callable, None or "auto"
        None leaves outputs as they are; "auto" goes by the criterion.
    criterion : class or instance

    Returns
    -------
    convert : callable
        From (m, n_outputs) to (m, n_classes).

    Raises
    ------
    ValueError
        If the criterion does not say what outputs are.
    """
    if nonlinearity is None:
        return _identity
    if callable(nonlinearity):
        return nonlinearity
    if nonlinearity != "auto":
        raise ValueError(
            "predict_nonlinearity must be a callable, None or 'auto', got "
            f"{nonlinearity!r}."
        )
    kind = criterion_class(criterion)
    for known, convert in KNOWN.items():
        if issubclass(kind, known):
            return convert
    raise ValueError(
        f"What the module's outputs are is not known from {kind.__name__}: set "
        "predict_nonlinearity to a callable that makes probabilities of them, for "
        "logits functools.partial(torch.softmax, dim=1), or to None if they are "
        "probabilities."
    )


def check_proba(proba: torch.Tensor) -> None:
    """Check that rows are probabilities.

    Parameters
    ----------
    proba : Tensor of shape (m, n_classes)

    Raises
    ------
    ValueError
        If a number is negative or a row does not sum to 1.
    """
    sums = proba.sum(1)
    if (proba < 0).any() or not torch.allclose(sums, torch.ones_like(sums), atol=1e-3):
        raise ValueError(
            "The rows of predict_proba are not probabilities: a number is negative, "
            f"or a sum is not 1 (sums from {sums.min():.3g} to {sums.max():.3g}). "
            "NLLLoss and BCELoss want a module that gives probabilities; one that "
            "gives logits wants CrossEntropyLoss or BCEWithLogitsLoss."
        )
