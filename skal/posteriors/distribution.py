"""The predictive distribution that a regressor itself gives."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.base import is_classifier

from skal.exceptions import UnsuitableLearnerError
from skal.posteriors.base import GaussianPosterior
from skal.posteriors.covariances import GaussianProcess, LinearModel, ReturnCov
from skal.posteriors.gaussian import GaussianPredictions, GaussianReader
from skal.posteriors.quantiles import QuantileReader, gives_quantiles
from skal.reading.models import Member
from skal.reading.pool import Pool
from skal.reading.process import is_process
from skal.reading.unwrapping import is_gpytorch
from skal.reading.variance_column import gives_variance
from skal.rows import array_if_tensor

__all__ = ["PredictiveDistribution", "has_distribution"]


class PredictiveDistribution(GaussianPosterior):
    """The predictive distribution that the regressor itself gives.

    Notes
    -----
    The first of these that the estimator has is read, all by public methods:

    1. a Gaussian process of scikit-learn, or an `ExactGPRegressor` of skorch (GPyTorch)
       with one target and one noise: its kernel, for variances and covariances;
    2. ``predict(X, return_cov=True)``: variances and covariances;
    3. `BayesianRidge` and `ARDRegression`: the covariance of the coefficients;
    4. ``predict(X, return_std=True)``: variances;
    5. ``pred_dist(X)`` of NGBoost: variances of labels;
    6. CatBoost with the loss ``RMSEWithUncertainty``: variances of labels;
    7. ``predict(X, output_type="quantiles", quantiles=...)`` of TabPFN: variances of
       labels, as `Quantiles` computes them;
    8. another regressor of `skorch.probabilistic`: variances of labels, since its
       public methods give those of the likelihood.

    Variances are those of the predicted function: the noise of a `WhiteKernel`, that of
    a likelihood of GPyTorch and the ``1 / alpha_`` of the Bayesian linear models are
    taken off.  In the last four they
    are those of labels, from which noise cannot be told apart; `BALD` then needs its
    ``noise_variance``.  Without covariances, `BatchBALD`, `EPIG` and `BatchEPIG` are
    refused, because the predictions of two rows are not independent.

    Several members of a committee are read as one Gaussian with the moments of their
    mixture.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.gaussian_process import GaussianProcessRegressor
    >>> from skal.posteriors import PredictiveDistribution
    >>> from skal.strategies import PredictiveVariance
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> process = GaussianProcessRegressor().fit(X, X[:, 0])
    >>> strategy = PredictiveVariance(PredictiveDistribution())
    >>> strategy.select(process, [[0.5], [9.0], [1.5]]).indices
    array([1])
    """

    def read(self, pool: Pool, rng: torch.Generator) -> GaussianPredictions:
        """Read the distribution; see `Posterior.read`.

        Raises
        ------
        UnsuitableLearnerError
            If a member is not a regressor, or gives no distribution.
        """
        readers = [_reader(member) for member in pool.members]
        for member in pool.members:
            for wrapper in member.overriding("predict"):
                _warn_of_wrapper(wrapper, member)
        return GaussianPredictions(pool, readers, f"{type(self).__name__}()")


def has_distribution(estimator: Any) -> bool:
    """Whether `PredictiveDistribution` can be read from a fitted estimator."""
    return _kind(estimator) is not None


def _reader(model: Member) -> GaussianReader:
    kind = _kind(model.estimator)
    if kind is _Predictive and is_process(model):
        kind = GaussianProcess
    if kind is None:
        raise UnsuitableLearnerError(
            f"{type(model.estimator).__name__} gives no predictive distribution: it "
            "needs predict with return_std, return_cov or output_type='quantiles', "
            "NGBoost's pred_dist, or CatBoost's loss RMSEWithUncertainty. Use "
            "posterior=Bagged(), which fits copies on samples of the labeled rows."
        )
    reader = kind(model)
    if isinstance(reader, LinearModel) and not reader.is_confirmed:
        return _ReturnStd(model)
    if isinstance(reader, GaussianProcess) and not reader.is_confirmed:
        is_net = is_gpytorch(model.estimator)
        return _Predictive(model) if is_net else ReturnCov(model)
    return reader


def _warn_of_wrapper(wrapper: Any, member: Member) -> None:
    known = inspect.signature(wrapper.predict).parameters
    inner = member.estimator
    if wrapper is not inner and {"return_std", "return_cov"} & set(known):
        warnings.warn(
            f"The standard deviations that {type(wrapper).__name__}.predict returns "
            f"are not read, but those of the {type(inner).__name__} within it. To have "
            "them read, compute them in the estimator within, or in one that is not a "
            "wrapper of scikit-learn.",
            stacklevel=2,
        )


def _kind(estimator: Any) -> Callable[[Member], GaussianReader] | None:
    if is_classifier(estimator) or not hasattr(estimator, "predict"):
        return None
    known = inspect.signature(estimator.predict).parameters
    if is_gpytorch(estimator):
        return _Predictive
    if "return_cov" in known:
        return GaussianProcess if GaussianProcess.reads(estimator) else ReturnCov
    if "return_std" in known:
        return LinearModel if LinearModel.reads(estimator) else _ReturnStd
    if hasattr(estimator, "pred_dist"):
        return _PredDist
    if gives_variance(estimator):
        return _VarianceColumn
    return QuantileReader if gives_quantiles(estimator) else None


class _Moments(GaussianReader):
    """Reads what a method of the estimator says of mean and standard deviation."""

    def read(self, block: Any) -> tuple[np.ndarray, np.ndarray]:
        mean, std = self._mean_std(array_if_tensor(block))
        mean, std = (np.asarray(part, dtype=np.float64) for part in (mean, std))
        if std.shape != mean.shape:
            raise ValueError(
                f"{self.name} predicts means of shape {mean.shape} and standard "
                f"deviations of shape {std.shape}; they must be the same."
            )
        # A negative one must not become a variance like any other.
        variance = np.where(std < 0, np.nan, np.square(std))
        return mean.reshape(len(mean), -1), variance.reshape(len(mean), -1)

    def _mean_std(self, X: Any) -> tuple[Any, Any]:
        raise NotImplementedError


class _ReturnStd(_Moments):
    def _mean_std(self, X: Any) -> tuple[Any, Any]:
        return self.model.to_read.predict(X, return_std=True)


class _Predictive(_ReturnStd):
    """Of a Gaussian process whose standard deviation is that of labels."""

    of_labels = True


class _PredDist(_Moments):
    of_labels = True

    def _mean_std(self, X: Any) -> tuple[Any, Any]:
        distribution = self.model.to_read.pred_dist(X)
        mean, std = (getattr(distribution, name, None) for name in ("mean", "std"))
        if not callable(mean) or not callable(std):
            raise UnsuitableLearnerError(
                f"The distribution {type(distribution).__name__} of {self.name} has no "
                "mean() and std(). Use one of a single target, such as Normal."
            )
        return mean(), std()


class _VarianceColumn(_Moments):
    of_labels = True

    def _mean_std(self, X: Any) -> tuple[Any, Any]:
        predicted = np.asarray(self.model.to_read.predict(X), dtype=np.float64)
        if predicted.ndim != 2 or predicted.shape[1] != 2:
            raise ValueError(
                f"{self.name} with RMSEWithUncertainty predicts shape "
                f"{predicted.shape}; two columns are expected, mean and variance."
            )
        with np.errstate(invalid="ignore"):
            return predicted[:, 0], np.sqrt(predicted[:, 1])
