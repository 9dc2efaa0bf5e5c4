"""A skorch regressor that is a scikit-learn regressor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from skorch import NeuralNetRegressor
from torch import nn

from skal.nets.base import BaseNet
from skal.nets.losses import row_losses, weighted_loss
from skal.nets.modules import MLP
from skal.nets.validation import check_targets
from skal.rng import preserve_global_rng, resolve_rng, seed_from

if TYPE_CHECKING:
    from sklearn.utils import Tags
    from typing_extensions import Self

__all__ = ["NetRegressor"]


class NetRegressor(BaseNet, NeuralNetRegressor):
    """A net for regression on one target or several, as an estimator of scikit-learn.

    Targets are not scaled: nets want them near unit variance, for which there is
    :class:`sklearn.compose.TransformedTargetRegressor`.

    Parameters
    ----------
    module : class, callable or torch.nn.Module, default=MLP
        Gives (m, n_targets), or (m,). ``n_features`` and ``n_outputs`` are filled in
        at `fit` if its signature has them and ``module__n_features``,
        ``module__n_outputs`` are not set. Each `fit` starts from a new one, of an
        instance from a copy.
    criterion : class or torch criterion, default=torch.nn.MSELoss
    optimizer : class, default=torch.optim.Adam
    lr : float, default=1e-3
        Learning rate.
    max_epochs : int, default=50
        Passes over the rows in each `fit`.
    batch_size : int, default=128
        Rows in a training step; -1 for all. Tables are predicted in larger batches.
    train_split : callable, optional
        skorch's split for validation while training; by default all labels train.
    callbacks : list, optional
        skorch's callbacks.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights there are.
    verbose : int, default=0
        1 prints a table of epochs.
    device : str, default="cpu"
    random_state : int, numpy RandomState or Generator, optional
        Seeds weights, order of rows and dropout; None for fresh entropy.
    **kwargs : dict
        Further parameters of :class:`skorch.NeuralNet`, and of its parts, as
        ``module__hidden_sizes``, ``optimizer__weight_decay``.

    Attributes
    ----------
    n_features_in_ : int
        Columns of an array X.
    feature_names_in_ : ndarray of str
        Column names of a DataFrame X.
    module_ : torch.nn.Module
        The trained module.
    history_ : skorch.history.History
        Losses of epochs and batches.

    See Also
    --------
    NetClassifier : The same for classes.

    Notes
    -----
    The global random number generators are seeded for the time of a fit and then put
    back. Threads of one process share them: where nets are fitted in parallel, only
    processes (joblib's default) give the same result each time.

    A last batch of one row joins the batch before it, so that BatchNorm can train.
    Tables of few rows are padded for prediction, so that a row's prediction does not
    depend on the rows beside it.

    References
    ----------
    `skorch <https://skorch.readthedocs.io>`_ documents all further parameters.

    Examples
    --------
    >>> from sklearn.compose import TransformedTargetRegressor
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skal.nets import NetRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = TransformedTargetRegressor(
    ...     make_pipeline(
    ...         StandardScaler(), NetRegressor(max_epochs=10, random_state=0)
    ...     ),
    ...     transformer=StandardScaler(),
    ... )
    >>> bool(model.fit(X, y).score(X, y) > 0.5)
    True
    """

    def __init__(
        self,
        module: Any = MLP,
        *,
        criterion: Any = nn.MSELoss,
        optimizer: Any = torch.optim.Adam,
        lr: float = 1e-3,
        max_epochs: int = 50,
        batch_size: int = 128,
        train_split: Any = None,
        callbacks: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        device: Any = "cpu",
        random_state: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            module,
            criterion=criterion,
            optimizer=optimizer,
            lr=lr,
            max_epochs=max_epochs,
            batch_size=batch_size,
            train_split=train_split,
            callbacks=callbacks,
            warm_start=warm_start,
            verbose=verbose,
            device=device,
            **kwargs,
        )
        self.random_state = random_state

    def partial_fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        classes: Any = None,
        **fit_params: Any,
    ) -> Self:
        """Train for `max_epochs` more on these rows alone.

        Parameters
        ----------
        X : as in `fit`
        y : array-like of shape (m,) or (m, n_targets), optional
        sample_weight : array-like of shape (m,), optional
        classes : ignored
            skorch tells scikit-learn's metadata routing that there is one.
        **fit_params : dict
            As in `fit`.

        Returns
        -------
        net : self
        """
        with self._all_or_nothing():
            return self._train(X, y, None, sample_weight, fit_params, self.initialized_)

    def predict(
        self, X: Any, return_std: bool = False, posterior: Any = "auto"
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Predict targets, and on demand how far plausible models differ on them.

        Parameters
        ----------
        X : as in `fit`
        return_std : bool, default=False
            Whether the standard deviation is given as well.
        posterior : Posterior or "auto"
            Where the plausible models come from, of `skal.posteriors`; ``"auto"``
            takes what the net offers: Bayesian layers, snapshots, dropout.

        Returns
        -------
        y : float64 ndarray of shape (m,) or (m, n_targets)
            As `y` in `fit`.
        std : float64 ndarray, of the shape of `y`
            Only with `return_std`: standard deviation of the models' predictions, in
            units of the target, without the noise of labels.  The same models are
            drawn at each call.

        Raises
        ------
        UnsuitableLearnerError
            If there are no plausible models; the message says what to add.
        """
        mean = self._shaped(self._outputs(X))
        if not return_std:
            return mean
        # Posteriors read nets, so that a net can know of them only now.
        from skal.posteriors import resolve_posterior
        from skal.reading.pool import Pool

        pool = Pool(self, X)
        rng = resolve_rng(self.seed_)
        with preserve_global_rng(seed_from(rng)):
            draws = resolve_posterior(posterior, pool).draw(pool, rng)
            parts = [part.std(dim=0, correction=0) for _, part in draws.blocks()]
        return mean, self._shaped(torch.cat(parts))

    def _shaped(self, outputs: torch.Tensor) -> np.ndarray:
        """Give outputs the shape of the targets in `fit`."""
        array = outputs.cpu().double().numpy()
        shape = vars(self).get("target_shape_")
        return array if shape is None else array.reshape(len(array), *shape)

    @property
    def predict_proba(self) -> Any:
        """Not there: skorch's regressor has it, a regressor of scikit-learn has not."""
        raise AttributeError("NetRegressor has no predict_proba, use predict.")

    def get_loss(
        self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False
    ) -> torch.Tensor:
        """Loss of a batch.

        Parameters
        ----------
        y_pred : Tensor of shape (b, n_targets) or (b,)
        y_true : Tensor of shape (b, n_targets) or (b,)
        X : optional
        training : bool, default=False

        Returns
        -------
        loss : Tensor, a scalar

        Raises
        ------
        ValueError
            If the module gives another number of outputs than there are targets.
        """
        weight = getattr(y_true, "sample_weight", None)
        if isinstance(y_pred, torch.Tensor):
            y_pred, y_true = _match(y_pred, y_true)
        if weight is None:
            loss: torch.Tensor = super().get_loss(y_pred, y_true, X, training)
            return self._with_prior(loss, len(y_true), training)
        weight = weight.to(y_pred.device)
        loss = weighted_loss(self.criterion_, y_pred, y_true, weight)
        return self._with_prior(loss, len(y_true), training)

    def row_losses(self, y_pred: torch.Tensor, y_true: torch.Tensor) -> torch.Tensor:
        """Loss of each row of a batch, without weights; of several targets their mean.

        Parameters
        ----------
        y_pred : Tensor of shape (b, n_targets) or (b,)
        y_true : Tensor of shape (b, n_targets) or (b,)

        Returns
        -------
        losses : Tensor of shape (b,)
        """
        return row_losses(self.criterion_, *_match(y_pred, y_true))

    def _check_target(self, X: Any, y: Any, classes: Any, first: bool) -> np.ndarray:
        y = check_targets(self, X, y)
        if first:
            self.target_shape_ = y.shape[1:]
        elif y.shape[1:] != self.target_shape_:
            raise ValueError(
                f"y has shape {y.shape}, but the net has been trained on targets of "
                f"shape (m, {', '.join(map(str, self.target_shape_))})."
            )
        return y

    def _n_outputs(self) -> int:
        return int(np.prod(self.target_shape_))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = True
        return tags


def _match(
    y_pred: torch.Tensor, y_true: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Bring predictions and targets to one shape, (b, n_targets), on one device."""
    y_pred = y_pred.reshape(len(y_pred), -1)
    y_true = y_true.to(y_pred.device).reshape(len(y_true), -1)
    if y_pred.shape != y_true.shape:
        raise ValueError(
            f"The module has {y_pred.shape[1]} outputs for {y_true.shape[1]} targets."
        )
    return y_pred, y_true
