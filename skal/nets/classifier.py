"""NetClassifier: a skorch classifier that is a scikit-learn classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.utils.multiclass import check_classification_targets
from skorch import NeuralNetClassifier
from torch import Tensor, nn

from skal.nets.criteria import check_proba, find_nonlinearity, is_binary
from skal.nets.modules import TabularMLP
from skal.nets.net import BaseNet
from skal.nets.rates import Recipe
from skal.nets.validation import (
    check_classes,
    check_labels,
    check_weights,
    class_weights,
    encode,
)

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["NetClassifier"]


class NetClassifier(BaseNet, NeuralNetClassifier):
    """A neural net for classification, as a scikit-learn estimator.

    Parameters
    ----------
    module : class, callable or torch.nn.Module, default=TabularMLP
        Returns raw outputs, logits of shape (m, n_classes). If its signature has
        ``n_features`` or ``n_outputs``, `fit` fills them in, unless
        ``module__n_features`` or ``module__n_outputs`` is set. Each `fit` builds a new
        module (or a copy, if an instance was given).
    criterion : class or torch criterion, default=torch.nn.CrossEntropyLoss
        With BCEWithLogitsLoss, the module has a single output for two classes. With
        NLLLoss and BCELoss, it returns probabilities, as in skorch.
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
    classes : array-like, optional
        All classes, if `y` may lack some. Determines the columns of `predict_proba`,
        which are sorted.
    class_weight : dict or "balanced", optional
        Weight of each class in the loss; classes missing from a dict have weight 1.
        "balanced" stands for ``m / (n_classes * count)``, where a row counts as
        much as its `sample_weight`.
    train_split : callable, optional
        skorch's split into training and validation rows. By default, all rows are used
        for training. A separate validation set, by skorch's
        ``predefined_split(dataset)``, must have labels like those of `y`, all of which
        are among the classes.
    callbacks : list, optional
        skorch's callbacks. During training they see the classes as 0, 1, 2, ...
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
    classes_ : ndarray of shape (n_classes,)
        Sorted.
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
    NetRegressor : The same for regression.

    Notes
    -----
    The global random number generators are seeded during a fit and restored
    afterwards. Threads share them, so nets fitted in parallel are reproducible only in
    separate processes (joblib's default).

    With ``lr="auto"``, a module that has a method `lr_factors`, as `TabularMLP` does,
    is trained by Adam or AdamW with a rate of 0.03 times the factor of each
    parameter. In each fit, the rate rises during the first tenth of the steps and then
    falls to 0 along a cosine, unless `callbacks` include skorch's ``LRScheduler``.
    In `fit` with AdamW, the weight matrices decay, by 1 relative to their initial
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
        module: Any = TabularMLP,
        *,
        criterion: Any = nn.CrossEntropyLoss,
        optimizer: Any = torch.optim.AdamW,
        lr: float | str = "auto",
        max_epochs: int | str = "auto",
        batch_size: int = 64,
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

    _recipe = Recipe(lr=0.03, weight_decay=1.0)

    # -- training -----------------------------------------------------------------

    def partial_fit(
        self,
        X: Any,
        y: Any = None,
        classes: Any = None,
        sample_weight: Any = None,
        **fit_params: Any,
    ) -> Self:
        """Train for another `max_epochs` epochs on these rows.

        Parameters
        ----------
        X : as in `fit`
        y : array-like of shape (m,), optional
        classes : array-like, optional
            All classes, in the first call. By default, those of the parameter
            `classes` or of `y`.
        sample_weight : array-like of shape (m,), optional
        **fit_params : dict
            As in `fit`.

        Returns
        -------
        net : self

        Raises
        ------
        ValueError
            If an argument is invalid, `classes` differs from the first call, or
            `class_weight` is "balanced", which requires all rows at once.
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight={self.class_weight!r} requires all rows at once, so "
                "partial_fit cannot use it; pass a dict."
            )
        with self._all_or_nothing():
            return self._train(
                X, y, classes, sample_weight, fit_params, self.initialized_
            )

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
                f"classes={classes!r} differ from those of the first call, "
                f"{self.classes_inferred_.tolist()}."
            )
        return encode(y, self.classes_inferred_)

    def _training_set(self, X: Any, target: np.ndarray, sample_weight: Any) -> Any:
        weight = None if sample_weight is None else check_weights(sample_weight, target)
        self.class_weights_ = class_weights(
            self.class_weight, self.classes_, target, weight
        )
        # Some batches of a `partial_fit` may well consist of rows of weight zero.
        if self.class_weights_ is not None and vars(self).get("_has_all_rows"):
            of_rows = self.class_weights_.numpy()[target]
            if not (of_rows if weight is None else of_rows * weight).any():
                raise ValueError(
                    f"class_weight={self.class_weight!r} gives every row a weight of "
                    "zero."
                )
        return super()._training_set(X, target, sample_weight)

    def _held_out_target(self, X: Any, y: Any) -> np.ndarray:
        classes = vars(self).get("_labels", self.classes_)
        return encode(check_labels(self, X, y), classes)

    def _n_outputs(self) -> int:
        return 1 if is_binary(self._criterion_kind()) else len(self.classes_)

    def _check_criterion(self, weighted: bool) -> None:
        self._nonlinearity()
        if is_binary(self._criterion_kind()) and len(self.classes_) != 2:
            raise ValueError(
                f"{type(self.criterion_).__name__} requires two classes, but y has "
                f"{len(self.classes_)}; use CrossEntropyLoss."
            )
        super()._check_criterion(weighted or self.class_weights_ is not None)

    def _weights_of(self, sample_weight: Any) -> list[str]:
        given = super()._weights_of(sample_weight)
        return given if self.class_weights_ is None else [*given, "class_weight"]

    def _run(
        self, X: Any, dataset: Any, target: np.ndarray, fit_params: dict[str, Any]
    ) -> None:
        # The scores of callbacks compare predictions with the codes in the dataset.
        self._labels = self.classes_inferred_
        self.classes_inferred_ = np.arange(len(self._labels))
        super()._run(X, dataset, target, fit_params)
        self.classes_inferred_ = self.__dict__.pop("_labels")

    def _row_weights(self, y_true: Tensor) -> Tensor | None:
        weight = super()._row_weights(y_true)
        if self.class_weights_ is None:
            return weight
        self._has_read("class_weight")
        by_class: Tensor = self.class_weights_[y_true.cpu()]
        return by_class if weight is None else by_class * weight

    def _match(self, y_pred: Tensor, y_true: Tensor) -> tuple[Tensor, Tensor]:
        if is_binary(self._criterion_kind()):
            return y_pred.reshape(len(y_pred), -1).squeeze(1), y_true.to(y_pred.dtype)
        n_classes = len(self.classes_)
        if y_pred.ndim > 1 and y_pred.shape[1] != n_classes:
            raise ValueError(
                f"The module has {y_pred.shape[1]} outputs for {n_classes} classes; "
                "pass all classes with classes=, or change the module."
            )
        return y_pred, y_true

    # -- prediction ---------------------------------------------------------------

    @property
    def classes_(self) -> np.ndarray:
        """Sorted classes, in the order of the columns of `predict_proba`."""
        if "classes_inferred_" in vars(self):
            return self.classes_inferred_
        if self.classes is not None:
            return np.unique(np.asarray(self.classes))
        raise AttributeError("classes_ is unknown before fit, unless classes= is set.")

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict the probability of each class.

        Parameters
        ----------
        X : as in `fit`

        Returns
        -------
        proba : float32 ndarray of shape (m, n_classes)
            Columns in the order of ``classes_``; rows sum to 1.

        Raises
        ------
        ValueError
            If the rows are not probabilities, because the module and the criterion do
            not match.
        """
        proba = self.outputs_to_proba(self._outputs(X))
        check_proba(proba)
        return proba.numpy()

    def predict(self, X: Any) -> np.ndarray:
        """Predict the most probable class of each row.

        Parameters
        ----------
        X : as in `fit`

        Returns
        -------
        y : ndarray of shape (m,)
        """
        best = self.outputs_to_proba(self._outputs(X)).argmax(1)
        return self.classes_[best.numpy()]

    def outputs_to_proba(self, outputs: Tensor) -> Tensor:
        """Convert raw outputs of the module to probabilities.

        Parameters
        ----------
        outputs : Tensor of shape (m, n_outputs)

        Returns
        -------
        proba : Tensor of shape (m, n_classes)
            Float32 for outputs of half precision, as of a module under autocast.
        """
        if outputs.is_floating_point() and outputs.element_size() < 4:
            outputs = outputs.float()
        return self._nonlinearity()(outputs)

    def _nonlinearity(self) -> Any:
        return find_nonlinearity(self.predict_nonlinearity, self._criterion_kind())

    def _criterion_kind(self) -> Any:
        # torch.compile wraps criterion_, so prefer the parameter. If it is a factory,
        # only criterion_ shows the kind.
        given = self.criterion
        if isinstance(given, (type, nn.Module)):
            return given
        return vars(self).get("criterion_", given)
