"""Uncertainty sampling: the probabilities of the classifier itself."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from skal.measures import entropy, least_confidence, margin
from skal.reading.pool import Pool
from skal.strategies.base import ScoreStrategy

__all__ = ["Entropy", "LeastConfident", "Margin"]


class _Uncertainty(ScoreStrategy):
    """Measure of the probabilities, summed over the outputs."""

    _task: ClassVar[str] = "classification"
    _requires: ClassVar[str | None] = "proba"
    _draws_only_ties: ClassVar[bool] = True

    def __init__(self, random_state: Any = None) -> None:
        self.random_state = random_state

    def _score(self, pool: Pool, rng: torch.Generator) -> Tensor:
        return torch.stack([self._measure(proba) for proba in pool.proba()]).sum(0)

    @abstractmethod
    def _measure(self, probs: Tensor) -> Tensor:
        """Score rows of probabilities, ``(m, C)``."""


class LeastConfident(_Uncertainty):
    r"""Least confident sampling [1]_: the most probable class has a low probability.

    Parameters
    ----------
    random_state : int, RandomState, Generator or None
        Used to order rows with equal scores; None gives the same order in each query.

    Notes
    -----
    The score is :math:`1 - \max_c p(c \mid x)`, summed over the outputs of a
    multi-output classifier.  Suits any classifier with `predict_proba`; the cost is one
    pass over the pool.

    References
    ----------
    .. [1] Lewis and Gale, "A sequential algorithm for training text classifiers",
       SIGIR 1994. https://arxiv.org/abs/cmp-lg/9407020

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import LeastConfident
    >>> X = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    >>> model = LogisticRegression().fit(X, [0, 0, 1, 1])
    >>> LeastConfident().select(model, [[-3.0], [0.1], [4.0]]).indices
    array([1])
    """

    def _measure(self, probs: Tensor) -> Tensor:
        return least_confidence(probs)


class Margin(_Uncertainty):
    """Margin sampling [1]_: the two most probable classes are nearly equally probable.

    Parameters
    ----------
    random_state : int, RandomState, Generator or None
        Used to order rows with equal scores; None gives the same order in each query.

    Notes
    -----
    The score is :math:`p_{(2)} - p_{(1)}`, the second largest probability minus the
    largest (0 means most uncertain), summed over the outputs of a multi-output
    classifier.  Suits any classifier with `predict_proba`; the cost is one pass over
    the pool.

    References
    ----------
    .. [1] Scheffer, Decomain and Wrobel, "Active hidden Markov models for information
       extraction", IDA 2001. https://doi.org/10.1007/3-540-44816-0_31

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import Margin
    >>> X = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    >>> model = LogisticRegression().fit(X, [0, 0, 1, 1])
    >>> Margin().select(model, [[-3.0], [0.1], [4.0]]).indices
    array([1])
    """

    def _measure(self, probs: Tensor) -> Tensor:
        return margin(probs)


class Entropy(_Uncertainty):
    r"""Entropy sampling [1]_: the class probabilities have a high entropy.

    Parameters
    ----------
    random_state : int, RandomState, Generator or None
        Used to order rows with equal scores; None gives the same order in each query.

    Notes
    -----
    The score is :math:`-\sum_c p(c \mid x) \log p(c \mid x)` in nats, summed over the
    outputs of a multi-output classifier.  Suits any classifier with `predict_proba`;
    the cost is one pass over the pool.

    References
    ----------
    .. [1] Settles, "Active learning literature survey", 2009, section 3.1.
       https://burrsettles.com/pub/settles.activelearning.pdf

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import Entropy
    >>> X = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    >>> model = LogisticRegression().fit(X, [0, 0, 1, 1])
    >>> Entropy().select(model, [[-3.0], [0.1], [4.0]]).indices
    array([1])
    """

    def _measure(self, probs: Tensor) -> Tensor:
        return entropy(probs)
