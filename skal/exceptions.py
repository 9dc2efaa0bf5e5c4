"""Exceptions and warnings of skal."""

from __future__ import annotations

from typing import Any

import torch
from sklearn.exceptions import ConvergenceWarning

__all__ = [
    "CampaignDatabaseError",
    "CampaignError",
    "LabelFileError",
    "LearnerFileError",
    "PoolChangedError",
    "TrainingWarning",
    "UnsuitableLearnerError",
]


class UnsuitableLearnerError(TypeError, ValueError):
    """The learner does not suit the query strategy.

    Raised when a strategy for classification is used with a regressor or vice versa,
    when the learner lacks the probabilities or the net that a strategy needs, or when
    its net lacks a required layer.  A subclass of `TypeError` and `ValueError`, so that
    code written for either catches it.

    Examples
    --------
    >>> from skal.exceptions import UnsuitableLearnerError
    >>> issubclass(UnsuitableLearnerError, ValueError)
    True
    """


class CampaignError(ValueError):
    """Campaigns of a comparison failed.

    Attributes
    ----------
    comparison : StrategyComparison or None
        The campaigns that were finished; None if there are none.
    failures : list of CampaignFailure
        Strategy, fold, repeat, step and error of each campaign that failed.
    """

    def __init__(self, message: str, comparison: Any, failures: list[Any]) -> None:
        super().__init__(message)
        self.comparison = comparison
        self.failures = failures


class CampaignDatabaseError(OSError):
    """The database of a campaign cannot be read or written.

    It is locked by another process, damaged, full, or of a later version of skal. The
    message says which, and what to do; the database was left as it was.
    """


class PoolChangedError(ValueError):
    """The rows passed to `Campaign.open` are not those of the campaign."""


class LabelFileError(ValueError):
    """Some rows of a file of labels are wrong, and none was recorded.

    Attributes
    ----------
    report : LabelReport or None
        What became of each row; None if the file as a whole cannot be read.
    """

    def __init__(self, message: str, report: Any = None) -> None:
        super().__init__(message)
        self.report = report


class LearnerFileError(ValueError):
    """A file of `skal.load` is damaged, of a later version, or needs unknown classes.

    The message says which, and what to do; nothing was loaded.
    """


class TrainingWarning(ConvergenceWarning):
    """A net has hardly been trained, or its training failed.

    Raised at the end of a `fit` that made fewer than 30 steps of the optimizer, or
    whose loss is not finite or never decreased. A subclass of scikit-learn's
    `ConvergenceWarning`.

    Examples
    --------
    Where short training is intended, as in a test:

    >>> import warnings
    >>> from skal.exceptions import TrainingWarning
    >>> from skal.nets import NetClassifier
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", TrainingWarning)
    ...     net = NetClassifier(max_epochs=2).fit([[0.0], [1.0]], [0, 1])
    """


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out, which no other learner would mend.

    Examples
    --------
    >>> from skal.exceptions import is_out_of_memory
    >>> is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    False
    """
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    # On the CPU, torch raises a plain RuntimeError.
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in text or "can't allocate memory" in text
    )
