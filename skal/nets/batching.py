"""BatchingNet: how a net reads rows, in batches, and computes its outputs for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from skorch.dataset import Dataset, unpack_data
from skorch.utils import is_dataset, to_device
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from skal.nets.bayesian import one_draw
from skal.nets.data import (
    STABLE_ROWS,
    ArrayDataset,
    TargetDataset,
    make_iterator,
    refuse_shuffling,
    refuse_weights,
)
from skal.nets.estimator import EstimatorNet
from skal.nets.held_out import EncodedStream, held_out_arrays, is_taken_from
from skal.nets.modules import cast_inputs
from skal.nets.validation import check_inputs
from skal.rng import preserve_global_rng

__all__ = ["BatchingNet"]


class BatchingNet(EstimatorNet):
    """A skorch net that checks and casts rows, slices arrays, and runs its module.

    A subclass defines `_held_out_target`, which encodes the targets of a validation
    set.
    """

    # -- datasets -----------------------------------------------------------------

    def check_data(self, X: Any, y: Any = None) -> None:
        """Do nothing: `fit` has checked X and y."""

    def get_dataset(self, X: Any, y: Any = None) -> Any:
        """Check X and wrap it in a Dataset, unless it is one.

        Parameters
        ----------
        X : as in `fit`
        y : array-like, optional

        Returns
        -------
        dataset : torch.utils.data.Dataset
        """
        if is_dataset(X):
            return X
        return self._make_dataset(check_inputs(self, X, reset=False), y)

    def _make_dataset(self, X: Any, y: Any = None) -> Any:
        if self.dataset is Dataset and not self.get_params_for("dataset"):
            return ArrayDataset(X, y)
        return super().get_dataset(X, y)

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Get the batches of a dataset: slices of arrays, or those of a DataLoader.

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
            If the iterator for validation and prediction shuffles.
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
            iterator = make_iterator(dataset, self.batch_size, training, options)
        return iterator if training else refuse_shuffling(iterator)

    def get_split_datasets(
        self, X: Any, y: Any = None, **fit_params: Any
    ) -> tuple[Any, Any]:
        """Split into training and validation rows by `train_split`.

        Validation rows that are not taken from the training rows, such as those of
        skorch's ``predefined_split``, are cast and encoded as these are.

        Parameters
        ----------
        X : as in `fit`
        y : array-like of shape (m,), optional
        **fit_params : dict
            Passed to `train_split`.

        Returns
        -------
        training : Dataset
        validation : Dataset or None

        Raises
        ------
        ValueError
            If the validation rows or their targets do not suit the net.
        """
        dataset = X if is_dataset(X) else self.get_dataset(X, y)
        training, held_out = super().get_split_datasets(dataset, y, **fit_params)
        if held_out is None or is_taken_from(held_out, dataset):
            return training, held_out
        try:
            return training, self._held_out_set(held_out)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"In the validation set of train_split: {error}"
            ) from error

    def _held_out_set(self, dataset: Any) -> Any:
        if isinstance(dataset, IterableDataset):
            return EncodedStream(dataset, lambda y: self._held_out_target(y, y))
        arrays = held_out_arrays(dataset)
        if arrays is None:
            return TargetDataset(dataset, self._held_out_target(dataset, None))
        X = check_inputs(self, arrays[0], reset=False)
        return self._make_dataset(X, self._held_out_target(X, arrays[1]))

    def _held_out_target(self, X: Any, y: Any) -> np.ndarray:
        raise NotImplementedError

    # -- forward passes -----------------------------------------------------------

    def infer(self, x: Any, **fit_params: Any) -> Any:
        """Run the module on a batch, cast to the type that the module computes in.

        In training mode, a Bayesian layer has the same weights wherever a pass uses it.

        Parameters
        ----------
        x : Tensor of shape (b, ...), or dict or tuple of tensors
        **fit_params : dict
            As in `fit`.

        Returns
        -------
        outputs : Tensor of shape (b, n_outputs), or tuple of tensors
        """
        with one_draw(self.module_):
            return super().infer(cast_inputs(x, self.module_), **fit_params)

    def forward_iter(
        self, X: Any, training: bool = False, device: str = "cpu"
    ) -> Iterator[Any]:
        """Yield the raw outputs of the module batch by batch, in the order of X.

        Parameters
        ----------
        X : as in `fit`
        training : bool, default=False
            Run the module in training mode, with gradients. Rows keep their order.
        device : str, default="cpu"
            Device to which outputs are moved.

        Yields
        ------
        outputs : Tensor of shape (b, n_outputs)
        """
        for batch in self.get_iterator(self.get_dataset(X)):
            yield to_device(self.evaluation_step(batch, training=training), device)

    def evaluation_step(self, batch: Any, training: bool = False) -> Any:
        """Compute the raw outputs of a batch.

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
        table = isinstance(X, Tensor) and X.ndim == 2
        if training or not table or len(X) >= STABLE_ROWS:
            return super().evaluation_step(batch, training=training)
        outputs = super().evaluation_step((X[torch.arange(STABLE_ROWS) % len(X)], y))
        if isinstance(outputs, tuple):
            return tuple(part[: len(X)] for part in outputs)
        return outputs[: len(X)]

    def _outputs(self, X: Any) -> Tensor:
        """Compute the (first) outputs of all rows, on the CPU."""
        self.check_is_fitted()
        with preserve_global_rng():
            batches = list(self.forward_iter(X))
        outputs = torch.cat(
            [out[0] if isinstance(out, tuple) else out for out in batches]
        )
        # numpy has no bfloat16, and half precision is too coarse for probabilities.
        half = outputs.dtype in (torch.float16, torch.bfloat16)
        return outputs.float() if half else outputs
