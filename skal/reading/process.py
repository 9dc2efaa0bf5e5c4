"""Gaussian processes: their covariance as vectors of rows."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from sklearn.gaussian_process import (
    GaussianProcessClassifier,
    GaussianProcessRegressor,
)
from torch import Tensor

from skal._numerics.products import blocks
from skal.exceptions import UnsuitableLearnerError
from skal.reading.exact_gp import ExactProcess
from skal.reading.inputs import read_inputs
from skal.reading.models import Member
from skal.reading.unwrapping import is_gpytorch
from skal.rows import Rows, array_if_tensor, as_dense
from skal.spaces import Dense, OfProcess
from skal.spaces.low_rank import low_rank

__all__ = [
    "as_process",
    "is_process",
    "is_unrelated",
    "prior_variances",
    "read_process",
    "warn_of_unrelated",
]

#: Rows whose covariances with each other are computed for the sake of their variances.
_TILE = 64
#: Rows among which similar ones are looked for, and the correlation of similar rows.
_SAMPLE, _SIMILAR = 128, 1e-3


def is_process(member: Member) -> bool:
    """Whether a model is a Gaussian process whose kernel is read.

    One of scikit-learn, or an `ExactGPRegressor` of skorch that `ExactProcess` reads.
    """
    if is_gpytorch(member.estimator):
        try:
            as_process(member.estimator)
        except UnsuitableLearnerError:
            return False
        return True
    kinds = GaussianProcessClassifier, GaussianProcessRegressor
    return isinstance(member.estimator, kinds)


def as_process(estimator: Any) -> Any:
    """Return a process with the attributes of scikit-learn's.

    Raises
    ------
    UnsuitableLearnerError
        If it is one of GPyTorch, and `ExactProcess` does not read it.
    """
    return ExactProcess(estimator) if is_gpytorch(estimator) else estimator


def read_process(
    member: Member, n_components: int, own_rows: bool = True
) -> list[Dense]:
    r"""Read pool and labeled rows as vectors whose inner products are covariances.

    Parameters
    ----------
    member : Member
        A Gaussian process.
    n_components : int
        Largest length of the vectors of one kernel; a classifier of several classes has
        several kernels.
    own_rows : bool
        Whether the rows that a regressor was fitted on, which it keeps, count as
        labeled if the learner holds none.

    Returns
    -------
    vectors : list of Dense
        Of the pool, and of the labeled rows if there are any.  Those of a regressor are
        `OfProcess`, which know its noise.

    Notes
    -----
    The covariances are those of the fitted kernel, ``kernel_``, before any label and
    without the noise (that of a ``WhiteKernel``, and `alpha`; with GPyTorch, that of
    the likelihood), in its own units.  The
    vectors are computed by `skal.spaces.low_rank.low_rank` for pool and labeled rows
    together: they are exact where `n_components` reaches the rank of the kernel on
    these rows.
    """
    process = as_process(member.estimator)
    labeled = member.labeled
    is_regressor = not isinstance(process, GaussianProcessClassifier)
    if labeled is None and own_rows and is_regressor:
        labeled = Rows(process.X_train_, name="the training data of the process")
    kernels = _kernels(process)
    read = read_inputs if kernels[0].requires_vector_input else _read_objects
    inputs = [read(rows) for rows in (member.rows, labeled) if rows is not None]
    sizes = [len(part) for part in inputs]
    X = np.concatenate(inputs)
    if all(is_unrelated(kernel, X) for kernel in kernels):
        warn_of_unrelated(kernels[0])
    variances = [prior_variances(kernel, X) for kernel in kernels]
    vectors = [
        _vectors(kernel, X, variance, n_components)
        for kernel, variance in zip(kernels, variances, strict=True)
    ]
    views = torch.cat(vectors, dim=1).split(sizes)
    if not is_regressor:
        return [Dense(view) for view in views]
    white = torch.from_numpy(kernels[0].diag(X)) - variances[0]
    alpha = torch.as_tensor(process.alpha, dtype=torch.float64)
    result: list[Dense] = []
    for k, (view, own) in enumerate(zip(views, white.split(sizes), strict=True)):
        is_trained_on = k == 1 and len(view) == alpha.numel()
        noise = own.clamp(min=0) + (alpha if is_trained_on else alpha.mean())
        result.append(OfProcess(view, noise))
    return result


def _read_objects(rows: Rows) -> np.ndarray:
    """Read rows that a kernel compares as they are, such as texts, ``(m,)``."""
    listed: list[Any] = []
    for _, block in rows.blocks():
        is_table = getattr(block, "ndim", 1) > 1
        listed += list(as_dense(block) if is_table else array_if_tensor(block))
    objects = np.empty(len(listed), dtype=object)
    for k, row in enumerate(listed):  # rows of equal length would become columns
        objects[k] = row
    return objects


def _kernels(process: Any) -> list[Any]:
    """List the fitted kernels: one, or those of the binary problems of a classifier."""
    binary = getattr(process, "base_estimator_", process)
    return [one.kernel_ for one in getattr(binary, "estimators_", [binary])]


def is_unrelated(kernel: Any, X: np.ndarray) -> bool:
    """Whether hardly any row is similar to another, by the kernel of a process."""
    few = X[np.linspace(0, len(X) - 1, min(len(X), _SAMPLE)).astype(int)]
    covariance = np.abs(kernel(few, few))
    variance = covariance.diagonal()
    if len(few) < 3 or not variance.all():
        return False
    correlation = covariance / np.sqrt(np.outer(variance, variance))
    np.fill_diagonal(correlation, 0)
    return bool(np.median(correlation.max(axis=1)) < _SIMILAR)


def warn_of_unrelated(kernel: Any) -> None:
    """Warn that the picks of a process say nothing, and of the usual cause."""
    warnings.warn(
        f"The kernel of the Gaussian process, {kernel}, sees no similarity between "
        f"most rows: their correlations are below {_SIMILAR}. It knows nothing of rows "
        "without a label, so that picks are arbitrary. Scale the inputs, for example "
        "by a StandardScaler in a Pipeline, add a WhiteKernel to the kernel, or bound "
        "its length scale from below (length_scale_bounds; in GPyTorch, a constraint).",
        UserWarning,
        stacklevel=2,
    )


def prior_variances(kernel: Any, X: np.ndarray) -> Tensor:
    """Compute the covariance of each row with itself without noise, ``(m,)``.

    ``kernel.diag`` includes the noise of a ``WhiteKernel``, and ``kernel(X, Y)`` does
    not.
    """
    result = np.empty(len(X))
    for start in range(0, len(X), _TILE):
        rows = X[start : start + _TILE]
        result[start : start + _TILE] = kernel(rows, rows).diagonal()
    return torch.from_numpy(result)


def _vectors(
    kernel: Any, X: np.ndarray, variances: Tensor, n_components: int
) -> Tensor:
    def entries(rows: Tensor | None, others: Tensor) -> Tensor:
        own = X if rows is None else X[rows.numpy()]
        columns = X[others.numpy()]
        result = np.empty((len(own), len(columns)))
        for part in blocks(len(own), max(X[0:1].size, len(columns))):
            result[part] = kernel(own[part], columns)
        return torch.from_numpy(result)

    return low_rank(entries, variances, n_components)
