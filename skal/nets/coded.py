"""A classifier that trains on the places of labels among its classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.utils.multiclass import check_classification_targets
from skorch import NeuralNetClassifier
from torch import nn

from skal.nets.base import BaseNet
from skal.nets.labels import check_classes, class_weights, encode
from skal.nets.losses import row_losses, weighted_loss
from skal.nets.probabilities import find_nonlinearity, is_binary
from skal.nets.validation import check_labels

__all__ = ["CodedNet"]


class CodedNet(BaseNet, NeuralNetClassifier):
    """Labels, their codes, and what criterion and weights make of these."""

    @property
    def classes_(self) -> np.ndarray:
        """Classes in the order of the columns, sorted."""
        if "classes_inferred_" in vars(self):
            return self.classes_inferred_
        if self.classes is not None:
            return np.unique(np.asarray(self.classes))
        raise AttributeError("classes_ is known after fit, or from classes=.")

    def outputs_to_proba(self, outputs: torch.Tensor) -> torch.Tensor:
        """Turn raw outputs of the module into probabilities, by criterion.

        Parameters
        ----------
        outputs : Tensor of shape (m, n_outputs)

        Returns
        -------
        proba : Tensor of shape (m, n_classes)
        """
        return self._nonlinearity()(outputs)

    def get_loss(
        self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False
    ) -> torch.Tensor:
        """Loss of a batch.

        Parameters
        ----------
        y_pred : Tensor of shape (b, n_outputs)
        y_true : Tensor of shape (b,)
            Places among the classes.
        X : optional
        training : bool, default=False

        Returns
        -------
        loss : Tensor, a scalar
        """
        weight = self._row_weights(y_true)
        if isinstance(y_pred, torch.Tensor):
            y_pred, y_true = self._match(y_pred, y_true.to(y_pred.device))
        if weight is None:
            loss: torch.Tensor = super().get_loss(y_pred, y_true, X, training)
            return self._with_prior(loss, len(y_true), training)
        y_pred, weight = self._logarithmic(y_pred), weight.to(y_pred.device)
        loss = weighted_loss(self.criterion_, y_pred, y_true, weight)
        return self._with_prior(loss, len(y_true), training)

    def row_losses(self, y_pred: torch.Tensor, y_true: torch.Tensor) -> torch.Tensor:
        """Loss of each row of a batch, without weights of rows or classes.

        Parameters
        ----------
        y_pred : Tensor of shape (b, n_outputs)
        y_true : Tensor of shape (b,)
            Places among the classes.

        Returns
        -------
        losses : Tensor of shape (b,)
        """
        y_pred, y_true = self._match(y_pred, y_true.to(y_pred.device))
        return row_losses(self.criterion_, self._logarithmic(y_pred), y_true)

    def _logarithmic(self, y_pred: torch.Tensor) -> torch.Tensor:
        """Take the logarithm of probabilities for NLLLoss, as skorch does."""
        if not isinstance(self.criterion_, nn.NLLLoss):
            return y_pred
        return torch.log(y_pred + torch.finfo(y_pred.dtype).eps)

    def _match(
        self, y_pred: torch.Tensor, y_true: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if is_binary(self._criterion_kind()):
            return y_pred.reshape(len(y_pred), -1).squeeze(1), y_true.to(y_pred.dtype)
        n_classes = len(self.classes_)
        if y_pred.ndim > 1 and y_pred.shape[1] != n_classes:
            raise ValueError(
                f"The module has {y_pred.shape[1]} outputs for {n_classes} classes; "
                "name all classes with classes=, or change the module."
            )
        return y_pred, y_true

    def _row_weights(self, y_true: torch.Tensor) -> torch.Tensor | None:
        weight: torch.Tensor | None = getattr(y_true, "sample_weight", None)
        if self.class_weights_ is None:
            return weight
        by_class = self.class_weights_[y_true.cpu()]
        return by_class if weight is None else by_class * weight

    def _nonlinearity(self) -> Any:
        return find_nonlinearity(self.predict_nonlinearity, self._criterion_kind())

    def _criterion_kind(self) -> Any:
        # torch.compile wraps criterion_; what a maker makes is seen in criterion_ only.
        given = self.criterion
        if isinstance(given, (type, nn.Module)):
            return given
        return vars(self).get("criterion_", given)

    def _check_target(self, X: Any, y: Any, classes: Any, first: bool) -> np.ndarray:
        y = check_labels(self, X, y)
        check_classification_targets(y)
        if first:
            named = self.classes if classes is None else classes
            self.classes_inferred_ = check_classes(y if named is None else named)
        elif classes is not None and not np.array_equal(
            np.unique(np.asarray(classes)), self.classes_inferred_
        ):
            raise ValueError(
                f"classes={classes!r} are not those of the first call, "
                f"{self.classes_inferred_.tolist()}."
            )
        codes = encode(y, self.classes_inferred_)
        self.class_weights_ = class_weights(self.class_weight, self.classes_, codes)
        return codes

    def _n_outputs(self) -> int:
        return 1 if is_binary(self._criterion_kind()) else len(self.classes_)

    def _check_criterion(self, weighted: bool) -> None:
        self._nonlinearity()
        if is_binary(self._criterion_kind()) and len(self.classes_) != 2:
            raise ValueError(
                f"{type(self.criterion_).__name__} is for two classes, y has "
                f"{len(self.classes_)}; use CrossEntropyLoss."
            )
        super()._check_criterion(weighted or self.class_weights_ is not None)

    def _run(
        self, X: Any, dataset: Any, target: np.ndarray, fit_params: dict[str, Any]
    ) -> None:
        # Scores of callbacks compare what predict says with the codes in the dataset.
        labels = self.classes_inferred_
        self.classes_inferred_ = np.arange(len(labels))
        super()._run(X, dataset, target, fit_params)
        self.classes_inferred_ = labels
