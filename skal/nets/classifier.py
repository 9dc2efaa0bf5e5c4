"""A skorch classifier that is a scikit-learn classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from skal.nets.coded import CodedNet
from skal.nets.modules import MLP
from skal.nets.probabilities import check_proba

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["NetClassifier"]


class NetClassifier(CodedNet):
    """A net that classifies, as an estimator of scikit-learn.

    Parameters
    ----------
    module : class, callable or torch.nn.Module, default=MLP
        Gives raw outputs, (m, n_classes) logits. ``n_features`` and ``n_outputs`` are
        filled in at `fit` if its signature has them and ``module__n_features``,
        ``module__n_outputs`` are not set. Each `fit` starts from a new one, of an
        instance from a copy.
    criterion : class or torch criterion, default=torch.nn.CrossEntropyLoss
        With BCEWithLogitsLoss the module has one output for two classes. With NLLLoss
        and BCELoss, as in skorch, it gives probabilities.
    optimizer : class, default=torch.optim.Adam
    lr : float, default=1e-3
        Learning rate.
    max_epochs : int, default=50
        Passes over the rows in each `fit`.
    batch_size : int, default=128
        Rows in a training step; -1 for all. Tables are predicted in larger batches.
    classes : array-like, optional
        All classes, where `y` may lack some; fixes the columns of `predict_proba`,
        in sorted order.
    class_weight : dict or "balanced", optional
        Weight of each class in the loss, 1 where a dict has none; "balanced" for
        ``m / (n_classes * count)``.
    train_split : callable, optional
        skorch's split for validation while training; by default all labels train.
    callbacks : list, optional
        skorch's callbacks. While training they see classes as 0, 1, 2, ...
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
    classes_ : ndarray of shape (n_classes,)
        Sorted.
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
    NetRegressor : The same for regression.

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
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skal.nets import NetClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = make_pipeline(
    ...     StandardScaler(), NetClassifier(max_epochs=20, random_state=0)
    ... )
    >>> bool(model.fit(X, y).score(X, y) > 0.9)
    True
    """

    def __init__(
        self,
        module: Any = MLP,
        *,
        criterion: Any = nn.CrossEntropyLoss,
        optimizer: Any = torch.optim.Adam,
        lr: float = 1e-3,
        max_epochs: int = 50,
        batch_size: int = 128,
        classes: Any = None,
        class_weight: Any = None,
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
            classes=classes,
            train_split=train_split,
            callbacks=callbacks,
            warm_start=warm_start,
            verbose=verbose,
            device=device,
            **kwargs,
        )
        self.class_weight = class_weight
        self.random_state = random_state

    def partial_fit(
        self,
        X: Any,
        y: Any = None,
        classes: Any = None,
        sample_weight: Any = None,
        **fit_params: Any,
    ) -> Self:
        """Train for `max_epochs` more on these rows alone.

        Parameters
        ----------
        X : as in `fit`
        y : array-like of shape (m,), optional
        classes : array-like, optional
            All classes, at the first call; else those of the parameter `classes`, or
            of `y`.
        sample_weight : array-like of shape (m,), optional
        **fit_params : dict
            As in `fit`.

        Returns
        -------
        net : self
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight={self.class_weight!r} needs all rows at once and cannot "
                "be used in partial_fit; give a dict."
            )
        with self._all_or_nothing():
            return self._train(
                X, y, classes, sample_weight, fit_params, self.initialized_
            )

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability of each class.

        Parameters
        ----------
        X : as in `fit`

        Returns
        -------
        proba : float32 ndarray of shape (m, n_classes)
            Columns in the order of ``classes_``; rows sum to 1.
        """
        proba = self.outputs_to_proba(self._outputs(X))
        check_proba(proba)
        return proba.numpy()

    def predict(self, X: Any) -> np.ndarray:
        """Most probable class of each row.

        Parameters
        ----------
        X : as in `fit`

        Returns
        -------
        y : ndarray of shape (m,)
            Of the classes seen in `fit`.
        """
        best = self.outputs_to_proba(self._outputs(X)).argmax(1)
        return self.classes_[best.numpy()]
