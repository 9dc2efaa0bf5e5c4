"""Epochs until the discriminator has learned what it can."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

__all__ = ["DivergedError", "History", "auc", "train"]

#: What each epoch gave: losses by name, and the discriminator's ``"auc"``.
History = list[dict[str, float]]
#: An area under the curve that grows by less has not grown.
_STEP = 0.005


class DivergedError(ValueError):
    """A loss of the training is not finite."""


def auc(labeled: Tensor, unlabeled: Tensor) -> float:
    """Probability that a labeled row has the higher score; ties count half.

    NaN if a score is.

    Parameters
    ----------
    labeled, unlabeled : Tensor of shape (n,) and (m,)

    Examples
    --------
    >>> import torch
    >>> from skal.adversarial.training import auc
    >>> auc(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 1.0]))
    0.875
    """
    if bool(labeled.isnan().any()) or bool(unlabeled.isnan().any()):
        return float("nan")  # NaN has a place in the order, but means nothing
    ordered = unlabeled.sort().values
    below = torch.searchsorted(ordered, labeled)
    up_to = torch.searchsorted(ordered, labeled, right=True)
    return float((below + up_to).double().mean() / (2 * len(unlabeled)))


def train(
    epoch: Callable[[], dict[str, float]], counter: Iterable[int], patience: int
) -> History:
    """Play epochs until the ``"auc"`` that they give has stopped to grow.

    Parameters
    ----------
    epoch : callable
        Trains for an epoch; gives losses and ``"auc"``.
    counter : iterable of int
        As many epochs at most; a progress bar has its place here.
    patience : int
        Epochs without growth after which it ends.

    Raises
    ------
    DivergedError
        If a loss is not finite.
    """
    history: History = []
    best, since = -1.0, 0
    for k in counter:
        history.append(epoch())
        for name, value in history[-1].items():
            if not abs(value) < float("inf"):
                raise DivergedError(
                    f"The adversarial training diverged: {name} is {value} in epoch "
                    f"{k + 1}. Lower lr, or look for extreme values among the inputs. "
                    "The learner is as it was."
                )
        if history[-1]["auc"] > best + _STEP:
            best, since = history[-1]["auc"], 0
        else:
            since += 1
        if since >= patience:
            break
    return history
