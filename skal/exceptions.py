"""Errors that skal raises beside the standard ones."""

from __future__ import annotations

__all__ = ["UnsuitableLearnerError"]


class UnsuitableLearnerError(TypeError, ValueError):
    """The learner cannot give what the query strategy reads.

    Raised when a strategy for classification meets a regressor or the reverse, when
    probabilities or a net are needed and the learner has none, or when its net lacks
    the part that is read.  It is a `TypeError` and a `ValueError`, so that code
    written for either catches it.

    Examples
    --------
    >>> from skal.exceptions import UnsuitableLearnerError
    >>> issubclass(UnsuitableLearnerError, ValueError)
    True
    """
