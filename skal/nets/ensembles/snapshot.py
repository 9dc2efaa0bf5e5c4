"""Snapshot ensembles: one training run, a member from the end of each cycle."""

from __future__ import annotations

from copy import deepcopy
from math import cos, pi
from typing import Any

import torch
from skorch.callbacks import Callback

from skal.nets.callbacks import WeightSnapshots
from skal.nets.ensembles.base import (
    BaseEnsemble,
    EnsembleClassifier,
    EnsembleRegressor,
    seeded_clone,
)
from skal.rng import seed_from
from skal.rows import n_rows
from skal.validation import check_int

__all__ = ["SnapshotEnsembleClassifier", "SnapshotEnsembleRegressor"]


class CosineCycles(Callback):
    """Lowers the learning rate along a cosine, cycle by cycle, and keeps weights.

    Parameters
    ----------
    cycle_epochs : int
        Number of epochs in a cycle.

    Attributes
    ----------
    states_ : list of dict
        State of the module at the end of each cycle, on the CPU.
    """

    states_: list[dict[str, torch.Tensor]]

    def __init__(self, cycle_epochs: int) -> None:
        self.cycle_epochs = cycle_epochs

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kw: Any) -> None:
        """Note the initial learning rates."""
        self.states_ = []
        self.rates_ = [group["lr"] for group in net.optimizer_.param_groups]
        self.epoch_ = self.step_ = 0

    def on_epoch_begin(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kw: Any
    ) -> None:
        """Count the steps of a cycle, and reset the count when a cycle begins."""
        self.n_steps_ = self.cycle_epochs * len(net.get_iterator(dataset_train, True))
        if self.epoch_ % self.cycle_epochs == 0:
            self.step_ = 0

    def on_batch_begin(
        self, net: Any, batch: Any = None, training: bool = False, **kw: Any
    ) -> None:
        """Set the learning rate of the next step."""
        if not training:
            return
        factor = (1 + cos(pi * self.step_ / self.n_steps_)) / 2
        for group, rate in zip(net.optimizer_.param_groups, self.rates_, strict=True):
            group["lr"] = factor * rate
        net.history.record_batch("event_lr", factor * self.rates_[0])
        self.step_ += 1

    def on_epoch_end(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kw: Any
    ) -> None:
        """Keep the weights if a cycle ends."""
        self.epoch_ += 1
        if self.epoch_ % self.cycle_epochs == 0:
            state = net.module_.state_dict()
            copies = {name: value.to("cpu", copy=True) for name, value in state.items()}
            self.states_.append(copies)

    def on_train_end(self, net: Any, X: Any = None, y: Any = None, **kw: Any) -> None:
        """Restore the learning rates."""
        for group, rate in zip(net.optimizer_.param_groups, self.rates_, strict=True):
            group["lr"] = rate


class SnapshotEnsemble(BaseEnsemble):
    """Members from the ends of the cycles of one training run."""

    def __init__(
        self,
        estimator: Any = None,
        n_estimators: int = 5,
        *,
        cycle_epochs: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.cycle_epochs = cycle_epochs
        self.random_state = random_state

    def _fit(
        self,
        estimator: Any,
        X: Any,
        y: Any,
        fit_params: dict[str, Any],
        rng: torch.Generator,
    ) -> dict[str, Any]:
        self._check_net(estimator)
        n_epochs = self.cycle_epochs
        if n_epochs is None:
            n_epochs = max(1, estimator.n_epochs(n_rows(X)) // self.n_estimators)
        check_int("cycle_epochs", n_epochs)
        run = seeded_clone(estimator, seed_from(rng))
        given, max_epochs = run.callbacks, run.max_epochs
        cycles = CosineCycles(n_epochs)
        run.set_params(
            callbacks=[*(given if isinstance(given, list) else []), cycles],
            max_epochs=n_epochs * self.n_estimators,
        )
        run.fit(X, y, **fit_params)
        if len(cycles.states_) < self.n_estimators:
            raise ValueError(
                f"Training ended after {len(run.history)} epochs, {len(cycles.states_)}"
                f" cycles of {n_epochs} epochs, but {self.n_estimators} members need "
                "one cycle each; remove callbacks that stop early."
            )
        run.callbacks_ = [(name, cb) for name, cb in run.callbacks_ if cb is not cycles]
        run.callbacks, run.max_epochs = given, max_epochs
        kept = [cb for _, cb in run.callbacks_ if isinstance(cb, WeightSnapshots)]
        memo = {id(cb): cb for cb in kept}  # not copied: a member gets its part of them
        members = []
        for k, state in enumerate(cycles.states_):
            member = deepcopy(run, dict(memo))
            member.module_.load_state_dict(state)
            cycle = range(k * n_epochs + 1, (k + 1) * n_epochs + 1)
            member.callbacks_ = [
                (name, cb.part(epochs=cycle) if isinstance(cb, WeightSnapshots) else cb)
                for name, cb in member.callbacks_
            ]
            members.append(member)
        return {"estimators_": members}


class SnapshotEnsembleClassifier(SnapshotEnsemble, EnsembleClassifier):
    r"""Snapshots of one net, taken at the end of each cycle of its learning rate.

    Training costs no more than for a single net.

    Parameters
    ----------
    estimator : NetClassifier, optional
        Each cycle begins with its ``lr``.
    n_estimators : int, default=5
        Number of cycles, which is the number of members.
    cycle_epochs : int, optional
        Number of epochs in a cycle. By default, the net's ``max_epochs`` divided by the
        number of members, and at least one.
    random_state : int, numpy RandomState or Generator, optional
        Seeds the training run. None draws a new seed for each `fit`.

    Attributes
    ----------
    estimators_ : list of NetClassifier
        The fitted members, in the order of the run. Each has the history of the run.
    classes_ : ndarray of shape (n_classes,)
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Column names of a DataFrame X.

    See Also
    --------
    SnapshotEnsembleRegressor : The same for regression.

    Notes
    -----
    In step t of the T steps of a cycle, the learning rate is
    :math:`\alpha_0 (1 + \cos(\pi t / T)) / 2` for t = 0, ..., T - 1. It is set for each
    batch and recorded as ``event_lr`` in the batches of the history. Each cycle begins
    with the full learning rate, which moves the net out of the minimum it was in; use a
    larger ``lr`` than for a single net. Do not set another schedule.

    References
    ----------
    Huang, Li, Pleiss, Liu, Hopcroft and Weinberger, "Snapshot ensembles: train 1, get M
    for free", ICLR 2017. https://arxiv.org/abs/1704.00109

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skal.nets import NetClassifier
    >>> from skal.nets.ensembles import SnapshotEnsembleClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> ensemble = SnapshotEnsembleClassifier(
    ...     NetClassifier(lr=0.01), cycle_epochs=10, random_state=0
    ... )
    >>> bool(ensemble.fit(X, y).score(X, y) > 0.9)
    True
    """


class SnapshotEnsembleRegressor(SnapshotEnsemble, EnsembleRegressor):
    """Snapshots of one net, taken at the end of each cycle of its learning rate.

    Parameters
    ----------
    estimator : NetRegressor, optional
        Each cycle begins with its ``lr``.
    n_estimators : int, default=5
        Number of cycles, which is the number of members.
    cycle_epochs : int, optional
        Number of epochs in a cycle. By default, the net's ``max_epochs`` divided by the
        number of members, and at least one.
    random_state : int, numpy RandomState or Generator, optional
        Seeds the training run. None draws a new seed for each `fit`.

    Attributes
    ----------
    estimators_ : list of NetRegressor
        The fitted members, in the order of the run. Each has the history of the run.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Column names of a DataFrame X.

    See Also
    --------
    SnapshotEnsembleClassifier : The same for classification; its notes apply here, too.

    Examples
    --------
    >>> import numpy as np
    >>> from skal.nets import NetRegressor
    >>> from skal.nets.ensembles import SnapshotEnsembleRegressor
    >>> X = np.linspace(-1, 1, 40)[:, None]
    >>> ensemble = SnapshotEnsembleRegressor(NetRegressor(lr=0.01), random_state=0)
    >>> mean, std = ensemble.fit(X, X[:, 0]).predict(X, return_std=True)
    >>> mean.shape, std.shape
    ((40,), (40,))
    """
