"""Information density: informative rows in dense regions of the pool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from skal.measures import mean_cosine, mean_nearness, not_negative
from skal.reading.pool import Pool
from skal.spaces import Leaves
from skal.strategies.base import ScoreStrategy
from skal.strategies.space import ReadsSpace
from skal.strategies.wrapping import WrappingStrategy
from skal.validation import check_int, check_not_negative, check_option

__all__ = ["InformationDensity"]


class InformationDensity(ReadsSpace, WrappingStrategy, ScoreStrategy):
    r"""Information density [1]_: informative rows that are similar to many others.

    Parameters
    ----------
    strategy : ScoreStrategy, optional
        Scores the rows; by default `Margin` for classifiers, `PredictiveVariance` for
        regressors.
    beta : float, default=1.0
        Exponent of the density, at least 0; with 0 the density has no effect.
    metric : {"cosine", "euclidean"}, default="cosine"
        Similarity of rows: their cosine, which suits rows without negative elements,
        such as tf-idf rows and the outputs of a ReLU; or 1 / (1 + distance).
    n_reference : int, default=1000
        Number of rows, drawn at random, that represent the pool if `metric` is
        ``"euclidean"``; None uses all rows, which takes m² × d operations.
    space : str, Posterior or callable, default="auto"
        Space in which rows are compared, as in `LCMD`; ``"auto"``: the penultimate
        features of nets, otherwise as in `LCMD`.
    head : str, optional
        Name of the module whose inputs are the features; by default the last Linear
        on the way to the outputs.
    random_state : int, RandomState, Generator or None
        Used to draw the reference rows, and by `strategy` if its own `random_state` is
        None.

    Notes
    -----
    The score is :math:`s_x \bigl(\frac1m \sum_u \mathrm{sim}(x, u)\bigr)^\beta` over
    all rows u of the pool.  If any score s of `strategy` is negative, the lowest one of
    the pool is subtracted first.  A negative mean cosine counts as 0.

    The cost is that of `strategy`, and m × d elements are kept.  The mean cosine is a
    product with the mean of the unit vectors, in two passes; the mean of 1 / (1 +
    distance) takes m × `n_reference` × d multiply-adds in blocks.  ``"leaves"`` are
    counted, and need no vectors.

    References
    ----------
    .. [1] Settles and Craven, "An analysis of active learning strategies for sequence
       labeling tasks", EMNLP 2008. https://aclanthology.org/D08-1112

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import Entropy, InformationDensity
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegression(max_iter=500).fit(X[::5], y[::5])
    >>> strategy = InformationDensity(Entropy(), metric="euclidean", random_state=0)
    >>> bool((y[strategy.select(model, X, 4).indices] > 0).all())
    True
    """

    _wraps: ClassVar[Mapping[str, type[Any]]] = {"strategy": ScoreStrategy}

    def __init__(
        self,
        strategy: ScoreStrategy | None = None,
        beta: float = 1.0,
        metric: str = "cosine",
        n_reference: int | None = 1000,
        space: Any = "auto",
        head: str | None = None,
        random_state: Any = None,
    ) -> None:
        self.strategy = strategy
        self.beta = beta
        self.metric = metric
        self.n_reference = n_reference
        self.space = space
        self.head = head
        self.random_state = random_state

    def _score(self, pool: Pool, rng: torch.Generator) -> Tensor:
        check_not_negative("beta", self.beta)
        check_option("metric", self.metric, ["cosine", "euclidean"])
        if self.n_reference is not None:
            check_int("n_reference", self.n_reference)
        scores = self._wrapped_scores("strategy", pool, rng)
        points, _ = self._read_space(pool, rng).leaves_or_vectors()
        if isinstance(points, Leaves):
            if self.metric == "cosine":
                density = 2 * points.mean_product()  # the squared norms are 1/2
            else:
                density = points.mean_nearness(self._reference(points, rng))
        elif self.metric == "cosine":
            density = mean_cosine(points).clamp(min=0)
        else:
            density = mean_nearness(points, self._reference(points, rng))
        return not_negative(scores).to(density) * density**self.beta

    def _reference(
        self, points: Tensor | Leaves, rng: torch.Generator
    ) -> Tensor | None:
        if self.n_reference is None or self.n_reference >= len(points):
            return None
        drawn = torch.randperm(len(points), generator=rng)[: self.n_reference]
        return drawn.to(points.device)
