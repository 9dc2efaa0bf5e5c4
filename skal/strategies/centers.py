"""Batches that are centers for the pool: LCMD, k-means++ and farthest-first."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch

from skal.reading.pool import Pool
from skal.reading.space import covariance_features
from skal.selection import Picks, k_center, kmeans_pp, lcmd
from skal.spaces import Dense, Embedding
from skal.strategies.base import QueryStrategy
from skal.strategies.space import ReadsSpace
from skal.validation import check_option

__all__ = ["LCMD", "KMeansPP", "MaxDist", "farthest_first"]


class _Centers(ReadsSpace, QueryStrategy):
    """Strategy that picks centers in a space."""

    _task: ClassVar[str] = "any"
    _any_of_equal: ClassVar[bool] = True
    _space_of_nets: ClassVar[str] = "gradients"

    def __init__(
        self,
        space: Any = "auto",
        n_components: int | None = 512,
        mode: str = "auto",
        condition_on_labels: bool | str = False,
        noise_std: float | str = "auto",
        head: str | None = None,
        random_state: Any = None,
    ) -> None:
        self.space = space
        self.n_components = n_components
        self.mode = mode
        self.condition_on_labels = condition_on_labels
        self.noise_std = noise_std
        self.head = head
        self.random_state = random_state

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        check_option("mode", self.mode, ["auto", "P", "TP"])
        space = self._read_space(pool, rng)
        rows, labeled = space
        if self.mode == "TP" and labeled is None:
            raise ValueError(
                'mode="TP" needs labeled rows, and the learner holds none. Pass them '
                'to it (X_training), or set mode="P".'
            )
        if self.condition_on_labels is not False:
            features, known = covariance_features(
                space, self.noise_std, self.condition_on_labels
            )
            rows, labeled = Dense(features), Dense(known) if len(known) else None
        centers = None if self.mode == "P" else labeled
        picks = self._pick(rows, n, rng, centers)
        return Picks(picks.indices, picks.scores.clamp(min=0).sqrt())

    @abstractmethod
    def _pick(
        self, rows: Embedding, n: int, rng: torch.Generator, centers: Embedding | None
    ) -> Picks:
        """Pick centers, with squared distances as scores."""


class LCMD(_Centers):
    """Largest cluster, maximum distance [1]_: the farthest row of the largest cluster.

    Parameters
    ----------
    space : str, Posterior or callable, default="auto"
        Space in which rows are compared.

        * ``"auto"``: the first of these that the learner has: gradients, kernel,
          predictions (of five models or more), leaves, inputs.  Before the learner is
          fitted, it is that of the inputs.
        * ``"gradients"`` of the outputs of a net with respect to all parameters (for a
          classifier, of the loss at the predicted label).
        * ``"last_layer"``: gradients with respect to the last layer, which are the
          penultimate features with 1 appended.
        * ``"features"``: the same without the 1, which matters only for the first pick
          if there are no labeled rows.
        * ``"predictions"`` of the models of a committee, a forest or any posterior,
          minus their mean [2]_; of all classes, for a classifier.  A `Posterior` stands
          for the predictions of its models.
        * ``"leaves"`` of the trees of a forest, of bagging or of boosting: the squared
          distance is the share of trees in which rows fall into different leaves.
        * ``"kernel"``: the covariance function of a Gaussian process of scikit-learn,
          or of an `ExactGPRegressor` of skorch (GPyTorch).
        * ``"inputs"``: the rows as the model receives them.  Scale inputs that have
          different units, by a Pipeline.
        * A callable is called with ``(estimator, X)``, the model without its Pipeline
          and all rows as this model receives them, or for nets with ``(access, rows)``,
          a `skal.reading.access.NetAccess` and `skal.rows.Rows`.  It returns a tensor
          or an ndarray ``(rows, d)``.
    n_components : int or None, default=512
        Number of components to which gradients are projected; None uses exact
        gradients, stored as factors.  For ``"kernel"``, the largest length of vectors.
    mode : {"auto", "P", "TP"}, default="auto"
        Whether the labeled rows are centers from the beginning (TP) or not (P); with
        ``"auto"``, they are if the learner holds any.
    condition_on_labels : bool or "auto", default=False
        Whether distances are those of a Gaussian process conditioned on the labeled
        rows.
    noise_std : float or "auto", default="auto"
        Standard deviation of the label noise of this process, for a mean training
        variance of 1; ``"auto"``: 0.001, but with ``"kernel"`` the noise of a
        regressor's process.
    head : str, optional
        Name of the module whose inputs are the features; by default the last Linear
        on the way to the outputs.
    random_state : int, RandomState, Generator or None
        Used to draw the projection, and the models of a posterior.

    Attributes
    ----------
    space_ : str, Posterior or callable
        Space of the last query: `space`, or what ``"auto"`` chose.  Threads that share
        a strategy overwrite it.

    Notes
    -----
    Every row belongs to its nearest center, labeled or picked.  The next pick is the
    row farthest from its center in the cluster with the largest sum of squared
    distances.  Its score is that distance.

    With ``"gradients"``, the cost is one forward pass, and one backward pass for each
    output, over the pool and the labeled rows, and (m + L) × n_components elements are
    kept.  Each pick then takes at most a pass over them, and the labeled rows take a
    matrix product.  The vectors of several models are concatenated.  ``"predictions"``
    costs a prediction of each of the K models, and K elements a row and target.
    ``"leaves"`` keeps eight bytes a row and tree, and counts the rows in the leaves of
    a center: a batch of 100 from 50,000 rows with 100 trees took 0.3 seconds on one
    core, beside the reading of the leaves.
    ``"kernel"`` computes the covariance with up to `n_components` rows; see
    `skal.reading.process.read_process`.

    References
    ----------
    .. [1] Holzmüller, Zaverkin, Kästner and Steinwart, "A framework and benchmark for
       deep batch active learning for regression", JMLR 2023.
       https://arxiv.org/abs/2203.09410
    .. [2] Kirsch, "Black-box batch active learning for regression", TMLR 2023.
       https://arxiv.org/abs/2302.08981

    Examples
    --------
    >>> import numpy as np
    >>> from skal import NetRegressor
    >>> from skal.strategies.centers import LCMD
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> net = NetRegressor(max_epochs=5, random_state=0).fit(X[5:15], X[5:15, 0] ** 2)
    >>> LCMD(random_state=0).select(net, X, 3).indices.shape
    (3,)
    """

    def _pick(
        self, rows: Embedding, n: int, rng: torch.Generator, centers: Embedding | None
    ) -> Picks:
        return lcmd(rows, n, centers)


class KMeansPP(_Centers):
    """k-means++ seeding [1]_ in a space of the learner; BADGE's selection in any space.

    Parameters
    ----------
    space, n_components, mode, condition_on_labels, noise_std, head
        As in `LCMD`.
    random_state : int, RandomState, Generator or None
        Used to draw the projection and the picks.

    Notes
    -----
    A row is drawn with a probability proportional to its squared distance to the
    nearest center, labeled (mode TP) or picked; without centers, the first pick has the
    largest norm.  The score of a pick is its distance when it was picked.  The cost is
    that of `LCMD`.

    References
    ----------
    .. [1] Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding",
       SODA 2007. https://theory.stanford.edu/~sergei/papers/kMeansPP-soda.pdf

    Examples
    --------
    >>> import numpy as np
    >>> from skal import NetRegressor
    >>> from skal.strategies.centers import KMeansPP
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> net = NetRegressor(max_epochs=5, random_state=0).fit(X[5:15], X[5:15, 0] ** 2)
    >>> KMeansPP(space="last_layer", random_state=0).select(net, X, 3).indices.shape
    (3,)
    """

    def _pick(
        self, rows: Embedding, n: int, rng: torch.Generator, centers: Embedding | None
    ) -> Picks:
        return kmeans_pp(rows, n, rng, centers)


class MaxDist(_Centers):
    """Farthest-first traversal [1]_ in any space; `CoreSet` with more options.

    Parameters
    ----------
    space, n_components, mode, condition_on_labels, noise_std, head
        As in `LCMD`.
    random_state : int, RandomState, Generator or None
        Used to draw the projection.

    Notes
    -----
    The next pick is the row farthest from its nearest center, labeled (mode TP) or
    picked; without centers, the first pick has the largest norm.  The score of a pick
    is its distance when it was picked.  The cost is that of `LCMD`.

    References
    ----------
    .. [1] Holzmüller, Zaverkin, Kästner and Steinwart, "A framework and benchmark for
       deep batch active learning for regression", JMLR 2023.
       https://arxiv.org/abs/2203.09410

    Examples
    --------
    >>> import numpy as np
    >>> from skal import NetRegressor
    >>> from skal.strategies.centers import MaxDist
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> net = NetRegressor(max_epochs=5, random_state=0).fit(X[5:15], X[5:15, 0] ** 2)
    >>> sorted(MaxDist(space="inputs").select(net, X, 2).indices.tolist())
    [0, 19]
    """

    def _pick(
        self, rows: Embedding, n: int, rng: torch.Generator, centers: Embedding | None
    ) -> Picks:
        return farthest_first(rows, n, centers)


def farthest_first(rows: Embedding, n: int, centers: Embedding | None) -> Picks:
    """Pick the rows farthest from every center, with squared distances for scores."""
    sq_dist = None if centers is None else rows.nearest(centers)[0]
    return k_center(rows, n, min_sq_dist=sq_dist)
