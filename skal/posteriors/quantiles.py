"""Predictive quantiles as Gaussians: those of the learner, or of regressors of them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
import torch
from scipy.stats import norm
from sklearn.base import BaseEstimator, RegressorMixin

from skal.exceptions import UnsuitableLearnerError
from skal.posteriors.base import GaussianPosterior
from skal.posteriors.gaussian import GaussianPredictions, GaussianReader
from skal.reading.fitting import FittedCopy, fit_copy, is_estimator, labeled_rows
from skal.reading.models import Member
from skal.reading.pool import Pool
from skal.reading.unwrapping import innermost
from skal.rows import array_if_tensor

__all__ = ["QuantileReader", "Quantiles", "gives_quantiles"]

_LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)


class Quantiles(GaussianPosterior):
    r"""Quantiles of the label of each row, as a Gaussian.

    Parameters
    ----------
    estimators : dict of float to estimator, list of estimators, or None
        Quantile regressors by their level, clones of which are fitted on the labeled
        rows of the learner at each query.  In a list, each names its level by the
        parameter `quantile`, as `HistGradientBoostingRegressor` does, or by `alpha` if
        its loss is ``"quantile"``.  By default, the learner itself predicts quantiles,
        by ``predict(X, output_type="quantiles", quantiles=[...])`` as TabPFN does.
    levels : sequence of float
        At least two different levels between 0 and 1 that the learner is asked for, if
        `estimators` is None.

    Notes
    -----
    The quantiles :math:`v_i` of a row at the levels :math:`q_i` are sorted, so that
    they do not cross, and a Gaussian is fitted to them by least squares: :math:`v_i =
    \mu + \sigma \Phi^{-1}(q_i)`, which is exact for the quantiles of a Gaussian.

    The variance is that of labels: their noise is in it.  `PredictiveVariance` reads
    it, `BALD` and `PowerBALD` do with `noise_variance`.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.ensemble import HistGradientBoostingRegressor
    >>> from skal import ActiveLearner
    >>> from skal.posteriors import Quantiles
    >>> from skal.strategies import PredictiveVariance
    >>> X, y = load_diabetes(return_X_y=True)
    >>> boosting = [
    ...     HistGradientBoostingRegressor(loss="quantile", quantile=level, max_iter=5)
    ...     for level in (0.1, 0.5, 0.9)
    ... ]
    >>> strategy = PredictiveVariance(Quantiles(boosting), random_state=0)
    >>> learner = ActiveLearner(boosting[1], strategy, X[:99], y[:99])
    >>> learner.query(X[99:], n_instances=3)[0].shape
    (3,)
    """

    def __init__(self, estimators: Any = None, levels: Any = _LEVELS) -> None:
        self.estimators = estimators
        self.levels = levels

    def read(self, pool: Pool, rng: torch.Generator) -> GaussianPredictions:
        """Read the quantiles; see `Posterior.read`."""
        if self.estimators is None:
            levels = _check_levels(self.levels)
            for member in pool.members:
                if not gives_quantiles(member.estimator):
                    raise UnsuitableLearnerError(
                        f"{type(member.estimator).__name__} does not predict quantiles "
                        "(output_type='quantiles'). Name regressors of quantiles: "
                        "Quantiles({0.1: ..., 0.9: ...})."
                    )
            seen = pool
        else:
            by_level = _by_level(self.estimators)
            levels = _check_levels(list(by_level))
            if pool.task == "classification":
                raise UnsuitableLearnerError(
                    "Quantiles are for regression, and the learner is a classifier."
                )
            X, y = labeled_rows(pool, "each regressor of Quantiles")
            what = "The regressor in Quantiles"
            fitted = {
                level: fit_copy(estimator, X, y, rng, what)
                for level, estimator in by_level.items()
            }
            together = _Together(fitted).fit(X, y)
            seen = Pool(FittedCopy(together, X, y), pool.X, pool.name)
        readers = [QuantileReader(member, levels) for member in seen.members]
        return GaussianPredictions(seen, readers, "Quantiles()")


class QuantileReader(GaussianReader):
    """Reads ``predict(X, output_type="quantiles", quantiles=...)``."""

    of_labels = True

    def __init__(self, model: Member, levels: Any = _LEVELS) -> None:
        super().__init__(model)
        self.levels = [float(level) for level in levels]
        self.width = 2 * len(self.levels)

    def read(self, block: Any) -> tuple[np.ndarray, np.ndarray]:
        """Read means and variances; see `GaussianReader.read`."""
        rows = array_if_tensor(block)
        found = self.model.to_read.predict(
            rows, output_type="quantiles", quantiles=self.levels
        )
        values = _as_columns(found, len(self.levels), self.name)
        values = np.sort(values, axis=1)[:, np.argsort(np.argsort(self.levels))]
        z = norm.ppf(self.levels)
        away = z - z.mean()
        std = values @ away / (away @ away)
        mean = values.mean(axis=1) - std * z.mean()
        return mean[:, None], np.square(std)[:, None]


def gives_quantiles(estimator: Any) -> bool:
    """Whether ``predict`` of an estimator can return quantiles."""
    known = inspect.signature(estimator.predict).parameters
    return {"output_type", "quantiles"} <= set(known)


class _Together(RegressorMixin, BaseEstimator):
    """Fitted regressors of quantiles, as one estimator that predicts all of them."""

    def __init__(self, by_level: dict[float, Any]) -> None:
        self.by_level = by_level

    def fit(self, X: Any, y: Any) -> _Together:
        self.is_fitted_ = True
        return self

    def predict(
        self, X: Any, output_type: str = "mean", quantiles: Any = None
    ) -> list[np.ndarray]:
        return [np.ravel(self.by_level[level].predict(X)) for level in quantiles]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True  # each of them refuses what it cannot take
        return tags


def _as_columns(found: Any, n_levels: int, name: str) -> np.ndarray:
    """Make ``(b, levels)`` of a list of arrays, one for each level, or of a matrix."""
    if isinstance(found, Mapping):
        found = list(found.values())
    values = np.asarray(found, dtype=np.float64)
    if isinstance(found, (list, tuple)):
        values = values.T
    if values.ndim != 2 or values.shape[1] != n_levels:
        raise ValueError(
            f"{name} predicts quantiles of shape {values.shape}; a list of "
            f"{n_levels} arrays is expected, or a column for each level."
        )
    return values


def _check_levels(levels: Any) -> list[float]:
    numbers = np.asarray(list(levels), dtype=np.float64)
    inside = bool(((numbers > 0) & (numbers < 1)).all())
    if not inside or len(np.unique(numbers)) != len(numbers) or len(numbers) < 2:
        raise ValueError(
            "Quantiles needs at least two different levels between 0 and 1, got "
            f"{list(levels)!r}."
        )
    return [float(number) for number in numbers]


def _by_level(estimators: Any) -> dict[float, Any]:
    named = isinstance(estimators, Mapping)
    listed = list(estimators.values() if named else estimators)
    for estimator in listed:
        if not is_estimator(estimator):
            raise TypeError(
                "estimators of Quantiles must be quantile regressors, in a list or by "
                f"their level, got {estimator!r}."
            )
    if named:
        return {float(level): one for level, one in estimators.items()}
    levels = [_level(estimator) for estimator in listed]
    _check_levels(levels)
    return dict(zip(levels, listed, strict=True))


def _level(estimator: Any) -> float:
    """Find the level of a quantile regressor among its parameters."""
    params = innermost(estimator).get_params(deep=False)
    losses = [params[name] for name in ("loss", "objective") if name in params]
    of_quantiles = any("quantile" in str(loss) for loss in losses)
    # With another loss the parameters mean nothing, or alpha a penalty.
    names = ["quantile", "quantile_alpha"] if of_quantiles or not losses else []
    if of_quantiles:
        names.append("alpha")
    for name in names:
        if isinstance(level := params.get(name), Real):
            return float(level)
    raise ValueError(
        f"{type(innermost(estimator)).__name__} does not name one level by quantile or "
        "alpha, with the loss 'quantile'. Set that loss, or name the level: "
        "Quantiles({0.1: ..., 0.9: ...})."
    )
