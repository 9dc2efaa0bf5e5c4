"""Diversity-encouraging ensembles: members diverge by dropout from a common start."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, ClassVar

import torch

from skal.nets.ensembles.base import (
    BaseEnsemble,
    EnsembleClassifier,
    EnsembleRegressor,
    seeded_clone,
)
from skal.nets.modules import DROPOUTS
from skal.rng import seed_from
from skal.rows import n_rows

__all__ = [
    "DiversityEncouragingEnsembleClassifier",
    "DiversityEncouragingEnsembleRegressor",
]


class DiversityEncouragingEnsemble(BaseEnsemble):
    """Copies of a briefly trained net, each trained further with dropout."""

    _net_options: ClassVar[dict[str, Any]] = {"module__dropout": 0.2}

    def __init__(
        self,
        estimator: Any = None,
        n_estimators: int = 5,
        *,
        base_epochs: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.base_epochs = base_epochs
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
        given, warm_start = estimator.max_epochs, estimator.warm_start
        max_epochs = estimator.n_epochs(n_rows(X))
        base_epochs = self.base_epochs
        if base_epochs is None:
            base_epochs = max_epochs // 5
        if not 0 <= base_epochs < max_epochs:
            raise ValueError(
                "base_epochs must be at least 0 and less than the net's "
                f"max_epochs={max_epochs}, got {base_epochs}."
            )
        base = seeded_clone(estimator, seed_from(rng)).set_params(
            max_epochs=base_epochs, warm_start=True
        )
        weight = fit_params.pop("sample_weight", None)
        base._fit(X, y, weight, fit_params)  # few epochs are intended
        layers = [m for m in base.module_.modules() if isinstance(m, DROPOUTS)]
        if not any(layer.p > 0 for layer in layers):
            raise ValueError(
                f"The members of {type(self).__name__} differ by dropout, but "
                f"{type(base.module_).__name__} has none. Set module__dropout=0.2 for "
                "an MLP, or use a module with torch.nn.Dropout."
            )
        members = []
        for _ in range(self.n_estimators):
            member, seed = deepcopy(base), seed_from(rng)
            member.set_params(max_epochs=max_epochs - base_epochs, random_state=seed)
            member.seed_ = seed
            member.fit(X, y, weight, **fit_params)
            members.append(member.set_params(max_epochs=given, warm_start=warm_start))
        return {"estimators_": members}


class DiversityEncouragingEnsembleClassifier(
    DiversityEncouragingEnsemble, EnsembleClassifier
):
    """Copies of a briefly trained net, each trained further with different dropout.

    The first epochs of training are shared, so they are run only once.

    Parameters
    ----------
    estimator : NetClassifier, optional
        A net with dropout; ``NetClassifier(module__dropout=0.2)`` by default.
    n_estimators : int, default=5
        Number of members.
    base_epochs : int, optional
        Number of shared epochs; a fifth of the net's ``max_epochs`` by default.
    random_state : int, numpy RandomState or Generator, optional
        Seeds the shared epochs and the members. None draws a new seed for each `fit`.

    Attributes
    ----------
    estimators_ : list of NetClassifier
        The fitted members.
    classes_ : ndarray of shape (n_classes,)
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Column names of a DataFrame X.

    See Also
    --------
    DiversityEncouragingEnsembleRegressor : The same for regression.

    Notes
    -----
    Each member is trained for ``max_epochs`` in total, shared epochs included. After
    these, it continues with the state of the optimizer, and with its own dropout masks
    and orders of rows.

    References
    ----------
    Beluch, Genewein, Nürnberger and Köhler, "The power of ensembles for active learning
    in image classification", CVPR 2018.
    https://openaccess.thecvf.com/content_cvpr_2018/html/Beluch_The_Power_of_CVPR_2018_paper.html

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skal.nets import NetClassifier
    >>> from skal.nets.ensembles import DiversityEncouragingEnsembleClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> ensemble = DiversityEncouragingEnsembleClassifier(
    ...     NetClassifier(module__dropout=0.1), n_estimators=3, random_state=0
    ... )
    >>> bool(ensemble.fit(X, y).score(X, y) > 0.9)
    True
    """


class DiversityEncouragingEnsembleRegressor(
    DiversityEncouragingEnsemble, EnsembleRegressor
):
    """Copies of a briefly trained net, each trained further with different dropout.

    Parameters
    ----------
    estimator : NetRegressor, optional
        A net with dropout; ``NetRegressor(module__dropout=0.2)`` by default.
    n_estimators : int, default=5
        Number of members.
    base_epochs : int, optional
        Number of shared epochs; a fifth of the net's ``max_epochs`` by default.
    random_state : int, numpy RandomState or Generator, optional
        Seeds the shared epochs and the members. None draws a new seed for each `fit`.

    Attributes
    ----------
    estimators_ : list of NetRegressor
        The fitted members.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Column names of a DataFrame X.

    See Also
    --------
    DiversityEncouragingEnsembleClassifier : The same for classification; its notes
        apply here, too.

    Examples
    --------
    >>> import numpy as np
    >>> from skal.nets import NetRegressor
    >>> from skal.nets.ensembles import DiversityEncouragingEnsembleRegressor
    >>> X = np.linspace(-1, 1, 40)[:, None]
    >>> ensemble = DiversityEncouragingEnsembleRegressor(
    ...     NetRegressor(module__dropout=0.1), n_estimators=3, random_state=0
    ... )
    >>> mean, std = ensemble.fit(X, X[:, 0]).predict(X, return_std=True)
    >>> mean.shape, std.shape
    ((40,), (40,))
    """
