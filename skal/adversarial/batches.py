"""Mini-batches of labeled and unlabeled rows, side by side."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["Batches"]


class Batches:
    """Pairs of mini-batches by slicing: unlabeled rows in order, labeled drawn.

    Parameters
    ----------
    n_labeled, n_unlabeled : int
    size : int
        Rows of a mini-batch of either; the last of an epoch may have fewer unlabeled,
        or one more.
    most : int
        Unlabeled rows of an epoch; of more so many are drawn anew each epoch.
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
        most: int,
        rng: torch.Generator,
    ) -> None:
        self._n_labeled, self._n_unlabeled = n_labeled, n_unlabeled
        self._size, self._most, self._rng = size, most, rng

    def epoch(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield positions of labeled and of unlabeled rows, on the CPU."""
        unlabeled = self._permutation(self._n_unlabeled)[: self._most]
        parts = list(unlabeled.split(self._size))
        if len(parts) > 1 and len(parts[-1]) == 1:  # batch norm cannot train on it
            parts[-2:] = [torch.cat(parts[-2:])]
        for chosen in parts:
            yield self.labeled(), chosen

    def labeled(self) -> Tensor:
        """Draw positions of labeled rows: with repetition, as they are few."""
        return torch.randint(self._n_labeled, (self._size,), generator=self._rng)

    def _permutation(self, n: int) -> Tensor:
        return torch.randperm(n, generator=self._rng)
