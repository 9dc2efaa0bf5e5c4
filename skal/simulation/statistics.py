"""Area under learning curves, intervals of means, and paired tests."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

__all__ = [
    "LabelsSaved",
    "PairedDifference",
    "area",
    "labels_saved",
    "mean_interval",
    "paired_difference",
]


#: Numbers in memory at a time.
_ELEMENTS = 2**20


class PairedDifference(NamedTuple):
    """Mean difference, its confidence interval, and the p-value of a paired t-test."""

    mean: float
    low: float
    high: float
    p_value: float


class LabelsSaved(NamedTuple):
    """Number of labels saved, and its confidence interval."""

    saved: float
    low: float
    high: float


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
        The interval and the p-value are NaN if there is a single run; everything is
        if there is none.

    References
    ----------
    .. [1] Nadeau and Bengio, "Inference for the generalization error", Machine Learning
       2003. https://doi.org/10.1023/A:1024068626366
    """
    difference = np.asarray(scores, dtype=float) - np.asarray(reference, dtype=float)
    n = len(difference)
    if n == 0:
        return PairedDifference(*[float("nan")] * 4)
    factor = 1 / n + (test_train_ratio or 0.0)
    mean, low, high = map(float, mean_interval(difference, confidence, factor))
    if n < 2:
        return PairedDifference(mean, low, high, float("nan"))
    error = float(np.sqrt(difference.var(ddof=1) * factor))
    if error == 0:  # all differences are equal, as those of the reference itself
        return PairedDifference(mean, low, high, 1.0 if mean == 0 else 0.0)
    p_value = float(2 * stats.t.sf(abs(mean) / error, n - 1))
    return PairedDifference(mean, low, high, p_value)


def labels_saved(
    n_labeled: np.ndarray,
    scores: np.ndarray,
    reference: np.ndarray,
    *,
    confidence: float = 0.95,
    n_resamples: int = 1000,
) -> LabelsSaved:
    r"""Estimate how many fewer labels are needed to reach a reference's final score.

    Parameters
    ----------
    n_labeled : ndarray of shape (n_steps,)
        Number of labels at each step, increasing.
    scores, reference : ndarrays of shape (n_runs, n_steps)
        Learning curves, with the runs in the same order; higher is better.
    confidence : float, default=0.95
        Confidence level of the interval.
    n_resamples : int, default=1000
        Number of bootstrap samples.

    Returns
    -------
    saved : LabelsSaved
        NaN if the score is not reached; the interval is NaN if there is a single run. A
        bound is minus infinity if the score may not be reached within the budget.

    Notes
    -----
    Mean curves are made monotone by isotonic regression, which reduces the noise at
    their ends, and are interpolated linearly. The target is the last value of the
    reference, and the labels saved are those at which the reference first reaches it,
    minus those at which the other curve does. The cost is that of `n_resamples`
    :math:`\cdot` `n_steps` squared numbers, a few at a time.

    The interval is a bootstrap interval over runs. Its percentiles are expanded for
    small numbers of runs [1]_, to those of a normal distribution at :math:`\sqrt{n / (n
    - 1)}` times the quantile of Student's t distribution.

    References
    ----------
    .. [1] Hesterberg, "What teachers should know about the bootstrap: resampling in the
       undergraduate statistics curriculum", The American Statistician 2015.
       https://doi.org/10.1080/00031305.2015.1089789

    Examples
    --------
    >>> import numpy as np
    >>> from skal.simulation.statistics import labels_saved
    >>> n_labeled = np.array([10, 20, 30])
    >>> reference = np.array([[0.5, 0.6, 0.7], [0.4, 0.5, 0.6]])
    >>> labels_saved(n_labeled, reference + [0.0, 0.1, 0.1], reference).saved
    10.0
    """
    n = len(scores)
    whole = np.arange(n)[None]
    (saved,) = _saved(n_labeled, scores, reference, whole)
    if n < 2:
        return LabelsSaved(float(saved), float("nan"), float("nan"))
    rng = np.random.default_rng(0)  # the same interval each time
    runs = rng.integers(n, size=(n_resamples, n))
    samples = _saved(n_labeled, scores, reference, runs)
    samples = np.where(np.isnan(samples), -np.inf, samples)
    outwards = np.sqrt(n / (n - 1)) * stats.t.ppf((1 + confidence) / 2, n - 1)
    tail = stats.norm.sf(outwards)
    low = np.quantile(samples, tail, method="lower")
    high = np.quantile(samples, 1 - tail, method="higher")
    return LabelsSaved(float(saved), float(low), float(high))


def _saved(
    n_labeled: np.ndarray, scores: np.ndarray, reference: np.ndarray, runs: np.ndarray
) -> np.ndarray:
    """Get the labels saved by mean curves of some runs, ``(n_samples, n)``."""
    n_steps = len(n_labeled)
    size = max(1, _ELEMENTS // n_steps**2)
    saved = []
    for start in range(0, len(runs), size):
        part = runs[start : start + size]
        rising = _isotonic(reference[part].mean(axis=1))
        other = _isotonic(scores[part].mean(axis=1))
        target = rising[:, -1]
        needed = [_labels_until(n_labeled, r, target) for r in (rising, other)]
        saved.append(needed[0] - needed[1])
    return np.concatenate(saved)


def _isotonic(curves: np.ndarray) -> np.ndarray:
    """Isotonic regression of each curve, ``(r, n_steps)``, by its min-max formula."""
    n_steps = curves.shape[1]
    sums = np.cumsum(np.pad(curves, ((0, 0), (1, 0))), axis=1)
    first, last = np.triu_indices(n_steps)
    means = np.full((len(curves), n_steps, n_steps), np.inf)  # from step i to step j
    means[:, first, last] = (sums[:, last + 1] - sums[:, first]) / (last - first + 1)
    # The least mean that begins at i and ends at k or later, for i <= k.
    least = np.minimum.accumulate(means[:, :, ::-1], axis=2)[:, :, ::-1]
    least[:, np.tri(n_steps, k=-1, dtype=bool)] = -np.inf
    return np.maximum.accumulate(least.max(axis=1), axis=1)


def _labels_until(
    n_labeled: np.ndarray, rising: np.ndarray, target: np.ndarray
) -> np.ndarray:
    """Get the number of labels at which each curve reaches a score, NaN if never."""
    largest = np.maximum(np.abs(rising).max(axis=1), np.abs(target))
    reached = rising >= (target - 1e-12 * largest)[:, None]
    k = reached.argmax(axis=1)
    before, rows = np.maximum(k - 1, 0), np.arange(len(rising))
    rise = rising[rows, k] - rising[rows, before]
    share = (target - rising[rows, before]) / np.where(rise > 0, rise, 1.0)
    step = n_labeled[k] - n_labeled[before]
    until = n_labeled[before] + np.minimum(1.0, share) * step
    return np.where(reached.any(axis=1), until, np.nan)
