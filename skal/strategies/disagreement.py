"""Disagreement of plausible models: any measure of the models of any posterior."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from skal.exceptions import UnsuitableLearnerError
from skal.measures import (
    consensus_entropy,
    mean_std,
)
from skal.posteriors import Draws, Posterior, resolve_posterior
from skal.reading.pool import Pool
from skal.strategies.base import ScoreStrategy

__all__ = [
    "ConsensusEntropy",
    "Disagreement",
    "MeanStd",
    "PosteriorStrategy",
    "PredictiveEntropy",
]


class PosteriorStrategy(ScoreStrategy):
    """Base class of strategies that read the outputs of K plausible models.

    Notes
    -----
    ``_auto`` is the class of the posterior for ``"auto"``; None leaves the choice to
    `skal.posteriors.resolve_posterior`.
    """

    _task: ClassVar[str] = "classification"
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


class Disagreement(PosteriorStrategy):
    """Base class of strategies that score each row by its own outputs.

    Notes
    -----
    A subclass implements ``_measure(outputs)``.  The pool is read block by block.
    """

    def _score(self, pool: Pool, rng: torch.Generator) -> Tensor:
        draws = self._draw(pool, rng)
        return torch.cat([self._measure(outputs) for _, outputs in draws.blocks()])

    @abstractmethod
    def _measure(self, outputs: Tensor) -> Tensor:
        """Score rows of outputs, ``(K, b, C)``."""


class ConsensusEntropy(Disagreement):
    r"""Query by committee, consensus entropy [1]_: entropy of the mean prediction.

    Parameters
    ----------
    posterior : Posterior or "auto"
        Source of the K models; `skal.posteriors.resolve_posterior` says what ``"auto"``
        chooses.
    random_state : int, RandomState, Generator or None
        Draws the models.

    Notes
    -----
    Scores :math:`H(\bar p)`, the entropy of the mean of the models' probabilities.  It
    is also large where all models are uncertain in the same way; `BALD` subtracts that
    part.  For Bayesian nets it is known as predictive entropy [2]_, and can be imported
    as ``PredictiveEntropy``.  Costs K forward passes over the pool, read in blocks.

    References
    ----------
    .. [1] Settles, "Active learning literature survey", 2009, section 3.2.
       https://burrsettles.com/pub/settles.activelearning.pdf
    .. [2] Gal, Islam and Ghahramani, "Deep Bayesian active learning with image data",
       ICML 2017. https://arxiv.org/abs/1703.02910

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


#: The name of `ConsensusEntropy` for Bayesian nets.
PredictiveEntropy = ConsensusEntropy


class MeanStd(Disagreement):
    r"""Mean standard deviation [1]_ of the class probabilities over the models.

    Parameters
    ----------
    posterior, random_state
        As in `ConsensusEntropy`.

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
