"""What a score is called where people read it."""

from __future__ import annotations

from typing import Any, NamedTuple

from sklearn.base import is_classifier, is_regressor

__all__ = ["ScoreLabel", "score_label"]

_NAMES = {
    "r2": "R²",
    "neg_root_mean_squared_error": "RMSE",
    "neg_mean_squared_error": "MSE",
    "neg_mean_absolute_error": "MAE",
    "neg_root_mean_squared_log_error": "RMSLE",
    "neg_mean_squared_log_error": "MSLE",
    "neg_mean_absolute_percentage_error": "MAPE",
    "neg_brier_score": "Brier score",
    "roc_auc": "ROC AUC",
    "f1": "F1",
    "f1_macro": "macro F1",
}


class ScoreLabel(NamedTuple):
    """Name of a score, and the sign it is shown with: -1 for scikit-learn's errors."""

    name: str
    sign: int = 1

    @property
    def direction(self) -> str:
        """Which way is better, in words."""
        return "lower is better" if self.sign < 0 else "higher is better"


def score_label(estimator: Any, scoring: Any) -> ScoreLabel:
    """Name what `scoring` gives; scikit-learn's ``neg_*`` are errors, shown positive.

    Parameters
    ----------
    estimator : estimator
        Its own score is named where `scoring` is None.
    scoring : str, callable or None
        As in scikit-learn.

    Examples
    --------
    >>> from skal.simulation.labels import score_label
    >>> score_label(None, "neg_root_mean_squared_error")
    ScoreLabel(name='RMSE', sign=-1)
    """
    if isinstance(scoring, str):
        error = scoring.startswith("neg_")
        plain = scoring.removeprefix("neg_").replace("_", " ")
        return ScoreLabel(_NAMES.get(scoring, plain), -1 if error else 1)
    if scoring is not None:
        return ScoreLabel(getattr(scoring, "__name__", "score"))
    if is_classifier(estimator):
        return ScoreLabel("accuracy")
    return ScoreLabel("R²" if is_regressor(estimator) else "score")
