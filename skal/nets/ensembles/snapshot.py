"""Snapshot ensembles: one training run, a member at the end of each cycle."""

from __future__ import annotations

from copy import deepcopy
from numbers import Integral
from typing import Any

import torch

from skal.nets.ensembles.base import (
    BaseEnsemble,
    EnsembleClassifier,
    EnsembleRegressor,
    seeded_clone,
)
from skal.nets.ensembles.cycles import CosineCycles
from skal.rng import seed_from

__all__ = ["SnapshotEnsembleClassifier", "SnapshotEnsembleRegressor"]


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
        n_epochs: Any = self.cycle_epochs
        if n_epochs is None:
            n_epochs = max(1, estimator.max_epochs // self.n_estimators)
        elif not isinstance(n_epochs, Integral) or n_epochs < 1:
            raise ValueError(
                f"cycle_epochs must be an int of at least 1, got {n_epochs!r}."
            )
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
                f" cycles of {n_epochs}, where {self.n_estimators} members need as "
                "many cycles; leave out callbacks that stop early."
            )
        run.callbacks_ = [(name, cb) for name, cb in run.callbacks_ if cb is not cycles]
        run.callbacks, run.max_epochs = given, max_epochs
        members = []
        for state in cycles.states_:
            member = deepcopy(run)
            member.module_.load_state_dict(state)
            members.append(member)
        return {"estimators_": members}


class SnapshotEnsembleClassifier(SnapshotEnsemble, EnsembleClassifier):
    r"""Nets of one training run, one from the end of each cycle of the learning rate.

    Costs no more training than a single net.

    Parameters
    ----------
    estimator : NetClassifier, optional
        Its ``lr`` is where each cycle begins.
    n_estimators : int, default=5
        Number of cycles, and of members.
    cycle_epochs : int, optional
        Epochs in a cycle; by default ``max_epochs`` of the net are shared out, each
        cycle having at least one.
    random_state : int, numpy RandomState or Generator, optional
        Seeds the run; None for fresh entropy.

    Attributes
    ----------
    estimators_ : list of NetClassifier
        The fitted members, in the order of the run. All have the history of the whole.
    classes_ : ndarray of shape (n_classes,)
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Of a DataFrame X.

    See Also
    --------
    SnapshotEnsembleRegressor : The same for regression.

    Notes
    -----
    In step t of the T of a cycle the learning rate is
    :math:`\alpha_0 (1 + \cos(\pi t / T)) / 2`, t = 0 .. T - 1, set for each batch and
    recorded as ``event_lr`` in the batches of the history. Each cycle begins with the
    full rate, which drives the net out of the minimum it was in; use a larger ``lr``
    than for a single net. Do not set another schedule.

    References
    ----------
    Huang et al., `Snapshot Ensembles: Train 1, get M for free
    <https://arxiv.org/abs/1704.00109>`_, ICLR 2017.

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
    """Nets of one training run, one from the end of each cycle of the learning rate.

    Parameters
    ----------
    estimator : NetRegressor, optional
        Its ``lr`` is where each cycle begins.
    n_estimators : int, default=5
        Number of cycles, and of members.
    cycle_epochs : int, optional
        Epochs in a cycle; by default ``max_epochs`` of the net are shared out, each
        cycle having at least one.
    random_state : int, numpy RandomState or Generator, optional
        Seeds the run; None for fresh entropy.

    Attributes
    ----------
    estimators_ : list of NetRegressor
        The fitted members, in the order of the run. All have the history of the whole.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Of a DataFrame X.

    See Also
    --------
    SnapshotEnsembleClassifier : The same for classes, with notes that hold here, too.

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
