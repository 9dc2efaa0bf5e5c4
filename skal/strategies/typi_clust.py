"""TypiClust: typical rows of the clusters that have the fewest labels."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from skal._numerics.kmeans import k_means
from skal.reading.pool import Pool
from skal.selection import Picks, typi_clust
from skal.strategies.base import QueryStrategy
from skal.strategies.space import ReadsSpace
from skal.validation import check_int

__all__ = ["TypiClust"]


class TypiClust(ReadsSpace, QueryStrategy):
    r"""TypiClust [1]_: typical rows of clusters without labels; for small budgets.

    Parameters
    ----------
    n_neighbors : int, default=20
        Number k of neighbors by which the typicality of a row is measured; half the
        rows of the cluster if that is less.
    n_clusters : int, optional
        By default the number of labeled rows plus the number of rows to pick, up to
        `max_clusters`.
    max_clusters : int, default=500
        Not used if `n_clusters` is given.
    space : str, Posterior or callable, default="auto"
        Space in which rows are compared, as in `LCMD`; ``"auto"``: the penultimate
        features of nets, otherwise as in `LCMD`.
    head : str, optional
        Name of the module whose inputs are the features; by default the last Linear
        on the way to the outputs.
    random_state : int, RandomState, Generator or None
        Used to draw the first centers of k-means.

    Notes
    -----
    K-means divides pool and labeled rows into clusters.  Each pick comes from the
    cluster with the fewest labeled or picked rows, and from the largest one if there
    are several (clusters of five rows or fewer come last).  It is the remaining row of
    this cluster with the largest typicality, :math:`\left(\frac1k \sum_j \lVert z - z_j
    \rVert\right)^{-1}` over its k nearest neighbors among the unlabeled rows of the
    cluster, which is its score.

    The authors' program differs in details: it takes the mean of squared distances,
    computes it anew among the rows left after each pick from a cluster, goes through
    the clusters in one fixed order again and again, and never picks from clusters of
    five rows or fewer.

    The paper uses features that were learned without labels: pass them as inputs, with
    ``space="inputs"``.  The features of a net that was trained on few labels depend on
    what it has learned from these labels.

    The cost is one forward pass over the pool and the labeled rows; their vectors are
    kept twice, (m + L) × d elements each.  K-means takes a few passes of (m + L) ×
    clusters × d operations (in mini-batches if that is many), and the typicality of the
    rows of a cluster takes the square of its size × d.

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
    _any_of_equal: ClassVar[bool] = True
    _at_zero: ClassVar[str | None] = (
        "Its clusters are single rows, one for each label and each pick, so that its "
        "picks are arbitrary. Set n_clusters lower, or pass more rows."
    )

    def __init__(
        self,
        n_neighbors: int = 20,
        n_clusters: int | None = None,
        max_clusters: int = 500,
        space: Any = "auto",
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
        space = self._read_space(pool, rng)
        rows = space.to_cluster()
        m = len(space.pool)
        n_clusters = self.n_clusters
        if n_clusters is None:
            n_clusters = min(len(rows) - m + n, self.max_clusters)
        clusters = k_means(rows, n_clusters, rng)
        n_labeled = clusters.labels[m:].bincount(minlength=len(clusters.centers))
        return typi_clust(rows[:m], clusters.labels[:m], n, self.n_neighbors, n_labeled)
