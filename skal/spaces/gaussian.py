"""The kernel that is left once labeled rows are known."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "feature_scale",
    "posterior_features",
    "posterior_transform",
    "transformed",
]

#: Numbers that are worked on together.
_BLOCK = 2**21


def feature_scale(labeled: Tensor) -> Tensor:
    """Inverse of the root mean squared norm of the labeled rows; 1 if all are zero.

    Parameters
    ----------
    labeled : Tensor of shape (L, d)

    Returns
    -------
    scale : Tensor of shape (), float64
    """
    mean = labeled.double().square().sum(dim=1).mean()
    return torch.where(mean > 0, mean, 1.0).rsqrt()


def posterior_features(
    features: Tensor, labeled: Tensor, noise_std: float = 1e-3
) -> Tensor:
    r"""Features of the kernel that is left after an update by labeled rows [1]_.

    Parameters
    ----------
    features : Tensor of shape (m, d)
    labeled : Tensor of shape (L, d)
        Features of the labeled rows.
    noise_std : float
        Standard deviation :math:`\sigma` of the labels, for features that are scaled.

    Returns
    -------
    features : Tensor of shape (m, d), float64

    Raises
    ------
    ValueError
        If there is no labeled row, or a feature is not finite.

    Notes
    -----
    Both are divided by the root mean squared norm of the labeled rows first.  With
    labeled features :math:`\Phi` the answer's inner products are :math:`\sigma^2
    \phi^\top (\Phi^\top \Phi + \sigma^2 I)^{-1} \phi'`, the covariance of a Gaussian
    process after the labels.  Takes (L + m) · d² multiply-adds; where the matrix is
    singular to rounding, the smallest jitter on its diagonal that mends it is added.

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
    """Matrix ``(d, d)`` that takes features to those of `posterior_features`, float64.

    Raises
    ------
    ValueError
        If there is no labeled row, or a feature is not finite.
    """
    if len(labeled) == 0:
        raise ValueError("There is no labeled row to update the kernel by.")
    scale = feature_scale(labeled)
    scaled = labeled.double() * scale
    identity = torch.eye(labeled.shape[1], dtype=torch.float64, device=labeled.device)
    precision = scaled.T @ scaled + noise_std**2 * identity
    root = _cholesky(precision)
    transform = torch.linalg.solve_triangular(root, identity, upper=False).T
    return transform * (noise_std * scale)


def transformed(features: Tensor, transform: Tensor) -> Tensor:
    """Multiply in float64, some rows at a time."""
    result = features.new_empty(features.shape, dtype=torch.float64)
    step = max(1, _BLOCK // features.shape[1])
    for start in range(0, len(features), step):
        block = features[start : start + step].double()
        torch.mm(block, transform, out=result[start : start + step])
    return result


def _cholesky(matrix: Tensor) -> Tensor:
    """Cholesky factor, with jitter if need be."""
    if not matrix.isfinite().all():
        raise ValueError("The features of the labeled rows are not finite.")
    jitter = float(matrix.diagonal().mean()) * torch.finfo(matrix.dtype).eps
    root, info = torch.linalg.cholesky_ex(matrix)
    while info > 0:
        root, info = torch.linalg.cholesky_ex(
            matrix + jitter * torch.eye(len(matrix)).to(matrix)
        )
        jitter *= 10
    return root
