"""What NetClassifier and NetRegressor share."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from skorch.utils import is_dataset
from torch.utils.data import Subset

from skal.nets.batched import BatchedNet
from skal.nets.batching import ArrayDataset, TargetDataset
from skal.nets.bayesian import bayesian_layers, kl_divergence
from skal.nets.modules import row_size
from skal.nets.validation import check_inputs, check_weights
from skal.rng import preserve_global_rng

if TYPE_CHECKING:
    from sklearn.utils import Tags
    from typing_extensions import Self

__all__ = ["BaseNet"]


class BaseNet(BatchedNet):
    """Training: checks that come before any change, seeds, sizes, weights of rows.

    Comes before one of skorch's nets among the bases of a class, which provides
    ``_check_target`` and ``_n_outputs``.
    """

    def fit(
        self, X: Any, y: Any = None, sample_weight: Any = None, **fit_params: Any
    ) -> Self:
        """Train anew, or go on training if ``warm_start=True``.

        Parameters
        ----------
        X : array-like, sparse matrix, DataFrame, Tensor, dict, tuple or Dataset
            m rows. Arrays are cast to float32, also those of integers; in a dict or a
            tuple of several inputs, integers stay integers.
        y : array-like of shape (m,) or (m, n_targets), optional
            May be left out where X is a Dataset that has it.
        sample_weight : array-like of shape (m,), optional
            The loss of a batch is the weighted mean over its rows.
        **fit_params : dict
            Goes to the module's ``forward`` and to `train_split`, as in skorch.

        Returns
        -------
        net : self

        Raises
        ------
        ValueError
            If X, y or sample_weight cannot be used; the net is as it was before.
        """
        goes_on = self.warm_start and self.initialized_
        with self._all_or_nothing():
            return self._train(X, y, None, sample_weight, fit_params, goes_on)

    def _train(
        self,
        X: Any,
        y: Any,
        classes: Any,
        sample_weight: Any,
        fit_params: dict[str, Any],
        goes_on: bool,
    ) -> Self:
        sized = goes_on and "module_sizes_" in self.__dict__
        checked = check_inputs(self, X, reset=not sized)
        target = self._check_target(checked, y, classes, first=not sized)
        dataset = self._training_set(checked, target, sample_weight)
        if not sized:
            self.module_sizes_ = {**row_size(checked), "n_outputs": self._n_outputs()}
        if not goes_on:
            self.__dict__.pop("seed_", None)
            self.history_ = copy(self.history_)  # skorch clears it in place
            self.initialize()
        self._check_criterion(weighted=sample_weight is not None)
        self._run(X, dataset, target, fit_params)
        return self

    def _run(
        self, X: Any, dataset: Any, target: np.ndarray, fit_params: dict[str, Any]
    ) -> None:
        if isinstance(dataset, Subset):
            target = target[dataset.indices]
        # Callbacks are shown X as the user gave it; get_dataset then gives what has
        # been made of it.
        self._ready = (X, dataset)
        try:
            with preserve_global_rng(self._next_seed()):
                super().partial_fit(X, target, **fit_params)
        finally:
            del self.__dict__["_ready"]

    def _training_set(self, X: Any, target: np.ndarray, sample_weight: Any) -> Any:
        if sample_weight is None:
            if is_dataset(X):
                return TargetDataset(X, target)
            return self._make_dataset(X, target)
        weight = check_weights(sample_weight, target)
        dataset = None if is_dataset(X) else self._make_dataset(X, target)
        if not isinstance(dataset, ArrayDataset):
            raise ValueError(
                "sample_weight needs X as arrays and skorch's default dataset; give "
                "the criterion weights of its own otherwise."
            )
        dataset.sample_weight = weight
        # Rows of no weight are as good as not there, also for the number of batches.
        if weight.all():
            return dataset
        return Subset(dataset, np.flatnonzero(weight).tolist())

    def _check_criterion(self, weighted: bool) -> None:
        if weighted and not hasattr(self.criterion_, "reduction"):
            raise ValueError(
                "Weights need a criterion with a `reduction` parameter, as torch's "
                f"have; {type(self.criterion_).__name__} has none."
            )

    def on_epoch_begin(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kw: Any
    ) -> None:
        """Begin a row of `history_`, as skorch does, and count the training rows."""
        super().on_epoch_begin(net, dataset_train, dataset_valid, **kw)
        self._n_training_rows = len(dataset_train)

    def _with_prior(
        self, loss: torch.Tensor, n_rows: int, training: bool
    ) -> torch.Tensor:
        """Add a batch's share of the divergence from the prior, if the net has one."""
        if not training or not bayesian_layers(self.module_):
            return loss
        # 1 / number of batches, over the rows of the batch where the loss is a mean.
        summed = getattr(self.criterion_, "reduction", "mean") == "sum"
        share = (n_rows if summed else 1) / vars(self).get("_n_training_rows", n_rows)
        return loss + share * kl_divergence(self.module_)

    def check_data(self, X: Any, y: Any = None) -> None:
        """Do nothing: X and y have been checked before."""

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
