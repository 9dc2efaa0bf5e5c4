"""Disagreement of plausible models: any measure by any posterior."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from skal.exceptions import UnsuitableLearnerError
from skal.measures import (
    consensus_entropy,
    kl_divergence,
    mean_std,
    variation_ratio,
    vote_entropy,
)
from skal.pool import Pool
from skal.posteriors import Draws, Posterior, Snapshots, resolve_posterior
from skal.selection import Picks, top_k
from skal.strategies.base import ScoreStrategy

__all__ = [
    "ConsensusEntropy",
    "Disagreement",
    "KLDivergence",
    "LabelDispersion",
    "MeanStd",
    "PredictiveEntropy",
    "VariationRatio",
    "VoteEntropy",
]


class Disagreement(ScoreStrategy):
    """Base of the strategies that measure the outputs of K models, block by block.

    Notes
    -----
    A new one writes ``_measure(outputs)``; ``_auto`` names another posterior to take
    for ``"auto"`` than the first that the learner offers.
    """

    _task: ClassVar[str] = "classification"
    _reads: ClassVar[str] = "posterior"
    _auto: ClassVar[type[Posterior] | None] = None

    def __init__(self, posterior: Any = "auto", random_state: Any = None) -> None:
        self.posterior = posterior
        self.random_state = random_state

    def _draw(self, pool: Pool, rng: torch.Generator) -> Draws:
        posterior = self.posterior
        if isinstance(posterior, str) and posterior == "auto" and self._auto:
            posterior = self._auto()
        draws = resolve_posterior(posterior, pool).draw(pool, rng)
        if self._task not in ("any", draws.task):
            raise UnsuitableLearnerError(
                f"{type(self).__name__} is for {self._task}, and the models are for "
                f"{draws.task}."
            )
        return draws

    def _score(self, pool: Pool, rng: torch.Generator) -> Tensor:
        draws = self._draw(pool, rng)
        return torch.cat([self._measure(outputs) for _, outputs in draws.blocks()])

    @abstractmethod
    def _measure(self, outputs: Tensor) -> Tensor:
        """Score rows of outputs, ``(K, b, C)``."""


class _Votes(Disagreement):
    """A measure of votes, which takes few values: ties go in a random order."""

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        return top_k(self._checked_scores(pool, rng), n, rng)


class VoteEntropy(_Votes):
    r"""Query by committee, vote entropy [1]_: the models vote for several classes.

    Parameters
    ----------
    posterior : Posterior or "auto"
        Where the K models come from; `skal.posteriors.resolve_posterior` says what
        ``"auto"`` takes.
    random_state : int, RandomState, Generator or None
        Draws the models, and the order of rows with the same score.

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
    Scores :math:`1 - \max_c V_c / K` with the votes :math:`V_c`, multiples of 1/K; ties
    go in a random order.  Costs K forward passes over the pool, read in blocks.

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


class ConsensusEntropy(Disagreement):
    r"""Query by committee, consensus entropy [1]_: the models' mean is spread.

    Parameters
    ----------
    posterior, random_state
        As in `VoteEntropy`.

    Notes
    -----
    Scores :math:`H(\bar p)`, the entropy of the mean of the models' probabilities.  It
    is large also where every model is unsure alike; `BALD` takes that part off.  Costs
    K forward passes over the pool, read in blocks.

    References
    ----------
    .. [1] Settles, "Active learning literature survey", 2009, section 3.2.
       https://burrsettles.com/pub/settles.activelearning.pdf

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from skal.strategies import ConsensusEntropy
    >>> X, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(random_state=0).fit(X[::3], y[::3])
    >>> bool((y[ConsensusEntropy().select(forest, X, 4).indices] > 0).all())
    True
    """

    def _measure(self, outputs: Tensor) -> Tensor:
        return consensus_entropy(outputs)


class PredictiveEntropy(ConsensusEntropy):
    r"""Predictive entropy [1]_: the name of `ConsensusEntropy` among Bayesian nets.

    Parameters
    ----------
    posterior, random_state
        As in `VoteEntropy`.

    Notes
    -----
    Scores :math:`H(\bar p)`, the entropy of the predictive distribution.  Costs K
    forward passes over the pool, read in blocks.

    References
    ----------
    .. [1] Gal, Islam and Ghahramani, "Deep Bayesian active learning with image data",
       ICML 2017. https://arxiv.org/abs/1703.02910

    Examples
    --------
    >>> from skal.posteriors import MCDropout
    >>> from skal.strategies import PredictiveEntropy
    >>> PredictiveEntropy(posterior=MCDropout(n_draws=50)).posterior
    MCDropout(n_draws=50)
    """


class KLDivergence(Disagreement):
    r"""Query by committee, Kullback-Leibler [1]_: the models differ from their mean.

    Parameters
    ----------
    posterior, random_state
        As in `VoteEntropy`.

    Notes
    -----
    Scores :math:`\frac1K \sum_k \mathrm{KL}(p_k \,\|\, \bar p)`, which is the mutual
    information that `BALD` scores, under the name it has among committees.  Costs K
    forward passes over the pool, read in blocks.

    References
    ----------
    .. [1] McCallum and Nigam, "Employing EM and pool-based active learning for text
       classification", ICML 1998.
       https://www.cs.cmu.edu/~knigam/papers/emactive-icml98.pdf

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from skal.strategies import KLDivergence
    >>> X, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(random_state=0).fit(X[::3], y[::3])
    >>> bool((y[KLDivergence().select(forest, X, 4).indices] > 0).all())
    True
    """

    def _measure(self, outputs: Tensor) -> Tensor:
        return kl_divergence(outputs)


class MeanStd(Disagreement):
    r"""Mean standard deviation [1]_ of the class probabilities over the models.

    Parameters
    ----------
    posterior, random_state
        As in `VoteEntropy`.

    Notes
    -----
    Scores :math:`\frac1C \sum_c \sqrt{\frac1K \sum_k (p_{kc} - \bar p_c)^2}`.  Costs K
    forward passes over the pool, read in blocks.

    References
    ----------
    .. [1] Gal, Islam and Ghahramani, "Deep Bayesian active learning with image data",
       ICML 2017. https://arxiv.org/abs/1703.02910

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from skal.strategies import MeanStd
    >>> X, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(random_state=0).fit(X[::3], y[::3])
    >>> bool((y[MeanStd().select(forest, X, 4).indices] > 0).all())
    True
    """

    def _measure(self, outputs: Tensor) -> Tensor:
        return mean_std(outputs)


class LabelDispersion(VariationRatio):
    r"""Label dispersion [1]_: the predicted class changes from epoch to epoch.

    Parameters
    ----------
    posterior : Posterior or "auto"
        ``"auto"`` takes the epochs that a `skal.nets.WeightSnapshots` in the net's
        callbacks has kept.
    random_state : int, RandomState, Generator or None
        Orders rows with the same score, of which there are many.

    Notes
    -----
    With the predictions :math:`y_1, \dots, y_T` of the epochs and their mode
    :math:`c^*`, scores :math:`1 - |\{t : y_t = c^*\}| / T`, multiples of 1/T up to
    :math:`1 - \lceil T/C \rceil / T`: the variation ratio over epochs.  As the weights
    are kept, and not the predictions, the pool may be any.  Costs T forward passes over
    it.

    References
    ----------
    .. [1] Bengar, Raducanu and van de Weijer, "When deep learners change their mind:
       learning dynamics for active learning", CAIP 2021.
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
