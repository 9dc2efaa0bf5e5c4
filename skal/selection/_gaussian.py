"""BatchBALD for regression: the rows whose joint Gaussian is widest."""

from __future__ import annotations

import torch
from torch import Tensor

from skal.selection._picks import Picks, check_n
from skal.validation import check_positive

__all__ = ["gaussian_batch_bald"]


def gaussian_batch_bald(predictions: Tensor, n: int, noise_variance: float) -> Picks:
    r"""Pick greedily by the mutual information of targets and model, as Gaussians.

    Parameters
    ----------
    predictions : Tensor of shape (K, m, T)
        T targets of m rows under the same K models, at least 2.
    n : int
        From 0 to m.
    noise_variance : float
        Variance :math:`\sigma^2` of a label about a model's prediction.

    Returns
    -------
    picks : Picks
        Scores are the gains in mutual information, in nats; the first is
        `gaussian_bald`. Ties go in pool order.

    Raises
    ------
    ValueError
        If `n` is out of range, there are fewer than 2 models, or the noise is not
        positive.

    Notes
    -----
    The batch B has :math:`\frac12 \log\det(I + \Sigma_B / \sigma^2)`, where
    :math:`\Sigma_B` is the covariance of its targets over the models (divided by K).
    The deviations of the models are kept as K features a target and shrunk along those
    of each pick, as a pivoted Cholesky decomposition does: ``O(m * K * T**2)`` a pick,
    and a copy of `predictions` in float64.

    References
    ----------
    .. [1] Holzmüller, Zaverkin, Kästner and Steinwart, "A framework and benchmark for
       deep batch active learning for regression", JMLR 2023.
       https://arxiv.org/abs/2203.09410

    Examples
    --------
    >>> import torch
    >>> from skal.selection._gaussian import gaussian_batch_bald
    >>> predictions = torch.tensor(
    ...     [[3.0, 3.0, 0.0], [-3.0, -3.0, 1.0], [0.0, 0.0, 2.0]]
    ... )
    >>> gaussian_batch_bald(predictions[..., None], 2, 0.5).indices
    tensor([0, 2])
    """
    if predictions.ndim != 3 or len(predictions) < 2:
        raise ValueError(
            "predictions must have the shape (K, m, T) with at least 2 models, got "
            f"{tuple(predictions.shape)}."
        )
    check_positive("noise_variance", noise_variance)
    n_models, m, n_targets = predictions.shape
    check_n(n, m)
    wide = predictions.double()
    features = (wide - wide.mean(dim=0)).permute(1, 2, 0).contiguous()  # (m, T, K)
    features /= (n_models * noise_variance) ** 0.5
    eye = torch.eye(n_targets, dtype=torch.float64, device=features.device)
    left = torch.zeros(m, dtype=torch.float64, device=features.device)
    indices = torch.empty(n, dtype=torch.long, device=features.device)
    scores = torch.empty(n, dtype=torch.float64, device=features.device)
    for k in range(n):
        if n_targets == 1:
            gains = torch.log1p(features[:, 0].square().sum(dim=1)) / 2
        else:
            gram = features @ features.mT
            gains = torch.linalg.slogdet(eye + gram).logabsdet / 2
        gains = gains.clamp(min=0) + left
        pick = int(gains.argmax())
        indices[k], scores[k] = pick, gains[pick]
        left[pick] = -torch.inf
        if k < n - 1:
            # F (I + V'V)^(-1/2), by the few directions in which V = F[pick] is not 0.
            _, size, directions = torch.linalg.svd(features[pick], full_matrices=False)
            shrink = torch.rsqrt(1 + size.square()) - 1
            along = features @ directions.mT
            features += (along * shrink) @ directions
    return Picks(indices, scores)
