"""ProbCover: balls around labeled rows that cover the pool."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from skal._numerics.kmeans import k_means
from skal.reading.pool import Pool
from skal.reading.space import Space
from skal.selection import Picks, prob_cover
from skal.selection._prob_cover import pure_radius
from skal.spaces import Leaves
from skal.strategies.base import QueryStrategy
from skal.strategies.space import ReadsSpace
from skal.validation import check_int, check_positive

__all__ = ["ProbCover"]


class ProbCover(ReadsSpace, QueryStrategy):
    r"""ProbCover [1]_: rows whose balls cover most of the pool; for small budgets.

    Parameters
    ----------
    radius : float or "auto", default="auto"
        Radius of the balls, in units of the space; ``"auto"``: the largest radius for
        which a share of `purity` of the balls contains rows of one cluster only.
    purity : float, default=0.95
        Above 0 and up to 1; not used if `radius` is given.
    n_clusters : int, optional
        Number of clusters that stand for classes when the radius is chosen; by default
        the number of classes of a classifier, 10 for a regressor or before the first
        fit.
    n_reference : int, default=1000
        Number of rows, drawn at random, whose balls are used to choose the radius.
    space : str, Posterior or callable, default="auto"
        Space in which rows are compared, as in `LCMD`; ``"auto"``: the penultimate
        features of nets, otherwise as in `LCMD`.
    head : str, optional
        Name of the module whose inputs are the features; by default the last Linear
        on the way to the outputs.
    random_state : int, RandomState, Generator or None
        Used to draw the first centers of k-means and the reference rows, if the radius
        is ``"auto"``, and to choose among rows that cover equally many rows.

    Notes
    -----
    A row z covers all rows that are nearer to it than the radius :math:`\delta`.  The
    rows near labeled rows are covered from the beginning.  The next pick is the row
    that covers the most uncovered rows, :math:`\arg\max_z |\{u \in U : \lVert z_u - z
    \rVert < \delta\}|`, its score.  Once all rows are covered, the remaining picks are
    the rows farthest from all labeled and picked rows, as in `CoreSet`, with a score of
    0; a smaller radius avoids this.

    The paper uses features that were learned without labels, on the unit sphere: pass
    them as inputs, with ``space="inputs"``.  The clusters that replace the labels are
    found by k-means on the pool and the labeled rows.

    The cost is one forward pass over the pool and the labeled rows; their vectors are
    kept twice, (m + L) × d elements each.  The choice of the radius takes k-means and
    (m + L) × d operations for each reference row; the picks take between m²·d/2 and
    2·m²·d multiply-adds, in blocks: neither a matrix of size m × m nor a graph is kept.
    With 128 features and 100 picks, 10,000 rows took 2 seconds on one core, 20,000 rows
    5 and 50,000 rows 18.  The time grows with the square of m: for larger pools, use
    `Subsample`.  ``"leaves"`` are compared as they are, several rows at a
    time; only k-means needs vectors.  50,000 rows and 100 trees take some 5 seconds.

    References
    ----------
    .. [1] Yehuda, Dekel, Hacohen and Weinshall, "Active learning through a covering
       lens", NeurIPS 2022. https://arxiv.org/abs/2205.11320

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from skal.strategies import ProbCover
    >>> X = np.array([0.0, 1.0, 2.0, 4.6, 6.0, 7.2, 7.4])[:, None]
    >>> model = LinearRegression().fit(X, X[:, 0])
    >>> ProbCover(radius=1.5).select(model, X, 2)
    Selection(indices=array([4, 1]), scores=array([4, 3]))
    """

    _task: ClassVar[str] = "any"
    _at_zero: ClassVar[str | None] = (
        "Labeled rows cover all others, so that the picks are the rows farthest from "
        "them, as those of CoreSet. Set a smaller radius to cover more finely."
    )
    _any_of_equal: ClassVar[bool] = True

    def __init__(
        self,
        radius: float | str = "auto",
        purity: float = 0.95,
        n_clusters: int | None = None,
        n_reference: int = 1000,
        space: Any = "auto",
        head: str | None = None,
        random_state: Any = None,
    ) -> None:
        self.radius = radius
        self.purity = purity
        self.n_clusters = n_clusters
        self.n_reference = n_reference
        self.space = space
        self.head = head
        self.random_state = random_state

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        self._check()
        space = self._read_space(pool, rng)
        if isinstance(self.radius, str):
            n_clusters = self.n_clusters or n_classes(pool)
            radius = self._pure_radius(space, n_clusters, rng)
        else:
            radius = float(self.radius)
        rows, labeled = space.leaves_or_vectors()
        return prob_cover(rows, n, radius, labeled, rng)

    def _check(self) -> None:
        if self.radius != "auto":
            if isinstance(self.radius, str):
                raise ValueError(
                    f'radius must be a number above 0 or "auto", got {self.radius!r}.'
                )
            check_positive("radius", self.radius)
        check_positive("purity", self.purity)
        if self.purity > 1:
            raise ValueError(f"purity must be at most 1, got {self.purity!r}.")
        check_int("n_reference", self.n_reference)
        if self.n_clusters is not None:
            check_int("n_clusters", self.n_clusters)

    def _pure_radius(
        self, space: Space, n_clusters: int, rng: torch.Generator
    ) -> float:
        vectors = space.to_cluster()
        clusters = k_means(vectors, n_clusters, rng).labels
        drawn = torch.randperm(len(vectors), generator=rng)[: self.n_reference]
        pool, labeled = space
        rows: Tensor | Leaves = vectors
        if isinstance(pool, Leaves):
            rows = pool.followed_by(labeled) if isinstance(labeled, Leaves) else pool
        return pure_radius(rows, clusters, self.purity, drawn.to(clusters.device))


def n_classes(pool: Pool, otherwise: int = 10) -> int:
    """Count the classes of a classifier, the most of several outputs."""
    if pool.task != "classification" or not pool.is_fitted:
        return otherwise
    estimator = pool.members[0].estimator
    classes: Any = getattr(estimator, "classes_", None)
    if classes is None:
        return otherwise
    several = isinstance(classes, list)
    return max(len(np.asarray(c)) for c in (classes if several else [classes]))
