"""What a rule looks at: labels, scores, predictions, gains."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.metrics import check_scoring, cohen_kappa_score

from skal.rows import array_if_tensor, copied_rows
from skal.stopping.base import Seen, StoppingRule
from skal.stopping.curves import fit_learning_curve
from skal.validation import check_int, check_positive

__all__ = [
    "Budget",
    "ConfidentPredictions",
    "SmallGain",
    "StablePredictions",
    "TargetScore",
]


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

    def _n_fits(self) -> int:
        return 0


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

    def _n_fits(self) -> int:
        return 1

    def _reads_scores(self) -> bool:
        return self.X is None


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
        predicted = np.asarray(seen.estimator.predict(copied_rows(self.X)))
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

    def _n_fits(self) -> int:
        return int(self.window) + 1


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

    def _n_fits(self) -> int:
        return 1


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
        Numbers of labels with a score from which a learning curve is fitted.
    scorer, X, y, scoring
        As in `TargetScore`.

    Notes
    -----
    The gain is that of the curve of `fit_learning_curve` through all scores so far, but
    those that are NaN or of no labels.

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
        score = _score_of(self, seen)
        if np.isfinite(score) and seen.n_labeled > 0:
            points.append((seen.n_labeled, score))
        if len({n for n, _ in points}) < self.min_scores:
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

    def _reads_scores(self) -> bool:
        return self.X is None


def _score_of(rule: Any, seen: Seen) -> float:
    if rule.X is not None:
        scorer = check_scoring(seen.estimator, rule.scoring)
        X, y = copied_rows(rule.X), array_if_tensor(rule.y)
        return float(scorer(seen.estimator, X, y))
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
