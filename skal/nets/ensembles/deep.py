"""Naive ensembles: nets that differ by their seed alone."""

from __future__ import annotations

from typing import Any

import torch
from skorch import NeuralNet
from torch import nn

from skal.nets.ensembles.base import (
    BaseEnsemble,
    EnsembleClassifier,
    EnsembleRegressor,
    seeded_clone,
)
from skal.nets.ensembles.together import can_train_together, train_together
from skal.rng import seed_from

__all__ = ["DeepEnsembleClassifier", "DeepEnsembleRegressor"]


class DeepEnsemble(BaseEnsemble):
    """Members from independent starts."""

    trained_together_: bool

    def __init__(
        self,
        estimator: Any = None,
        n_estimators: int = 5,
        *,
        train_together: bool = True,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.train_together = train_together
        self.random_state = random_state

    def _fit(
        self,
        estimator: Any,
        X: Any,
        y: Any,
        fit_params: dict[str, Any],
        rng: torch.Generator,
    ) -> dict[str, Any]:
        _check_starts(estimator)
        members = [
            seeded_clone(estimator, seed_from(rng)) for _ in range(self.n_estimators)
        ]
        together = (
            self.train_together and not fit_params and can_train_together(members[0], X)
        )
        if together:
            train_together(members, X, y)
        else:
            for member in members:
                member.fit(X, y, **fit_params)
        return {"estimators_": members, "trained_together_": together}


def _check_starts(estimator: Any) -> None:
    """Raise if the members would all start from the same weights."""
    for part in (estimator, *estimator.get_params().values()):
        if isinstance(part, NeuralNet) and isinstance(part.module, nn.Module):
            raise ValueError(
                "The net's module is an instance, so that all members would start from "
                "its weights: pass the class, and its options as module__..."
            )


class DeepEnsembleClassifier(DeepEnsemble, EnsembleClassifier):
    """Nets trained from independent starts, their probabilities averaged.

    Parameters
    ----------
    estimator : classifier, optional
        Its clones are the members; by default ``NetClassifier()``. May be a Pipeline.
    n_estimators : int, default=5
        Number of members.
    train_together : bool, default=True
        Whether members take their steps side by side, where that is possible: much
        faster for small nets, and the same but for rounding.
    random_state : int, numpy RandomState or Generator, optional
        Seeds the members; None for fresh entropy.

    Attributes
    ----------
    estimators_ : list of classifiers
        The fitted members.
    trained_together_ : bool
        Whether they were trained side by side.
    classes_ : ndarray of shape (n_classes,)
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Of a DataFrame X.

    See Also
    --------
    DeepEnsembleRegressor : The same for regression.

    Notes
    -----
    All members see all rows, each in an order of its own. They train side by side if
    they are plain :class:`~skal.nets.NetClassifier` with an `MLP`, a usual activation,
    optimizer and criterion of torch, no callbacks, no `train_split`, and without
    weights of rows; else one by one. A member is what the net with its ``random_state``
    comes to alone, to the rounding of float32, which long training amplifies as it
    does between one machine and another.

    A *stochastic ensemble* is an ensemble of nets with dropout, whose members are asked
    repeatedly with dropout on: give the net ``module__dropout`` and read
    ``estimators_`` through the posterior of MC dropout.

    References
    ----------
    Lakshminarayanan et al., `Simple and Scalable Predictive Uncertainty Estimation
    using Deep Ensembles <https://arxiv.org/abs/1612.01474>`_, NeurIPS 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skal.nets import NetClassifier
    >>> from skal.nets.ensembles import DeepEnsembleClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> ensemble = DeepEnsembleClassifier(
    ...     NetClassifier(max_epochs=30), n_estimators=3, random_state=0
    ... )
    >>> bool(ensemble.fit(X, y).score(X, y) > 0.9)
    True
    >>> len(ensemble.estimators_), ensemble.trained_together_
    (3, True)
    """


class DeepEnsembleRegressor(DeepEnsemble, EnsembleRegressor):
    """Nets trained from independent starts, their predictions averaged.

    Parameters
    ----------
    estimator : regressor, optional
        Its clones are the members; by default ``NetRegressor()``. May be a Pipeline or
        a TransformedTargetRegressor.
    n_estimators : int, default=5
        Number of members.
    train_together : bool, default=True
        As for `DeepEnsembleClassifier`.
    random_state : int, numpy RandomState or Generator, optional
        Seeds the members; None for fresh entropy.

    Attributes
    ----------
    estimators_ : list of regressors
        The fitted members.
    trained_together_ : bool
        Whether they were trained side by side.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Of a DataFrame X.

    See Also
    --------
    DeepEnsembleClassifier : The same for classes, with notes that hold here, too.

    Examples
    --------
    >>> import numpy as np
    >>> from skal.nets import NetRegressor
    >>> from skal.nets.ensembles import DeepEnsembleRegressor
    >>> X = np.linspace(-1, 1, 40)[:, None]
    >>> ensemble = DeepEnsembleRegressor(NetRegressor(lr=0.01), random_state=0)
    >>> ensemble = ensemble.fit(X, X[:, 0] ** 2)
    >>> mean, std = ensemble.predict([[0.0], [4.0]], return_std=True)
    >>> bool(std[1] > 3 * std[0])
    True
    """
