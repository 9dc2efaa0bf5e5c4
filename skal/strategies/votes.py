"""Disagreement in votes: counts of the most probable classes of the models."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from skal.measures import variation_ratio, vote_entropy
from skal.posteriors import Posterior, Snapshots
from skal.reading.pool import Pool
from skal.selection import Picks, top_k
from skal.strategies.disagreement import Disagreement

__all__ = ["LabelDispersion", "VariationRatio", "VoteEntropy"]


class _Votes(Disagreement):
    """Measure of votes, which takes few values: ties are broken at random."""

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        return top_k(self._checked_scores(pool, rng), n, rng)


class VoteEntropy(_Votes):
    r"""Query by committee, vote entropy [1]_: the votes of the models are spread.

    Parameters
    ----------
    posterior : Posterior or "auto"
        Source of the K models; `skal.posteriors.resolve_posterior` says what ``"auto"``
        chooses.
    random_state : int, RandomState, Generator or None
        Draws the models, and the order of rows with equal scores.

    Notes
    -----
    Scores :math:`-\sum_c (V_c/K) \log (V_c/K)` with the votes :math:`V_c`.  Costs K
    forward passes over the pool, read in blocks.

    References
    ----------
    .. [1] Dagan and Engelson, "Committee-based sampling for training probabilistic
       classifiers", ICML 1995. https://doi.org/10.1016/B978-1-55860-377-6.50027-X

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from skal.strategies import VoteEntropy
    >>> X, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(random_state=0).fit(X[::3], y[::3])
    >>> indices = VoteEntropy(random_state=0).select(forest, X, 4).indices
    >>> bool((y[indices] > 0).all())  # the first species is told apart easily
    True
    """

    def _measure(self, outputs: Tensor) -> Tensor:
        return vote_entropy(outputs)


class VariationRatio(_Votes):
    r"""Variation ratio [1]_: many models vote against the most common class.

    Parameters
    ----------
    posterior, random_state
        As in `VoteEntropy`.

    Notes
    -----
    Scores :math:`1 - \max_c V_c / K` with the votes :math:`V_c`, a multiple of 1/K;
    ties are broken at random.  Costs K forward passes over the pool, read in blocks.

    References
    ----------
    .. [1] Gal, Islam and Ghahramani, "Deep Bayesian active learning with image data",
       ICML 2017. https://arxiv.org/abs/1703.02910

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from skal.strategies import VariationRatio
    >>> X, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(random_state=0).fit(X[::3], y[::3])
    >>> float(VariationRatio().score_samples(forest, X[:1])[0])
    0.0
    """

    def _measure(self, outputs: Tensor) -> Tensor:
        return variation_ratio(outputs)


class LabelDispersion(VariationRatio):
    r"""Label dispersion [1]_: the predicted class changes from epoch to epoch.

    Parameters
    ----------
    posterior : Posterior or "auto"
        ``"auto"`` uses the epochs kept by a `skal.nets.WeightSnapshots` among the
        callbacks of the net.
    random_state : int, RandomState, Generator or None
        Draws the order of rows with equal scores, of which there are many.

    Notes
    -----
    With the predictions :math:`y_1, \dots, y_T` of the epochs and their mode
    :math:`c^*`, scores :math:`1 - |\{t : y_t = c^*\}| / T`, a multiple of 1/T up to
    :math:`1 - \lceil T/C \rceil / T`: the variation ratio over epochs.  Since weights
    are kept, and not predictions, the pool may be any.  Costs T forward passes over it.

    References
    ----------
    .. [1] Zolfaghari Bengar, Raducanu and van de Weijer, "When deep learners change
       their mind: learning dynamics for active learning", CAIP 2021.
       https://arxiv.org/abs/2107.14707

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skal import NetClassifier
    >>> from skal.nets import WeightSnapshots
    >>> from skal.strategies import LabelDispersion
    >>> X, y = load_iris(return_X_y=True)
    >>> net = NetClassifier(
    ...     max_epochs=20, callbacks=[WeightSnapshots()], random_state=0
    ... )
    >>> net = net.fit(X[::3], y[::3])
    >>> LabelDispersion(random_state=0).select(net, X, 4).indices.shape
    (4,)
    """

    _auto: ClassVar[type[Posterior] | None] = Snapshots
