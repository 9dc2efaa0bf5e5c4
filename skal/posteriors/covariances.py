"""Regressors that know how their predictions vary together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import cho_solve, solve_triangular

from skal.contexts import hiding
from skal.posteriors.gaussian import GaussianReader
from skal.reading.exact_gp import ExactProcess
from skal.reading.inputs import real_array
from skal.reading.models import Member
from skal.reading.process import (
    as_process,
    is_unrelated,
    prior_variances,
    warn_of_unrelated,
)
from skal.rows import array_if_tensor, as_dense

__all__ = ["GaussianProcess", "LinearModel", "ReturnCov"]

#: Rows at once, where a matrix of all pairs is computed.
_PAIRS = 256
#: By what share of the variance of a label predictions of GPyTorch may differ.
_COARSE = 0.01


class GaussianProcess(GaussianReader):
    r"""Reads a Gaussian process, by its kernel.

    Notes
    -----
    With the kernel k after the fit and the Cholesky factor L of the training rows,

    .. math:: \operatorname{cov}(x, z) = s^2 (k(x, z) - k_x^\top (L L^\top)^{-1} k_z).

    The scale :math:`s` of a normalized target is found from `predict`, with
    ``return_std=True``, of a few rows.  The noise of a `WhiteKernel` is in no
    covariance, and neither is that of a likelihood of GPyTorch.
    """

    is_joint = True

    def __init__(self, model: Member) -> None:
        super().__init__(model)
        gp = self.process = as_process(model.to_read)
        self.kernel, self.train, self.lower = gp.kernel_, gp.X_train_, gp.L_
        self.width = 3 * len(self.lower)
        block = model.rows.read(slice(0, min(16, len(model.rows))))
        few = self._rows(block)
        if self.kernel.requires_vector_input and is_unrelated(
            self.kernel, np.concatenate([few, self.train])
        ):
            warn_of_unrelated(self.kernel)
        closed = self._variance(few, self.kernel.diag(few))
        with hiding(message="Predicted variances smaller than 0"):  # by rounding
            std = gp.predict(_named(block, few), return_std=True)[1]
        public = np.square(std).reshape(len(few), -1)
        best = int(closed.argmax())
        self.scale = np.ones(public.shape[1])
        if gp.normalize_y and closed[best] > 0:
            self.scale = public[best] / closed[best]
        largest = self.kernel.diag(few).max() * self.scale.max()
        rtol, atol = 1e-5, 1e-7 * largest
        if isinstance(gp, ExactProcess):  # in float32
            self.largest_block = _PAIRS * 4
            rtol, atol = _COARSE, _COARSE * (largest + gp.alpha)
        #: Whether `predict` says the same; a subclass may predict otherwise.
        self.is_confirmed = np.allclose(
            closed[:, None] * self.scale, public, rtol=rtol, atol=atol
        )
        if isinstance(gp, ExactProcess) and gp.is_approximated:
            self.is_confirmed = gp.predicts_as_usual

    @staticmethod
    def reads(estimator: Any) -> bool:
        """Whether an estimator has what is read here."""
        names = ("kernel_", "X_train_", "L_", "normalize_y")
        return all(hasattr(estimator, name) for name in names)

    def read(self, block: Any) -> tuple[np.ndarray, np.ndarray]:
        """Read means and variances; see `GaussianReader.read`."""
        rows = self._rows(block)
        predicted = self.process.predict(_named(block, rows))
        mean = np.asarray(predicted, dtype=np.float64)
        prior = prior_variances(self.kernel, rows).numpy()
        variance = self._variance(rows, prior)[:, None] * self.scale
        return mean.reshape(len(rows), -1), variance

    def against(self, others: Any) -> Callable[[Any], np.ndarray]:
        """Return the function to covariances; see `GaussianReader.against`."""
        others = self._rows(others)
        solved = cho_solve((self.lower, True), self.kernel(self.train, others))

        def covariance(block: Any) -> np.ndarray:
            rows = self._rows(block)
            known = self.kernel(rows, self.train) @ solved
            return (self.kernel(rows, others) - known)[:, :, None] * self.scale

        return covariance

    def _rows(self, block: Any) -> Any:
        if not self.kernel.requires_vector_input:
            return block
        return np.asarray(real_array(block), dtype=np.float64)

    def _variance(self, rows: Any, prior: np.ndarray) -> np.ndarray:
        half = solve_triangular(self.lower, self.kernel(self.train, rows), lower=True)
        return (prior - np.square(half).sum(axis=0)).clip(min=0)


def _named(block: Any, rows: Any) -> Any:
    """Return the block if its columns have names, as a model may have been fitted."""
    return rows if getattr(block, "columns", None) is None else block


class LinearModel(GaussianReader):
    r"""Reads a Bayesian linear model, by the covariance of its coefficients.

    Notes
    -----
    :math:`\operatorname{cov}(x, z) = (x - \bar x)^\top \Sigma (z - \bar x)`, with
    ``sigma_`` and ``X_offset_`` of `BayesianRidge` and `ARDRegression`; the noise
    ``1 / alpha_`` that ``predict(return_std=True)`` adds is not in it.
    """

    is_joint = True

    def __init__(self, model: Member) -> None:
        super().__init__(model)
        estimator = model.estimator
        self.covariance, self.offset = estimator.sigma_, estimator.X_offset_
        self.kept: Any = slice(None)
        if hasattr(estimator, "threshold_lambda"):  # ARD drops features
            self.kept = estimator.lambda_ < estimator.threshold_lambda
        self.width = 2 * len(np.atleast_1d(self.offset))
        few = model.rows.read(slice(0, min(16, len(model.rows))))
        std = model.to_read.predict(array_if_tensor(few), return_std=True)[1]
        noise = 1 / estimator.alpha_
        # Older versions of scikit-learn did not take the offset off.
        usual = [
            self._variance(few, offset) + noise
            for offset in (self.offset, np.zeros_like(self.offset))
        ]
        #: Whether `predict` says the same; a subclass may predict otherwise.
        self.is_confirmed = any(
            np.allclose(std**2, closed, rtol=1e-5, atol=1e-6 * closed.max())
            for closed in usual
        )

    @staticmethod
    def reads(estimator: Any) -> bool:
        """Whether an estimator has what is read here."""
        names = ("sigma_", "X_offset_", "alpha_", "lambda_")
        return all(hasattr(estimator, name) for name in names)

    def read(self, block: Any) -> tuple[np.ndarray, np.ndarray]:
        """Read means and variances; see `GaussianReader.read`."""
        X = array_if_tensor(block)
        mean = np.asarray(self.model.to_read.predict(X), dtype=np.float64)
        return mean[:, None], self._variance(block, self.offset)[:, None]

    def against(self, others: Any) -> Callable[[Any], np.ndarray]:
        """Return the function to covariances; see `GaussianReader.against`."""
        weights = self.covariance @ self._features(others, self.offset).T

        def covariance(block: Any) -> np.ndarray:
            return (self._features(block, self.offset) @ weights)[:, :, None]

        return covariance

    def _variance(self, block: Any, offset: np.ndarray) -> np.ndarray:
        rows = self._features(block, offset)
        return ((rows @ self.covariance) * rows).sum(axis=1).clip(min=0)

    def _features(self, block: Any, offset: np.ndarray) -> np.ndarray:
        rows = np.asarray(real_array(block), dtype=np.float64)
        return (rows - offset)[:, self.kept]


class ReturnCov(GaussianReader):
    """Reads any regressor by ``predict(X, return_cov=True)``."""

    is_joint = True
    largest_block = _PAIRS

    def read(self, block: Any) -> tuple[np.ndarray, np.ndarray]:
        """Read means and variances; see `GaussianReader.read`."""
        mean, covariance = self._predict(array_if_tensor(block))
        return mean, np.diagonal(covariance).T.copy()

    def against(self, others: Any) -> Callable[[Any], np.ndarray]:
        """Return the function to covariances; see `GaussianReader.against`."""
        others = as_dense(array_if_tensor(others))

        def covariance(block: Any) -> np.ndarray:
            rows = as_dense(array_if_tensor(block))
            _, together = self._predict(np.concatenate([rows, others]))
            return together[: len(rows), len(rows) :]

        return covariance

    def _predict(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        mean, covariance = self.model.to_read.predict(X, return_cov=True)
        m = len(mean)
        covariance = np.asarray(covariance, dtype=np.float64).reshape(m, m, -1)
        return np.asarray(mean, dtype=np.float64).reshape(m, -1), covariance
