"""Whether a net has learned anything, by the history of its training."""

from __future__ import annotations

import warnings
from math import isfinite
from typing import Any

from skal.exceptions import TrainingWarning

__all__ = ["warn_if_unread", "warn_if_untrained", "warn_of_new_weights"]

#: Adam moves a weight by about `lr` in a step. The initial weights of a layer of 128
#: inputs spread over +-.09, so 30 steps at the usual .001 change them by a third.
_MIN_STEPS = 30

#: Losses of single epochs are noisy: fewer than this many may not fall by chance, as
#: when a pretrained net is tuned for two or three epochs.
_MIN_EPOCHS = 5


def warn_if_untrained(net: Any) -> None:
    """Warn if the training of a net was too short, or its loss is nan or never fell.

    Parameters
    ----------
    net : skorch.NeuralNet
        After a fit. With a warm start, its history has earlier fits, too.
    """
    recorded = {"train_loss", "train_batch_count"}  # unless a subclass does not
    epochs = [epoch for epoch in net.history or [] if recorded <= epoch.keys()]
    if not epochs:
        return
    kind, losses = type(net).__name__, [epoch["train_loss"] for epoch in epochs]
    if not isfinite(losses[-1]):
        problem = (
            f"Training failed: the loss of {kind} is {losses[-1]} after "
            f"{len(epochs)} epochs. Scale X and y (StandardScaler, "
            "TransformedTargetRegressor), or lower lr. With NLLLoss or BCELoss, the "
            "module must return probabilities, not logits."
        )
    elif _never_fell(net, losses):
        problem = (
            f"Training failed: the loss of {kind} was {losses[0]:.3g} in its "
            f"first epoch, and never below that in the other {len(epochs) - 1}. Scale "
            "X and y (StandardScaler, TransformedTargetRegressor), or change lr."
        )
    elif _n_steps(net, epochs) < _MIN_STEPS and _ran_to_its_end(net, len(epochs)):
        problem = _too_few_steps(net, epochs)
    else:
        return
    warnings.warn(problem, TrainingWarning, stacklevel=3)


def warn_if_unread(net: Any, names: list[str]) -> None:
    """Warn that weights of rows or classes do not change the training of a net.

    Parameters
    ----------
    net : BaseNet
        Of a class that computes the loss, or reads batches, in another way.
    names : list of str
        Of the parameters that were given.
    """
    warnings.warn(
        f"{' and '.join(names)} {'has' if len(names) == 1 else 'have'} no effect on "
        f"the training of {type(net).__name__}: its get_loss, train_step_single or "
        "iterator does not use the weights. Let get_loss call "
        "super().get_loss, which does, or leave the weights out.",
        UserWarning,
        stacklevel=2,
    )


def warn_of_new_weights(net: Any, stacklevel: int) -> None:
    """Warn that the module of a trained net was built anew by `set_params`.

    Parameters
    ----------
    net : skorch.NeuralNet
    stacklevel : int
        As in `warnings.warn`, called by the caller.
    """
    warnings.warn(
        f"The module of {type(net).__name__} is rebuilt with new weights: "
        "what it had learned is lost, and predictions and queries mean nothing "
        "before the next fit. Set parameters of the module of an unfitted "
        "clone, or fit (a learner: teach) before anything else.",
        UserWarning,
        stacklevel=stacklevel + 1,
    )


def _never_fell(net: Any, losses: list[float]) -> bool:
    might_fall = losses[0] != 0 and net.lr != 0  # as an lr of 0 is meant
    return might_fall and len(losses) >= _MIN_EPOCHS and min(losses[1:]) >= losses[0]


def _ran_to_its_end(net: Any, n_epochs: int) -> bool:
    """Whether no callback ended training; ``max_epochs="auto"`` is long enough."""
    return not isinstance(net.max_epochs, str) and n_epochs >= net.max_epochs


def _n_steps(net: Any, epochs: list[Any]) -> int:
    batches = sum(epoch["train_batch_count"] for epoch in epochs)
    # LBFGS evaluates the loss several times in a step.
    groups = getattr(vars(net).get("optimizer_"), "param_groups", [])
    return int(batches * max((g.get("max_iter", 1) for g in groups), default=1))


def _too_few_steps(net: Any, epochs: list[Any]) -> str:
    batches = epochs[-1]["batches"]  # of training and of validation rows
    n_rows = sum(batch.get("train_batch_size", 0) for batch in batches)
    remedy = "Raise max_epochs"
    if net.batch_size == -1 or net.batch_size >= n_rows:
        remedy += (
            f", or lower batch_size: the {n_rows} rows are a single batch of "
            f"batch_size={net.batch_size}, so an epoch is a single step"
        )
    return (
        f"Too little training: {type(net).__name__} has made {_n_steps(net, epochs)} "
        f"steps of its optimizer in {len(epochs)} epochs, and is close to its initial "
        f"weights. Picks based on such a net are not meaningful. {remedy}."
    )
