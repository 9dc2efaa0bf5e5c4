"""Suggestive annotation: uncertain rows that stand for the pool."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from skal.reading.pool import Pool
from skal.reading.space import read_space
from skal.selection import Picks, max_cover, top_k
from skal.strategies.disagreement import Disagreement
from skal.strategies.wrapping import n_candidates

__all__ = ["SuggestiveAnnotation"]


class SuggestiveAnnotation(Disagreement):
    r"""Suggestive annotation [1]_: of uncertain rows those that represent the pool.

    Parameters
    ----------
    posterior : Posterior or "auto"
        Where the K models come from; `skal.posteriors.resolve_posterior` says what
        ``"auto"`` takes.  The paper's are an ensemble on bootstrapped rows.
    factor : float
        How many uncertain rows are looked at for each that is picked, 1 or more:
        factor × n of the pool, rounded up, or all of it.  The paper takes 2; 1 leaves
        no choice but in which order.
    space : {"auto", "features", "inputs"}
        Where rows are alike: in the penultimate features of nets or in the inputs as
        the model sees them; ``"auto"`` takes features where there are nets.
    head : str, optional
        Name of the module whose input are the features; the last Linear by default.
    random_state : int, RandomState, Generator or None
        Draws the models.

    Notes
    -----
    The uncertainty of a row, which `score_samples` gives, is the variance of the
    models' outputs (probabilities, or predictions in units of the model's own target),
    the mean over classes or targets.  Of the ``factor × n`` most uncertain rows, the
    next pick is the one that adds most to :math:`F(S) = \sum_u \max_{s \in S} (1 +
    \cos(z_u, z_s))` over the rows u of the whole pool, which is its score: greedily
    within 1 - 1/e of the best.  Labeled rows play no part, as in the paper.

    Costs K forward passes over the pool, read in blocks, and one for the features, of
    which m × d numbers are kept, twice; then between m × d and factor × n × m × d
    multiply-adds a pick, mostly near the lower end.

    References
    ----------
    .. [1] Yang, Zhang, Chen, Zhang and Chen, "Suggestive annotation: a deep active
       learning framework for biomedical image segmentation", MICCAI 2017.
       https://arxiv.org/abs/1706.04737

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from skal.strategies import SuggestiveAnnotation
    >>> X, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(random_state=0).fit(X[::3], y[::3])
    >>> bool((y[SuggestiveAnnotation().select(forest, X, 4).indices] > 0).all())
    True
    """

    _task: ClassVar[str] = "any"

    def __init__(
        self,
        posterior: Any = "auto",
        factor: float = 2,
        space: str = "auto",
        head: str | None = None,
        random_state: Any = None,
    ) -> None:
        super().__init__(posterior, random_state)
        self.factor = factor
        self.space = space
        self.head = head

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        size = n_candidates(self.factor, n, len(pool))
        points, _ = read_space(pool, self.space, head=self.head, rng=rng).vectors()
        uncertain = top_k(self._checked_scores(pool, rng), size).indices
        return max_cover(points, n, uncertain.to(points.device))

    def _measure(self, outputs: Tensor) -> Tensor:
        return outputs.var(dim=0, correction=0).mean(dim=1)
