"""What paired runs say about a difference."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

__all__ = ["PairedDifference", "area", "mean_interval", "paired_difference"]


class PairedDifference(NamedTuple):
    """A mean difference with its interval and the p-value of its paired t-test."""

    mean: float
    low: float
    high: float
    p_value: float


def area(n_labeled: np.ndarray, scores: np.ndarray) -> float:
    """Mean height of a learning curve over its budget.

    Parameters
    ----------
    n_labeled : ndarray of shape (n_steps,)
        Labels used, growing.
    scores : ndarray of shape (n_steps,)
        Score with so many labels.

    Returns
    -------
    area : float
        Area under the straight lines between the points, divided by the width of the
        budget; the score itself where there is one point.

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
    """Mean over runs with Student's interval.

    Parameters
    ----------
    values : ndarray of shape (n_runs, ...)
        One value a run.
    confidence : float, default=0.95
        Of the interval.
    variance_factor : float, optional
        Variance of the mean in units of the runs' variance; ``1 / n_runs`` by default.

    Returns
    -------
    mean, low, high : ndarrays of shape (...)
        The bounds are NaN where there is one run only.

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
    """Compare paired scores by Student's test of their differences.

    Parameters
    ----------
    scores, reference : ndarrays of shape (n_runs,)
        One score a run, runs in the same order.
    confidence : float, default=0.95
        Of the interval.
    test_train_ratio : float, optional
        Rows tested over rows trained on in a run.  Given, the variance is corrected
        for the rows that the runs share (Nadeau and Bengio), which widens the
        interval.

    Returns
    -------
    difference : PairedDifference
        With one run, the interval and the p-value are NaN.

    References
    ----------
    C. Nadeau and Y. Bengio, "Inference for the Generalization Error", Machine
    Learning 52, 2003, https://doi.org/10.1023/A:1024068626366
    """
    difference = np.asarray(scores, dtype=float) - np.asarray(reference, dtype=float)
    n = len(difference)
    factor = 1 / n + (test_train_ratio or 0.0)
    mean, low, high = map(float, mean_interval(difference, confidence, factor))
    if n < 2:
        return PairedDifference(mean, low, high, float("nan"))
    error = float(np.sqrt(difference.var(ddof=1) * factor))
    if error == 0:  # the runs agree to the last digit, or it is the reference itself
        return PairedDifference(mean, low, high, 1.0 if mean == 0 else 0.0)
    p_value = float(2 * stats.t.sf(abs(mean) / error, n - 1))
    return PairedDifference(mean, low, high, p_value)
