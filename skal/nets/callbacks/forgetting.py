"""A callback that counts how often each row is forgotten in training."""

from __future__ import annotations

from typing import Any

import numpy as np
from skorch.callbacks import Callback
from torch.utils.data import Subset

from skal.exceptions import UnsuitableLearnerError

__all__ = ["ForgettingEvents"]


class ForgettingEvents(Callback):
    r"""Counts how often a net forgets each row that it is trained on [1]_.

    A row is learned when its class is predicted right in a mini-batch that has it,
    and forgotten when it was right the last time and is wrong now. Rows that are never
    forgotten tell the net little that others do not: they can often be left out.

    Attributes
    ----------
    n_presented_ : ndarray of shape (n,)
        In how many mini-batches the row was. 0 for rows that `train_split` kept for
        validation.
    n_learned_ : ndarray of shape (n,)
        Times that the row went from wrong, as all are at first, to right.
    n_forgotten_ : ndarray of shape (n,)
        Times that it went from right to wrong.
    first_learned_ : ndarray of shape (n,)
        Epoch, counted from 1, in which it was first right; 0 if never.
    unforgettable_ : ndarray of int
        Positions of the rows that were learned and never forgotten.
    forgettable_ : ndarray of int
        Positions of the other rows that were presented: forgotten at least once, or
        never learned, which counts as forgotten infinitely often.

    Notes
    -----
    Predictions are those of the training step: before it changes the weights, dropout
    on, so that they cost nothing. Counts are of the last call of `fit` or
    `partial_fit`, and positions those of its rows.

    For nets of skal that classify and are given arrays: their batches say which rows
    they have.

    References
    ----------
    .. [1] Toneva et al., "An empirical study of example forgetting during deep neural
       network learning", ICLR 2019. https://arxiv.org/abs/1812.05159

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

    def on_train_begin(
        self, net: Any, X: Any = None, y: Any = None, **kwargs: Any
    ) -> None:
        """Start anew.

        Parameters
        ----------
        net : NeuralNet
        X, y : optional
        **kwargs : dict
        """
        if not hasattr(net, "outputs_to_proba"):
            raise UnsuitableLearnerError(
                f"ForgettingEvents counts right and wrong classes of a "
                f"skal.NetClassifier; {type(net).__name__} is none."
            )
        self.n_epochs_ = 0
        for name in ("n_presented_", "n_learned_", "n_forgotten_", "first_learned_"):
            setattr(self, name, np.zeros(0, dtype=np.int64))
        self.right_ = np.zeros(0, dtype=bool)

    def on_epoch_begin(
        self,
        net: Any,
        dataset_train: Any = None,
        dataset_valid: Any = None,
        **kwargs: Any,
    ) -> None:
        """Make room for the rows.

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
        """Compare what was predicted in a training step with the labels.

        Parameters
        ----------
        net : NeuralNet
        batch : (X, y)
        training : bool
        **kwargs : dict
            ``y_pred`` of the step.
        """
        if not training:
            return
        y = batch[1]
        rows = getattr(y, "rows", None)
        if rows is None:
            raise UnsuitableLearnerError(
                "ForgettingEvents does not know which rows a batch has: give X as "
                "arrays, not as a Dataset, and leave iterator_train as it is."
            )
        outputs = kwargs["y_pred"]
        outputs = outputs[0] if isinstance(outputs, tuple) else outputs
        codes = net.outputs_to_proba(outputs.detach()).argmax(dim=1)
        right = (codes == y.to(codes.device)).cpu().numpy()
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
        """Positions of the rows that were forgotten, or never learned."""
        never = (self.n_learned_ == 0) & (self.n_presented_ > 0)
        return np.flatnonzero((self.n_forgotten_ > 0) | never)
