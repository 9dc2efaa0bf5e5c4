r"""Disagreement of K models: one score per row.

Arguments are ``probs`` of shape ``(K, m, C)``, probabilities of K models, or
``predictions`` of shape ``(K, m, T)`` for T targets; scores are ``(m,)``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from skal.measures._uncertainty import entropy

__all__ = [
    "bald",
    "bald_of_variance",
    "consensus_entropy",
    "gaussian_bald",
    "kl_divergence",
    "mean_std",
    "predictive_variance",
    "variation_ratio",
    "vote_entropy",
]


def vote_entropy(probs: Tensor) -> Tensor:
    r"""Entropy of the votes, in nats.

    Parameters
    ----------
    probs : Tensor of shape (K, m, C)
        Each model votes for its most probable class, the lowest of equals.

    Returns
    -------
    scores : Tensor of shape (m,)
        :math:`-\sum_c (V_c/K) \log (V_c/K)`, from 0 to :math:`\log \min(K, C)`.
    """
    return entropy(_vote_shares(probs))


def variation_ratio(probs: Tensor) -> Tensor:
    r"""Share of the models that do not vote for the modal class.

    Parameters
    ----------
    probs : Tensor of shape (K, m, C)
        Each model votes for its most probable class, the lowest of equals.

    Returns
    -------
    scores : Tensor of shape (m,)
        :math:`1 - \max_c V_c / K`, multiples of 1/K from 0 to
        :math:`1 - \lceil K/C \rceil / K`.  Over the epochs of one net this is its
        label dispersion.
    """
    return 1 - _vote_shares(probs).amax(dim=1)


def consensus_entropy(probs: Tensor) -> Tensor:
    r"""Entropy of the mean prediction, in nats.

    Parameters
    ----------
    probs : Tensor of shape (K, m, C)

    Returns
    -------
    scores : Tensor of shape (m,)
        :math:`H(\bar p)`, from 0 to :math:`\log C`.
    """
    return entropy(probs.mean(dim=0))


def bald(probs: Tensor) -> Tensor:
    r"""Mutual information between the label of a row and the model, in nats.

    Parameters
    ----------
    probs : Tensor of shape (K, m, C)

    Returns
    -------
    scores : Tensor of shape (m,)
        :math:`H(\bar p) - \frac1K \sum_k H(p_k)`, from 0 to :math:`\log \min(K, C)`.
    """
    n_draws, m, n_classes = probs.shape
    own = entropy(probs.reshape(n_draws * m, n_classes)).reshape(n_draws, m)
    # Rounding may leave a value just below 0 where all models agree.
    return (consensus_entropy(probs) - own.mean(dim=0)).clamp(min=0)


def kl_divergence(probs: Tensor) -> Tensor:
    r"""Mean Kullback-Leibler divergence of the models from their mean, in nats.

    Parameters
    ----------
    probs : Tensor of shape (K, m, C)

    Returns
    -------
    scores : Tensor of shape (m,)
        :math:`\frac1K \sum_k \mathrm{KL}(p_k \,\|\, \bar p)`, which is `bald`: the
        logarithm of the mean is common to all models.
    """
    return bald(probs)


def mean_std(probs: Tensor) -> Tensor:
    r"""Mean over the classes of the standard deviation over the models.

    Parameters
    ----------
    probs : Tensor of shape (K, m, C)

    Returns
    -------
    scores : Tensor of shape (m,)
        :math:`\frac1C \sum_c \sqrt{\frac1K \sum_k (p_{kc} - \bar p_c)^2}`.
    """
    return probs.std(dim=0, correction=0).mean(dim=1)


def predictive_variance(predictions: Tensor, reduction: str = "sum") -> Tensor:
    """Variance of the predictions over the models.

    Parameters
    ----------
    predictions : Tensor of shape (K, m, T)
    reduction : {"sum", "max"}, default="sum"
        How the variances of several targets are combined.

    Returns
    -------
    scores : Tensor of shape (m,)
        In squared units of the predictions; sums of squares are divided by K.
    """
    variance = predictions.var(dim=0, correction=0)
    return variance.sum(dim=1) if reduction == "sum" else variance.amax(dim=1)


def gaussian_bald(predictions: Tensor, noise_variance: float) -> Tensor:
    r"""Mutual information between the targets of a row and the model, as Gaussians.

    Parameters
    ----------
    predictions : Tensor of shape (K, m, T)
    noise_variance : float
        Variance :math:`\sigma^2` of a label around the prediction of a model.

    Returns
    -------
    scores : Tensor of shape (m,)
        :math:`\frac12 \log\det(I + \Sigma / \sigma^2)` in nats, with the covariance
        :math:`\Sigma` of the T targets of the row over the models (divided by K).
    """
    centered = predictions.double() - predictions.double().mean(dim=0)
    covariance = torch.einsum("kmt,kms->mts", centered, centered) / len(predictions)
    eye = torch.eye(predictions.shape[2], dtype=torch.float64, device=centered.device)
    return torch.linalg.slogdet(eye + covariance / noise_variance).logabsdet / 2


def bald_of_variance(variance: Tensor, noise_variance: float) -> Tensor:
    r"""Mutual information between the targets of a row and a Gaussian prediction.

    Parameters
    ----------
    variance : Tensor of shape (m, T)
        Variances :math:`s_t^2` of the predicted function, without label noise; the
        targets are independent of each other.
    noise_variance : float
        Variance :math:`\sigma^2` of a label around the function.

    Returns
    -------
    scores : Tensor of shape (m,)
        :math:`\frac12 \sum_t \log(1 + s_t^2 / \sigma^2)` in nats.

    Examples
    --------
    >>> import torch
    >>> from skal.measures import bald_of_variance
    >>> bald_of_variance(torch.tensor([[0.0], [3.0]]), 1.0)
    tensor([0.0000, 0.6931], dtype=torch.float64)
    """
    return torch.log1p(variance.double() / noise_variance).sum(dim=1) / 2


def _vote_shares(probs: Tensor) -> Tensor:
    """Share of the models that vote for each class, ``(m, C)``, float64."""
    n_draws, m, n_classes = probs.shape
    counts = torch.zeros((m, n_classes), dtype=torch.float64, device=probs.device)
    ones = torch.ones((m, n_draws), dtype=torch.float64, device=probs.device)
    counts.scatter_add_(1, probs.argmax(dim=2).T, ones)
    # NaN is not a vote.
    unknown = probs.isnan().any(dim=2).any(dim=0)
    return (counts / n_draws).masked_fill(unknown[:, None], torch.nan)
