"""Area under learning curves, intervals of means, and paired tests."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

__all__ = ["PairedDifference", "area", "mean_interval", "paired_difference"]


class PairedDifference(NamedTuple):
    """Mean difference, its confidence interval, and the p-value of a paired t-test."""

    mean: float
    low: float
    high: float
    p_value: float


def area(n_labeled: np.ndarray, scores: np.ndarray) -> float:
    """Mean of a learning curve over its budget.

    Parameters
    ----------
    n_labeled : ndarray of shape (n_steps,)
        Number of labels at each step, increasing.
    scores : ndarray of shape (n_steps,)
        Score at each step.

    Returns
    -------
    area : float
        Area under the curve by the trapezoidal rule, divided by the range of
        `n_labeled`; the score itself if there is a single step.

    Examples
    --------
    >>> import numpy as np
    >>> from skal.simulation.statistics import area
    >>> area(np.array([10, 20, 40]), np.array([0.0, 1.0, 1.0]))
    0.8333333333333334
    """
    width = np.diff(n_labeled)
    if len(width) == 0:
        return float(scores[0])
    return float(width @ (scores[1:] + scores[:-1]) / (2 * width.sum()))


def mean_interval(
    values: np.ndarray, confidence: float = 0.95, variance_factor: float | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean over runs, with its confidence interval by Student's t distribution.

    Parameters
    ----------
    values : ndarray of shape (n_runs, ...)
        One value per run.
    confidence : float, default=0.95
        Confidence level of the interval.
    variance_factor : float, optional
        Variance of the mean, divided by the variance of the runs; ``1 / n_runs`` by
        default.

    Returns
    -------
    mean, low, high : ndarrays of shape (...)
        The bounds are NaN if there is a single run.

    Raises
    ------
    ValueError
        If `confidence` is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence!r}.")
    n = len(values)
    mean = values.mean(axis=0)
    if n < 2:
        nothing = np.full_like(mean, np.nan)
        return mean, nothing, nothing
    factor = 1 / n if variance_factor is None else variance_factor
    half = stats.t.ppf((1 + confidence) / 2, n - 1) * np.sqrt(
        values.var(axis=0, ddof=1) * factor
    )
    return mean, mean - half, mean + half


def paired_difference(
    scores: np.ndarray,
    reference: np.ndarray,
    *,
    confidence: float = 0.95,
    test_train_ratio: float | None = None,
) -> PairedDifference:
    """Compare paired scores by Student's t-test of their differences.

    Parameters
    ----------
    scores, reference : ndarrays of shape (n_runs,)
        One score per run, with the runs in the same order.
    confidence : float, default=0.95
        Confidence level of the interval.
    test_train_ratio : float, optional
        Number of test rows divided by the number of training rows. If given, the
        variance is corrected for the rows that runs have in common [1]_, which widens
        the interval.

    Returns
    -------
    difference : PairedDifference
        The interval and the p-value are NaN if there is a single run.

    References
    ----------
    .. [1] C. Nadeau and Y. Bengio, "Inference for the Generalization Error", Machine
       Learning 52, 2003, https://doi.org/10.1023/A:1024068626366
    """
    difference = np.asarray(scores, dtype=float) - np.asarray(reference, dtype=float)
    n = len(difference)
    factor = 1 / n + (test_train_ratio or 0.0)
    mean, low, high = map(float, mean_interval(difference, confidence, factor))
    if n < 2:
        return PairedDifference(mean, low, high, float("nan"))
    error = float(np.sqrt(difference.var(ddof=1) * factor))
    if error == 0:  # all differences are equal, as those of the reference itself
        return PairedDifference(mean, low, high, 1.0 if mean == 0 else 0.0)
    p_value = float(2 * stats.t.sf(abs(mean) / error, n - 1))
    return PairedDifference(mean, low, high, p_value)
