"""Batches by the covariance of a Gaussian process: MaxDet, MaxDiag, BAIT and ACS-FW."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from skal._numerics.products import sq_norms
from skal.reading.pool import Pool
from skal.reading.space import (
    conditions_on_labels,
    covariance_transform,
    noise_std_of,
)
from skal.selection import Picks, bait, fisher_bait, frank_wolfe, max_det, top_k
from skal.strategies.alike import warn_if_one_point
from skal.strategies.base import QueryStrategy
from skal.strategies.information import read_information
from skal.strategies.space import ReadsSpace, resolve_space
from skal.validation import check_bool, check_positive

__all__ = ["BAIT", "FrankWolfe", "MaxDet", "MaxDiag"]


class _Features(NamedTuple):
    """Vectors of pool and labeled rows, their transform, and the noise of labels."""

    rows: Tensor
    labeled: Tensor
    transform: Tensor
    noise_std: float


class _Covariance(ReadsSpace, QueryStrategy):
    """Reads features whose inner products are covariances, and picks by them."""

    _task: ClassVar[str] = "regression"
    _any_of_equal: ClassVar[bool] = True
    _space_of_nets: ClassVar[str] = "gradients"

    def __init__(
        self,
        space: Any = "auto",
        n_components: int | None = 512,
        condition_on_labels: bool | str = "auto",
        noise_std: float | str = "auto",
        head: str | None = None,
        random_state: Any = None,
    ) -> None:
        self.space = space
        self.n_components = n_components
        self.condition_on_labels = condition_on_labels
        self.noise_std = noise_std
        self.head = head
        self.random_state = random_state

    def _read(self, pool: Pool, rng: torch.Generator) -> _Features:
        """Read vectors of pool and labeled rows, and what makes them features.

        Selectors apply the transform by blocks, so that the features are not kept.
        """
        space = self._read_space(pool, rng).dense()
        transform = covariance_transform(
            space, self.noise_std, self.condition_on_labels
        )
        noise_std = noise_std_of(space, self.noise_std)
        return _Features(*space.vectors(), transform, noise_std)


class MaxDet(_Covariance):
    """MaxDet [1]_ [2]_: greedy search for the batch of largest covariance determinant.

    Parameters
    ----------
    space : str, Posterior or callable, default="auto"
        Space whose inner products are the covariances, as in `LCMD`.  ``"kernel"``:
        the picks are those of the Gaussian process itself, with its own noise.
    n_components : int or None, default=512
        Number of components to which ``"gradients"`` are projected; None is not allowed
        for them.  For ``"kernel"`` and ``"leaves"``, the largest length of vectors:
        covariances are exact where it reaches their rank.
    condition_on_labels : bool or "auto", default="auto"
        Whether the Gaussian process is conditioned on the labeled rows; with
        ``"auto"``, it is if the learner holds any.
    noise_std : float or "auto", default="auto"
        Standard deviation of the label noise, for a mean training variance of 1;
        ``"auto"``: 0.001, but with ``"kernel"`` the noise of the process.
    head : str, optional
        Name of the module whose inputs are the features; by default the last Linear
        on the way to the outputs.
    random_state : int, RandomState, Generator or None
        Used to draw the projection.

    Notes
    -----
    The next pick has the largest variance given the previous picks, which is its score.
    This is BatchBALD for a Gaussian process; conditioning on the labeled rows is the
    same as MaxDet-TP.

    The cost of reading, and the memory, are those of `LCMD`: conditioning transforms
    the vectors block by block, in float64, and the transformed vectors are not kept.
    It takes m · d² multiply-adds for d components, and then m · d for each pick.

    References
    ----------
    .. [1] Kirsch, van Amersfoort and Gal, "BatchBALD: efficient and diverse batch
       acquisition for deep Bayesian active learning", NeurIPS 2019.
       https://arxiv.org/abs/1906.08158
    .. [2] Holzmüller, Zaverkin, Kästner and Steinwart, "A framework and benchmark for
       deep batch active learning for regression", JMLR 2023.
       https://arxiv.org/abs/2203.09410

    Examples
    --------
    >>> import numpy as np
    >>> from skal import NetRegressor
    >>> from skal.strategies.covariance import MaxDet
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> net = NetRegressor(max_epochs=5, random_state=0).fit(X[5:15], X[5:15, 0] ** 2)
    >>> MaxDet(space="last_layer").select(net, X, 3).indices.shape
    (3,)
    """

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        rows, _, transform, noise_std = self._read(pool, rng)
        picks = max_det(rows, n, noise_std, transform)
        warn_if_one_point(type(self).__name__, rows, picks.scores, pool)
        return picks


class MaxDiag(_Covariance):
    """MaxDiag: rows with the largest variance of a Gaussian process, as BALD [1]_.

    Parameters
    ----------
    space, n_components, condition_on_labels, noise_std, head, random_state
        As in `MaxDet`.

    Notes
    -----
    Picks the rows with the largest :math:`k(x, x)`, which are their scores.  The picks
    are often similar: in published comparisons the method ranks behind random batches
    [2]_.  The cost of reading is that of `MaxDet`.

    References
    ----------
    .. [1] Houlsby, Huszár, Ghahramani and Lengyel, "Bayesian active learning for
       classification and preference learning", 2011. https://arxiv.org/abs/1112.5745
    .. [2] Holzmüller, Zaverkin, Kästner and Steinwart, "A framework and benchmark for
       deep batch active learning for regression", JMLR 2023.
       https://arxiv.org/abs/2203.09410

    Examples
    --------
    >>> import numpy as np
    >>> from skal import NetRegressor
    >>> from skal.strategies.covariance import MaxDiag
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> net = NetRegressor(max_epochs=5, random_state=0).fit(X[5:15], X[5:15, 0] ** 2)
    >>> sorted(MaxDiag(space="inputs").select(net, X, 2).indices.tolist())
    [0, 19]
    """

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        rows, _, transform, _ = self._read(pool, rng)
        picks = top_k(sq_norms(rows, transform), n, rng)
        warn_if_one_point(type(self).__name__, rows, picks.scores, pool)
        return picks


class BAIT(_Covariance):
    r"""BAIT [1]_: rows that reduce uncertainty about all rows, by Fisher information.

    Parameters
    ----------
    space, n_components, condition_on_labels, noise_std, head, random_state
        As in `MaxDet`; `noise_std` applies to regressors.  For classifiers
        ``space="last_layer"`` is the published form.
    backward : bool, default=False
        Whether to pick twice as many rows and then to drop those whose removal
        increases the uncertainty least (BAIT-FB), instead of forward steps only
        (BAIT-F).
    prior : float, default=1.0
        For classifiers: precision :math:`\lambda` of the weights before any label.

    Notes
    -----
    For regressors, the next pick is the row that most reduces the sum of the variances
    over the pool and the labeled rows, by :math:`\phi_x^\top \Sigma \phi_x / (\sigma^2
    + \phi_x^\top \phi_x)` in the features after the previous picks, with
    :math:`\Sigma = \sum \phi \phi^\top`; this is its score.  The cost is that of
    `MaxDet`.

    For classifiers, a row has the Fisher information :math:`I_x = \sum_y p_y
    \nabla_\theta \log p_y \nabla_\theta \log p_y^\top`.  With its sum F over pool and
    labeled rows, and :math:`M = \lambda I + \sum I_s` over labeled rows and picks, the
    next pick is the row that most reduces :math:`\mathrm{tr}(M^{-1} F)`; its score is
    this reduction.  In the paper, the sums over labels are means, so that
    :math:`\lambda` has more weight there.  The traces of several nets are added.  With
    C classes and z of length d (features and 1), thus D = C · d parameters,
    ``"last_layer"`` costs a forward pass and C - 1 backward passes of the last layer,
    and keeps m × (d + 3 C²) + 4 D² elements; ``"gradients"`` costs C - 1 backward
    passes of all layers, and keeps m × C × (n_components + 2 C).  Vectors that would
    take more than 64 MiB are not kept, but read again for up to 32 picks at a time.
    Other spaces use their vectors as the inputs of the last layer; so does a learner
    that is not made of nets, with the logarithms of its probabilities as the outputs of
    this layer, and vectors of a mean squared norm of 1.  If more than 2 GiB would be
    needed, an error is raised.

    For classifiers, ``"gradients"`` takes m · C · n_components² multiply-adds before
    the first pick and m · C² · n_components for each, in float64: many minutes for
    50,000 rows of 10 classes.  For such pools, let `Prefilter` choose the rows, or use
    ``"last_layer"``.

    References
    ----------
    .. [1] Ash, Goel, Krishnamurthy and Kakade, "Gone fishing: neural active learning
       with Fisher embeddings", NeurIPS 2021. https://arxiv.org/abs/2106.09675

    Examples
    --------
    >>> import numpy as np
    >>> from skal import NetClassifier, NetRegressor
    >>> from skal.strategies.covariance import BAIT
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> net = NetRegressor(max_epochs=5, random_state=0).fit(X[5:15], X[5:15, 0] ** 2)
    >>> BAIT(space="last_layer").select(net, X, 3).indices.shape
    (3,)
    >>> net = NetClassifier(max_epochs=5, random_state=0).fit(X[5:15], X[5:15, 0] > 0)
    >>> BAIT(space="last_layer", backward=True).select(net, X, 3).indices.shape
    (3,)
    """

    _task: ClassVar[str] = "any"

    def __init__(
        self,
        space: Any = "auto",
        n_components: int | None = 512,
        condition_on_labels: bool | str = "auto",
        noise_std: float | str = "auto",
        backward: bool = False,
        head: str | None = None,
        random_state: Any = None,
        prior: float = 1.0,
    ) -> None:
        super().__init__(
            space, n_components, condition_on_labels, noise_std, head, random_state
        )
        self.backward = backward
        self.prior = prior

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        check_bool("backward", self.backward)
        if pool.task != "classification":
            rows, known, transform, noise_std = self._read(pool, rng)
            picks = bait(rows, n, noise_std, known, self.backward, transform)
            warn_if_one_point(type(self).__name__, rows, picks.scores, pool)
            return picks
        check_positive("prior", self.prior)
        space = resolve_space(pool, self.space, self.n_components, self._space_of_nets)
        information = read_information(pool, space, self.n_components, self.head, rng)
        self.space_ = space
        infos, known_infos = information
        conditions = conditions_on_labels(
            self.condition_on_labels, known_infos is not None
        )
        return fisher_bait(infos, n, self.prior, known_infos, conditions, self.backward)


class FrankWolfe(_Covariance):
    """ACS-FW [1]_: a batch whose weighted features approximate those of the pool.

    Parameters
    ----------
    space, n_components, condition_on_labels, noise_std, head, random_state
        As in `MaxDet`.

    Notes
    -----
    Approximates the sum of all features by a weighted sum of a few of them, in
    Frank-Wolfe steps; see `skal.selection.frank_wolfe`.  The score of a pick is the
    inner product of its direction with the residual of the sum.  The cost is that of
    `MaxDet`.

    References
    ----------
    .. [1] Pinsler, Gordon, Nalisnick and Hernández-Lobato, "Bayesian batch active
       learning as sparse subset approximation", NeurIPS 2019.
       https://arxiv.org/abs/1908.02144

    Examples
    --------
    >>> import numpy as np
    >>> from skal import NetRegressor
    >>> from skal.strategies.covariance import FrankWolfe
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> net = NetRegressor(max_epochs=5, random_state=0).fit(X[5:15], X[5:15, 0] ** 2)
    >>> FrankWolfe(space="last_layer").select(net, X, 3).indices.shape
    (3,)
    """

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        rows, _, transform, _ = self._read(pool, rng)
        picks = frank_wolfe(rows, n, transform)
        warn_if_one_point(type(self).__name__, rows, picks.scores, pool)
        return picks
