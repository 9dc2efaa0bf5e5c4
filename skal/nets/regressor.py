"""NetRegressor: a skorch regressor that is a scikit-learn regressor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from skorch import NeuralNetRegressor
from torch import Tensor, nn

from skal.nets.modules import TabularMLP
from skal.nets.net import BaseNet
from skal.nets.rates import Recipe
from skal.nets.validation import check_targets, warn_if_lost

if TYPE_CHECKING:
    from sklearn.utils import Tags
    from typing_extensions import Self

__all__ = ["NetRegressor"]


class NetRegressor(BaseNet, NeuralNetRegressor):
    """A neural net for regression on one or more targets, as a scikit-learn estimator.

    Targets are not scaled. Nets train best on targets of about unit variance; use
    :class:`sklearn.compose.TransformedTargetRegressor` to scale them.

    Parameters
    ----------
    module : class, callable or torch.nn.Module, default=TabularMLP
        Returns predictions of shape (m, n_targets) or (m,). If its signature has
        ``n_features`` or ``n_outputs``, `fit` fills them in, unless
        ``module__n_features`` or ``module__n_outputs`` is set. Each `fit` builds a new
        module (or a copy, if an instance was given).
    criterion : class or torch criterion, default=torch.nn.MSELoss
    optimizer : class, default=torch.optim.AdamW
    lr : float or "auto", default="auto"
        Learning rate. "auto" stands for what the module recommends; see Notes.
    max_epochs : int or "auto", default="auto"
        Number of passes over the rows in each `fit`. "auto" stands for 50 passes, or
        for as many as are needed for 300 training steps if that is more: with few rows,
        50 passes are only a few steps.
    batch_size : int, default=64
        Number of rows in a training step; -1 for all. Tables are predicted in larger
        batches.
    train_split : callable, optional
        skorch's split into training and validation rows. By default, all rows are used
        for training.
    callbacks : list, optional
        skorch's callbacks.
    warm_start : bool, default=False
        Whether `fit` continues from the current weights.
    verbose : int, default=0
        1 prints a table of epochs.
    device : str, default="cpu"
    random_state : int, numpy RandomState or Generator, optional
        Seeds the initial weights, the order of rows and dropout. None draws a new seed
        for each `fit`.
    **kwargs : dict
        Further parameters of :class:`skorch.NeuralNet` and of its parts, such as
        ``module__hidden_sizes`` or ``optimizer__weight_decay``.

    Attributes
    ----------
    n_features_in_ : int
        Number of columns of an array X.
    feature_names_in_ : ndarray of str
        Column names of a DataFrame X.
    module_ : torch.nn.Module
        The trained module.
    history_ : skorch.history.History
        Losses of epochs and batches.

    See Also
    --------
    NetClassifier : The same for classification.

    Notes
    -----
    The global random number generators are seeded during a fit and restored
    afterwards. Threads share them, so nets fitted in parallel are reproducible only in
    separate processes (joblib's default).

    With ``lr="auto"``, a module that has a method `lr_factors`, as `TabularMLP` does,
    is trained by Adam or AdamW with a rate of 0.05 times the factor of each
    parameter. In each fit, the rate rises during the first tenth of the steps and then
    falls to 0 along a cosine, unless `callbacks` include skorch's ``LRScheduler``.
    In `fit` with AdamW, the weight matrices decay, by 0.1 relative to their initial
    size, and with n > 400 rows by 400 / n of that; ``optimizer__weight_decay`` replaces
    this. Every other module or optimizer gets a constant rate of 1e-3, and a number is
    the constant rate of all parameters.

    A last batch of a single row is merged into the batch before it, so that BatchNorm
    can train. Tables of few rows are padded for prediction, so that the prediction of
    a row does not depend on their number.

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
        module: Any = TabularMLP,
        *,
        criterion: Any = nn.MSELoss,
        optimizer: Any = torch.optim.AdamW,
        lr: float | str = "auto",
        max_epochs: int | str = "auto",
        batch_size: int = 64,
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

    _recipe = Recipe(lr=0.05, weight_decay=0.1)

    # -- training -----------------------------------------------------------------

    def partial_fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        classes: Any = None,
        **fit_params: Any,
    ) -> Self:
        """Train for another `max_epochs` epochs on these rows.

        Parameters
        ----------
        X : as in `fit`
        y : array-like of shape (m,) or (m, n_targets), optional
        sample_weight : array-like of shape (m,), optional
        classes : ignored
            Present because skorch declares it to scikit-learn's metadata routing.
        **fit_params : dict
            As in `fit`.

        Returns
        -------
        net : self

        Raises
        ------
        ValueError
            If an argument is invalid, or the shape of `y` differs from the first call.
        """
        with self._all_or_nothing():
            return self._train(X, y, None, sample_weight, fit_params, self.initialized_)

    def _check_target(self, X: Any, y: Any, classes: Any, first: bool) -> np.ndarray:
        given, y = y, check_targets(self, X, y)
        if given is not None and self.max_epochs != 0:  # else it does not train
            warn_if_lost(given, "y", None, "by TransformedTargetRegressor")
        if first:
            self.target_shape_ = y.shape[1:]
        elif y.shape[1:] != self.target_shape_:
            raise ValueError(
                f"y has shape {y.shape}, but the net was trained on targets of shape "
                f"(m, {', '.join(map(str, self.target_shape_))})."
            )
        return y

    def _held_out_target(self, X: Any, y: Any) -> np.ndarray:
        return check_targets(self, X, y)

    def _n_outputs(self) -> int:
        return int(np.prod(self.target_shape_))

    def _match(self, y_pred: Tensor, y_true: Tensor) -> tuple[Tensor, Tensor]:
        # Tensors of shape (b,) and (b, 1) would broadcast to (b, b).
        y_pred = y_pred.reshape(len(y_pred), -1)
        y_true = y_true.reshape(len(y_true), -1)
        if y_pred.shape != y_true.shape:
            raise ValueError(
                f"The module has {y_pred.shape[1]} outputs for {y_true.shape[1]} "
                "targets."
            )
        # Some versions of torch do not differentiate losses of two types.
        common = torch.promote_types(y_pred.dtype, y_true.dtype)
        return y_pred.to(common), y_true.to(common)

    # -- prediction ---------------------------------------------------------------

    def predict(
        self, X: Any, return_std: bool = False, posterior: Any = "auto"
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Predict targets and, on request, the spread of plausible models.

        Parameters
        ----------
        X : as in `fit`
        return_std : bool, default=False
            Whether to return standard deviations as well.
        posterior : Posterior or "auto", default="auto"
            Source of the plausible models, from `skal.posteriors`. ``"auto"`` chooses
            what the net offers: Bayesian layers, snapshots or dropout.

        Returns
        -------
        y : float64 ndarray of shape (m,) or (m, n_targets)
            Same shape as `y` in `fit`.
        std : float64 ndarray of the shape of `y`
            Only if `return_std`: standard deviation of the predictions of the models,
            in units of the target, without label noise. Repeated calls draw the same
            models.

        Raises
        ------
        UnsuitableLearnerError
            If the net offers no plausible models; the message says what to add.
        """
        mean = self._shaped(self._outputs(X))
        if not return_std:
            return mean
        # Posteriors read nets, so a net can import them only here.
        from skal.posteriors import predictive_std

        return mean, self._shaped(predictive_std(self, X, posterior, self.seed_))

    def _shaped(self, outputs: Tensor) -> np.ndarray:
        """Reshape outputs to the shape of the targets in `fit`."""
        array = outputs.cpu().double().numpy()
        shape = vars(self).get("target_shape_")
        return array if shape is None else array.reshape(len(array), *shape)

    @property
    def predict_proba(self) -> Any:
        """Hide the method of skorch's regressor, which scikit-learn's do not have."""
        raise AttributeError(
            "NetRegressor is not a classifier, so it cannot predict probabilities."
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = True
        return tags
