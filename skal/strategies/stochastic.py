"""Batches drawn at random, with probabilities that grow with the scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from skal.measures import not_negative
from skal.reading.pool import Pool
from skal.selection import Picks
from skal.selection._scores import draw_by_scores
from skal.strategies.base import ScoreStrategy
from skal.strategies.drawing import WeightedStrategy
from skal.strategies.wrapping import WrappingStrategy

__all__ = ["Stochastic"]


class Stochastic(WeightedStrategy, WrappingStrategy, ScoreStrategy):
    r"""Stochastic batches [1]_: rows drawn with probabilities that grow with scores.

    Parameters
    ----------
    strategy : ScoreStrategy, optional
        Scores the rows; by default `Margin` for classifiers, `PredictiveVariance` for
        regressors.
    beta : float, default=1.0
        Exponent or inverse temperature :math:`\beta`, at least 0: small values are
        close to `Random`, large ones to `strategy`.
    kind : {"power", "softmax", "softrank"}, default="power"
        How probabilities follow from the scores; see Notes.
    random_state : int, RandomState, Generator or None
        Used to draw the picks, and by `strategy` if its own `random_state` is None.

    Notes
    -----
    The rows with the highest scores are often similar, so that their labels are
    redundant, and scores would change after the first label of the batch.  Drawing the
    rows at random reduces both problems at no cost.  Rows are drawn without
    replacement, each with a probability proportional to

    - :math:`s_x^\beta` (power), where a score of 0 means that a row has no value.  The
      scale of the scores does not matter.  If any score of the pool is negative, as
      those of `Margin` are, the lowest one is subtracted first.  Rows of weight 0 come
      last;
    - :math:`e^{\beta s_x}` (softmax), where differences of scores matter and their
      unit is that of :math:`1/\beta`;
    - :math:`r_x^{-\beta}` (softrank) with the rank r, 1 for the highest score, where
      only the order matters, so that any scores are suitable.

    This is the same as picking the largest of :math:`\log s_x`, :math:`s_x` or
    :math:`-\log r_x` after noise :math:`g_x / \beta` from a standard Gumbel
    distribution was added.  The paper reports that such batches do as well as those of
    `BatchBALD` and `BADGE`, at a small part of their cost.  ``Stochastic(BALD(),
    beta)`` is `PowerBALD`.

    `draw` returns the probability of each pick, if every row has a chance: power gives
    none to rows of weight 0, and so to the lowest score if any is negative.

    The score of a pick, and those that `score_samples` returns, are the scores of
    `strategy`, without noise.  A strategy that wraps this one and reads its scores,
    such as `Prefilter` with ``by=``, is therefore not affected by the draws.  The cost
    is that of `strategy`.

    References
    ----------
    .. [1] Kirsch, Farquhar, Atighehchian, Jesson, Branchaud-Charron and Gal,
       "Stochastic batch acquisition: a simple baseline for deep active learning", TMLR
       2023. https://arxiv.org/abs/2106.12059

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from skal.strategies import PredictiveVariance, Stochastic
    >>> X, y = load_diabetes(return_X_y=True)
    >>> forest = RandomForestRegressor(20, random_state=0).fit(X[::9], y[::9])
    >>> strategy = Stochastic(PredictiveVariance(), random_state=0)
    >>> strategy.select(forest, X, 4).indices.shape
    (4,)
    """

    _wraps: ClassVar[Mapping[str, type[Any]]] = {"strategy": ScoreStrategy}

    def __init__(
        self,
        strategy: ScoreStrategy | None = None,
        beta: float = 1.0,
        kind: str = "power",
        random_state: Any = None,
    ) -> None:
        self.strategy = strategy
        self.beta = beta
        self.kind = kind
        self.random_state = random_state

    def _score(self, pool: Pool, rng: torch.Generator) -> Tensor:
        return self._wrapped_scores("strategy", pool, rng)

    def _weighted(
        self, pool: Pool, n: int, rng: torch.Generator
    ) -> tuple[Picks, Tensor]:
        scores = self._score(pool, rng)
        weights = not_negative(scores) if self.kind == "power" else scores
        (drawn, _), logs = draw_by_scores(
            weights, n, rng, beta=self.beta, kind=self.kind
        )
        return Picks(drawn, scores[drawn]), logs
