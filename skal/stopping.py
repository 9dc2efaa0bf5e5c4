"""When to stop labeling: rules for simulations, campaigns and loops of one's own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.base import BaseEstimator, is_classifier
from sklearn.metrics import check_scoring, cohen_kappa_score

from skal.rng import resolve_rng, seed_from
from skal.validation import check_int, check_positive

__all__ = [
    "AllOf",
    "AnyOf",
    "Budget",
    "ConfidentPredictions",
    "Forecast",
    "LearningCurve",
    "SmallGain",
    "StablePredictions",
    "StoppingRule",
    "TargetScore",
    "fit_learning_curve",
    "forecast_labels",
]


#: The least and the largest power of a learning curve.
_POWERS = 0.05, 3.0


class Seen(NamedTuple):
    """What a rule sees after a fit.

    Attributes
    ----------
    estimator : estimator
        Fitted on the labels so far.
    n_labeled : int
    scores : dict of str to float
        On test rows, by the name of the scorer; may be empty.
    """

    estimator: Any
    n_labeled: int
    scores: dict[str, float]


class StoppingRule(BaseEstimator, ABC):
    """Base class of stopping rules, which are combined by ``|`` and ``&``.

    A rule is called after each fit, by one of the following.

    - `update`, in a loop of one's own.
    - ``callback=rule`` of `skal.ActiveLearningSimulation` and
      `skal.compare_strategies`, which end a campaign when the rule says so. Each
      campaign has a state of its own.

    A subclass implements `_check`.

    Attributes
    ----------
    reason_ : str or None
        Why the rule said that it is time to stop at its last call; None if it did not.
        A comparison in several processes leaves it in these.
    """

    def update(
        self,
        estimator: Any,
        n_labeled: int,
        scores: Any = None,
        *,
        campaign: Any = None,
    ) -> bool:
        """Look at the model after a fit.

        Parameters
        ----------
        estimator : estimator
            Fitted on the labels so far.
        n_labeled : int
            Number of labels so far.  If it is less than at the last call, another
            campaign has begun, and what was seen before is forgotten.
        scores : float or dict of str to float, optional
            Scores on test rows; higher is better.
        campaign : hashable, optional
            Tells campaigns apart that take turns.

        Returns
        -------
        stop : bool
        """
        check_int("n_labeled", n_labeled, minimum=0)
        if scores is None:
            scores = {}
        elif not isinstance(scores, dict):
            scores = {"score": float(scores)}
        seen = Seen(estimator, n_labeled, scores)
        histories = self.__dict__.setdefault("_histories", {})
        last, history = histories.get(campaign, (n_labeled, {}))
        if n_labeled < last:
            history = {}
        histories[campaign] = n_labeled, history
        self.reason_ = self._check(seen, history)
        return self.reason_ is not None

    def __call__(self, step: Any) -> bool:
        """Look at a `skal.simulation.PlayedStep`; whether its campaign should end."""
        campaign = (step.strategy, step.fold, step.repeat)
        if step.step == 0:
            self.__dict__.get("_histories", {}).pop(campaign, None)
        return self.update(
            step.estimator, step.n_labeled, step.scores, campaign=campaign
        )

    def reset(self) -> None:
        """Forget the campaigns seen so far."""
        self.__dict__.pop("_histories", None)
        self.reason_ = None

    @abstractmethod
    def _check(self, seen: Seen, history: dict[str, Any]) -> str | None:
        """Say why to stop, or None; `history` is kept within a campaign."""

    def __or__(self, other: Any) -> AnyOf:
        if not isinstance(other, StoppingRule):
            return NotImplemented
        return AnyOf([*_parts(self, AnyOf), *_parts(other, AnyOf)])

    def __and__(self, other: Any) -> AllOf:
        if not isinstance(other, StoppingRule):
            return NotImplemented
        return AllOf([*_parts(self, AllOf), *_parts(other, AllOf)])


def _parts(rule: StoppingRule, kind: type) -> list[Any]:
    return list(rule.rules) if type(rule) is kind else [rule]


class _Several(StoppingRule):
    def __init__(self, rules: Any) -> None:
        self.rules = rules

    def _reasons(self, seen: Seen, history: dict[str, Any]) -> list[str | None]:
        # Each rule sees each step, whatever the others say.
        return [
            rule._check(seen, history.setdefault(str(k), {}))
            for k, rule in enumerate(self.rules)
        ]


class AnyOf(_Several):
    """Stop when one of several rules says so; the same as ``first | second``.

    Parameters
    ----------
    rules : list of StoppingRule
    """

    def _check(self, seen: Seen, history: dict[str, Any]) -> str | None:
        reasons = [r for r in self._reasons(seen, history) if r is not None]
        return "; ".join(reasons) or None


class AllOf(_Several):
    """Stop when several rules say so at the same step, as ``first & second``.

    Parameters
    ----------
    rules : list of StoppingRule
    """

    def _check(self, seen: Seen, history: dict[str, Any]) -> str | None:
        reasons = self._reasons(seen, history)
        if not reasons or None in reasons:
            return None
        return "; ".join(str(r) for r in reasons)


class Budget(StoppingRule):
    """Stop at a number of labels.

    Parameters
    ----------
    n_labels : int, default=200

    Examples
    --------
    >>> from skal.stopping import Budget, TargetScore
    >>> rule = Budget(50) | TargetScore(0.9)
    >>> [rule.update(None, n, score) for n, score in [(20, 0.5), (30, 0.95)]]
    [False, True]
    >>> rule.reason_
    'the score 0.95 has reached 0.9'
    """

    def __init__(self, n_labels: int = 200) -> None:
        self.n_labels = n_labels

    def _check(self, seen: Seen, history: dict[str, Any]) -> str | None:
        check_int("n_labels", self.n_labels)
        if seen.n_labeled < self.n_labels:
            return None
        return f"{seen.n_labeled} labels of a budget of {self.n_labels}"


class TargetScore(StoppingRule):
    """Stop when a score on test rows is reached.

    Parameters
    ----------
    score : float
        Higher is better: the negative of an error.
    scorer : str, optional
        Which score of several, by its name; needed if there are several.
    X, y : rows and labels, optional
        Test rows drawn at random, in place of scores from the caller.
    scoring : str or callable, optional
        How to score on `X` and `y`, as in scikit-learn.

    Raises
    ------
    ValueError
        If there is no score, or there are several and `scorer` is not one of them.
    """

    def __init__(
        self,
        score: float,
        scorer: str | None = None,
        X: Any = None,
        y: Any = None,
        scoring: Any = None,
    ) -> None:
        self.score = score
        self.scorer = scorer
        self.X = X
        self.y = y
        self.scoring = scoring

    def _check(self, seen: Seen, history: dict[str, Any]) -> str | None:
        found = _score_of(self, seen)
        if not found >= self.score:
            return None
        return f"the score {found:.4g} has reached {self.score:.4g}"


class StablePredictions(StoppingRule):
    r"""Stop when predictions no longer change from fit to fit [1]_.

    Parameters
    ----------
    X : rows of shape (m, ...)
        Rows on which models are compared; they need no labels. Some thousands drawn at
        random from the pool, once, are best.
    tol : float, default=0.01
        Largest mean change. For classification, one minus Cohen's kappa of the labels
        that two successive models predict (of all labels of all rows, if there are
        several a row); for regression, the root mean square of the
        change of predictions over the standard deviation of the later ones.
    window : int, default=3
        Number of successive changes that are averaged.

    Notes
    -----
    That predictions are stable does not mean that they are right. A model that predicts
    one class, or one value, for all rows is not taken as stable. The cost is one
    prediction of `X` for each fit.

    References
    ----------
    .. [1] Bloodgood and Vijay-Shanker, "A method for stopping active learning based on
       stabilizing predictions and the need for user-adjustable stopping", CoNLL 2009.
       https://arxiv.org/abs/1409.5165

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from skal.stopping import StablePredictions
    >>> X = np.arange(8.0)[:, None]
    >>> rule = StablePredictions(X, window=2)
    >>> [rule.update(LinearRegression().fit(X[:n], X[:n, 0]), n) for n in (2, 3, 4)]
    [False, False, True]
    """

    def __init__(self, X: Any, tol: float = 0.01, window: int = 3) -> None:
        self.X = X
        self.tol = tol
        self.window = window

    def _check(self, seen: Seen, history: dict[str, Any]) -> str | None:
        check_positive("tol", self.tol)
        check_int("window", self.window)
        predicted = np.asarray(seen.estimator.predict(self.X))
        changes, last = history.setdefault("changes", []), history.get("last")
        history["last"] = predicted
        if last is None:
            return None
        change = _change(last, predicted, is_classifier(seen.estimator))
        changes.append(change)
        if len(changes) < self.window:
            return None
        mean = float(np.mean(changes[-self.window :]))
        if not mean <= self.tol:
            return None
        return f"predictions have changed by {mean:.2g}, at most {self.tol:.2g}"


class ConfidentPredictions(StoppingRule):
    """Stop when a strategy scores all rows low: the model is sure of them [1]_.

    Parameters
    ----------
    strategy : ScoreStrategy
        Gives a score to each row, such as ``LeastConfident()`` or
        ``PredictiveVariance()``.
    X : rows of shape (m, ...)
        Rows drawn at random from the pool, once.
    threshold : float
        Of the mean score.

    References
    ----------
    .. [1] Zhu, Wang, Hovy and Ma, "Confidence-based stopping criteria for active
       learning for data annotation", ACM TSLP 6(3), 2010 (there "overall uncertainty").
       https://doi.org/10.1145/1753783.1753784
    """

    def __init__(self, strategy: Any, X: Any, threshold: float) -> None:
        self.strategy = strategy
        self.X = X
        self.threshold = threshold

    def _check(self, seen: Seen, history: dict[str, Any]) -> str | None:
        scores = self.strategy.score_samples(seen.estimator, self.X)
        mean = float(np.mean(scores))
        if not mean <= self.threshold:
            return None
        return f"the mean score {mean:.4g} is at most {self.threshold:.4g}"


class SmallGain(StoppingRule):
    """Stop when the next labels are not expected to be worth their price.

    Parameters
    ----------
    min_gain : float
        Least gain of the score for each label: what a label costs, over what a unit of
        the score is worth.
    n_ahead : int, default=50
        Number of labels over which the gain is predicted.
    min_scores : int, default=6
        Number of scores from which a learning curve is fitted.
    scorer, X, y, scoring
        As in `TargetScore`.

    Notes
    -----
    The gain is that of the curve of `fit_learning_curve` through all scores so far.

    Examples
    --------
    >>> from skal.stopping import SmallGain
    >>> rule = SmallGain(min_gain=0.0004)
    >>> scores = {n: 0.9 - 4.0 / n for n in range(10, 100, 10)}
    >>> [n for n, score in scores.items() if rule.update(None, n, score)]
    [80, 90]
    """

    def __init__(
        self,
        min_gain: float,
        n_ahead: int = 50,
        min_scores: int = 6,
        scorer: str | None = None,
        X: Any = None,
        y: Any = None,
        scoring: Any = None,
    ) -> None:
        self.min_gain = min_gain
        self.n_ahead = n_ahead
        self.min_scores = min_scores
        self.scorer = scorer
        self.X = X
        self.y = y
        self.scoring = scoring

    def _check(self, seen: Seen, history: dict[str, Any]) -> str | None:
        check_positive("min_gain", self.min_gain)
        check_int("n_ahead", self.n_ahead)
        check_int("min_scores", self.min_scores, minimum=4)
        points = history.setdefault("points", [])
        points.append((seen.n_labeled, _score_of(self, seen)))
        if len(points) < self.min_scores:
            return None
        curve = fit_learning_curve(*np.array(points, dtype=float).T)
        now, later = curve.predict([seen.n_labeled, seen.n_labeled + self.n_ahead])
        gain = (later - now) / self.n_ahead
        if not gain < self.min_gain:
            return None
        return (
            f"the next {self.n_ahead} labels are expected to gain {gain:.2g} each, "
            f"less than {self.min_gain:.2g}"
        )


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
        return float((self.scale / (self.limit - score)) ** (1 / self.power))


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


def _score_of(rule: Any, seen: Seen) -> float:
    if rule.X is not None:
        scorer = check_scoring(seen.estimator, rule.scoring)
        return float(scorer(seen.estimator, rule.X, rule.y))
    name = type(rule).__name__
    if not seen.scores:
        raise ValueError(
            f"{name} has no score to look at: pass it test rows as X and y, or a score "
            "to update()."
        )
    if rule.scorer is None and len(seen.scores) == 1:
        (found,) = seen.scores.values()
        return float(found)
    if rule.scorer not in seen.scores:
        raise ValueError(
            f"{name} needs scorer= to name one of the scores {sorted(seen.scores)}, "
            f"got {rule.scorer!r}."
        )
    return float(seen.scores[rule.scorer])


def _change(before: np.ndarray, now: np.ndarray, is_labels: bool) -> float:
    """How far predictions have changed; infinite if the later ones are all the same."""
    if is_labels:
        if len(np.unique(now)) < 2:
            return float("inf")
        return float(1 - cohen_kappa_score(before.ravel(), now.ravel()))
    std = now.std(axis=0)
    if not (std > 1e-12 * np.abs(now).max(axis=0)).all():
        return float("inf")
    return float(np.sqrt(np.mean(((now - before) / std) ** 2)))
