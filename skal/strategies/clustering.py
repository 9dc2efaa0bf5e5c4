"""K-means of scikit-learn on tensors, for the strategies that cluster."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import torch
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from skal.utils import seed_from

__all__ = ["Clusters", "k_means"]

#: Rows × clusters up to which all rows are looked at in each step.
_FULL = 2**22
#: Rows looked at in a step beyond that.
_BATCH = 5000


class Clusters(NamedTuple):
    """What k-means found.

    Attributes
    ----------
    labels : Tensor of shape (m,), int64
        Cluster of each row.
    centers : Tensor of shape (C, d)
    """

    labels: Tensor
    centers: Tensor


def k_means(
    features: Tensor,
    n_clusters: int,
    rng: torch.Generator,
    weights: Tensor | None = None,
) -> Clusters:
    """Cluster rows by k-means, started once by k-means++.

    Parameters
    ----------
    features : Tensor of shape (m, d)
    n_clusters : int
        At least 1; where there are fewer rows, each may have its own.  Clusters without
        rows are possible where there are fewer distinct rows.
    rng : torch.Generator
        Gives the seed.
    weights : Tensor of shape (m,), optional
        Not negative.

    Returns
    -------
    clusters : Clusters

    Notes
    -----
    `sklearn.cluster.KMeans` up to 4 million rows × clusters, `MiniBatchKMeans` beyond.
    Either copies the rows once.
    """
    n_clusters = min(n_clusters, len(features))
    settings = {"n_clusters": n_clusters, "n_init": 1, "random_state": seed_from(rng)}
    if len(features) * n_clusters <= _FULL:
        model = KMeans(**settings)
    else:
        model = MiniBatchKMeans(
            batch_size=_BATCH, init_size=max(_BATCH, 3 * n_clusters), **settings
        )
    if weights is not None:
        weights = weights.double()
        # Rows of no weight pull no center; that none has any would be no k-means.
        least = 1e-12 * float(weights.max()) or 1.0
        weights = weights.clamp(min=least).cpu()
    with warnings.catch_warnings():  # fewer distinct rows than clusters are no fault
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(
            features.cpu().numpy(),
            sample_weight=None if weights is None else weights.numpy(),
        )
    return Clusters(
        torch.as_tensor(model.labels_, dtype=torch.long, device=features.device),
        torch.as_tensor(model.cluster_centers_, device=features.device),
    )
