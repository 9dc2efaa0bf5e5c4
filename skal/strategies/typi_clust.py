"""TypiClust: typical rows of the clusters that have the fewest labels."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from skal._numerics.kmeans import k_means
from skal.reading.pool import Pool
from skal.reading.space import read_space
from skal.selection import Picks, typi_clust
from skal.strategies.base import QueryStrategy
from skal.validation import check_int

__all__ = ["TypiClust"]


class TypiClust(QueryStrategy):
    r"""TypiClust [1]_: typical rows of clusters without labels, for few labels.

    Parameters
    ----------
    n_neighbors : int
        Neighbors by which a row is typical; half the cluster's rows if that is less.
    n_clusters : int, optional
        By default as many as there are labeled rows and rows to pick, up to
        `max_clusters`.
    max_clusters : int
        Not used where `n_clusters` is given.
    space : {"auto", "features", "inputs"}
        Where rows are near each other: in the penultimate features of nets or in the
        inputs as the model sees them; ``"auto"`` takes features where there are nets.
    head : str, optional
        Name of the module whose input are the features; the last Linear by default.
    random_state : int, RandomState, Generator or None
        Draws the first centers of k-means.

    Notes
    -----
    K-means parts pool and labeled rows into clusters.  Each pick comes from
    the cluster with the fewest rows labeled or picked, of several from the largest
    (clusters of five rows or fewer come last): the row of the largest typicality that
    is left there, :math:`\left(\frac1k \sum_j \lVert z - z_j \rVert\right)^{-1}` over
    its k (`n_neighbors`) nearest neighbors among the unlabeled rows of the cluster,
    which is its score.

    The paper takes features that were learned without labels: give them as inputs, and
    ``space="inputs"``.  Where features come from a net that was fitted on few labels,
    clusters are what it makes of the pool.

    Reads the features of pool and labeled rows, in one forward pass, and keeps them
    twice: (m + L) × d numbers.  K-means passes over (m + L) × clusters × d operations a
    few times (in mini-batches where that is much), the typical rows of a cluster take
    the square of its rows × d.

    References
    ----------
    .. [1] Hacohen, Dekel and Weinshall, "Active learning on a budget: opposite
       strategies suit high and low budgets", ICML 2022.
       https://arxiv.org/abs/2202.02794

    Examples
    --------
    Two heaps of rows, and a row of the middle of each:

    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from skal.strategies import TypiClust
    >>> heap = np.array([0.0, 1, 2, 3, 3.5, 4, 5, 6, 7])
    >>> X = np.concatenate([heap, 100 + heap])[:, None]
    >>> model = LinearRegression().fit(X, X[:, 0])
    >>> sorted(
    ...     TypiClust(n_neighbors=2, random_state=0)
    ...     .select(model, X, 2)
    ...     .indices.tolist()
    ... )
    [4, 13]
    """

    _task: ClassVar[str] = "any"

    def __init__(
        self,
        n_neighbors: int = 20,
        n_clusters: int | None = None,
        max_clusters: int = 500,
        space: str = "auto",
        head: str | None = None,
        random_state: Any = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.n_clusters = n_clusters
        self.max_clusters = max_clusters
        self.space = space
        self.head = head
        self.random_state = random_state

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        check_int("n_neighbors", self.n_neighbors)
        check_int("max_clusters", self.max_clusters)
        if self.n_clusters is not None:
            check_int("n_clusters", self.n_clusters)
        space = read_space(pool, self.space, head=self.head, rng=rng)
        rows, labeled = space.vectors()
        n_clusters = self.n_clusters
        if n_clusters is None:
            n_clusters = min(len(labeled) + n, self.max_clusters)
        clusters = k_means(torch.cat([rows, labeled]), n_clusters, rng)
        own, others = clusters.labels.split([len(rows), len(labeled)])
        n_labeled = others.bincount(minlength=len(clusters.centers))
        return typi_clust(rows, own, n, self.n_neighbors, n_labeled)
