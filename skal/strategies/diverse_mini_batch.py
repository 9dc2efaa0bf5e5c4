"""Diverse mini-batches: k-means among the rows with the highest scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from skal._numerics.kmeans import k_means
from skal.measures import not_negative
from skal.reading.pool import Pool
from skal.selection import Picks, representatives, top_k
from skal.strategies.base import ScoreStrategy
from skal.strategies.space import ReadsSpace
from skal.strategies.wrapping import WrappingStrategy, n_candidates

__all__ = ["DiverseMiniBatch"]


class DiverseMiniBatch(ReadsSpace, WrappingStrategy):
    r"""Diverse mini-batch [1]_: centers of weighted k-means among informative rows.

    Parameters
    ----------
    strategy : ScoreStrategy, optional
        Scores the rows; by default `Margin` for classifiers, `PredictiveVariance` for
        regressors.
    factor : float, default=10
        Number of candidates for each row picked, at least 1: the factor × n rows of the
        highest scores (rounded up, at most the pool) are clustered.  The paper uses 10
        to 50; with 1 all candidates are picked.
    space : str, Posterior or callable, default="auto"
        Space in which rows are compared, as in `LCMD`; ``"auto"``: the penultimate
        features of nets, otherwise as in `LCMD`.
    head : str, optional
        Name of the module whose inputs are the features; by default the last Linear
        on the way to the outputs.
    random_state : int, RandomState, Generator or None
        Used to draw the first centers of k-means, and by `strategy` if its own
        `random_state` is None.

    Notes
    -----
    Among the ``factor × n`` rows x with the highest scores s, k-means finds n clusters
    :math:`S_i` that minimize :math:`\sum_i \sum_{x \in S_i} s_x \lVert z_x - \mu_i
    \rVert^2`; the row of each cluster that is nearest to its center is picked.  The
    scores are used as weights; if any score of the pool is negative, the lowest one is
    subtracted first.

    The batch is selected as a whole and ordered by score; a batch of one more row may
    consist of entirely different rows.  If the candidates have fewer than n distinct
    points, the remaining candidates with the highest scores fill the batch.

    The cost is that of `strategy` on the pool, of reading the vectors of the
    candidates, and of a few passes over them with n × d operations per row (in
    mini-batches if several thousand rows are picked).

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
        space: Any = "auto",
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
        kept = top_k(scores, size, rng).indices.cpu().sort().values
        weights, scores = not_negative(scores.cpu())[kept], scores.cpu()[kept]
        part = pool if size == len(pool) else pool.take(kept)
        points, _ = self._read_space(part, rng).vectors()
        rows = points.cpu().double()
        clusters = k_means(rows, n, rng, weights)
        picks = representatives(rows, *clusters, scores, n)
        return Picks(kept[picks.indices], picks.scores)
