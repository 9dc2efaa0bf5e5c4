"""CEAL: a learner that also learns from what it is sure of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from modAL.uncertainty import entropy_sampling

from skal.learners.active import ActiveLearner
from skal.learners.answers import ask
from skal.learners.checks import is_fitted
from skal.learners.pseudo_labels import check_gives_pseudo_labels, pseudo_label
from skal.learners.rows import stack_rows, take_rows
from skal.validation import check_not_negative

__all__ = ["CEALLearner"]


class CEALLearner(ActiveLearner):
    r"""CEAL [1]_: labels for what is uncertain, pseudo-labels for what is certain.

    At `query` the strategy picks rows to label, and the rows that the classifier is
    sure of are put aside with the classes it predicts.  The next `teach` fits on the
    labeled rows and on these, once: pseudo-labels are never kept as labels.

    Parameters
    ----------
    estimator : classifier
        With `predict_proba`, of one label a row.
    query_strategy : callable, default=entropy_sampling of modAL
        Any strategy; in [1]_ ``Entropy``, ``Margin`` or ``LeastConfident``.
    X_training, y_training, bootstrap_init, on_transformed
        As of `ActiveLearner`.
    force_all_finite, random_state, **fit_kwargs
        As of `ActiveLearner`.
    threshold : float, default=0.005
        Entropy, in nats, below which the classifier is sure of a row; 0 for no
        pseudo-labels.
    decay : float, default=0.00033
        What the threshold is lowered by in each round.

    Attributes
    ----------
    X_training, y_training : as given, or None
        All labeled rows so far, never one with a pseudo-label.
    X_pseudo, y_pseudo : rows as the pool, and ndarray of shape (k,), or None
        What the next `teach` learns beside the labeled rows: found by the last
        `query`, and None after `teach` and `fit`.
    n_rounds : int
        How often a `teach` has followed a `query` since `fit`.

    See Also
    --------
    ActiveLearner : Learns from labeled rows alone.

    Notes
    -----
    In round t, from 0, x gets the pseudo-label :math:`\arg\max_c p(c \mid x)` if it is
    not picked and

    .. math:: -\sum_c p(c \mid x) \log p(c \mid x) < \max(0, \delta - t \, r)

    with the threshold :math:`\delta` and the decay r.  As training goes on the
    classifier grows sure of more rows, and the threshold makes up for it.

    `query` costs one more `predict_proba` of the pool, read in blocks; the rows put
    aside are copied.  An estimator that is not fitted yet gives none.  A `teach`
    without a `query` before it learns from labeled rows alone.  In its ``fit_kwargs``
    a ``sample_weight`` is that of the labeled rows; the others weigh 1.  Teach the rows
    that were picked: another, taught at the same time as it has a pseudo-label, is in
    that fit twice.

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
    >>> learner.X_training.shape  # 10 rows of the start and the 2 that were asked for
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
            **fit_kwargs,
        )

    @property
    def current_threshold(self) -> float:
        """Threshold of the next query.

        Raises
        ------
        ValueError
            If `threshold` or `decay` is no number of at least 0.
        """
        for name in ("threshold", "decay"):
            check_not_negative(name, getattr(self, name))
        return max(0.0, float(self.threshold) - self.n_rounds * float(self.decay))

    def fit(
        self, X: Any, y: Any, bootstrap: bool = False, **fit_kwargs: Any
    ) -> CEALLearner:
        """Fit on these rows, forget all others, and start with round 0.

        Parameters
        ----------
        X, y, bootstrap, **fit_kwargs
            As of `ActiveLearner.fit`.
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
        """Add labeled rows, fit on them and on the pseudo-labeled ones, forget these.

        Parameters
        ----------
        X, y, bootstrap, only_new, **fit_kwargs
            As of `ActiveLearner.teach`; `only_new` leaves out old labeled rows, not
            the pseudo-labeled ones.

        Raises
        ------
        ValueError
            If the rows are wrong.  Nothing is changed then, nor if the estimator
            raises.
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
        """Ask the strategy, once, which rows to label, and put aside the sure ones.

        Parameters
        ----------
        X_pool, *query_args, return_metrics, **query_kwargs
            As of `ActiveLearner.query`.

        Returns
        -------
        indices, rows, metrics
            As of `ActiveLearner.query`.

        Raises
        ------
        UnsuitableLearnerError
            If the estimator gives no probabilities of one label a row.
        """
        threshold = self.current_threshold
        check_gives_pseudo_labels(self.estimator)
        answer = ask(self, X_pool, query_args, query_kwargs, return_metrics)
        sure, labels = np.empty(0, dtype=np.int64), np.empty(0)
        if threshold > 0 and is_fitted(self.estimator):
            sure, labels = pseudo_label(self.estimator, X_pool, threshold)
        open_rows = np.isin(sure, answer[0], invert=True)
        self.X_pseudo = take_rows(X_pool, sure[open_rows])
        self.y_pseudo = labels[open_rows]
        return answer

    def _taught(
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
        X_fit, y_fit = stack_rows(X, self.X_pseudo), stack_rows(y, self.y_pseudo, "y")
        return X_fit, y_fit, weighted
