"""A labeling campaign as a scikit-learn estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_classifier
from sklearn.metrics import check_scoring
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from skal.rng import resolve_rng
from skal.rows import n_rows
from skal.simulation.checks import (
    check_budget,
    check_classes_of_start,
    check_counts,
    check_labels,
)
from skal.simulation.last import LastEstimatorMixin
from skal.simulation.loop import Campaign, Streams, one_at_a_time
from skal.simulation.starts import draw_start
from skal.simulation.statistics import area

__all__ = ["ActiveLearningSimulation"]


class ActiveLearningSimulation(LastEstimatorMixin, MetaEstimatorMixin, BaseEstimator):
    """A labeling campaign, played on data whose labels are known.

    `fit` hides the labels, fits the estimator on a few rows, and then reveals, query
    by query, the labels that the strategy asks for.  `score` says how well that went:
    it is the mean of the learning curve on the rows it is given.  As an estimator it
    works with `cross_validate`, `GridSearchCV` and `clone` as they are.

    Parameters
    ----------
    estimator : estimator
        What is trained; it is cloned.  A learner, such as
        :class:`~skal.learners.CEALLearner`, plays with `query_strategy` in place of
        its own.
    query_strategy : callable
        ``query_strategy(learner, X_pool, n_instances=...)``, a strategy of
        `skal.strategies` or any of modAL's; it is cloned.
    n_initial : int, default=20
        Labels before the first query.
    n_instances : int, default=10
        Labels asked for at once.
    n_queries : int, default=10
        How often labels are asked for.
    initial : {"random", "stratified"} or array-like of int, default="random"
        How the first rows are drawn, or their indices (`n_initial` then plays no
        part).  Stratified: in proportion to the classes and at least one row of each;
        for a regressor, evenly over the order of the targets.
    scoring : str, callable or None, default=None
        As in scikit-learn; None is the estimator's own `score`.
    n_candidates : int, optional
        A random subset of so many rows of the pool is offered at each query; by
        default all of the pool.
    random_state : int, RandomState, Generator or None, default=None
        Seeds the start, and every parameter named ``random_state`` of estimator and
        strategy, at any depth and whatever its value; a strategy gets a new seed for
        each query.  With None these parameters are left as they are.
    verbose : int, default=0
        Whether a progress bar is shown.

    Attributes
    ----------
    initial_indices_ : ndarray of shape (n_initial,)
        Rows of X that were labeled at the start.
    queried_indices_ : ndarray of shape (n_queries, n_instances)
        Rows of X in the order in which they were asked for.
    n_labeled_ : ndarray of shape (n_queries + 1,)
        Labels used at each step.
    estimators_ : list of estimators
        Fitted at each step; of a learner its estimator.
    estimator_ : estimator
        The last one, which `predict` uses.
    query_times_, fit_times_ : ndarrays of shape (n_queries,) and (n_queries + 1,)
        Seconds.

    See Also
    --------
    compare_strategies : Several strategies on the same folds and starts.

    Notes
    -----
    With `random_state` given, each fit and each query also runs with the global
    generators seeded, and restored after it; estimators without a ``random_state`` of
    their own, such as a plain skorch net, then repeat themselves too.  These generators
    are shared by the threads of a process, so that campaigns in threads take turns;
    let joblib use processes, as it does by default.

    The fitted estimators of all steps are kept, so that any rows can be scored later.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import cross_val_score
    >>> from skal.simulation import ActiveLearningSimulation
    >>> from skal.strategies import Margin
    >>> X, y = load_iris(return_X_y=True)
    >>> simulation = ActiveLearningSimulation(
    ...     LogisticRegression(max_iter=1000),
    ...     Margin(),
    ...     n_initial=6,
    ...     n_instances=2,
    ...     n_queries=5,
    ...     initial="stratified",
    ...     random_state=0,
    ... )
    >>> simulation.fit(X, y).n_labeled_
    array([ 6,  8, 10, 12, 14, 16])
    >>> bool(cross_val_score(simulation, X, y, cv=3).mean() > 0.8)
    True
    """

    def __init__(
        self,
        estimator: Any,
        query_strategy: Any,
        n_initial: int = 20,
        n_instances: int = 10,
        n_queries: int = 10,
        initial: Any = "random",
        scoring: Any = None,
        n_candidates: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.query_strategy = query_strategy
        self.n_initial = n_initial
        self.n_instances = n_instances
        self.n_queries = n_queries
        self.initial = initial
        self.scoring = scoring
        self.n_candidates = n_candidates
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any) -> ActiveLearningSimulation:
        """Play the campaign.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Array, DataFrame, sparse matrix, tensor, list or dict of arrays.
        y : array-like of shape (n,) or (n, n_outputs)
            Labels of all rows; the learner sees those that were asked for.

        Returns
        -------
        self : ActiveLearningSimulation

        Raises
        ------
        ValueError
            If the budget is larger than the data, the start does not suit them, or a
            count is not positive; before anything is fitted.
        """
        check_counts(
            self.n_initial, self.n_instances, self.n_queries, self.n_candidates
        )
        X, y = check_labels(X, y)
        streams = Streams.spawn(
            resolve_rng(self.random_state), seeded=self.random_state is not None
        )
        initial = self._draw_start(X, y, streams)
        campaign = Campaign(
            X,
            y,
            (clone(self.estimator), clone(self.query_strategy, safe=False)),
            initial,
            streams,
        ).play(self.n_instances, self.n_queries, self.n_candidates, bool(self.verbose))
        shape = (self.n_queries, self.n_instances)
        queried = np.array(campaign.queried, dtype=np.int64).reshape(shape)
        self.initial_indices_ = initial
        self.queried_indices_ = queried
        self.n_labeled_ = len(initial) + self.n_instances * np.arange(shape[0] + 1)
        self.estimators_ = campaign.estimators
        self.estimator_ = campaign.estimators[-1]
        self.query_times_ = np.array(campaign.query_times)
        self.fit_times_ = np.array(campaign.fit_times)
        return self

    def learning_curve(self, X: Any, y: Any) -> np.ndarray:
        """Score the estimator of each step.

        Parameters
        ----------
        X, y : array-likes
            Rows that played no part in `fit`, and their labels.

        Returns
        -------
        scores : ndarray of shape (n_queries + 1,)
            One score for each entry of `n_labeled_`.
        """
        check_is_fitted(self, "estimators_")
        scores = []
        for estimator in self.estimators_:
            with one_at_a_time:
                scores.append(check_scoring(estimator, self.scoring)(estimator, X, y))
        return np.array(scores, dtype=float)

    def score(self, X: Any, y: Any) -> float:
        """Mean of the learning curve over the budget (`statistics.area`)."""
        curve = self.learning_curve(X, y)
        return area(self.n_labeled_, curve)

    def _draw_start(self, X: Any, y: Any, streams: Streams) -> np.ndarray:
        classes = is_classifier(self.estimator)
        if classes:
            check_classification_targets(y)
        n_initial = self.n_initial
        if not isinstance(self.initial, str):
            n_initial = n_rows(self.initial)
        check_budget(n_rows(X), n_initial, self.n_instances, self.n_queries)
        start = draw_start(
            self.initial, y, n_initial, classes=classes, rng=streams.rows
        )
        if classes:
            check_classes_of_start(y, start)
        return start
