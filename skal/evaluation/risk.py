"""The mean loss over a pool, from rows drawn uniformly or by known probabilities."""

from __future__ import annotations

from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from skal.evaluation.losses import as_array_of, matched
from skal.validation import check_int

__all__ = ["RiskEstimate", "lure", "mean_loss"]


class RiskEstimate(NamedTuple):
    """An estimated mean loss, its standard error, and its confidence interval.

    Attributes
    ----------
    risk : float
    std_error : float
        NaN if there are too few rows to know it.
    low, high : float
        NaN if there are too few rows to know them.
    n : int
        Number of rows from which it is estimated.
    """

    risk: float
    std_error: float
    low: float
    high: float
    n: int


def lure(
    losses: Any, probabilities: Any, n_pool: int, *, confidence: float = 0.95
) -> RiskEstimate:
    r"""Estimate the mean loss over a pool from actively drawn rows, without bias.

    Parameters
    ----------
    losses : array-like of shape (M,)
        Of the rows, in the order drawn, by a model that was *not* trained on them.
    probabilities : array-like of shape (M,)
        :math:`q_m`, with which each row was drawn next among those that were left, as
        `draw` of `Random`, `Stochastic`, `PowerBALD` and `Mixture` returns them.  Every
        row that was left must have had a chance.
    n_pool : int
        N, the number of rows before the first draw, which the mean is over.
    confidence : float, default=0.95
        Confidence level of the interval.

    Returns
    -------
    estimate : RiskEstimate

    Raises
    ------
    ValueError
        If losses and probabilities do not match, are not finite, or a probability is
        not above 0 and up to 1.

    Notes
    -----
    The levelled unbiased risk estimator [1]_ is

    .. math:: \hat{R} = \frac{1}{M} \sum_{m=1}^M v_m L_m, \qquad
        v_m = 1 + \frac{N - M}{N - m}
        \left(\frac{1}{(N - m + 1) \, q_m} - 1\right).

    It is the mean of :math:`a_m = L_m / (N q_m) + \sum_{t<m} L_t / N` with weights
    :math:`g_m = \frac{N (N - M)}{M (N - m) (N - m + 1)}`.  Each :math:`a_m` has the
    mean R given the draws before it, so that they are uncorrelated, and

    .. math:: \frac{1}{1 + S} \sum_m \frac{g_m^2}{1 - 2 g_m} (a_m - \hat{R})^2, \qquad
        S = \sum_m \frac{g_m^2}{1 - 2 g_m}

    is an unbiased estimate of the variance of :math:`\hat{R}`, as follows from the
    expectation of its squares.  `std_error` is the root of it.  It is 0 if all rows are
    drawn, and NaN if any :math:`g_m` is 1/2 or more, as with fewer than three rows.
    The interval is that of Student's t with M − 1 degrees of freedom; it is too narrow
    where a few rows with small probabilities carry most of the loss.

    Weights correct how the rows were chosen, and not that a model fits its own training
    rows: on these its loss is too low, whatever the weights.  Draw rows for testing by
    a strategy, as in active testing [2]_, or use held-out predictions.

    References
    ----------
    .. [1] Farquhar, Gal and Rainforth, "On statistical bias in active learning: how and
       when to fix it", ICLR 2021. https://arxiv.org/abs/2101.11665
    .. [2] Kossen, Farquhar, Gal and Rainforth, "Active testing: sample-efficient model
       evaluation", ICML 2021. https://arxiv.org/abs/2103.05331

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from skal.evaluation import lure
    >>> from skal.strategies import Mixture, PredictiveVariance, Stochastic
    >>> X, y = load_diabetes(return_X_y=True)
    >>> forest = RandomForestRegressor(20, random_state=0).fit(X[:100], y[:100])
    >>> strategy = Stochastic(PredictiveVariance(), random_state=0)
    >>> rows, _, probabilities = strategy.draw(forest, X[100:], 40)
    >>> errors = np.abs(forest.predict(X[100:]) - y[100:])  # of 40, in practice
    >>> estimate = lure(errors[rows], probabilities, n_pool=342)
    >>> bool(estimate.low < errors.mean() < estimate.high)
    True
    """
    losses = _check_losses(
        matched(losses, probabilities, "losses", "probabilities")  # as they were drawn
    )
    q = as_array_of(probabilities, "probabilities").astype(float)
    check_int("n_pool", n_pool)
    n, n_drawn = int(n_pool), len(losses)
    if q.shape != losses.shape:
        raise ValueError(
            f"There are {len(losses)} losses, and probabilities of shape {q.shape}."
        )
    if not ((q > 0) & (q <= 1 + 1e-9)).all():
        raise ValueError("Probabilities must be above 0 and up to 1.")
    if n_drawn > n:
        raise ValueError(f"{n_drawn} rows cannot be drawn from a pool of {n}.")
    m = np.arange(1, n_drawn + 1)
    if n_drawn == n:
        return _interval(losses.mean(), 0.0, n_drawn, confidence)
    before = np.concatenate([[0.0], losses.cumsum()[:-1]])
    unbiased = losses / (n * q) + before / n
    shares = n * (n - n_drawn) / (n_drawn * (n - m) * (n - m + 1.0))
    risk = float(shares @ unbiased)
    if not (shares < 0.5).all():
        return _interval(risk, float("nan"), n_drawn, confidence)
    factors = shares**2 / (1 - 2 * shares)
    variance = factors @ (unbiased - risk) ** 2 / (1 + factors.sum())
    return _interval(risk, float(np.sqrt(variance)), n_drawn, confidence)


def mean_loss(losses: Any, *, confidence: float = 0.95) -> RiskEstimate:
    """Estimate the mean loss from rows drawn uniformly at random.

    Parameters
    ----------
    losses : array-like of shape (n,)
        Of a model that was not trained on these rows.
    confidence : float, default=0.95
        Confidence level of the interval.

    Returns
    -------
    estimate : RiskEstimate

    Raises
    ------
    ValueError
        If there are no losses, or they are not finite.

    Notes
    -----
    If all losses are 0 or 1, as of classes, the interval is that of Clopper and Pearson
    [1]_, which covers the truth at least as often as it says, for any n; otherwise that
    of Student's t, which is approximate, and too narrow for few rows with a skewed
    loss.

    References
    ----------
    .. [1] Clopper and Pearson, "The use of confidence or fiducial limits illustrated in
       the case of the binomial", Biometrika 26, 1934.
       https://doi.org/10.1093/biomet/26.4.404

    Examples
    --------
    >>> from skal.evaluation import mean_loss
    >>> estimate = mean_loss([0, 0, 0, 1, 0, 0, 0, 0, 0, 0])
    >>> estimate.risk, round(estimate.low, 4), round(estimate.high, 4)
    (0.1, 0.0025, 0.445)
    """
    losses = _check_losses(losses)
    n = len(losses)
    risk = float(losses.mean())
    error = float(losses.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    if not np.isin(losses, (0.0, 1.0)).all():
        return _interval(risk, error, n, confidence)
    _check_confidence(confidence)
    wrong, tail = int(losses.sum()), (1 - confidence) / 2
    low = float(stats.beta.ppf(tail, wrong, n - wrong + 1)) if wrong else 0.0
    high = float(stats.beta.isf(tail, wrong + 1, n - wrong)) if wrong < n else 1.0
    return RiskEstimate(risk, error, low, high, n)


def _check_losses(losses: Any) -> np.ndarray:
    found = as_array_of(losses, "losses").astype(float)
    if found.ndim != 1 or not len(found) or not np.isfinite(found).all():
        raise ValueError(
            "losses must be finite numbers, at least one, of shape (n,), got shape "
            f"{found.shape}."
        )
    return found


def _check_confidence(confidence: float) -> None:
    if not isinstance(confidence, Real) or not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence!r}.")


def _interval(risk: float, error: float, n: int, confidence: float) -> RiskEstimate:
    _check_confidence(confidence)
    if error == 0:
        return RiskEstimate(float(risk), error, float(risk), float(risk), n)
    width = error * float(stats.t.ppf((1 + confidence) / 2, max(n - 1, 1)))
    return RiskEstimate(float(risk), error, risk - width, risk + width, n)
