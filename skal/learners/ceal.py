"""CEAL: a learner that also trains on pseudo-labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from modAL.uncertainty import entropy_sampling
from scipy.special import entr

from skal._stacking import stack_rows
from skal.exceptions import UnsuitableLearnerError
from skal.learners.active import ActiveLearner
from skal.learners.checks import is_fitted
from skal.reading.pool import complete_columns
from skal.reading.unwrapping import as_input
from skal.rng import preserve_global_rng
from skal.rows import Rows, take_rows
from skal.validation import check_not_negative

__all__ = ["CEALLearner", "pseudo_label"]


class CEALLearner(ActiveLearner):
    r"""CEAL [1]_: labels for uncertain rows, pseudo-labels for certain ones.

    `query` picks the rows to label with the strategy, and also stores the rows about
    which the classifier is certain, with the classes that it predicts. The next `teach`
    fits on the labeled rows and on these rows, once: pseudo-labels are never stored as
    labels.

    Parameters
    ----------
    estimator : classifier
        With `predict_proba`, and one label per row.
    query_strategy : callable, default=entropy_sampling of modAL
        Any strategy; [1]_ uses ``Entropy``, ``Margin`` or ``LeastConfident``.
    X_training, y_training, bootstrap_init, on_transformed
        As in `ActiveLearner`.
    force_all_finite, random_state, **fit_kwargs
        As in `ActiveLearner`.
    threshold : float, default=0.005
        Entropy, in nats, below which a row gets a pseudo-label; 0 for none.
    decay : float, default=0.00033
        Amount by which the threshold is lowered in each round.
    on_duplicate : {"warn", "raise", "ignore"}, default="warn"
        As in `ActiveLearner`.

    Attributes
    ----------
    X_training, y_training : as given, or None
        All labeled rows so far, without pseudo-labels.
    X_pseudo, y_pseudo : rows as the pool, and ndarray of shape (k,), or None
        Rows with pseudo-labels, found by the last `query` and used by the next
        `teach`; None after `teach` and `fit`.
    n_rounds : int
        Number of times that `teach` has followed `query` since `fit`.

    See Also
    --------
    ActiveLearner : Trains on labeled rows only.

    Notes
    -----
    In round t, counted from 0, a row x that is not picked gets the pseudo-label
    :math:`\arg\max_c p(c \mid x)` if

    .. math:: -\sum_c p(c \mid x) \log p(c \mid x) < \max(0, \delta - t \, r)

    where :math:`\delta` is the threshold and r the decay. As training proceeds, the
    classifier becomes certain of more rows, and the lower threshold compensates for
    that.

    `query` costs one additional call of `predict_proba` on the pool, which is read in
    blocks; the rows with pseudo-labels are copied. An estimator that has not been
    fitted assigns no pseudo-labels. Without a `query` before it, `teach` uses labeled
    rows only. A ``sample_weight`` passed to `teach` applies to the labeled rows; the
    weight of rows with pseudo-labels is 1. Teach the rows that were picked: if any
    other row with a pseudo-label is taught, it is used twice in this fit.

    References
    ----------
    .. [1] Wang, Zhang, Li, Zhang and Lin, "Cost-effective active learning for deep
       image classification", IEEE TCSVT 2017. https://arxiv.org/abs/1701.03551

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.learners import CEALLearner
    >>> from skal.strategies import Margin
    >>> X, y = load_iris(return_X_y=True)
    >>> learner = CEALLearner(
    ...     LogisticRegression(max_iter=500), Margin(), X[::15], y[::15], threshold=0.3
    ... )
    >>> indices, rows = learner.query(X, n_instances=2)
    >>> len(learner.X_pseudo) == len(learner.y_pseudo) > 0
    True
    >>> learner.teach(rows, y[indices])
    >>> learner.X_training.shape  # 10 rows of the start and 2 queried
    (12, 4)
    """

    def __init__(
        self,
        estimator: Any,
        query_strategy: Callable[..., Any] = entropy_sampling,
        X_training: Any = None,
        y_training: Any = None,
        bootstrap_init: bool = False,
        on_transformed: bool = False,
        force_all_finite: bool = True,
        random_state: Any = None,
        threshold: float = 0.005,
        decay: float = 0.00033,
        on_duplicate: str = "warn",
        **fit_kwargs: Any,
    ) -> None:
        self.threshold = threshold
        self.decay = decay
        self.X_pseudo: Any = None
        self.y_pseudo: np.ndarray | None = None
        self.n_rounds = 0
        super().__init__(
            estimator,
            query_strategy,
            X_training,
            y_training,
            bootstrap_init,
            on_transformed,
            force_all_finite,
            random_state,
            on_duplicate,
            **fit_kwargs,
        )

    @property
    def current_threshold(self) -> float:
        """Threshold of the next query.

        Raises
        ------
        ValueError
            If `threshold` or `decay` is not a number of at least 0.
        """
        for name in ("threshold", "decay"):
            check_not_negative(name, getattr(self, name))
        return max(0.0, float(self.threshold) - self.n_rounds * float(self.decay))

    def fit(
        self, X: Any, y: Any, bootstrap: bool = False, **fit_kwargs: Any
    ) -> CEALLearner:
        """Fit on these rows, which replace all earlier ones, and return to round 0.

        Parameters
        ----------
        X, y, bootstrap, **fit_kwargs
            As in `ActiveLearner.fit`.
        """
        super().fit(X, y, bootstrap, **fit_kwargs)
        self.X_pseudo, self.y_pseudo, self.n_rounds = None, None, 0
        return self

    def teach(
        self,
        X: Any,
        y: Any,
        bootstrap: bool = False,
        only_new: bool = False,
        **fit_kwargs: Any,
    ) -> None:
        """Add labeled rows; fit on all of them and on the rows with pseudo-labels.

        The pseudo-labels are discarded afterwards.

        Parameters
        ----------
        X, y, bootstrap, only_new, **fit_kwargs
            As in `ActiveLearner.teach`; `only_new` leaves out earlier labeled rows,
            but not those with pseudo-labels.

        Raises
        ------
        ValueError
            If the rows are invalid. Nothing is changed in this case, nor if the
            estimator raises an error.
        """
        super().teach(X, y, bootstrap, only_new, **fit_kwargs)
        self.n_rounds += self.y_pseudo is not None
        self.X_pseudo, self.y_pseudo = None, None

    def query(
        self,
        X_pool: Any,
        *query_args: Any,
        return_metrics: bool = False,
        **query_kwargs: Any,
    ) -> tuple[Any, ...]:
        """Call the strategy once, and find the rows to pseudo-label.

        Parameters
        ----------
        X_pool, *query_args, return_metrics, **query_kwargs
            As in `ActiveLearner.query`.

        Returns
        -------
        indices, rows, metrics
            As in `ActiveLearner.query`.

        Raises
        ------
        UnsuitableLearnerError
            If the estimator does not predict probabilities of one label per row.
        """
        threshold = self.current_threshold
        _check_has_proba(self.estimator)
        answer = super().query(
            X_pool, *query_args, return_metrics=return_metrics, **query_kwargs
        )
        certain, labels = np.empty(0, dtype=np.int64), np.empty(0)
        if threshold > 0 and is_fitted(self.estimator):
            certain, labels = pseudo_label(self.estimator, X_pool, threshold)
        not_picked = np.isin(certain, answer[0], invert=True)
        self.X_pseudo = take_rows(X_pool, certain[not_picked])
        self.y_pseudo = labels[not_picked]
        return answer

    def _teach_on(
        self, X: Any, y: Any, fit_kwargs: dict[str, Any]
    ) -> tuple[Any, Any, dict[str, Any]]:
        if self.y_pseudo is None or len(self.y_pseudo) == 0:
            return X, y, fit_kwargs
        ones = np.ones(len(self.y_pseudo))
        weighted = {
            key: stack_rows(value, ones, key)
            if key.rpartition("__")[2] == "sample_weight" and value is not None
            else value
            for key, value in fit_kwargs.items()
        }
        X_pseudo = complete_columns(self.X_pseudo, X, self.estimator)
        X_fit, y_fit = stack_rows(X, X_pseudo), stack_rows(y, self.y_pseudo, "y")
        return X_fit, y_fit, weighted


def pseudo_label(
    estimator: Any, X: Any, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    r"""Find the rows about which a classifier is certain, with the classes it predicts.

    Parameters
    ----------
    estimator : classifier
        Fitted, with `predict_proba`, and one label per row.
    X : rows of shape (m, ...)
        Of any kind that the estimator takes.
    threshold : float
        Entropy, in nats.

    Returns
    -------
    indices : ndarray of shape (k,), int64
        Rows with :math:`-\sum_c p(c \mid x) \log p(c \mid x)` below `threshold`, in
        pool order.
    labels : ndarray of shape (k,)
        The most probable class of each row; the first in ``classes_`` on ties.

    Raises
    ------
    UnsuitableLearnerError
        If the estimator does not predict probabilities of one label per row.
    ValueError
        If there is not one column of probabilities per class.

    Notes
    -----
    Calls `predict_proba` once per block of rows, and keeps the probabilities of one
    block only. The global random generators are left unchanged.
    """
    _check_has_proba(estimator)
    classes = np.asarray(estimator.classes_)
    indices, labels = [np.empty(0, dtype=np.int64)], [classes[:0]]
    with preserve_global_rng():
        # The estimator decides whether it takes NaN.
        for block, rows in Rows(X, allow_nan=True).blocks():
            proba = estimator.predict_proba(as_input(rows, estimator))
            proba = _check_proba(proba, estimator)
            certain = np.flatnonzero(entr(proba).sum(axis=1) < threshold)
            indices.append(block.start + certain)
            labels.append(classes[proba[certain].argmax(axis=1)])
    return np.concatenate(indices), np.concatenate(labels)


def _check_has_proba(estimator: Any) -> None:
    if not hasattr(estimator, "predict_proba"):
        raise UnsuitableLearnerError(
            "Pseudo-labels need class probabilities, but "
            f"{type(estimator).__name__} has no predict_proba."
        )


def _check_proba(proba: Any, estimator: Any) -> np.ndarray:
    """Return probabilities in float64, shape (b, n_classes), or raise."""
    name = type(estimator).__name__
    single = not isinstance(proba, list) and np.ndim(proba) == 2
    proba_N_C = np.asarray(proba, dtype=np.float64) if single else np.empty((0, 0))
    if not single or (proba_N_C < 0).any() or _sums_differ(proba_N_C):
        raise UnsuitableLearnerError(
            "Pseudo-labels need probabilities of one label per row, which sum to 1; "
            f"predict_proba of {name} does not return such probabilities."
        )
    if proba_N_C.shape[1] != len(estimator.classes_):
        raise ValueError(
            f"{name} returns {proba_N_C.shape[1]} probabilities per row for the "
            f"{len(estimator.classes_)} classes it knows ({list(estimator.classes_)}), "
            "so the class of each column is unknown. Pass classes= to the net."
        )
    return proba_N_C


def _sums_differ(proba_N_C: np.ndarray) -> bool:
    """Whether any row without NaN does not sum to 1, up to errors of float32."""
    return bool((np.abs(proba_N_C.sum(axis=1) - 1) > 1e-3).any())
