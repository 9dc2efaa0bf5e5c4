"""The loss by cross-validation of actively chosen labels, which is biased."""

from __future__ import annotations

import warnings
from typing import Any

from sklearn.base import clone, is_classifier
from sklearn.model_selection import cross_val_predict

from skal.evaluation.losses import row_losses
from skal.evaluation.risk import RiskEstimate

__all__ = ["cross_validated_loss"]


def cross_validated_loss(
    estimator: Any, X: Any, y: Any, *, loss: Any = None, cv: Any = 5
) -> RiskEstimate:
    """Estimate the loss by cross-validation of labeled rows, with a warning.

    Parameters
    ----------
    estimator : estimator or learner
        Copies of it are fitted.
    X, y : rows and labels
    loss : str or callable, optional
        As in `row_losses`; "zero_one" for classifiers, "absolute" for others.
    cv : int or splitter, default=5
        As in scikit-learn.

    Returns
    -------
    estimate : RiskEstimate
        Without standard error and interval: rows were not drawn at random.

    Warns
    -----
    UserWarning
        Rows that a strategy picked are not like those of the pool: uncertain rows are
        harder, and the loss too high; far ones lie elsewhere.  What the loss is for, to
        compare models on the same rows, it still serves roughly.

    See Also
    --------
    lure : Without bias, where the probabilities of the picks are known.

    Examples
    --------
    >>> import warnings
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skal.evaluation import cross_validated_loss
    >>> X, y = load_iris(return_X_y=True)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", UserWarning)
    ...     round(cross_validated_loss(GaussianNB(), X, y).risk, 3)
    0.047
    """
    warnings.warn(
        "Rows that a strategy picked are not like those of the pool, and their loss is "
        "not that of the pool: it is often too high. Keep some rows drawn at random "
        "for testing, or use skal.evaluation.lure.",
        UserWarning,
        stacklevel=2,
    )
    model = clone(estimator)
    if loss is None:
        loss = "zero_one" if is_classifier(model) else "absolute"
    losses = row_losses(y, cross_val_predict(model, X, y, cv=cv), loss)
    nan = float("nan")
    return RiskEstimate(float(losses.mean()), nan, nan, nan, len(losses))
