"""Diverse mini-batches: k-means among the rows that are most wanted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from skal._numerics.kmeans import k_means
from skal.measures import not_negative
from skal.reading.pool import Pool
from skal.reading.space import read_space
from skal.selection import Picks, representatives, top_k
from skal.strategies.base import ScoreStrategy
from skal.strategies.wrapping import WrappingStrategy, n_candidates

__all__ = ["DiverseMiniBatch"]


class DiverseMiniBatch(WrappingStrategy):
    r"""Diverse mini-batch [1]_: centers of weighted k-means among informative rows.

    Parameters
    ----------
    strategy : ScoreStrategy, optional
        Says how informative a row is; by default `Margin` for classifiers,
        `PredictiveVariance` for regressors.
    factor : float
        How many rows are kept for each that is picked, 1 or more: factor × n of the
        pool, rounded up, or all of it.  The paper takes 10 to 50; 1 leaves no choice.
    space : {"auto", "features", "inputs"}
        Where rows are clustered: in the penultimate features of nets or in the inputs
        as the model sees them; ``"auto"`` takes features where there are nets.
    head : str, optional
        Name of the module whose input are the features; the last Linear by default.
    random_state : int, RandomState, Generator or None
        Draws the first centers of k-means, and for `strategy` if it has no
        `random_state` of its own.

    Notes
    -----
    Of the ``factor × n`` rows x of the highest scores s, k-means makes n clusters
    :math:`S_i` that minimize :math:`\sum_i \sum_{x \in S_i} s_x \lVert z_x - \mu_i
    \rVert^2`; the row of each cluster that is nearest to its center is picked.  Scores
    weigh rows as they are, or less the lowest of the pool where that is negative.

    The batch is made as a whole: picks come by their scores, and one row more may
    change all of them.  Where the rows kept have fewer than n distinct points, the
    highest scores among the others fill the batch.

    Costs what `strategy` costs on the pool; then reads the features of the rows kept,
    and passes over them n × d operations a row, a few times (in mini-batches from some
    thousand picks on).

    References
    ----------
    .. [1] Zhdanov, "Diverse mini-batch active learning", 2019.
       https://arxiv.org/abs/1901.05954

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import DiverseMiniBatch
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegression(max_iter=500).fit(X[::5], y[::5])
    >>> strategy = DiverseMiniBatch(factor=5, random_state=0)
    >>> bool((y[strategy.select(model, X, 4).indices] > 0).all())
    True
    """

    _wraps: ClassVar[Mapping[str, type[Any]]] = {"strategy": ScoreStrategy}

    def __init__(
        self,
        strategy: ScoreStrategy | None = None,
        factor: float = 10,
        space: str = "auto",
        head: str | None = None,
        random_state: Any = None,
    ) -> None:
        self.strategy = strategy
        self.factor = factor
        self.space = space
        self.head = head
        self.random_state = random_state

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        size = n_candidates(self.factor, n, len(pool))
        scores = self._wrapped_scores("strategy", pool, rng)
        kept = top_k(scores, size).indices.cpu().sort().values
        weights, scores = not_negative(scores.cpu())[kept], scores.cpu()[kept]
        part = pool if size == len(pool) else pool.take(kept)
        points, _ = read_space(part, self.space, head=self.head, rng=rng).vectors()
        rows = points.cpu().double()
        clusters = k_means(rows, n, rng, weights)
        picks = representatives(rows, *clusters, scores, n)
        return Picks(kept[picks.indices], picks.scores)
