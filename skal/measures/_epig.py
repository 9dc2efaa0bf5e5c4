"""EPIG: information of the label of a row about the labels of other rows."""

from __future__ import annotations

import torch
from torch import Tensor

from skal._numerics.products import blocks
from skal.measures._uncertainty import entropy

__all__ = ["epig", "epig_of_covariance", "gaussian_epig"]


def epig(probs: Tensor, target_probs: Tensor, weights: Tensor | None = None) -> Tensor:
    r"""Score by the expected predictive information gain (EPIG) [1]_, in nats.

    Parameters
    ----------
    probs : Tensor of shape (K, m, C)
        Probabilities of K models.
    target_probs : Tensor of shape (K, t, C)
        Of the same models, for the rows whose predictions are of interest.
    weights : Tensor of shape (K,), optional
        Probability of each model, for example given the labels of other rows; by
        default all are equally probable.

    Returns
    -------
    scores : Tensor of shape (m,)
        Mean over the targets of the mutual information of the two labels,
        :math:`H(y_x) + H(y_*) - H(y_x, y_*)`, not negative.

    Notes
    -----
    Costs m·t·K·C² multiply-adds, in blocks.

    References
    ----------
    .. [1] Bickford Smith, Kirsch, Farquhar, Gal, Foster and Rainforth,
       "Prediction-oriented Bayesian active learning", AISTATS 2023.
       https://arxiv.org/abs/2304.08151
    """
    n_draws, m, n_classes = probs.shape
    probs, target_probs = probs.double(), target_probs.double()
    if weights is None:
        weights = probs.new_full((n_draws,), 1 / n_draws)
    n_targets = target_probs.shape[1]
    targets = target_probs.reshape(n_draws, -1)  # (K, t * C)
    of_targets = entropy((weights @ targets).reshape(n_targets, n_classes)).mean()
    targets = targets * weights[:, None]
    scores = torch.empty(m, dtype=torch.float64, device=probs.device)
    for part in blocks(m, targets.shape[1] * n_classes):
        block = probs[:, part].reshape(n_draws, -1)
        own = entropy((weights @ block).reshape(-1, n_classes))
        joint = block.T @ targets
        joint = joint.reshape(-1, n_classes, n_targets, n_classes)
        flat = joint.permute(0, 2, 1, 3).reshape(-1, n_classes**2)
        together = entropy(flat).reshape(-1, n_targets).mean(1)
        scores[part] = own + of_targets - together
    return scores.clamp(min=0)


def gaussian_epig(
    predictions: Tensor, target_predictions: Tensor, noise_variance: float
) -> Tensor:
    r"""Score by EPIG for regression under a Gaussian, in nats.

    Parameters
    ----------
    predictions : Tensor of shape (K, m, T)
        Of K models.
    target_predictions : Tensor of shape (K, t, T)
        Of the same models, for the rows whose predictions are of interest.
    noise_variance : float
        Variance :math:`\sigma^2` of a label about the model's prediction.

    Returns
    -------
    scores : Tensor of shape (m,)
        Mean over targets of :math:`-\frac12 \log(1 - \rho^2)`, with the correlation
        :math:`\rho` of the two labels; summed over the T outputs, each with its own.
    """
    n_draws, m, n_outputs = predictions.shape
    x = predictions.double() - predictions.double().mean(dim=0)
    z = target_predictions.double() - target_predictions.double().mean(dim=0)
    var_x, var_z = x.square().mean(dim=0), z.square().mean(dim=0)
    scores = torch.zeros(m, dtype=torch.float64, device=predictions.device)
    for output in range(n_outputs):
        one = slice(output, output + 1)
        for rows in blocks(m, z.shape[1]):
            covariance = x[:, rows, output].T @ z[:, :, output] / n_draws
            scores[rows] += epig_of_covariance(
                covariance[:, :, None], var_x[rows, one], var_z[:, one], noise_variance
            )
    return scores


def epig_of_covariance(
    covariance: Tensor, variance: Tensor, target_variance: Tensor, noise_variance: float
) -> Tensor:
    r"""Score by EPIG for regression, by the covariances of Gaussian predictions.

    Parameters
    ----------
    covariance : Tensor of shape (m, t, T)
        Of the predicted function at m rows and at t rows of interest, without label
        noise; the T outputs are independent of each other.
    variance : Tensor of shape (m, T)
    target_variance : Tensor of shape (t, T)
    noise_variance : float
        Variance :math:`\sigma^2` of a label about the function.

    Returns
    -------
    scores : Tensor of shape (m,)
        Mean over targets of :math:`-\frac12 \log(1 - \rho^2)` in nats, with the
        correlation :math:`\rho` of the two labels; summed over the T outputs.
    """
    total = (variance + noise_variance)[:, None] * (target_variance + noise_variance)
    explained = covariance.square() / total
    return -torch.log1p(-explained).mean(dim=1).sum(dim=1) / 2
