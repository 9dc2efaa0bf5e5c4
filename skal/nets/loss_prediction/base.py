"""What nets that learn to predict their losses share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from skorch.callbacks import PassthroughScoring
from skorch.utils import to_device
from torch import Tensor

from skal.hooks import evaluating
from skal.nets.base import BaseNet
from skal.nets.loss_prediction.blocks import check_names, find_blocks
from skal.nets.loss_prediction.example import first_rows
from skal.nets.loss_prediction.loss import ranking_loss
from skal.nets.loss_prediction.module import LossModule
from skal.nets.loss_prediction.reader import BlockReader
from skal.nets.modules import MLP
from skal.rng import preserve_global_rng
from skal.validation import check_int, check_positive, check_share

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["LossPredictionNet"]

HISTORY_KEY = "loss_prediction_loss"


class LossPredictionNet(BaseNet):
    """Trains a second module, ``loss_module_``, beside that of the task.

    Comes before a net of skal among the bases of a class.
    """

    loss_module_: LossModule

    def __init__(
        self,
        module: Any = MLP,
        *,
        blocks: Any = "auto",
        width: int = 128,
        margin: float = 1.0,
        weight: float = 1.0,
        detach_after: float = 0.6,
        **kwargs: Any,
    ) -> None:
        super().__init__(module, **kwargs)
        self.blocks = blocks
        self.width = width
        self.margin = margin
        self.weight = weight
        self.detach_after = detach_after

    # -- predicting -----------------------------------------------------------------

    @property
    def blocks_(self) -> list[str]:
        """Names of the parts of the module that are read, in the order they run."""
        return [block.name for block in self.loss_module_.blocks]

    def predict_loss(self, X: Any) -> np.ndarray:
        """Predict the loss of each row, of which only the order means something.

        Parameters
        ----------
        X : as in `fit`

        Returns
        -------
        losses : float32 ndarray of shape (m,)
            In an arbitrary unit, from an arbitrary zero; a larger one says that a
            larger loss is expected.
        """
        self.check_is_fitted()
        batches = []
        with preserve_global_rng(), torch.no_grad():
            for batch in self.get_iterator(self.get_dataset(X)):
                with self._reader() as reader:
                    outputs = self.evaluation_step(batch)
                n_rows = len(outputs[0] if isinstance(outputs, tuple) else outputs)
                # Tables of few rows are padded.
                batches.append(self.loss_module_(reader.outputs())[:n_rows].cpu())
        losses: np.ndarray = torch.cat(batches).numpy()
        return losses

    def forward_loss(self, batch: Any) -> Tensor:
        """Predicted losses of a batch, by the module in the mode that it is in.

        Parameters
        ----------
        batch : Tensor of shape (b, ...), or dict or tuple of tensors
            As the module takes it.

        Returns
        -------
        losses : Tensor of shape (b,)
        """
        with self._reader() as reader:
            self.infer(batch)
        predicted: Tensor = self.loss_module_(reader.outputs())
        return predicted

    def _reader(self) -> BlockReader:
        return BlockReader(self.module_, self.loss_module_.blocks)

    # -- making the module ----------------------------------------------------------

    def initialize_module(self) -> Self:
        """Make ``module_`` anew, find its blocks, and make ``loss_module_`` for them.

        Returns
        -------
        net : self

        Raises
        ------
        ValueError
            If no rows are known to run the module on, it has no blocks to read, or
            the loss module is given parameters.
        """
        options = self.get_params_for("loss_module")
        if options:
            names = [f"loss_module__{name}" for name in options]
            raise ValueError(
                f"{type(self).__name__} has no parameters {names}; width= is the size "
                "of the loss module."
            )
        super().initialize_module()
        if "_example" not in vars(self):
            raise ValueError(
                f"{type(self).__name__} finds the blocks of its module by running it "
                "on rows, and has seen none yet: call fit or partial_fit."
            )
        self.module_ = to_device(self.module_, self.device)
        blocks = find_blocks(self.module_, self._run_example, self.blocks)
        self.loss_module_ = LossModule(blocks, self.width)
        return self

    def _run_example(self) -> Any:
        with evaluating(self.module_), preserve_global_rng():
            return self.infer(self._example)

    # -- training -------------------------------------------------------------------

    def _train(
        self,
        X: Any,
        y: Any,
        classes: Any,
        sample_weight: Any,
        fit_params: dict[str, Any],
        goes_on: bool,
    ) -> Self:
        check_names(self.blocks)
        check_int("width", self.width)
        check_positive("margin", self.margin)
        check_positive("weight", self.weight)
        check_share("detach_after", self.detach_after)
        return super()._train(X, y, classes, sample_weight, fit_params, goes_on)

    def _training_set(self, X: Any, target: np.ndarray, sample_weight: Any) -> Any:
        dataset = super()._training_set(X, target, sample_weight)
        collate = self.get_params_for("iterator_train").get("collate_fn")
        with preserve_global_rng():
            self._example = to_device(first_rows(dataset, collate), "cpu")
        return dataset

    def _check_criterion(self, weighted: bool) -> None:
        super()._check_criterion(weighted)
        if not hasattr(self.criterion_, "reduction"):
            raise ValueError(
                "The losses of single rows need a criterion with a `reduction` "
                f"parameter, as torch's have; {type(self.criterion_).__name__} has "
                "none."
            )

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kw: Any) -> None:
        """Note where this training begins in the history."""
        super().on_train_begin(net, X, y, **kw)
        self._n_epochs_before = len(self.history)

    @property
    def _detached(self) -> bool:
        """Whether the backbone learns from its own loss alone by now."""
        n_done = len(self.history) - 1 - self._n_epochs_before
        return n_done >= round(self.detach_after * self.max_epochs)

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Take a step of training, with both losses.

        Parameters
        ----------
        batch : (X, y)
        **fit_params : dict
            As in `fit`.

        Returns
        -------
        step : dict
            ``loss``, the sum of both, and ``y_pred``.
        """
        try:
            with self._reader() as self._reading:
                step: dict[str, Any] = super().train_step_single(batch, **fit_params)
            self.history.record_batch(HISTORY_KEY, self._ranking.item())
        finally:
            for name in ("_reading", "_ranking"):  # they hold the graph
                self.__dict__.pop(name, None)
        return step

    def get_loss(
        self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False
    ) -> Tensor:
        """Loss of a batch; in a step of training, with that of the ranking.

        Parameters
        ----------
        y_pred : Tensor of shape (b, n_outputs)
        y_true : Tensor of shape (b,) or (b, n_targets)
        X : optional
        training : bool, default=False

        Returns
        -------
        loss : Tensor, a scalar

        Raises
        ------
        ValueError
            If a loss is NaN in training.
        """
        loss: Tensor = super().get_loss(y_pred, y_true, X, training)
        if not training or "_reading" not in vars(self):
            return loss
        outputs = self._reading.outputs()
        if self._detached:
            outputs = [output.detach() for output in outputs]
        with torch.no_grad():
            losses = self.row_losses(y_pred, y_true)
        ranking = ranking_loss(self.loss_module_(outputs), losses, self.margin)
        self._ranking = ranking.detach()
        return loss + self.weight * ranking

    def get_default_callbacks(self) -> list[tuple[str, Any]]:
        """Those of the net, and one that averages the ranking loss over an epoch.

        Returns
        -------
        callbacks : list of (name, callback)
        """
        average = PassthroughScoring(HISTORY_KEY, lower_is_better=None, on_train=True)
        return [*super().get_default_callbacks(), (HISTORY_KEY, average)]
