"""Base classes of ensembles: members, their seeds, averages of their predictions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    MetaEstimatorMixin,
    RegressorMixin,
    clone,
    is_classifier,
    is_regressor,
)
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from skal.nets.classifier import NetClassifier
from skal.nets.net import BaseNet
from skal.nets.regressor import NetRegressor
from skal.rng import resolve_rng, seed_from
from skal.validation import check_int

if TYPE_CHECKING:
    from sklearn.utils import Tags
    from typing_extensions import Self

__all__ = ["BaseEnsemble", "EnsembleClassifier", "EnsembleRegressor", "sum_to_one"]


class BaseEnsemble(MetaEstimatorMixin, BaseEstimator, ABC):
    """Fits several nets to the same rows.

    A kind of ensemble defines `_fit`. `EnsembleClassifier` and `EnsembleRegressor`
    define how predictions are averaged.
    """

    estimator: Any
    n_estimators: int
    random_state: Any
    estimators_: list[Any]

    _net_class: type[BaseNet]
    #: Parameters of the net that is used if ``estimator=None``.
    _net_options: ClassVar[dict[str, Any]] = {}

    def fit(
        self, X: Any, y: Any = None, sample_weight: Any = None, **fit_params: Any
    ) -> Self:
        """Train the members from scratch.

        Parameters
        ----------
        X : array-like, or any other X that the members accept
            m rows.
        y : array-like of shape (m,) or (m, n_targets)
        sample_weight : array-like of shape (m,), optional
        **fit_params : dict
            Further arguments of `fit` of the members.

        Returns
        -------
        ensemble : self

        Raises
        ------
        ValueError, TypeError
            If a member cannot be fitted or `estimator` is of the wrong kind; the
            ensemble is left as it was.
        """
        check_int("n_estimators", self.n_estimators)
        estimator = self._estimator()
        self._check_estimator(estimator)
        if sample_weight is not None:
            fit_params["sample_weight"] = sample_weight
        rng = resolve_rng(self.random_state)
        self.__dict__.update(self._fit(estimator, X, y, fit_params, rng))
        return self

    @abstractmethod
    def _fit(
        self,
        estimator: Any,
        X: Any,
        y: Any,
        fit_params: dict[str, Any],
        rng: torch.Generator,
    ) -> dict[str, Any]:
        """Fit clones of `estimator`; return ``estimators_`` and other attributes."""

    def _estimator(self) -> Any:
        if self.estimator is None:
            return self._net_class(**self._net_options)
        return self.estimator

    def _check_estimator(self, estimator: Any) -> None:
        wanted = is_classifier if is_classifier(self) else is_regressor
        if not wanted(estimator):
            kind = "classifier" if is_classifier(self) else "regressor"
            raise TypeError(
                f"{type(self).__name__} needs a {kind}, got "
                f"{type(estimator).__name__}; use {self._net_class.__name__}."
            )

    def _check_net(self, estimator: Any) -> None:
        """Raise TypeError unless the estimator is a net of skal."""
        if not isinstance(estimator, self._net_class):
            raise TypeError(
                f"{type(self).__name__} needs a {self._net_class.__name__}, got "
                f"{type(estimator).__name__}; if the net is the last step of a "
                "Pipeline, put the ensemble there instead."
            )

    @property
    def n_features_in_(self) -> int:
        """Number of columns of an array X."""
        n_features: int = self.estimators_[0].n_features_in_
        return n_features

    @property
    def feature_names_in_(self) -> np.ndarray:
        """Column names of a DataFrame X."""
        names: np.ndarray = self.estimators_[0].feature_names_in_
        return names

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        members = get_tags(self._estimator())
        tags.input_tags, tags.target_tags = members.input_tags, members.target_tags
        return tags


def sum_to_one(proba: np.ndarray) -> np.ndarray:
    """Let rows that sum to 1 up to the rounding of float32 do so in float64.

    Others, as those of a net with an output for each of several labels, stay as they
    are.
    """
    total = proba.sum(axis=1, keepdims=True)
    rounded: np.ndarray = proba / np.where(np.abs(total - 1) < 1e-5, total, 1)
    return rounded


class EnsembleClassifier(ClassifierMixin, BaseEnsemble):
    """Averages the probabilities of the members."""

    _net_class = NetClassifier

    @property
    def classes_(self) -> np.ndarray:
        """Sorted classes, in the order of the columns of `predict_proba`."""
        classes: np.ndarray = self.estimators_[0].classes_
        return classes

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict the probability of each class, averaged over the members.

        Parameters
        ----------
        X : as in `fit`

        Returns
        -------
        proba : float64 ndarray of shape (m, n_classes)
            Columns in the order of ``classes_``; rows sum to 1.
        """
        check_is_fitted(self, "estimators_")
        total = self.estimators_[0].predict_proba(X).astype(np.float64)
        for member in self.estimators_[1:]:
            total += member.predict_proba(X)
        return sum_to_one(total / len(self.estimators_))

    def predict(self, X: Any) -> np.ndarray:
        """Predict the class of the largest mean probability.

        Parameters
        ----------
        X : as in `fit`

        Returns
        -------
        y : ndarray of shape (m,)
        """
        proba = self.predict_proba(X)
        y: np.ndarray = self.classes_[proba.argmax(1)]
        return y


class EnsembleRegressor(RegressorMixin, BaseEnsemble):
    """Averages the predictions of the members."""

    _net_class = NetRegressor

    def predict(
        self, X: Any, return_std: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Predict the mean over the members and, on request, their spread.

        Parameters
        ----------
        X : as in `fit`
        return_std : bool, default=False
            Whether to return standard deviations as well.

        Returns
        -------
        y : float64 ndarray of shape (m,) or (m, n_targets)
            Same shape as `y` in `fit`.
        std : float64 ndarray of the same shape
            Only if `return_std`: standard deviation over the members, without label
            noise.
        """
        check_is_fitted(self, "estimators_")
        predictions = np.stack([member.predict(X) for member in self.estimators_])
        mean = predictions.mean(0, dtype=np.float64)
        return (mean, predictions.std(0, dtype=np.float64)) if return_std else mean


def seeded_clone(estimator: Any, seed: int) -> Any:
    """Clone an estimator and seed every ``random_state`` in it.

    Parameters
    ----------
    estimator : estimator
    seed : int

    Returns
    -------
    clone : estimator
        A single ``random_state`` is set to `seed`. If there are several, as in a
        Pipeline, each is set to a different seed drawn with `seed`.
    """
    copy = clone(estimator)
    names = sorted(
        name
        for name in copy.get_params(deep=True)
        if name == "random_state" or name.endswith("__random_state")
    )
    if len(names) == 1:
        return copy.set_params(**{names[0]: seed})
    rng = torch.Generator().manual_seed(seed)
    return copy.set_params(**{name: seed_from(rng) for name in names})
