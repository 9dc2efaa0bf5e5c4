"""Criteria: probabilities from a module's outputs, and losses of single rows."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any

import torch
from torch import Tensor, nn

from skal.exceptions import UnsuitableLearnerError
from skal.shared_copy import unwrapped

__all__ = [
    "check_proba",
    "find_nonlinearity",
    "is_binary",
    "naming_outputs",
    "row_losses",
    "weighted_loss",
]

Nonlinearity = Callable[[Tensor], Tensor]

# -- probabilities --------------------------------------------------------------------


def _softmax(outputs: Tensor) -> Tensor:
    return outputs.softmax(1)


def _identity(outputs: Tensor) -> Tensor:
    return outputs


def _two_columns(proba: Tensor) -> Tensor:
    if proba.numel() != len(proba):
        raise UnsuitableLearnerError(
            f"The net has {proba.numel() // len(proba)} binary outputs, one for each "
            "label, and probabilities of a single output are needed. The strategies "
            "Entropy, LeastConfident and Margin sum over labels; others need a net for "
            "each label."
        )
    proba = proba.reshape(len(proba))
    return torch.stack([1 - proba, proba], 1)


def _sigmoid_two_columns(logits: Tensor) -> Tensor:
    return _two_columns(logits.sigmoid())


# From outputs to probabilities, by criterion. As in skorch, NLLLoss and BCELoss expect
# a module that returns probabilities.
NONLINEARITIES: dict[type, Nonlinearity] = {
    nn.CrossEntropyLoss: _softmax,
    nn.NLLLoss: _identity,
    nn.BCEWithLogitsLoss: _sigmoid_two_columns,
    nn.BCELoss: _two_columns,
}


def _class_of(criterion: Any) -> Any:
    return criterion if inspect.isclass(criterion) else type(unwrapped(criterion))


def is_binary(criterion: Any) -> bool:
    """Whether the criterion takes a single output for two classes.

    Parameters
    ----------
    criterion : class or instance
    """
    return issubclass(_class_of(criterion), (nn.BCEWithLogitsLoss, nn.BCELoss))


def find_nonlinearity(nonlinearity: Any, criterion: Any) -> Nonlinearity:
    """Find the function that maps outputs to probabilities.

    Parameters
    ----------
    nonlinearity : callable, None or "auto"
        None stands for the identity; "auto" chooses by the criterion.
    criterion : class or instance

    Returns
    -------
    nonlinearity : callable
        Maps shape (m, n_outputs) to (m, n_classes).

    Raises
    ------
    ValueError
        If `nonlinearity` is "auto" and the criterion is unknown.
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
    kind = _class_of(criterion)
    for known, convert in NONLINEARITIES.items():
        if issubclass(kind, known):
            return convert
    raise ValueError(
        f"Cannot tell from the criterion {kind.__name__} whether the module returns "
        "logits or probabilities. Set predict_nonlinearity to a callable that returns "
        "probabilities, such as functools.partial(torch.softmax, dim=1) for logits, or "
        "to None if the module returns probabilities."
    )


def check_proba(proba: Tensor) -> None:
    """Check that the rows are probability distributions.

    Parameters
    ----------
    proba : Tensor of shape (m, n_classes)

    Raises
    ------
    ValueError
        If an element is negative or a row does not sum to 1.
    """
    sums = proba.sum(1)
    if (proba < 0).any() or not torch.allclose(sums, torch.ones_like(sums), atol=1e-3):
        raise ValueError(
            "The rows of predict_proba are not probabilities: some are negative or do "
            f"not sum to 1 (sums range from {sums.min():.3g} to {sums.max():.3g}). "
            "NLLLoss and BCELoss require a module that returns probabilities; for a "
            "module that returns logits, use CrossEntropyLoss or BCEWithLogitsLoss."
        )


# -- losses ---------------------------------------------------------------------------


def row_losses(criterion: Any, y_pred: Tensor, y_true: Tensor) -> Tensor:
    """Compute the loss of each row, averaged over targets.

    Parameters
    ----------
    criterion : torch criterion with a ``reduction``
        It is not changed. As in skorch, NLLLoss takes probabilities.
    y_pred : Tensor of shape (b, ...)
    y_true : Tensor of shape (b, ...)
        As the criterion expects it.

    Returns
    -------
    losses : Tensor of shape (b,)

    Examples
    --------
    >>> import torch
    >>> from skal.nets.criteria import row_losses
    >>> row_losses(torch.nn.MSELoss(), torch.zeros(2, 1), torch.tensor([[1.0], [2.0]]))
    tensor([1., 4.])
    """
    # The copy of what torch.compile returns would still change the criterion itself.
    criterion = unwrapped(criterion)
    if isinstance(criterion, nn.NLLLoss):
        y_pred = torch.log(y_pred + torch.finfo(y_pred.dtype).eps)
    unreduced = copy(criterion)
    unreduced.reduction = "none"
    losses: Tensor = unreduced(y_pred, y_true)
    if losses.ndim == 0:
        raise ValueError(
            f"The criterion {type(criterion).__name__} returns one loss for all rows, "
            "though its `reduction` is 'none', so rows cannot have weights. Let it "
            "return a loss for each row then, as torch's criteria do."
        )
    return losses.reshape(len(y_true), -1).mean(1)


@contextmanager
def naming_outputs(outputs: Any, criterion: Any) -> Iterator[None]:
    """Run a block; say what a module returns if a criterion does not take it.

    Parameters
    ----------
    outputs : Tensor, or what else a module returns
    criterion : criterion
    """
    try:
        yield
    except (TypeError, AttributeError) as error:
        if isinstance(outputs, Tensor):
            raise
        raise TypeError(
            f"The module returns a {type(outputs).__name__}, which the criterion "
            f"{type(criterion).__name__} does not take ({error}). Override get_loss, "
            "so that it passes on the part to compare with the targets: "
            "super().get_loss(y_pred[0], y_true, X, training)."
        ) from error


def weighted_loss(
    criterion: Any, y_pred: Tensor, y_true: Tensor, weight: Tensor
) -> Tensor:
    """Compute the weighted mean of the row losses, or their sum if the criterion sums.

    Parameters
    ----------
    criterion : torch criterion with a ``reduction``
    y_pred : Tensor of shape (b, ...)
    y_true : Tensor of shape (b, ...)
        As the criterion expects it.
    weight : Tensor of shape (b,)
        Nonnegative.

    Returns
    -------
    loss : Tensor of shape ()

    Examples
    --------
    >>> import torch
    >>> from skal.nets.criteria import weighted_loss
    >>> y_pred, y_true = torch.zeros(2, 1), torch.tensor([[1.0], [2.0]])
    >>> weighted_loss(torch.nn.MSELoss(), y_pred, y_true, torch.tensor([3.0, 1.0]))
    tensor(1.7500)
    """
    total = (weight * row_losses(criterion, y_pred, y_true)).sum()
    if criterion.reduction == "sum":
        return total * (y_true.numel() / len(y_true))  # a sum over targets, too
    return total / weight.sum().clamp_min(torch.finfo(weight.dtype).tiny)
