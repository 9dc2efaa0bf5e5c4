"""Base class of strategies that train networks against a discriminator."""

from __future__ import annotations

from collections.abc import Callable

import torch
from tqdm.auto import tqdm

from skal.adversarial import Batches, History, train
from skal.nets.validation import check_device
from skal.strategies.base import ScoreStrategy
from skal.validation import check_int, check_not_negative, check_positive

__all__ = ["AdversarialStrategy"]


class AdversarialStrategy(ScoreStrategy):
    """Base class of strategies that train networks in each query; sets ``history_``."""

    adversary_weight: float
    max_epochs: int
    batch_size: int
    epoch_size: int
    patience: int
    lr: float
    device: str | None
    verbose: int

    def _check_training(self) -> None:
        for name in ("max_epochs", "batch_size", "epoch_size", "patience"):
            check_int(name, getattr(self, name))
        if self.device is not None:
            check_device(self.device)
        check_positive("lr", self.lr)
        check_not_negative("adversary_weight", self.adversary_weight)

    def _train(
        self,
        epoch: Callable[[Batches], dict[str, float]],
        n_labeled: int,
        n_unlabeled: int,
        rng: torch.Generator,
    ) -> History:
        """Train for some epochs; return the losses of each epoch."""
        batches = Batches(n_labeled, n_unlabeled, self.batch_size, self.epoch_size, rng)
        name = type(self).__name__
        counter = tqdm(range(self.max_epochs), name, disable=not self.verbose)
        return train(lambda: epoch(batches), counter, self.patience)
