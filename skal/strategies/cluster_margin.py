"""Cluster-Margin: uncertain rows from all clusters in turn, small ones first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from sklearn.cluster import AgglomerativeClustering
from torch import Tensor

from skal._numerics.nearest import nearest
from skal.reading.pool import Pool
from skal.selection import Picks, round_robin, top_k
from skal.strategies.base import ScoreStrategy
from skal.strategies.space import ReadsSpace
from skal.strategies.wrapping import WrappingStrategy, n_candidates
from skal.validation import check_int, check_positive

__all__ = ["ClusterMargin"]


class ClusterMargin(ReadsSpace, WrappingStrategy):
    r"""Cluster-Margin [1]_: uncertain rows from clusters in turn, the smallest first.

    Parameters
    ----------
    strategy : ScoreStrategy, optional
        Scores the rows; by default `Margin` for classifiers, `PredictiveVariance` for
        regressors.
    factor : float, default=10
        Number of candidates for each row picked, at least 1: the factor × n rows of the
        highest scores (rounded up, at most the pool) are clustered.
    n_clusters : int, optional
        Number of clusters of the candidates; by default the number of rows to pick.
    distance_threshold : float, optional
        Average distance, in units of the space, up to which clusters are joined, as in
        the paper; `n_clusters` is not used then.
    max_rows : int, default=4000
        Most candidates that are clustered.  If there are more, as many are drawn at
        random, and each of the others joins the cluster of the nearest one drawn.
    space : str, Posterior or callable, default="auto"
        Space in which rows are compared, as in `LCMD`; ``"auto"``: the penultimate
        features of nets, otherwise as in `LCMD`.
    head : str, optional
        Name of the module whose inputs are the features; by default the last Linear
        on the way to the outputs.
    random_state : int, RandomState, Generator or None
        Used to draw the rows of a cluster and `max_rows`, and by `strategy` if its own
        `random_state` is None.

    Notes
    -----
    Agglomerative clustering with average linkage divides the candidates.  Clusters are
    sorted by their number of candidates, and one candidate, drawn at random, is taken
    from each in turn, from the smallest to the largest and around again until n rows
    are picked: small clusters lie in the sparse parts of the pool.  The scores of the
    picks are those of `strategy`.

    The paper clusters the whole pool, once for all queries, because its features do not
    change; here the candidates of each query are clustered, by features that may change
    from fit to fit, and nothing is kept between queries.  This implementation follows
    the abstract of the paper and independent programs, in which the number of
    candidates for each pick is between 1.25 and 10.

    The cost is that of `strategy` on the pool, of reading the vectors of the
    candidates, and of clustering r of them, up to `max_rows`: about r² × d operations
    and 8·r² bytes, 128 MB for 4000 rows.

    References
    ----------
    .. [1] Citovsky, DeSalvo, Gentile, Karydas, Rajagopalan, Rostamizadeh and Kumar,
       "Batch active learning at scale", NeurIPS 2021. https://arxiv.org/abs/2107.14263

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import ClusterMargin
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegression(max_iter=500).fit(X[::5], y[::5])
    >>> strategy = ClusterMargin(factor=5, random_state=0)
    >>> bool((y[strategy.select(model, X, 4).indices] > 0).all())
    True
    """

    _wraps: ClassVar[Mapping[str, type[Any]]] = {"strategy": ScoreStrategy}

    def __init__(
        self,
        strategy: ScoreStrategy | None = None,
        factor: float = 10,
        n_clusters: int | None = None,
        distance_threshold: float | None = None,
        max_rows: int = 4000,
        space: Any = "auto",
        head: str | None = None,
        random_state: Any = None,
    ) -> None:
        self.strategy = strategy
        self.factor = factor
        self.n_clusters = n_clusters
        self.distance_threshold = distance_threshold
        self.max_rows = max_rows
        self.space = space
        self.head = head
        self.random_state = random_state

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        check_int("max_rows", self.max_rows, minimum=2)
        if self.n_clusters is not None:
            check_int("n_clusters", self.n_clusters)
        if self.distance_threshold is not None:
            check_positive("distance_threshold", self.distance_threshold)
        size = n_candidates(self.factor, n, len(pool))
        scores = self._wrapped_scores("strategy", pool, rng).cpu()
        kept = top_k(scores, size, rng).indices.sort().values
        part = pool if size == len(pool) else pool.take(kept)
        points, _ = self._read_space(part, rng).vectors()
        clusters = self._clusters(points.cpu().double(), n, rng)
        picks = round_robin(clusters, scores[kept], n, rng)
        return Picks(kept[picks.indices], picks.scores)

    def _clusters(self, rows: Tensor, n: int, rng: torch.Generator) -> Tensor:
        """Cluster of each row, by average linkage of at most `max_rows` of them."""
        if len(rows) < 2:
            return torch.zeros(len(rows), dtype=torch.long)
        drawn = rows
        if len(rows) > self.max_rows:
            drawn = rows[torch.randperm(len(rows), generator=rng)[: self.max_rows]]
        threshold, n_clusters = self.distance_threshold, None
        if threshold is None:
            n_clusters = min(self.n_clusters or n, len(drawn))
        linkage = AgglomerativeClustering(
            n_clusters=n_clusters, distance_threshold=threshold, linkage="average"
        )
        labels = torch.from_numpy(linkage.fit_predict(drawn.numpy())).long()
        return labels if drawn is rows else labels[nearest(rows, drawn)[1]]
