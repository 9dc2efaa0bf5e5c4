"""Adversarial training: mini-batches, losses of the discriminator, and its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "Batches",
    "DivergedError",
    "History",
    "auc",
    "discrimination_loss",
    "hiding_loss",
    "train",
]

#: Results of each epoch: losses by name, and the ``"auc"`` of the discriminator.
History = list[dict[str, float]]
#: The least increase of the area under the curve that counts as progress.
_MIN_INCREASE = 0.005


class Batches:
    """Pairs of mini-batches of labeled and unlabeled rows.

    Unlabeled rows are permuted in each epoch; labeled rows are drawn with replacement.

    Parameters
    ----------
    n_labeled, n_unlabeled : int
    size : int
        Number of rows in a mini-batch of either.  The last one of an epoch may have
        fewer unlabeled rows, or one more.
    epoch_size : int
        Maximum number of unlabeled rows in an epoch; they are drawn anew for each.
    rng : torch.Generator
        On the CPU.

    Examples
    --------
    >>> import torch
    >>> from skal.adversarial import Batches
    >>> batches = Batches(3, 10, 4, 8, torch.Generator().manual_seed(0))
    >>> [(len(known), len(unknown)) for known, unknown in batches.epoch()]
    [(4, 4), (4, 4)]
    """

    def __init__(
        self,
        n_labeled: int,
        n_unlabeled: int,
        size: int,
        epoch_size: int,
        rng: torch.Generator,
    ) -> None:
        self._n_labeled, self._n_unlabeled = n_labeled, n_unlabeled
        self._size, self._epoch_size, self._rng = size, epoch_size, rng

    def epoch(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield positions of labeled and of unlabeled rows, on the CPU."""
        order = torch.randperm(self._n_unlabeled, generator=self._rng)
        parts = list(order[: self._epoch_size].split(self._size))
        if len(parts) > 1 and len(parts[-1]) == 1:  # batch norm cannot train on it
            parts[-2:] = [torch.cat(parts[-2:])]
        for chosen in parts:
            yield self.labeled(), chosen

    def labeled(self) -> Tensor:
        """Draw positions of labeled rows, with replacement since they are few."""
        return torch.randint(self._n_labeled, (self._size,), generator=self._rng)


def hiding_loss(net: nn.Module, labeled: Tensor, unlabeled: Tensor) -> Tensor:
    """Cross-entropy of a discriminator if all features counted as labeled."""
    loss: Tensor = F.softplus(-net(labeled)).mean() + F.softplus(-net(unlabeled)).mean()
    return loss


def discrimination_loss(net: nn.Module, labeled: Tensor, unlabeled: Tensor) -> Tensor:
    """Cross-entropy of a discriminator of labeled and unlabeled features."""
    loss: Tensor = F.softplus(-net(labeled)).mean() + F.softplus(net(unlabeled)).mean()
    return loss


def auc(labeled: Tensor, unlabeled: Tensor) -> float:
    """Probability that a labeled row has the higher score; ties count half.

    NaN if any score is NaN.

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
        return float("nan")  # sorting gives NaN a rank, but it means nothing
    ordered = unlabeled.sort().values
    below = torch.searchsorted(ordered, labeled)
    up_to = torch.searchsorted(ordered, labeled, right=True)
    return float((below + up_to).double().mean() / (2 * len(unlabeled)))


class DivergedError(ValueError):
    """A loss of the training is not finite."""


def train(
    epoch: Callable[[], dict[str, float]], counter: Iterable[int], patience: int
) -> History:
    """Train until the ``"auc"`` of the epochs stops increasing.

    Parameters
    ----------
    epoch : callable
        Trains for an epoch, and returns losses and ``"auc"``.
    counter : iterable of int
        Its length is the maximum number of epochs; it may be a progress bar.
    patience : int
        Number of epochs without an increase after which training stops.

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
                    "The learner is unchanged."
                )
        if history[-1]["auc"] > best + _MIN_INCREASE:
            best, since = history[-1]["auc"], 0
        else:
            since += 1
        if since >= patience:
            break
    return history
