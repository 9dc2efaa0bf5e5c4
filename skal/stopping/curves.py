"""Learning curves that are fitted to scores, and what they forecast."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from skal.rng import resolve_rng, seed_from
from skal.validation import check_int

__all__ = ["Forecast", "LearningCurve", "fit_learning_curve", "forecast_labels"]

#: The least and the largest power of a learning curve.
_POWERS = 0.05, 3.0


class LearningCurve(NamedTuple):
    """The curve :math:`a - b n^{-c}` of a score over n labels.

    Attributes
    ----------
    limit : float
        a, the score with any number of labels.
    scale : float
        b, not negative.
    power : float
        c, from .05 to 3.
    """

    limit: float
    scale: float
    power: float

    def predict(self, n_labeled: Any) -> np.ndarray:
        """Predict the scores with some numbers of labels, ``(n,)``."""
        n = np.asarray(n_labeled, dtype=float)
        return np.asarray(self.limit - self.scale * n**-self.power)

    def labels_for(self, score: float) -> float:
        """Get the number of labels that a score needs; infinite if never reached."""
        if score >= self.limit:
            return float("inf")
        if self.scale == 0:
            return 0.0
        with np.errstate(over="ignore"):
            return float(
                np.float64(self.scale / (self.limit - score)) ** (1 / self.power)
            )


def fit_learning_curve(n_labeled: Any, scores: Any) -> LearningCurve:
    r"""Fit a power law to scores by least squares.

    Parameters
    ----------
    n_labeled : array-like of shape (n,)
        Numbers of labels, at least three different ones.
    scores : array-like of shape (n,)
        Higher is better.

    Returns
    -------
    curve : LearningCurve

    Raises
    ------
    ValueError
        If there are fewer than three numbers of labels, or values are not finite.

    Notes
    -----
    For a power, limit and scale are a linear regression, with a scale of 0 where it
    would be negative. The best of 60 powers is refined. Beyond about twice the largest
    number of labels, such a curve is a guess.

    Examples
    --------
    >>> from skal.stopping import fit_learning_curve
    >>> curve = fit_learning_curve([10, 20, 40, 80], [0.5, 0.7, 0.8, 0.85])
    >>> round(curve.limit, 2), round(curve.labels_for(0.89))
    (0.9, 400)
    """
    n = np.asarray(n_labeled, dtype=float)
    y = np.asarray(scores, dtype=float)
    if n.ndim != 1 or n.shape != y.shape:
        raise ValueError(
            f"n_labeled and scores must be of one length, got {n.shape} and {y.shape}."
        )
    if not (np.isfinite(n).all() and np.isfinite(y).all() and (n > 0).all()):
        raise ValueError("n_labeled must be positive, and all scores finite.")
    if len(np.unique(n)) < 3:
        raise ValueError("A learning curve needs three different numbers of labels.")
    powers = np.geomspace(_POWERS[0], _POWERS[1], 60)
    k = int(np.argmin(_squared_errors(n, y, powers)))
    around = powers[max(k - 1, 0)], powers[min(k + 1, len(powers) - 1)]
    refined = minimize_scalar(
        lambda power: _squared_errors(n, y, np.array([power]))[0],
        bounds=around,
        method="bounded",
    ).x
    two = np.array([powers[k], refined])
    power = float(two[np.argmin(_squared_errors(n, y, two))])
    x, _, (slope,) = _linear(n, y, np.array([power]))
    limit = float(y.mean() - slope * x.mean())
    return LearningCurve(limit, abs(float(slope)) * float(n.mean()) ** power, power)


def _linear(
    n: np.ndarray, y: np.ndarray, powers: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Get the regressors of some powers, the same centered, and their slopes."""
    x = (n / n.mean()) ** -powers[:, None]  # relative, so that slopes are moderate
    centered = x - x.mean(axis=1, keepdims=True)
    slopes = centered @ (y - y.mean()) / np.square(centered).sum(axis=1)
    return x, centered, np.minimum(slopes, 0.0)


def _squared_errors(n: np.ndarray, y: np.ndarray, powers: np.ndarray) -> np.ndarray:
    _, centered, slopes = _linear(n, y, powers)
    errors: np.ndarray = y - y.mean() - slopes[:, None] * centered
    return np.square(errors).sum(axis=1)


class Forecast(NamedTuple):
    """Number of labels that a score needs, and its interval; infinite if never."""

    n_labels: float
    low: float
    high: float


def forecast_labels(
    n_labeled: Any,
    scores: Any,
    score: float,
    *,
    confidence: float = 0.9,
    n_resamples: int = 200,
    random_state: Any = None,
) -> Forecast:
    """Forecast how many labels a score needs, from the scores so far.

    Parameters
    ----------
    n_labeled, scores : array-like of shape (n,)
        As in `fit_learning_curve`, of at least five numbers of labels.
    score : float
        Score to reach.
    confidence : float, default=0.9
        Confidence level of the interval.
    n_resamples : int, default=200
        Number of bootstrap samples.
    random_state : int, numpy RandomState or Generator, optional
        Seeds the bootstrap.

    Returns
    -------
    forecast : Forecast

    Raises
    ------
    ValueError
        If there are fewer than five numbers of labels, or values are not finite.

    Notes
    -----
    The interval is that of a bootstrap of the residuals, widened for the three
    parameters of the curve.  It assumes that the scores follow a power law with
    independent noise of one size; scores on the same test rows share their error, which
    it does not show.

    Examples
    --------
    >>> from skal.stopping import forecast_labels
    >>> n_labeled = [20, 30, 40, 60, 80, 120]
    >>> scores = [0.5, 0.63, 0.70, 0.76, 0.80, 0.83]
    >>> forecast = forecast_labels(n_labeled, scores, 0.86, random_state=0)
    >>> forecast.low < forecast.n_labels < forecast.high
    True
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence!r}.")
    check_int("n_resamples", n_resamples)
    if not np.isfinite(score):
        raise ValueError(f"score must be finite, got {score!r}.")
    n, y = np.asarray(n_labeled, dtype=float), np.asarray(scores, dtype=float)
    curve = fit_learning_curve(n, y)
    if len(np.unique(n)) < 5:
        raise ValueError("A forecast needs five different numbers of labels.")
    fitted = curve.predict(n)
    residuals = (y - fitted) * np.sqrt(len(n) / (len(n) - 3))
    rng = np.random.default_rng(seed_from(resolve_rng(random_state)))
    drawn = rng.choice(residuals, size=(n_resamples, len(n)))
    needed = [fit_learning_curve(n, fitted + d).labels_for(score) for d in drawn]
    low = float(np.quantile(needed, (1 - confidence) / 2, method="lower"))
    high = float(np.quantile(needed, (1 + confidence) / 2, method="higher"))
    return Forecast(curve.labels_for(score), low, high)
