"""The posterior kernel of a Gaussian process, given labeled rows."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from skal._numerics.products import sq_norms, transformed
from skal.spaces.dense import Dense

__all__ = [
    "OfProcess",
    "feature_scale",
    "posterior_features",
    "posterior_transform",
    "process_transform",
]


class OfProcess(Dense):
    """Vectors whose inner products are the covariances of a fitted Gaussian process.

    Parameters
    ----------
    features : Tensor of shape (m, d)
        In the units of the process.
    noise_variance : Tensor of shape (m,)
        Variance of the noise of each label, in the same units.
    """

    def __init__(self, features: Tensor, noise_variance: Tensor) -> None:
        super().__init__(features)
        self.noise_variance = noise_variance


def feature_scale(labeled: Tensor) -> Tensor:
    """Inverse of the root mean squared norm of the labeled rows; 1 if all are zero.

    Parameters
    ----------
    labeled : Tensor of shape (L, d)

    Returns
    -------
    scale : Tensor of shape (), float64

    Raises
    ------
    ValueError
        If their squares are not finite.
    """
    mean = sq_norms(labeled).mean()
    if not bool(mean.isfinite()):
        raise ValueError(
            "The squares of the features are not finite: scale the features."
        )
    return torch.where(mean > 0, mean, 1.0).rsqrt()


def posterior_features(
    features: Tensor, labeled: Tensor, noise_std: float = 1e-3
) -> Tensor:
    r"""Features of the posterior kernel of a Gaussian process [1]_.

    Parameters
    ----------
    features : Tensor of shape (m, d)
    labeled : Tensor of shape (L, d)
        Features of the labeled rows.
    noise_std : float, default=0.001
        Standard deviation :math:`\sigma` of the label noise, in units of the scaled
        features.

    Returns
    -------
    features : Tensor of shape (m, d), float64

    Raises
    ------
    ValueError
        If there is no labeled row, or a feature is not finite.

    Notes
    -----
    All features are first divided by the root mean squared norm of the labeled rows.
    With labeled features :math:`\Phi`, the inner products of the result are
    :math:`\sigma^2 \phi^\top (\Phi^\top \Phi + \sigma^2 I)^{-1} \phi'`, the covariance
    of a Gaussian process given the labels.  Takes (L + m) · d² multiply-adds.  A matrix
    that is singular up to rounding gets the smallest jitter on its diagonal that makes
    it positive definite.

    References
    ----------
    .. [1] Holzmüller, Zaverkin, Kästner and Steinwart, "A framework and benchmark for
       deep batch active learning for regression", JMLR 2023.
       https://arxiv.org/abs/2203.09410

    Examples
    --------
    >>> import torch
    >>> from skal.spaces import posterior_features
    >>> rows, labeled = torch.eye(2), torch.tensor([[1.0, 0.0]])
    >>> posterior_features(rows, labeled, noise_std=0.5).square().sum(dim=1)
    tensor([0.2000, 1.0000], dtype=torch.float64)
    """
    return transformed(features, posterior_transform(labeled, noise_std))


def posterior_transform(labeled: Tensor, noise_std: float) -> Tensor:
    """Return the matrix ``(d, d)`` by which `posterior_features` multiplies, float64.

    Raises
    ------
    ValueError
        If there is no labeled row, or a feature is not finite.
    """
    if len(labeled) == 0:
        raise ValueError("There is no labeled row to condition the kernel on.")
    scale = feature_scale(labeled)
    root = _posterior_root(labeled.double() * scale, noise_std)
    return root * (noise_std * scale)


def process_transform(labeled: OfProcess) -> Tensor:
    """Matrix ``(d, d)`` that conditions a process on its labeled rows, float64.

    Each label has its own noise; the result is in the units of the process.
    """
    noise = labeled.noise_variance.clamp(min=torch.finfo(torch.float64).tiny)
    mean = noise.mean()
    # A label of less noise counts as one of a larger vector and the mean noise.
    weights = (mean / noise).sqrt()[:, None]
    noise_std = float(mean.sqrt())
    weighted = labeled.features.double() * weights
    return _posterior_root(weighted, noise_std) * noise_std


def _posterior_root(scaled: Tensor, noise_std: float) -> Tensor:
    """Root of ``(X.T @ X + noise_std**2 * I) ** -1`` for rows X."""
    identity = torch.eye(scaled.shape[1], dtype=torch.float64, device=scaled.device)
    precision = scaled.T @ scaled + noise_std**2 * identity
    root = _cholesky(precision)
    return torch.linalg.solve_triangular(root, identity, upper=False).T


def _cholesky(matrix: Tensor) -> Tensor:
    """Cholesky factor, of a matrix with as little jitter as it needs.

    Raises
    ------
    ValueError
        If the matrix is not finite, or no jitter makes it positive definite.
    """
    if not matrix.isfinite().all():
        raise ValueError("The features of the labeled rows are not finite.")
    jitter = float(matrix.diagonal().mean()) * torch.finfo(matrix.dtype).eps
    root, info = torch.linalg.cholesky_ex(matrix)
    while info > 0:
        if not math.isfinite(jitter) or jitter == 0:
            raise ValueError(
                "The squared features of the labeled rows are too large or too small: "
                "scale the features."
            )
        root, info = torch.linalg.cholesky_ex(
            matrix + jitter * torch.eye(len(matrix)).to(matrix)
        )
        jitter *= 10
    return root
