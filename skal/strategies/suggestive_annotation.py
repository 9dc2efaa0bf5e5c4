"""Suggestive annotation: uncertain rows that represent the pool."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from skal.reading.pool import Pool
from skal.selection import Picks, max_cover, top_k
from skal.strategies.disagreement import Disagreement
from skal.strategies.space import ReadsSpace
from skal.strategies.wrapping import n_candidates

__all__ = ["SuggestiveAnnotation"]


class SuggestiveAnnotation(ReadsSpace, Disagreement):
    r"""Suggestive annotation [1]_: the uncertain rows that represent the pool.

    Parameters
    ----------
    posterior : Posterior or "auto", default="auto"
        Source of the K models; `skal.posteriors.resolve_posterior` says what ``"auto"``
        chooses.  In the paper, they are an ensemble trained on bootstrap samples.
    factor : float, default=2
        Number of candidates for each row picked, at least 1: the factor × n most
        uncertain rows (rounded up, at most the pool).  The paper uses 2; with 1, only
        the order of the picks is chosen.
    space : str, Posterior or callable, default="auto"
        Space in which rows are compared, as in `LCMD`; ``"auto"``: the penultimate
        features of nets, otherwise as in `LCMD`.
    head : str, optional
        Name of the module whose inputs are the features; by default the last Linear
        on the way to the outputs.
    random_state : int, RandomState, Generator or None
        Used to draw the models.

    Notes
    -----
    The uncertainty of a row, returned by `score_samples`, is the variance of the
    models' outputs (probabilities, or predictions in units of the model's own target),
    averaged over classes or targets.  Among the ``factor × n`` most uncertain rows, the
    next pick is the row that adds most to :math:`F(S) = \sum_u \max_{s \in S} (1 +
    \cos(z_u, z_s))` over the rows u of the whole pool; its score is this increase.
    Greedy selection reaches at least 1 - 1/e of the optimum.  Labeled rows are not
    used, as in the paper.

    The cost is K forward passes over the pool, which is read in blocks, one forward
    pass for the features, of which m × d elements are kept twice, and then between m ×
    d and factor × n × m × d multiply-adds for each pick, mostly near the lower end.
    ``"leaves"`` are counted, and need no vectors.

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
    _any_of_equal: ClassVar[bool] = True

    def __init__(
        self,
        posterior: Any = "auto",
        factor: float = 2,
        space: Any = "auto",
        head: str | None = None,
        random_state: Any = None,
    ) -> None:
        super().__init__(posterior, random_state)
        self.factor = factor
        self.space = space
        self.head = head

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        size = n_candidates(self.factor, n, len(pool))
        points, _ = self._read_space(pool, rng).leaves_or_vectors()
        uncertain = top_k(self._checked_scores(pool, rng), size, rng).indices
        return max_cover(points, n, uncertain.to(points.device))

    def _measure(self, outputs: Tensor) -> Tensor:
        return outputs.var(dim=0, correction=0).mean(dim=1)

    def _measure_variance(self, variance: Tensor) -> Tensor:
        return variance.mean(dim=1)
