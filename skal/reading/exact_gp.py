"""Exact Gaussian processes of GPyTorch, with the attributes of scikit-learn's."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skal.exceptions import UnsuitableLearnerError
from skal.reading.inputs import real_array
from skal.shared_copy import shared_copy

__all__ = ["ExactProcess", "PriorKernel"]

#: Rows at once: the covariance of a module that is not evaluated lazily grows with
#: their square.
_ROWS = 1024


class PriorKernel:
    """The covariance function of a module of GPyTorch, called as scikit-learn's are.

    Parameters
    ----------
    module : gpytorch.models.ExactGP
        In float64 and in eval mode.

    Notes
    -----
    ``forward`` returns the prior of rows as a distribution.  That of two sets of rows
    together holds the covariances between them, which are evaluated alone where the
    matrix is lazy, as those of all kernels of GPyTorch are.
    """

    requires_vector_input = True

    def __init__(self, module: Any) -> None:
        self.module = module

    def __repr__(self) -> str:
        return f"that of the module {type(self.module).__name__}"

    def __call__(self, X: Any, Y: Any = None) -> np.ndarray:
        """Compute the covariances of rows with others, without noise, ``(m, n)``."""
        others = self._tensor(X if Y is None else Y)
        # Rows and `others` together: blocks as large do not change the order of it.
        step = max(_ROWS, len(others))
        result = np.empty((len(X), len(others)))
        for start in range(0, len(X), step):
            rows = self._tensor(X[start : start + step])
            with torch.no_grad():
                both = self._prior(torch.cat([rows, others]))
                part = both[: len(rows), len(rows) :].to_dense()
            result[start : start + step] = part.cpu().numpy()
        return result

    def diag(self, X: Any) -> np.ndarray:
        """Compute the variances of rows, with noise that the module adds, ``(m,)``."""
        result = np.empty(len(X))
        for start in range(0, len(X), _ROWS):
            with torch.no_grad():
                prior = self._prior(self._tensor(X[start : start + _ROWS]))
                part = prior.diagonal(dim1=-1, dim2=-2)
            result[start : start + _ROWS] = part.cpu().numpy()
        return result

    def prior_shapes(self, X: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Get the batch shape and the event shape of the prior of rows."""
        with torch.no_grad():
            prior = self.module.forward(self._tensor(X))
        return tuple(prior.batch_shape), tuple(prior.event_shape)

    def _prior(self, X: Tensor) -> Any:
        return self.module.forward(X).lazy_covariance_matrix

    def _tensor(self, X: Any) -> Tensor:
        (known,) = self.module.train_inputs
        return torch.as_tensor(X, dtype=torch.float64, device=known.device)


class ExactProcess:
    """An `ExactGPRegressor` of skorch, by the names that scikit-learn uses.

    Parameters
    ----------
    net : skorch.probabilistic.ExactGPRegressor
        Fitted.  Its module is copied, and the copy converted to float64.

    Attributes
    ----------
    kernel_ : PriorKernel
    X_train_ : ndarray of shape (n, d)
    alpha : float
        Variance of the noise of labels.
    L_ : ndarray of shape (n, n)
        Cholesky factor of the covariance of the training labels.

    Raises
    ------
    UnsuitableLearnerError
        If it is not an exact process with one target and one noise; the message says
        what it is.
    """

    normalize_y = False

    def __init__(self, net: Any) -> None:
        self.net = net
        if problem := _problem(net):
            raise _refusal(net, problem)
        # Without what the last prediction cached, which may hold n × n elements.
        cached = {id(net.module_.prediction_strategy): None}
        module = shared_copy(net.module_, own_tensors=True, memo=cached)
        module = module.double().eval()
        self.kernel_ = PriorKernel(module)
        self.X_train_ = module.train_inputs[0].detach().cpu().numpy()
        self.alpha = float(module.likelihood.noise.detach())
        self._check_prior()

    @cached_property
    def L_(self) -> np.ndarray:
        """Cholesky factor of the covariance of the training labels."""
        covariance = self.kernel_(self.X_train_)
        noise = self.kernel_.diag(self.X_train_) - covariance.diagonal() + self.alpha
        factor: np.ndarray = np.linalg.cholesky(covariance + np.diag(noise))
        return factor

    @property
    def is_approximated(self) -> bool:
        """Whether `predict` of GPyTorch is not exact, as there are many labels."""
        from gpytorch.settings import max_cholesky_size

        return len(self.X_train_) > int(max_cholesky_size.value())

    @property
    def predicts_as_usual(self) -> bool:
        """Whether neither the net nor its module has a prediction of its own."""
        from gpytorch.models import ExactGP
        from skorch.probabilistic import ExactGPRegressor

        net, module = type(self.net), type(self.net.module_)
        usual = net.predict is ExactGPRegressor.predict
        return usual and module.__call__ is ExactGP.__call__

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Predict means, and the standard deviations of the function."""
        dtype = str(self.net.module_.train_inputs[0].dtype).removeprefix("torch.")
        rows = real_array(X).astype(dtype)
        if not return_std:
            return self.net.predict(rows)
        mean, std = self.net.predict(rows, return_std=True)
        variance = np.square(std, dtype=np.float64) - self.alpha
        return mean, np.sqrt(variance.clip(min=0))

    def _check_prior(self) -> None:
        """Try the prior of a few rows, each of them twice, as `PriorKernel` needs."""
        few = self.X_train_[:2]
        problem = ""
        try:
            shapes = self.kernel_.prior_shapes(np.concatenate([few, few]))
            if shapes == ((), (2 * len(few),)):
                problem = self._dependence(few)
            else:
                problem = (
                    "its module has a batch of processes or several tasks (batch shape "
                    f"{shapes[0]}, event shape {shapes[1]} for {2 * len(few)} rows), "
                    "and one process is needed"
                )
        except (AttributeError, RuntimeError, TypeError, ValueError) as error:
            problem = (
                f"its module does not return the prior of rows in float64 ({error}); "
                "return a MultivariateNormal of what the kernel returns, which is not "
                "a dense matrix"
            )
        if problem:
            raise _refusal(self.net, problem)

    def _dependence(self, few: np.ndarray) -> str:
        """Say if a covariance differs with the rows around, such as scaled by them."""
        alone, more = self.kernel_(few), self.kernel_(self.X_train_[:16], few)
        if np.allclose(alone, more[: len(few)], rtol=1e-6, equal_nan=True):
            return ""
        return (
            "the covariance of two rows depends on which other rows its module is "
            "called with"
        )


def _refusal(net: Any, problem: str) -> UnsuitableLearnerError:
    return UnsuitableLearnerError(
        f"No covariances are read from this {type(net).__name__}: {problem}."
    )


def _problem(net: Any) -> str:
    """Say why a Gaussian process of skorch is not read by its kernel; "" if it is."""
    from gpytorch.kernels import InducingPointKernel
    from skorch.probabilistic import ExactGPRegressor

    if not isinstance(net, ExactGPRegressor):
        return "it is approximate, and only an ExactGPRegressor is exact"
    module = net.module_
    if module.train_inputs is None or module.train_targets is None:
        return "it has no training rows, as it is not fitted"
    shapes = [tuple(rows.shape) for rows in module.train_inputs]
    if len(shapes) != 1 or len(shapes[0]) != 2:
        return f"its rows are not vectors (training inputs of shapes {shapes})"
    if any(isinstance(part, InducingPointKernel) for part in module.modules()):
        return "its kernel has inducing points, which make the process approximate"
    noise = getattr(module.likelihood, "noise", None)
    if not isinstance(noise, Tensor) or noise.numel() != 1:
        kind = type(module.likelihood).__name__
        return f"its likelihood, {kind}, has no single noise for all labels"
    if not bool(module.train_targets.isfinite().all()):
        return "some of its training targets are not finite"
    return ""
