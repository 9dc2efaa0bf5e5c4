"""A skorch net that checks its inputs and reads arrays by slicing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from skorch.dataset import Dataset, unpack_data
from skorch.utils import is_dataset, to_device
from torch.utils.data import DataLoader, IterableDataset

from skal.nets.batching import ArrayDataset
from skal.nets.iterators import (
    STABLE_ROWS,
    iterate,
    refuse_shuffling,
    refuse_weights,
)
from skal.nets.seeded import SeededNet
from skal.nets.validation import check_inputs
from skal.rng import preserve_global_rng

__all__ = ["BatchedNet"]


class BatchedNet(SeededNet):
    """From X to outputs: datasets, iterators, forward passes."""

    def _make_dataset(self, X: Any, y: Any = None) -> Any:
        if self.dataset is Dataset and not self.get_params_for("dataset"):
            return ArrayDataset(X, y)
        return super().get_dataset(X, y)

    def get_dataset(self, X: Any, y: Any = None) -> Any:
        """Check X and make it a Dataset, unless it is one.

        Parameters
        ----------
        X : as in `fit`
        y : optional

        Returns
        -------
        dataset : torch.utils.data.Dataset
        """
        given, dataset = self.__dict__.get("_ready", (None, None))
        if dataset is not None and X is given:
            return dataset
        if is_dataset(X):
            return X
        return self._make_dataset(check_inputs(self, X, reset=False), y)

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Batches of a dataset: sliced where it holds arrays, else of a DataLoader.

        Parameters
        ----------
        dataset : torch.utils.data.Dataset
        training : bool, default=False
            Training batches are shuffled unless ``iterator_train__shuffle=False``.

        Returns
        -------
        iterator : iterable of (X, y)

        Raises
        ------
        ValueError
            If the iterator of validation and prediction shuffles.
        """
        prefix = "iterator_train" if training else "iterator_valid"
        options = self.get_params_for(prefix)
        if (
            getattr(self, prefix) is not DataLoader
            or isinstance(dataset, IterableDataset)
            or options.keys() & {"sampler", "batch_sampler"}
        ):
            refuse_weights(dataset)
            iterator = super().get_iterator(dataset, training=training)
        else:
            iterator = iterate(dataset, self.batch_size, training, options)
        return iterator if training else refuse_shuffling(iterator)

    def forward_iter(
        self, X: Any, training: bool = False, device: str = "cpu"
    ) -> Iterator[Any]:
        """Raw outputs of the module, batch by batch, in the order of the rows.

        Parameters
        ----------
        X : as in `fit`
        training : bool, default=False
            Run the module in training mode, with gradients; rows keep their order.
        device : str, default="cpu"
            Where the outputs are put.

        Yields
        ------
        outputs : Tensor of shape (rows in the batch, n_outputs)
        """
        for batch in self.get_iterator(self.get_dataset(X)):
            yield to_device(self.evaluation_step(batch, training=training), device)

    def evaluation_step(self, batch: Any, training: bool = False) -> Any:
        """Raw outputs of a batch.

        Parameters
        ----------
        batch : (X, y)
        training : bool, default=False
            Run the module in training mode, with gradients.

        Returns
        -------
        outputs : Tensor of shape (b, n_outputs), or tuple of tensors
        """
        X, y = unpack_data(batch)
        table = isinstance(X, torch.Tensor) and X.ndim == 2
        if training or not table or len(X) >= STABLE_ROWS:
            return super().evaluation_step(batch, training=training)
        outputs = super().evaluation_step((X[torch.arange(STABLE_ROWS) % len(X)], y))
        if isinstance(outputs, tuple):
            return tuple(part[: len(X)] for part in outputs)
        return outputs[: len(X)]

    def _outputs(self, X: Any) -> torch.Tensor:
        """Give the outputs of all rows, on the CPU; the first of several."""
        self.check_is_fitted()
        with preserve_global_rng():
            batches = list(self.forward_iter(X))
        return torch.cat([out[0] if isinstance(out, tuple) else out for out in batches])
