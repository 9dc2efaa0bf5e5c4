"""A callback that counts how often each row is forgotten during training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
from skorch.callbacks import Callback
from skorch.utils import is_dataset
from torch.utils.data import Subset

from skal.exceptions import UnsuitableLearnerError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ForgettingEvents"]


class ForgettingEvents(Callback):
    r"""Counts how often a net forgets each training row [1]_.

    A row is learned when its prediction changes from wrong to right between two
    mini-batches that contain it, and forgotten when it changes from right to wrong.
    Rows that are never forgotten are often redundant and can be removed.

    Attributes
    ----------
    n_presented_ : ndarray of shape (n,)
        Number of mini-batches that contained the row; 0 for rows that `train_split`
        kept for validation.
    n_learned_ : ndarray of shape (n,)
        Number of changes from wrong to right. At first, all rows count as wrong.
    n_forgotten_ : ndarray of shape (n,)
        Number of changes from right to wrong.
    first_learned_ : ndarray of shape (n,)
        Epoch, counted from 1, of the first right prediction; 0 if there is none.
    unforgettable_ : ndarray of int
        Positions of the rows that were learned and never forgotten.
    forgettable_ : ndarray of int
        Positions of the other presented rows: those forgotten at least once, and those
        never learned, which count as forgotten infinitely often.

    Notes
    -----
    Predictions are those of the training step, with dropout and before the weights are
    updated, so they cost nothing. `fit` resets the counts. `partial_fit`, and `fit`
    with ``warm_start=True``, continue to count if their rows and labels are those of
    the previous call, and reset the counts otherwise; positions refer to these rows.

    In an ensemble, each member has a copy of the callback, among its ``callbacks_``.
    The members of a split-head or snapshot ensemble are trained in one run, so their
    counts are equal; with several heads, the prediction is that of their mean.

    The net must be a :class:`~skal.nets.NetClassifier` trained on arrays with its
    default iterator, whose batches contain the positions of their rows.

    References
    ----------
    .. [1] Toneva, Sordoni, Tachet des Combes, Trischler, Bengio and Gordon, "An
       empirical study of example forgetting during deep neural network learning", ICLR
       2019. https://arxiv.org/abs/1812.05159

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skal.nets import NetClassifier
    >>> from skal.nets.callbacks import ForgettingEvents
    >>> X, y = load_iris(return_X_y=True)
    >>> events = ForgettingEvents()
    >>> net = NetClassifier(max_epochs=20, callbacks=[events], random_state=0)
    >>> _ = net.fit(X, y)
    >>> len(events.forgettable_) + len(events.unforgettable_)
    150
    """

    def initialize(self) -> Self:
        """Reset the counts.

        Returns
        -------
        callback : self
        """
        self._clear()
        return self

    def _clear(self) -> None:
        self.n_epochs_ = 0
        for name in ("n_presented_", "n_learned_", "n_forgotten_", "first_learned_"):
            setattr(self, name, np.zeros(0, dtype=np.int64))
        self.right_ = np.zeros(0, dtype=bool)
        self.rows_: str | None = None

    def on_train_begin(
        self, net: Any, X: Any = None, y: Any = None, **kwargs: Any
    ) -> None:
        """Reset the counts if the rows are not those of the training before.

        Parameters
        ----------
        net : NeuralNet
        X, y : optional
        **kwargs : dict

        Raises
        ------
        UnsuitableLearnerError
            If the net is not a classifier of skal.
        """
        if not hasattr(net, "outputs_to_proba"):
            raise UnsuitableLearnerError(
                "ForgettingEvents counts the right and wrong predictions of a "
                f"skal.NetClassifier, and {type(net).__name__} is not one."
            )
        rows = None if is_dataset(X) else joblib.hash((X, y))
        if rows is None or rows != self.rows_:
            self._clear()
            self.rows_ = rows

    def on_epoch_begin(
        self,
        net: Any,
        dataset_train: Any = None,
        dataset_valid: Any = None,
        **kwargs: Any,
    ) -> None:
        """Count the epoch; the first one tells the number of rows.

        Parameters
        ----------
        net : NeuralNet
        dataset_train, dataset_valid : Dataset, optional
        **kwargs : dict
        """
        self.n_epochs_ += 1
        if self.n_epochs_ == 1:
            while isinstance(dataset_train, Subset):
                dataset_train = dataset_train.dataset
            n = len(dataset_train)
            self.n_presented_ = np.zeros(n, dtype=np.int64)
            self.n_learned_ = np.zeros(n, dtype=np.int64)
            self.n_forgotten_ = np.zeros(n, dtype=np.int64)
            self.first_learned_ = np.zeros(n, dtype=np.int64)
            self.right_ = np.zeros(n, dtype=bool)

    def on_batch_end(
        self, net: Any, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        """Compare the predictions of a training step with the labels.

        Parameters
        ----------
        net : NeuralNet
        batch : (X, y)
        training : bool, default=False
        **kwargs : dict
            Contains ``y_pred`` of the step.

        Raises
        ------
        UnsuitableLearnerError
            If the batch does not know its rows.
        """
        if not training:
            return
        rows = getattr(batch, "rows", None)
        if rows is None:
            raise UnsuitableLearnerError(
                "ForgettingEvents cannot tell which rows are in a batch: pass X as "
                "arrays, not as a Dataset, and do not set iterator_train."
            )
        outputs = kwargs["y_pred"]
        outputs = outputs[0] if isinstance(outputs, tuple) else outputs
        codes = net.outputs_to_proba(outputs.detach()).argmax(dim=1)
        right = (codes == batch[1].to(codes.device)).cpu().numpy()
        if isinstance(rows, slice):
            rows = np.arange(len(self.right_))[rows]
        was_right = self.right_[rows]
        self.n_presented_[rows] += 1
        self.n_learned_[rows] += right & ~was_right
        self.n_forgotten_[rows] += was_right & ~right
        first = rows[right & (self.first_learned_[rows] == 0)]
        self.first_learned_[first] = self.n_epochs_
        self.right_[rows] = right

    @property
    def unforgettable_(self) -> np.ndarray:
        """Positions of the rows that were learned and never forgotten."""
        return np.flatnonzero((self.n_learned_ > 0) & (self.n_forgotten_ == 0))

    @property
    def forgettable_(self) -> np.ndarray:
        """Positions of the presented rows that were forgotten or never learned."""
        never = (self.n_learned_ == 0) & (self.n_presented_ > 0)
        return np.flatnonzero((self.n_forgotten_ > 0) | never)
