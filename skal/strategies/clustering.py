"""K-means of scikit-learn on tensors, for the strategies that cluster."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import torch
from sklearn.cluster import KMeans, MiniBatchKMeans, kmeans_plusplus
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from skal.embeddings import Dense
from skal.selection import kmeans_pp
from skal.utils import seed_from

__all__ = ["Clusters", "k_means"]

#: Rows × clusters up to which all rows are looked at in each step.
_FULL = 2**23
#: Rows × clusters that are looked at for the first centers.
_SEEDING = 2**20
#: Steps over all rows; more lower the sum of squares by some thousandths.
_STEPS = 10
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
    `sklearn.cluster.KMeans` up to 8 million rows × clusters, in at most ten steps,
    `MiniBatchKMeans` beyond.  Seeds come from a sample of the rows where there are
    many: by `kmeans_pp`, or scikit-learn's where rows have weights.  Copies the rows
    once.
    """
    n_clusters = min(n_clusters, len(features))
    seed = seed_from(rng)
    if weights is not None:
        # Rows of no weight pull no center; that none has any would be no k-means.
        least = 1e-12 * float(weights.max()) or 1.0
        weights = weights.cpu().double().clamp(min=least)
    rows = features.cpu()
    seeds = _seeds(rows, n_clusters, seed, rng, weights)
    settings = {"n_clusters": n_clusters, "init": seeds, "n_init": 1}
    if len(rows) * n_clusters <= _FULL:
        model = KMeans(random_state=seed, max_iter=_STEPS, **settings)
    else:
        model = MiniBatchKMeans(random_state=seed, batch_size=_BATCH, **settings)
    with warnings.catch_warnings():  # fewer distinct rows than clusters are no fault
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(rows.numpy(), sample_weight=_as_numpy(weights))
    return Clusters(
        torch.as_tensor(model.labels_, dtype=torch.long, device=features.device),
        torch.as_tensor(model.cluster_centers_, device=features.device),
    )


def _seeds(
    rows: Tensor,
    n_clusters: int,
    seed: int,
    rng: torch.Generator,
    weights: Tensor | None,
) -> np.ndarray:
    """Give the first centers, in the dtype of the rows."""
    size = max(3 * n_clusters, _SEEDING // n_clusters)
    sample = rows
    if size < len(rows):
        drawn = torch.randperm(len(rows), generator=rng)[:size]
        sample, weights = rows[drawn], None if weights is None else weights[drawn]
    if weights is None:
        first = torch.randint(len(sample), (1,), generator=rng)
        others = kmeans_pp(Dense(sample), n_clusters - 1, rng, Dense(sample[first]))
        seeds: np.ndarray = sample[torch.cat([first, others.indices])].numpy()
        return seeds
    found, _ = kmeans_plusplus(
        sample.double().numpy(),
        n_clusters,
        sample_weight=_as_numpy(weights),
        random_state=seed,
    )
    return found.astype(rows.numpy().dtype)


def _as_numpy(weights: Tensor | None) -> np.ndarray | None:
    return None if weights is None else weights.numpy()
