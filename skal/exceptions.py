"""Exceptions of skal."""

from __future__ import annotations

__all__ = ["UnsuitableLearnerError"]


class UnsuitableLearnerError(TypeError, ValueError):
    """The learner does not suit the query strategy.

    Raised when a strategy for classification is used with a regressor or the reverse,
    when the learner lacks the probabilities or the net that a strategy reads, or when
    its net lacks a layer that is needed.  A subclass of `TypeError` and `ValueError`,
    so that code written for either catches it.

    Examples
    --------
    >>> from skal.exceptions import UnsuitableLearnerError
    >>> issubclass(UnsuitableLearnerError, ValueError)
    True
    """
