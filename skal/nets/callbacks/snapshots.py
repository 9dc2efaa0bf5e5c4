"""A callback that keeps the weights of a net during training."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from skorch.callbacks import Callback
from torch import Tensor

from skal.exceptions import UnsuitableLearnerError
from skal.validation import check_int

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["WeightSnapshots"]


class WeightSnapshots(Callback):
    """Keeps the weights of a net after epochs, for `skal.posteriors.Snapshots`.

    Parameters
    ----------
    every : int, default=1
        Interval between snapshots, in epochs.
    warmup : int, default=0
        Number of initial epochs without snapshots. In these, a net changes the class
        of every row, which says little about the row.
    last : int or None, default=50
        Maximum number of snapshots; older ones are discarded. None keeps all.

    Attributes
    ----------
    weights_ : list of dict of str to Tensor
        Parameters and buffers (such as those of BatchNorm) by name, on the CPU, oldest
        snapshot first.
    epochs_ : list of int
        Epoch of each snapshot, counted from 1.

    Notes
    -----
    Memory: at most ``last`` × (parameters and buffers) × 4 bytes in float32, on the CPU
    whatever the device, and as much in a pickle. A tensor that has not changed since
    the last snapshot, such as that of a frozen layer, is stored once.

    `fit` discards earlier snapshots. `partial_fit`, and `fit` with ``warm_start=True``,
    continue to count epochs and keep snapshots.

    The members of a split-head ensemble have the snapshots of all epochs of the run,
    each with its own head; the members of a snapshot ensemble have those of their own
    cycle.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skal.nets import NetClassifier
    >>> from skal.nets.callbacks import WeightSnapshots
    >>> X, y = load_iris(return_X_y=True)
    >>> snapshots = WeightSnapshots(every=2, warmup=1)
    >>> net = NetClassifier(max_epochs=6, callbacks=[snapshots]).fit(X, y)
    >>> snapshots.epochs_
    [3, 5]
    """

    def __init__(self, every: int = 1, warmup: int = 0, last: int | None = 50) -> None:
        self.every = every
        self.warmup = warmup
        self.last = last

    def initialize(self) -> Self:
        """Validate the parameters and discard earlier snapshots.

        Returns
        -------
        callback : self

        Raises
        ------
        ValueError
            If a parameter is out of range.
        """
        check_int("every", self.every)
        check_int("warmup", self.warmup, minimum=0)
        if self.last is not None:
            check_int("last", self.last, minimum=2)
        self._clear()
        return self

    def _clear(self) -> None:
        self.weights_: list[dict[str, Tensor]] = []
        self.epochs_: list[int] = []
        self.n_epochs_ = 0
        self.owner_: Any = None

    def on_train_begin(
        self, net: Any, X: Any = None, y: Any = None, **kwargs: Any
    ) -> None:
        """Discard earlier snapshots if they belong to another module.

        Parameters
        ----------
        net : NeuralNet
        X, y : optional
        **kwargs : dict
        """
        if not self._belongs_to(net):
            self._clear()
        self.owner_ = weakref.ref(net.module_)

    def on_epoch_end(
        self,
        net: Any,
        dataset_train: Any = None,
        dataset_valid: Any = None,
        **kwargs: Any,
    ) -> None:
        """Keep the weights if the epoch is due.

        Parameters
        ----------
        net : NeuralNet
        dataset_train, dataset_valid : Dataset, optional
        **kwargs : dict
        """
        self.n_epochs_ += 1
        past = self.n_epochs_ - self.warmup
        if past <= 0 or past % self.every:
            return
        before = self.weights_[-1] if self.weights_ else {}
        tensors = [*net.module_.named_parameters(), *net.module_.named_buffers()]
        self.weights_.append({name: _copy(t, before.get(name)) for name, t in tensors})
        self.epochs_.append(self.n_epochs_)
        if self.last is not None:
            del self.weights_[: -self.last], self.epochs_[: -self.last]

    def of(self, net: Any) -> list[dict[str, Tensor]]:
        """Get the snapshots of a net, oldest first.

        Parameters
        ----------
        net : NeuralNet

        Returns
        -------
        weights : list of dict of str to Tensor

        Raises
        ------
        UnsuitableLearnerError
            If the snapshots belong to another net or module.
        """
        if not self._belongs_to(net):
            raise UnsuitableLearnerError(
                f"The snapshots of {self!r} do not belong to this "
                f"{type(net).__name__}: its module was rebuilt or changed, or another "
                "net used the same callback. Fit the net again, each net with a "
                "separate WeightSnapshots."
            )
        return list(self.weights_)

    def part(
        self, rename: Mapping[str, str] | None = None, epochs: Sequence[int] = ()
    ) -> WeightSnapshots:
        """Copy the callback with a part of its snapshots, for a net made of another.

        Parameters
        ----------
        rename : mapping of str to str, optional
            New names of the tensors to keep; all are kept under their names by default.
        epochs : sequence of int
            Epochs to keep; all by default.

        Returns
        -------
        callback : WeightSnapshots
            It has the tensors of this one, which are not copied.
        """
        copied = type(self)(self.every, self.warmup, self.last).initialize()
        copied.n_epochs_ = self.n_epochs_
        for epoch, weights in zip(self.epochs_, self.weights_, strict=True):
            if epochs and epoch not in epochs:
                continue
            if rename is not None:
                weights = {new: weights[old] for old, new in rename.items()}
            copied.weights_.append(dict(weights))
            copied.epochs_.append(epoch)
        return copied

    def _belongs_to(self, net: Any) -> bool:
        # A copied or unpickled callback can compare shapes only.
        if self.owner_ is not None and self.owner_() is not net.module_:
            return False
        if not self.weights_:
            return True
        now = [*net.module_.named_parameters(), *net.module_.named_buffers()]
        return {name: t.shape for name, t in now} == {
            name: t.shape for name, t in self.weights_[-1].items()
        }

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        if "owner_" in state:
            state["owner_"] = None  # a weak reference cannot be pickled
        return state

    def __repr__(self) -> str:
        return (
            f"WeightSnapshots(every={self.every}, warmup={self.warmup}, "
            f"last={self.last})"
        )


def _copy(tensor: Tensor, before: Tensor | None) -> Tensor:
    """Copy a tensor to the CPU, or reuse the previous copy if it is equal."""
    now = tensor.detach().cpu()
    if before is not None and torch.equal(now, before):
        return before
    return now.clone()
