"""K-means of scikit-learn on tensors, for the strategies that cluster."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from skal._numerics.matmul import linear
from skal.rng import seed_from

__all__ = ["Clusters", "k_means"]

#: Rows × clusters up to which all rows are looked at in each step.
_FULL = 2**28
#: Rows × clusters that are looked at for the first centers.
_SEEDING = 2**20
#: Rows of a sample up to which all their distances may be kept.
_TABLE = 2**12
#: Steps over all rows, as many as fit into so many rows × clusters.
_FEWEST, _MOST, _WORK = 3, 100, 2**23
#: Seeds that rows are tried for together, and how many there must be for each of them.
_TOGETHER, _THEN = 8, 32
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
    """Cluster rows by k-means, started once by greedy k-means++.

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
    `sklearn.cluster.KMeans`, up to 268 million rows × clusters, in at most 100 steps,
    three from 2.8 million on; `MiniBatchKMeans` beyond.  Seeds are rows of a sample
    where there are many, by greedy k-means++ [1]_: of 2 + log C rows drawn each time,
    by their squared distance from the seeds so far, the one that leaves the least sum
    of these.  Where there are 32 seeds and more, the rows tried for up to eight are
    drawn together.  Copies the rows once.

    References
    ----------
    .. [1] Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding",
       SODA 2007. https://theory.stanford.edu/~sergei/papers/kMeansPP-soda.pdf
    """
    n_clusters = min(n_clusters, len(features))
    seed = seed_from(rng)
    given = None
    if weights is not None:
        # Rows of no weight pull no center; that none has any would be no k-means.
        least = 1e-12 * float(weights.max()) or 1.0
        given = weights.cpu().double().clamp(min=least).numpy()
    rows = features.cpu().numpy()
    seeds = _seeds(rows, n_clusters, seed, given)
    settings = {"n_clusters": n_clusters, "init": seeds, "n_init": 1}
    if len(rows) * n_clusters <= _FULL:
        steps = min(max(_FEWEST, _WORK // (len(rows) * n_clusters)), _MOST)
        model = KMeans(random_state=seed, max_iter=steps, tol=0, **settings)
    else:
        model = MiniBatchKMeans(random_state=seed, batch_size=_BATCH, **settings)
    with warnings.catch_warnings():  # fewer distinct rows than clusters are no fault
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(rows, sample_weight=given)
    return Clusters(
        torch.as_tensor(model.labels_, dtype=torch.long, device=features.device),
        torch.as_tensor(model.cluster_centers_, device=features.device),
    )


def _seeds(
    rows: np.ndarray, n_clusters: int, seed: int, weights: np.ndarray | None
) -> np.ndarray:
    """Give the first centers: rows of a sample, by greedy k-means++."""
    rng = np.random.default_rng(seed)
    size = max(3 * n_clusters, _SEEDING // n_clusters)
    if size < len(rows):
        sample = rng.choice(len(rows), size, replace=False)
        rows, weights = rows[sample], None if weights is None else weights[sample]
    if weights is None:
        weights = np.ones(len(rows))
    p = weights / weights.sum()
    weights = (weights / weights.max()).astype(rows.dtype)
    n_tried = 2 + int(np.log(n_clusters))
    distances = _Distances(rows, n_clusters * n_tried)
    picks = [rng.choice(len(rows), p=p)]
    nearest = distances.to(picks)[0]
    while len(picks) < n_clusters:
        size = min(_TOGETHER, 1 + len(picks) // _THEN, n_clusters - len(picks))
        cumulative = (weights * nearest).cumsum(dtype=np.float64)
        u = rng.random((size, n_tried)) * cumulative[-1]
        drawn = cumulative.searchsorted(u, side="right")
        for tried in np.minimum(drawn, len(rows) - 1):
            after = np.minimum(distances.to(tried), nearest)
            best = np.vecdot(after, weights).argmin()
            picks.append(tried[best])
            nearest = after[best]
    return rows[picks]


class _Distances:
    """Squared distances of all rows to some, from a table if many are asked for."""

    def __init__(self, rows: np.ndarray, n_asked: int) -> None:
        # Not numpy's products: its thread would spin for as long as k-means takes.
        shifted = rows - rows.mean(axis=0)  # near the origin less is lost to rounding
        self.rows = torch.from_numpy(shifted)
        self.sq_norm = self.rows.square().sum(dim=1)
        self.table = None
        if len(rows) <= min(n_asked, _TABLE):
            self.table = self.to(np.arange(len(rows)))

    def to(self, some: Any) -> np.ndarray:
        if self.table is not None:
            return self.table[some]
        found = linear(-2 * self.rows[some], self.rows, self.sq_norm)
        found += self.sq_norm[some, None]
        return found.clamp_(min=0).numpy()
