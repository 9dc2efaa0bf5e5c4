"""Uncertainty sampling: probabilities or decision values of the classifier itself."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from skal.exceptions import UnsuitableLearnerError
from skal.measures import (
    decision_margin,
    entropy,
    least_confidence,
    margin,
    smallest_decision,
)
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


class _DecisionUncertainty(_Uncertainty):
    """The same, or by `decision_function` where there are no probabilities."""

    _requires: ClassVar[str | None] = "decision"

    def _check_learner(self, pool: Pool) -> None:
        super()._check_learner(pool)
        without = [m for m in pool.members if not hasattr(m.estimator, "predict_proba")]
        if without and len(pool.members) > 1:
            raise UnsuitableLearnerError(
                f"{type(without[0].estimator).__name__} in a committee has no "
                "predict_proba, and values of decision_function have no scale that the "
                "members share. Use VoteEntropy, which counts votes, or put the member "
                "into a CalibratedClassifierCV."
            )

    def _score(self, pool: Pool, rng: torch.Generator) -> Tensor:
        if hasattr(pool.members[0].estimator, "predict_proba"):
            return super()._score(pool, rng)
        (member,) = pool.members
        values = member.decisions()
        return torch.stack([self._measure_decision(part) for part in values]).sum(0)

    @abstractmethod
    def _measure_decision(self, values: Tensor) -> Tensor:
        """Score rows of decision values, ``(m, C)``, or ``(m, 1)`` for two classes."""


class LeastConfident(_DecisionUncertainty):
    r"""Least confident sampling [1]_: the most probable class has a low probability.

    Parameters
    ----------
    random_state : int, RandomState, Generator or None
        Used to order rows with equal scores; None gives the same order in each query.

    Notes
    -----
    The score is :math:`1 - \max_c p(c \mid x)`, summed over the outputs of a
    multi-output classifier; each label of a multi-label classifier is an output of two
    classes.  The cost is one pass over the pool.

    Without `predict_proba`, the values of `decision_function` are read as they are,
    without calibration: the score is :math:`-\max_c f_c(x)`, or :math:`-|f(x)|` for two
    classes and for each label.  This suits a linear classifier or an SVM; in a
    committee, every member must have `predict_proba`.

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

    def _measure_decision(self, values: Tensor) -> Tensor:
        return smallest_decision(values)


class Margin(_DecisionUncertainty):
    r"""Margin sampling [1]_: the two most probable classes are nearly equally probable.

    Parameters
    ----------
    random_state : int, RandomState, Generator or None
        Used to order rows with equal scores; None gives the same order in each query.

    Notes
    -----
    The score is :math:`p_{(2)} - p_{(1)}`, the second largest probability minus the
    largest (0 means most uncertain), summed over the outputs of a multi-output
    classifier; each label of a multi-label classifier is an output of two classes.  The
    cost is one pass over the pool.

    Without `predict_proba`, the values of `decision_function` are read as they are,
    without calibration: the score is the second largest value minus the largest, or
    :math:`-|f(x)|` for two classes and for each label, as for support vector machines
    [2]_.  In a committee, every member must have `predict_proba`: decision values of
    different models have no common scale.

    References
    ----------
    .. [1] Scheffer, Decomain and Wrobel, "Active hidden Markov models for information
       extraction", IDA 2001. https://doi.org/10.1007/3-540-44816-0_31
    .. [2] Tong and Koller, "Support vector machine active learning with applications to
       text classification", JMLR 2001. https://www.jmlr.org/papers/v2/tong01a.html

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

    def _measure_decision(self, values: Tensor) -> Tensor:
        return decision_margin(values)


class Entropy(_Uncertainty):
    r"""Entropy sampling [1]_: the class probabilities have a high entropy.

    Parameters
    ----------
    random_state : int, RandomState, Generator or None
        Used to order rows with equal scores; None gives the same order in each query.

    Notes
    -----
    The score is :math:`-\sum_c p(c \mid x) \log p(c \mid x)` in nats, summed over the
    outputs of a multi-output classifier; each label of a multi-label classifier is an
    output of two classes.  Suits any classifier with `predict_proba`; the cost is one
    pass over the pool.

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
