"""Nets that learn to predict their losses, as scikit-learn estimators."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from skorch.callbacks import PassthroughScoring
from skorch.utils import to_device
from torch import Tensor

from skal.contexts import evaluating
from skal.nets.classifier import NetClassifier
from skal.nets.data import first_rows
from skal.nets.loss_prediction.blocks import (
    BlockOutputs,
    check_names,
    find_blocks,
    read_blocks,
)
from skal.nets.loss_prediction.ranking import LossModule, ranking_loss
from skal.nets.modules import TabularMLP
from skal.nets.net import BaseNet
from skal.nets.regressor import NetRegressor
from skal.rng import preserve_global_rng
from skal.validation import check_int, check_positive, check_share

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["LossPredictionClassifier", "LossPredictionNet", "LossPredictionRegressor"]

HISTORY_KEY = "loss_prediction_loss"


class LossPredictionNet(BaseNet):
    """Trains a second module, ``loss_module_``, along with that of the task.

    Precedes a net of skal among the bases of a class.
    """

    loss_module_: LossModule

    def __init__(
        self,
        module: Any = TabularMLP,
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

    # -- prediction ---------------------------------------------------------------

    @property
    def blocks_(self) -> list[str]:
        """Names of the parts of the module that are read, in the order they run."""
        return [block.name for block in self.loss_module_.blocks]

    def predict_loss(self, X: Any) -> np.ndarray:
        """Predict the loss of each row; only the order of the values is meaningful.

        Parameters
        ----------
        X : as in `fit`

        Returns
        -------
        losses : float32 ndarray of shape (m,)
            In an arbitrary unit and with an arbitrary zero; larger values predict
            larger losses.
        """
        self.check_is_fitted()
        batches = []
        with preserve_global_rng(), torch.no_grad():
            for batch in self.get_iterator(self.get_dataset(X)):
                with self._reading() as blocks:
                    outputs = self.evaluation_step(batch)
                n_rows = len(outputs[0] if isinstance(outputs, tuple) else outputs)
                # Blocks have more rows than outputs where a small table was padded.
                batches.append(self.loss_module_(blocks.get())[:n_rows].cpu())
        losses: np.ndarray = torch.cat(batches).numpy()
        return losses

    def forward_loss(self, batch: Any) -> Tensor:
        """Predict the losses of a batch, in the current mode of the module.

        Parameters
        ----------
        batch : Tensor of shape (b, ...), or dict or tuple of tensors
            Input of the module.

        Returns
        -------
        losses : Tensor of shape (b,)
        """
        with self._reading() as blocks:
            self.infer(batch)
        predicted: Tensor = self.loss_module_(blocks.get())
        return predicted

    def _reading(self) -> AbstractContextManager[BlockOutputs]:
        return read_blocks(self.module_, self.loss_module_.blocks)

    # -- initialization -----------------------------------------------------------

    def initialize_module(self) -> Self:
        """Build ``module_``, find its blocks, and build ``loss_module_`` for them.

        Returns
        -------
        net : self

        Raises
        ------
        ValueError
            If the net has not seen rows to run the module on, the module has no
            blocks, or parameters of the loss module are set.
        """
        options = self.get_params_for("loss_module")
        if options:
            names = [f"loss_module__{name}" for name in options]
            raise ValueError(
                f"{type(self).__name__} has no parameters {names}; set the size of the "
                "loss module with width=."
            )
        super().initialize_module()
        if "_example" not in vars(self):
            raise ValueError(
                f"{type(self).__name__} finds the blocks of its module by running it "
                "on rows, but has not seen any; call fit or partial_fit."
            )
        self.module_ = to_device(self.module_, self.device)
        blocks = find_blocks(self.module_, self._run_example, self.blocks)
        self.loss_module_ = LossModule(blocks, self.width)
        return self

    def _run_example(self) -> Any:
        with evaluating(self.module_), preserve_global_rng():
            return self.infer(self._example)

    # -- training -----------------------------------------------------------------

    def _train(
        self,
        X: Any,
        y: Any,
        classes: Any,
        sample_weight: Any,
        fit_params: dict[str, Any],
        resume: bool,
    ) -> Self:
        check_names(self.blocks)
        check_int("width", self.width)
        check_positive("margin", self.margin)
        check_positive("weight", self.weight)
        check_share("detach_after", self.detach_after)
        return super()._train(X, y, classes, sample_weight, fit_params, resume)

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
                "The losses of single rows require a criterion with a `reduction` "
                "attribute, as torch's criteria have; "
                f"{type(self.criterion_).__name__} has none."
            )

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kw: Any) -> None:
        """Note the number of epochs before this training."""
        super().on_train_begin(net, X, y, **kw)
        self._n_epochs_before = len(self.history)

    @property
    def _detached(self) -> bool:
        """Whether the ranking loss no longer changes the module of the task."""
        n_done = len(self.history) - 1 - self._n_epochs_before
        return n_done >= round(self.detach_after * self._n_epochs)

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Run a training step with both losses.

        Parameters
        ----------
        batch : (X, y)
        **fit_params : dict
            As in `fit`.

        Returns
        -------
        step : dict
            ``loss``, the sum of both losses, and ``y_pred``.
        """
        try:
            with self._reading() as self._step_blocks:
                step: dict[str, Any] = super().train_step_single(batch, **fit_params)
            self.history.record_batch(HISTORY_KEY, self._ranking.item())
        finally:
            for name in ("_step_blocks", "_ranking"):  # they refer to the graph
                self.__dict__.pop(name, None)
        return step

    def get_loss(
        self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False
    ) -> Tensor:
        """Compute the loss of a batch; in training steps, add the ranking loss.

        Parameters
        ----------
        y_pred : Tensor of shape (b, n_outputs)
        y_true : Tensor of shape (b,) or (b, n_targets)
        X : optional
        training : bool, default=False

        Returns
        -------
        loss : Tensor of shape ()

        Raises
        ------
        ValueError
            If a loss is NaN during training.
        """
        loss: Tensor = super().get_loss(y_pred, y_true, X, training)
        if not training or "_step_blocks" not in vars(self):
            return loss
        outputs = self._step_blocks.get()
        if self._detached:
            outputs = [output.detach() for output in outputs]
        with torch.no_grad():
            losses = self.row_losses(y_pred, y_true)
        ranking = ranking_loss(self.loss_module_(outputs), losses, self.margin)
        self._ranking = ranking.detach()
        return loss + self.weight * ranking

    def get_default_callbacks(self) -> list[tuple[str, Any]]:
        """Get the callbacks of the net, and one that averages the ranking loss.

        Returns
        -------
        callbacks : list of (name, callback)
        """
        average = PassthroughScoring(HISTORY_KEY, lower_is_better=None, on_train=True)
        return [*super().get_default_callbacks(), (HISTORY_KEY, average)]


class LossPredictionClassifier(LossPredictionNet, NetClassifier):
    r"""A classifier that also learns to predict its loss on each row [1]_.

    Parameters
    ----------
    module : class, callable or torch.nn.Module, default=TabularMLP
        As in :class:`~skal.nets.NetClassifier`.
    blocks : "auto" or list of str, default="auto"
        Names, among ``module.named_modules()``, of the parts whose outputs predict
        losses. ``"auto"`` stands for every linear and convolutional layer except the
        last one that runs, each with the normalization and activation that directly
        follow it. For a deep residual net, list a few stages.
    width : int, default=128
        Number of hidden units of the loss module per block.
    margin : float, default=1.0
        Required difference between the predicted losses of a pair of rows.
    weight : float, default=1.0
        Weight of the ranking loss relative to the loss of the task.
    detach_after : float, default=0.6
        Fraction of the epochs of a fit, rounded to whole epochs, after which the
        ranking loss no longer changes the module of the task. With 1, it always does;
        with 0, it never does.
    **kwargs : dict
        All other parameters of :class:`~skal.nets.NetClassifier`: ``lr``,
        ``max_epochs``, ``batch_size``, ``device``, ``random_state``, etc.

    Attributes
    ----------
    loss_module_ : torch.nn.Module
        The trained loss module.
    blocks_ : list of str
        Names of the parts that it reads, in the order they run.
    module_ : torch.nn.Module
        The trained module of the task.
    classes_ : ndarray of shape (n_classes,)
    history_ : skorch.history.History
        ``loss_prediction_loss`` is the ranking loss, ``valid_loss`` the loss of the
        task and ``train_loss`` the sum of both losses.

    See Also
    --------
    LossPredictionRegressor : The same for regression.
    skal.strategies.LossPrediction : Queries the largest predicted losses.

    Notes
    -----
    The output of each block is averaged over positions and passed through a linear
    layer and ReLU; a last linear layer over all blocks predicts :math:`\hat l(x)`. The
    net minimizes

    .. math:: L + \lambda \, \frac{1}{\lfloor B / 2 \rfloor} \sum_{(i, j)}
       \max\bigl(0, \xi - s_{ij} (\hat l_i - \hat l_j)\bigr)

    over the :math:`\lfloor B / 2 \rfloor` pairs of rows of a batch of B, where
    :math:`s_{ij}` is 1 if :math:`l_i > l_j` and -1 otherwise, :math:`\xi` is the margin
    and :math:`\lambda` the weight. The losses :math:`l` are those of the criterion for
    single rows, by default the cross-entropy.
    They are constants for the gradient, and unweighted: weights of rows and classes
    affect only L. The middle row of an odd batch has no partner.

    With ``detach_after=0``, the module equals that of a
    :class:`~skal.nets.NetClassifier` with the same ``random_state``.

    `partial_fit` and warm starts count their epochs from 0. Blocks are found by running
    the module, so `initialize` requires an earlier `fit`. The members of a snapshot
    ensemble share the final loss module. A split-head ensemble rejects these nets,
    because it takes the module apart.

    References
    ----------
    .. [1] Yoo and Kweon, "Learning loss for active learning", CVPR 2019.
       https://arxiv.org/abs/1905.03677

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skal.nets import LossPredictionClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> net = LossPredictionClassifier(lr=0.01, max_epochs=30, random_state=0)
    >>> bool(net.fit(X, y).score(X, y) > 0.9)
    True
    >>> net.blocks_, net.predict_loss(X).shape
    (['body.2', 'body.5', 'body.8'], (150,))
    """


class LossPredictionRegressor(LossPredictionNet, NetRegressor):
    r"""A regressor that also learns to predict its loss on each row [1]_.

    Parameters
    ----------
    module : class, callable or torch.nn.Module, default=TabularMLP
        As in :class:`~skal.nets.NetRegressor`.
    blocks : "auto" or list of str, default="auto"
        Names, among ``module.named_modules()``, of the parts whose outputs predict
        losses. ``"auto"`` stands for every linear and convolutional layer except the
        last one that runs, each with the normalization and activation that directly
        follow it.
    width : int, default=128
        Number of hidden units of the loss module per block.
    margin : float, default=1.0
        Required difference between the predicted losses of a pair of rows.
    weight : float, default=1.0
        Weight of the ranking loss relative to the loss of the task.
    detach_after : float, default=0.6
        Fraction of the epochs of a fit, rounded to whole epochs, after which the
        ranking loss no longer changes the module of the task. With 1, it always does;
        with 0, it never does.
    **kwargs : dict
        All other parameters of :class:`~skal.nets.NetRegressor`: ``lr``,
        ``max_epochs``, ``batch_size``, ``device``, ``random_state``, etc.

    Attributes
    ----------
    loss_module_ : torch.nn.Module
        The trained loss module.
    blocks_ : list of str
        Names of the parts that it reads, in the order they run.
    module_ : torch.nn.Module
        The trained module of the task.
    history_ : skorch.history.History
        ``loss_prediction_loss`` is the ranking loss, ``valid_loss`` the loss of the
        task and ``train_loss`` the sum of both losses.

    See Also
    --------
    LossPredictionClassifier : The same for classification; its notes apply here, too.
    skal.strategies.LossPrediction : Queries the largest predicted losses.

    Notes
    -----
    The ranked losses are those of the criterion, by default squared errors, averaged
    over targets.

    References
    ----------
    .. [1] Yoo and Kweon, "Learning loss for active learning", CVPR 2019.
       https://arxiv.org/abs/1905.03677

    Examples
    --------
    >>> import numpy as np
    >>> from skal.nets import LossPredictionRegressor
    >>> X = np.linspace(-1, 1, 200)[:, None]
    >>> noise = np.random.default_rng(0).normal(size=200)
    >>> y = np.where(X[:, 0] > 0, noise, 0)  # pure noise on the right
    >>> net = LossPredictionRegressor(lr=0.01, random_state=0).fit(X, y)
    >>> low, high = net.predict_loss([[-0.5], [0.5]])
    >>> bool(low < high)
    True
    """
