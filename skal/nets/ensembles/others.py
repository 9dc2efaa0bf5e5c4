"""Estimators of scikit-learn that join nets in an average, and their weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import cho_solve, cholesky
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize, nnls
from scipy.spatial.distance import cdist
from sklearn.base import clone, is_classifier
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

__all__ = [
    "classification_weights",
    "gaussian_process",
    "held_out_predictions",
    "predict_columns",
    "regression_weights",
]

#: Steps of the search for hyperparameters: the likelihood changes little afterwards.
_MAX_ITERATIONS = 50
#: Columns up to which each has a separate length scale.
_MOST_SCALES = 100
#: Pull of the weights towards equal ones, relative to the error of the best model.
_SHRINKAGE = 0.03
#: Error, in units of the target, below which models are equally good.
_LEAST_ERROR = 1e-6
#: Of the weights of probabilities: steps, and rows that pull towards equal ones.
_EM_STEPS, _PRIOR_ROWS = 100, 5


def gaussian_process(X: np.ndarray, y: np.ndarray) -> GaussianProcessRegressor:
    """Fit a Gaussian process with a length scale for each column, and white noise.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Columns of about unit scale.
    y : ndarray of shape (n,) or (n, n_targets)

    Returns
    -------
    process : GaussianProcessRegressor
        Fitted, with ``optimizer=None``: a clone keeps the hyperparameters.

    Notes
    -----
    The hyperparameters maximize the marginal likelihood, by at most 50 steps of L-BFGS
    from length scales of ``sqrt(d)``.  With more than 100 columns all have one length
    scale.  A step costs O(n^3 + n^2 d).
    """
    d = X.shape[1]
    start = np.full(d, np.sqrt(d)) if d <= _MOST_SCALES else np.sqrt(d)
    signal = ConstantKernel(1.0, (1e-3, 1e4)) * RBF(start, (1e-2, 1e4))
    kernel = signal + WhiteKernel(0.1, (1e-6, 10.0))
    process = GaussianProcessRegressor(kernel, optimizer=None, normalize_y=True)
    process.fit(X, y)

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = _marginal_likelihood(process, theta)
        return -value, -gradient

    found = minimize(
        loss,
        process.kernel_.theta,
        jac=True,
        method="L-BFGS-B",
        bounds=process.kernel_.bounds,
        options={"maxiter": _MAX_ITERATIONS},
    )
    tuned = process.kernel_.clone_with_theta(found.x)
    return process.set_params(kernel=tuned).fit(X, y)


def _marginal_likelihood(
    process: GaussianProcessRegressor, theta: np.ndarray
) -> tuple[float, np.ndarray]:
    """Compute the logarithmic marginal likelihood and its gradient.

    They are those of ``process.log_marginal_likelihood``, which needs a matrix (n, n)
    for the length scale of each column. With W = a a^T - K^-1, the derivative by the
    logarithm of length scale k is half the sum of ``(W * S)_ij (z_ik - z_jk)^2`` for
    scaled rows z and their covariances S: the square is expanded, and the sums over
    all columns are a product of matrices.

    Parameters
    ----------
    process : GaussianProcessRegressor
        Fitted, with the kernel of `gaussian_process`.
    theta : ndarray
        Logarithms of the signal's variance, the length scales and that of the noise.
    """
    X = process.X_train_
    y = process.y_train_.reshape(len(X), -1)
    n, n_targets = y.shape
    variance, scales, noise = np.exp(theta[0]), np.exp(theta[1:-1]), np.exp(theta[-1])
    scaled = X / scales
    signal = cdist(scaled, scaled, "sqeuclidean")
    signal = variance * np.exp(-0.5 * signal)
    try:
        factor = cholesky(signal + (noise + process.alpha) * np.eye(n), lower=True)
    except np.linalg.LinAlgError:
        return -np.inf, np.zeros_like(theta)
    solved = cho_solve((factor, True), y)
    value = -0.5 * np.sum(y * solved) - n_targets * (
        np.log(np.diag(factor)).sum() + n / 2 * np.log(2 * np.pi)
    )
    lower = np.tril(dpotri(factor, lower=1)[0])
    inverse = lower + np.tril(lower, -1).T
    weights = solved @ solved.T - n_targets * inverse
    shared = weights * signal
    by_scale = shared.sum(0) @ scaled**2 - np.sum(scaled * (shared @ scaled), axis=0)
    if len(scales) == 1:
        by_scale = by_scale.sum(keepdims=True)
    by_noise = 0.5 * noise * np.trace(weights)
    return float(value), np.concatenate(
        [[0.5 * shared.sum()], by_scale, [by_noise]], dtype=np.float64
    )


def held_out_predictions(
    estimator: Any,
    X: np.ndarray,
    y: np.ndarray,
    folds: np.ndarray,
    n_columns: int,
    sample_weight: np.ndarray | None = None,
) -> np.ndarray:
    """Predict each row by a clone that is fitted to all folds but its own.

    Parameters
    ----------
    estimator : estimator
    X : ndarray of shape (n, d)
    y : ndarray of shape (n,) or (n, n_targets)
        Targets, or classes coded from 0.
    folds : ndarray of int of shape (n,)
    n_columns : int
        Number of targets, or of classes.
    sample_weight : ndarray of shape (n,), optional

    Returns
    -------
    predictions : float64 ndarray of shape (n, n_columns)
        Classes that no row outside the fold has get probability 0.
    """
    predictions = np.zeros((len(y), n_columns))
    for fold in np.unique(folds):
        held, rest = folds == fold, folds != fold
        along = {} if sample_weight is None else {"sample_weight": sample_weight[rest]}
        if is_classifier(estimator) and len(np.unique(y[rest])) == 1:
            predictions[held, y[rest][0]] = 1.0  # not every classifier fits one class
        else:
            part = clone(estimator).fit(X[rest], y[rest], **along)
            predictions[held] = predict_columns(part, X[held], n_columns)
    return predictions


def predict_columns(estimator: Any, X: np.ndarray, n_columns: int) -> np.ndarray:
    """Predict targets, or probabilities of classes coded from 0, in n_columns.

    Parameters
    ----------
    estimator : estimator
        Fitted; a classifier may lack some of the classes.
    X : ndarray of shape (m, d)
    n_columns : int

    Returns
    -------
    predictions : float64 ndarray of shape (m, n_columns)
    """
    if not is_classifier(estimator):
        predicted = np.asarray(estimator.predict(X), np.float64).reshape(len(X), -1)
        if predicted.shape[1] != n_columns:
            raise ValueError(
                f"{type(estimator).__name__} predicts {predicted.shape[1]} columns, "
                f"and the ensemble has {n_columns} targets. With the loss "
                "RMSEWithUncertainty, CatBoost adds a variance: use the loss RMSE."
            )
        return predicted
    found = np.zeros((len(X), n_columns))
    found[:, estimator.classes_] = estimator.predict_proba(X)
    return found


def regression_weights(
    predictions: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None
) -> np.ndarray:
    """Find the weighted average of predictions that is closest to the targets.

    Parameters
    ----------
    predictions : ndarray of shape (n_models, n, n_targets)
        Held-out predictions.
    y : ndarray of shape (n, n_targets)
    sample_weight : ndarray of shape (n,), optional

    Returns
    -------
    weights : ndarray of shape (n_models,)
        Not negative, with sum 1: least squares, with a slight pull towards equal
        weights that decides where models agree.

    Notes
    -----
    Weights v of any sum minimize ``|E v|^2 + (1 - sum(v))^2``, with the errors E of the
    models. For v = s w with sum(w) = 1, the best s leaves q / (1 + q) of
    ``q = |E w|^2``, so that w is the minimum of q, too.

    Examples
    --------
    >>> import numpy as np
    >>> from skal.nets.ensembles.others import regression_weights
    >>> y = np.arange(10.0)[:, None]
    >>> regression_weights(np.stack([y, -y]), y).round(2).tolist()
    [1.0, 0.0]
    """
    n_models, n, n_targets = predictions.shape
    share = np.ones(n) if sample_weight is None else sample_weight
    share = (share / share.sum())[:, None]
    spread = np.sqrt((share * (y - (share * y).sum(0)) ** 2).sum(0))
    spread = np.where(spread > 0, spread, 1.0)
    errors = np.sqrt(share / n_targets) * (predictions - y) / spread
    errors = errors.reshape(n_models, -1).T
    best = float(np.sqrt((errors**2).sum(0).min()))
    errors = errors / max(best, _LEAST_ERROR)
    pull = np.sqrt(_SHRINKAGE) * (np.eye(n_models) - 1 / n_models)
    system = np.vstack([errors, pull, np.ones((1, n_models))])
    right = np.concatenate([np.zeros(len(system) - 1), [1.0]])
    weights: np.ndarray = nnls(system, right)[0]
    return weights / weights.sum()


def classification_weights(
    probabilities: np.ndarray, sample_weight: np.ndarray | None = None
) -> np.ndarray:
    """Find the weighted average of probabilities that makes the labels most probable.

    Parameters
    ----------
    probabilities : ndarray of shape (n_models, n)
        Held-out probabilities of the label of each row.
    sample_weight : ndarray of shape (n,), optional
        Taken relative to their mean.

    Returns
    -------
    weights : ndarray of shape (n_models,)
        Not negative, with sum 1.

    Notes
    -----
    The steps of expectation maximization for the weights of a mixture, each of which
    raises the likelihood, from equal weights; five more rows that all models predict
    equally well stand for the prior.

    Examples
    --------
    >>> import numpy as np
    >>> from skal.nets.ensembles.others import classification_weights
    >>> bad, good = np.full(50, 0.3), np.full(50, 0.9)
    >>> bool(classification_weights(np.stack([bad, good]))[1] > 0.9)
    True
    """
    n_models, n = probabilities.shape
    of_row = np.ones(n) if sample_weight is None else sample_weight.astype(np.float64)
    of_row = of_row / of_row.mean()
    p = np.maximum(probabilities, 1e-6)
    weights = np.full(n_models, 1 / n_models)
    for _ in range(_EM_STEPS):
        share = weights[:, None] * p
        share = share / share.sum(0) @ of_row
        weights = (share + _PRIOR_ROWS / n_models) / (n + _PRIOR_ROWS)
    return weights
