"""Configurations of the labels of some rows, and what each says about the models."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["GRID", "LabelConfigurations"]

#: Samples whose posteriors agree to this are evaluated as one.
GRID = 2.0**-20


class LabelConfigurations:
    """Configurations of the labels of the picks: all of them, or samples of many.

    Parameters
    ----------
    n_models : int
        K, equally probable before the first pick.
    n_configurations : int
        Most configurations to keep; beyond that, as many are sampled.
    rng : torch.Generator
        On the CPU.
    like : Tensor
        Of the device and type of the probabilities.

    Attributes
    ----------
    posterior : Tensor of shape (S, K)
        Probabilities of the models given each configuration.
    weight : Tensor of shape (S,)
        Probability of each configuration.
    """

    def __init__(
        self, n_models: int, n_configurations: int, rng: torch.Generator, like: Tensor
    ) -> None:
        self._rng, self._n_configurations = rng, n_configurations
        self._picked: list[Tensor] = []
        self.posterior = like.new_full((1, n_models), 1 / n_models)
        self.weight = like.new_ones(1)
        self._source: Tensor | None = None  # model that each sample was drawn from
        self._samples = self.posterior  # posterior given each sample

    def add(self, probs: Tensor) -> None:
        """Extend the configurations by the label of a row, `probs` of shape (K, C)."""
        self._picked.append(probs)
        if self._source is not None:
            self._sample(probs, self._source)
            self._merge()
        elif len(self.weight) * probs.shape[1] <= self._n_configurations:
            joint = self.posterior[:, None] * probs.T  # (S, C, K)
            shares = joint.sum(dim=2, keepdim=True)
            weight = (self.weight[:, None] * shares[..., 0]).flatten()
            possible = weight > 0
            self.posterior = (joint / shares).flatten(0, 1)[possible]
            self.weight = weight[possible]
        else:
            n_models = len(probs)
            # Every model equally often, which is less noisy than drawing models.
            start = torch.randperm(n_models, generator=self._rng)
            source = start[torch.arange(self._n_configurations) % n_models]
            self._source = source.to(probs.device)
            shape = (self._n_configurations, n_models)
            self._samples = probs.new_full(shape, 1 / n_models)
            for picked in self._picked:
                self._sample(picked, self._source)
            self._merge()

    def _sample(self, probs: Tensor, source: Tensor) -> None:
        """Draw the label of each sample from its model, and update the posteriors."""
        uniform = torch.rand(
            self._n_configurations, 1, generator=self._rng, dtype=probs.dtype
        )
        cumulative = probs.cumsum(dim=1)[source]
        point = uniform.to(probs.device) * cumulative[:, -1:]
        label = torch.searchsorted(cumulative, point, right=True)[:, 0]
        joint = self._samples * probs.T[label]
        self._samples = joint / joint.sum(dim=1, keepdim=True)

    def _merge(self) -> None:
        """Replace samples of nearly the same posterior by one, of their mean."""
        cells = (self._samples / GRID).round_()
        _, cell, count = torch.unique(
            cells, dim=0, return_inverse=True, return_counts=True
        )
        total = self._samples.new_zeros(len(count), self._samples.shape[1])
        total.index_add_(0, cell, self._samples)
        self.posterior = total / count[:, None]
        self.weight = count.to(total) / self._n_configurations
