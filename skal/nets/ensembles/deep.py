"""Deep ensembles: members trained independently from different seeds."""

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
    """Members that differ only by their seeds."""

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
        _check_modules(estimator)
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


def _check_modules(estimator: Any) -> None:
    """Raise ValueError if all members would start from the same weights."""
    for part in (estimator, *estimator.get_params().values()):
        if isinstance(part, NeuralNet) and isinstance(part.module, nn.Module):
            raise ValueError(
                "The net's module is an instance, so all members would start from "
                "its weights; pass the class, and its options as module__..."
            )


class DeepEnsembleClassifier(DeepEnsemble, EnsembleClassifier):
    """Classifiers trained independently from different seeds; averages probabilities.

    Parameters
    ----------
    estimator : classifier, optional
        The members are clones of it; ``NetClassifier()`` by default. Can be a Pipeline.
    n_estimators : int, default=5
        Number of members.
    train_together : bool, default=True
        Whether to train the members simultaneously, where possible. This is much
        faster for small nets, and equal up to rounding.
    random_state : int, numpy RandomState or Generator, optional
        Seeds the members. None draws a new seed for each `fit`.

    Attributes
    ----------
    estimators_ : list of classifiers
        The fitted members.
    trained_together_ : bool
        Whether the members were trained simultaneously.
    classes_ : ndarray of shape (n_classes,)
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Column names of a DataFrame X.

    See Also
    --------
    DeepEnsembleRegressor : The same for regression.

    Notes
    -----
    All members see all rows, each in a different order. They are trained
    simultaneously if they are plain :class:`~skal.nets.NetClassifier` instances with an
    `MLP`, a common activation, optimizer and criterion of torch, no callbacks, no
    `train_split` and no `sample_weight`; otherwise one after the other. A member equals
    a net fitted alone with its ``random_state``, up to rounding in float32. Long
    training amplifies rounding differences, as it does those between machines.

    A *stochastic ensemble* is a deep ensemble of nets with dropout, with several draws
    of dropout from each member: set ``module__dropout`` and read ``estimators_`` with
    the posterior of MC dropout.

    References
    ----------
    Lakshminarayanan, Pritzel and Blundell, "Simple and scalable predictive uncertainty
    estimation using deep ensembles", NeurIPS 2017. https://arxiv.org/abs/1612.01474

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
    """Regressors trained independently from different seeds; averages predictions.

    Parameters
    ----------
    estimator : regressor, optional
        The members are clones of it; ``NetRegressor()`` by default. Can be a Pipeline
        or a TransformedTargetRegressor.
    n_estimators : int, default=5
        Number of members.
    train_together : bool, default=True
        As in `DeepEnsembleClassifier`.
    random_state : int, numpy RandomState or Generator, optional
        Seeds the members. None draws a new seed for each `fit`.

    Attributes
    ----------
    estimators_ : list of regressors
        The fitted members.
    trained_together_ : bool
        Whether the members were trained simultaneously.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Column names of a DataFrame X.

    See Also
    --------
    DeepEnsembleClassifier : The same for classification; its notes apply here, too.

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
