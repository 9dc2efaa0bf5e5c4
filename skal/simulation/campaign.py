"""A labeling campaign as a scikit-learn estimator."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_classifier
from sklearn.metrics import check_scoring
from sklearn.utils import check_array, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from skal.learners.checks import warn_if_permuted
from skal.nets.copying import copy_estimator, parts_within
from skal.rows import array_if_tensor, copied_rows, n_rows
from skal.simulation.loop import Campaign, Step, global_rng_lock
from skal.simulation.playing import PlayedStep, ends_campaign
from skal.simulation.starts import is_drawn
from skal.simulation.statistics import area
from skal.validation import check_int, check_option

__all__ = [
    "ActiveLearningSimulation",
    "check_budget",
    "check_counts",
    "check_data",
]


def _estimator_has(method: str) -> Any:
    def check(simulation: Any) -> bool:
        getattr(getattr(simulation, "estimator_", simulation.estimator), method)
        return True

    return available_if(check)


class ActiveLearningSimulation(MetaEstimatorMixin, BaseEstimator):
    """A labeling campaign, simulated on data whose labels are known.

    `fit` hides the labels, fits the estimator on a few labeled rows, and then reveals,
    query by query, the labels of the rows that the strategy picks. `score` is the mean
    of the learning curve on the rows passed to it. As an estimator, a simulation works
    with `cross_validate`, `GridSearchCV` and `clone`.

    Parameters
    ----------
    estimator : estimator
        The model to train; it is cloned. A learner, such as
        :class:`~skal.learners.CEALLearner`, uses `query_strategy` in place of its own
        strategy.
    query_strategy : callable
        ``query_strategy(learner, X_pool, n_instances=...)``: a strategy of
        `skal.strategies` or of modAL; it is cloned.
    n_initial : int, default=20
        Number of rows labeled before the first query.
    n_instances : int, default=10
        Number of rows per query.
    n_queries : int, default=10
        Number of queries.
    initial : {"random", "stratified"}, strategy or array-like of int, default="random"
        How the first rows are drawn, or their positions (`n_initial` is then ignored).
        A strategy picks them before the estimator is fitted, such as
        :class:`~skal.strategies.TypiClust`.
        "stratified" draws in proportion to the classes and at least one row of each;
        for a regressor, it draws evenly over the sorted targets.
    scoring : str, callable or None, default=None
        As in scikit-learn; None uses the estimator's own `score`.
    n_candidates : int, optional
        Number of rows, drawn at random from the pool, from which the strategy picks in
        each query; by default, the whole pool.
    random_state : int, RandomState, Generator or None, default=None
        Used to draw the start, and to seed every parameter named ``random_state`` of
        the estimator and the strategy, at any depth and whatever its value; a strategy
        gets a new seed for each query. With None, these parameters are left as they
        are.
    verbose : int, default=0
        Show a progress bar if positive.
    keep : {"all", "last", "none"}, default="all"
        Which fitted estimators are kept. `score` and `learning_curve` need "all";
        `predict` needs "last" or "all". The state of optimizers, which for Adam is
        twice the size of the net, is never kept.
    callback : callable, optional
        Called as ``callback(step)`` after each fit with a `skal.simulation.PlayedStep`,
        for example for logs, checkpoints and early stopping. If it returns True, the
        campaign ends, and the attributes have fewer steps.

    Attributes
    ----------
    initial_indices_ : ndarray of shape (n_initial,)
        Positions in X of the rows labeled at the start.
    queried_indices_ : ndarray of shape (n_queries, n_instances)
        Positions in X of the rows of each query, in the order queried.
    n_labeled_ : ndarray of shape (n_queries + 1,)
        Number of labels at each step.
    estimators_ : list of estimators
        The fitted estimator of each step; for a learner, its estimator. Only with
        ``keep="all"``.
    estimator_ : estimator
        The estimator of the last step, which `predict` uses. Not with
        ``keep="none"``.
    query_times_, fit_times_ : ndarrays of shape (n_queries,) and (n_queries + 1,)
        In seconds.

    See Also
    --------
    compare_strategies : Compare several strategies on the same folds and starts.

    Notes
    -----
    If `random_state` is given, the global random generators are seeded for each fit and
    each query, and restored afterwards, so that estimators without a ``random_state``,
    such as a plain skorch net, give reproducible results, too. The threads of a process
    share these generators, so campaigns in different threads wait for each other;
    joblib's default backend uses processes.

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
        keep: str = "all",
        callback: Any = None,
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
        self.keep = keep
        self.callback = callback

    def fit(self, X: Any, y: Any) -> ActiveLearningSimulation:
        """Run the campaign.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Array, DataFrame, sparse matrix, tensor, list or dict of arrays.
        y : array-like of shape (n,) or (n, n_outputs)
            Labels of all rows; the learner sees only those that were queried.

        Returns
        -------
        self : ActiveLearningSimulation

        Raises
        ------
        ValueError
            If the budget exceeds the number of rows, the start does not suit the
            data, or a count is not positive. Nothing has been fitted then.
        """
        check_option("keep", self.keep, ["all", "last", "none"])
        check_counts(
            self.n_initial, self.n_instances, self.n_queries, self.n_candidates
        )
        X, y = check_data(X, y, classes=is_classifier(self.estimator))
        n = n_rows(X)
        check_budget(n, self.initial, self.n_initial, self.n_instances, self.n_queries)
        campaign = Campaign(
            X,
            y,
            np.arange(n),
            n_initial=self.n_initial,
            n_instances=self.n_instances,
            n_queries=self.n_queries,
            initial=self.initial,
            n_candidates=self.n_candidates,
            random_state=self.random_state,
        )
        steps: list[Step] = []
        for step in campaign.run(
            clone(self.estimator),
            clone(self.query_strategy, safe=False),
            progress=bool(self.verbose),
        ):
            # The next step fits the same object again.
            ended = self._report(steps, step)
            if ended or len(steps) == self.n_queries:
                kept = step.estimator if self.keep != "none" else None
            else:
                kept = copy_estimator(step.estimator) if self.keep == "all" else None
            _drop_optimizer_state(kept)
            steps.append(step._replace(estimator=kept))
            if ended:
                break
        self.initial_indices_ = steps[0].labeled
        self.queried_indices_ = np.array(
            [step.labeled for step in steps[1:]], dtype=np.int64
        ).reshape(-1, self.n_instances)
        self.n_labeled_ = np.cumsum([len(step.labeled) for step in steps])
        for name in ("estimators_", "estimator_"):  # of an earlier fit
            self.__dict__.pop(name, None)
        if self.keep == "all":
            self.estimators_ = [step.estimator for step in steps]
        if self.keep != "none":
            self.estimator_ = steps[-1].estimator
        self.query_times_ = np.array([step.query_time for step in steps[1:]])
        self.fit_times_ = np.array([step.fit_time for step in steps])
        return self

    def _report(self, before: list[Step], step: Step) -> bool:
        """Call the callback after a step; return whether the campaign ends there."""
        if self.callback is None:
            return False
        played = PlayedStep(
            strategy=type(self.query_strategy).__name__,
            fold=0,
            repeat=0,
            step=len(before),
            labeled=step.labeled,
            n_labeled=sum(len(s.labeled) for s in (*before, step)),
            estimator=step.estimator,
            scores={},
            query_time=step.query_time,
            fit_time=step.fit_time,
        )
        return ends_campaign(self.callback, played)

    def learning_curve(self, X: Any, y: Any) -> np.ndarray:
        """Score the estimator of each step.

        Parameters
        ----------
        X, y : array-likes
            Rows not used in `fit`, and their labels.

        Returns
        -------
        scores : ndarray of shape (n_queries + 1,)
            One score per entry of `n_labeled_`.

        Raises
        ------
        ValueError
            If the estimators of the steps were not kept.
        """
        self._check_kept("estimators_", "all")
        scorer = check_scoring(self.estimator_, self.scoring)
        scores = []
        for estimator in self.estimators_:
            with global_rng_lock:
                scores.append(scorer(estimator, copied_rows(X), array_if_tensor(y)))
        return np.array(scores, dtype=float)

    def score(self, X: Any, y: Any) -> float:
        """Mean of the learning curve over the budget (`statistics.area`)."""
        curve = self.learning_curve(X, y)
        return area(self.n_labeled_, curve)

    def predict(self, X: Any) -> Any:
        """Predict with the estimator of the last step."""
        self._check_kept("estimator_", "last")
        return self.estimator_.predict(X)

    @_estimator_has("predict_proba")
    def predict_proba(self, X: Any) -> Any:
        """Class probabilities from the estimator of the last step."""
        self._check_kept("estimator_", "last")
        return self.estimator_.predict_proba(X)

    @_estimator_has("decision_function")
    def decision_function(self, X: Any) -> Any:
        """Decision function of the estimator of the last step."""
        self._check_kept("estimator_", "last")
        return self.estimator_.decision_function(X)

    @property
    def classes_(self) -> Any:
        """Classes known to the estimator of the last step."""
        return self._fitted_attribute("classes_")

    @property
    def n_features_in_(self) -> int:
        """Number of features seen in `fit`."""
        return int(self._fitted_attribute("n_features_in_"))

    @property
    def feature_names_in_(self) -> Any:
        """Names of the features seen in `fit`."""
        return self._fitted_attribute("feature_names_in_")

    def _check_kept(self, name: str, keep: str) -> None:
        check_is_fitted(self, "n_labeled_")
        if name not in vars(self):
            raise ValueError(
                f"The simulation was run with keep={self.keep!r}, so it has no "
                f"{name}. Set keep={keep!r}, and fit again."
            )

    def _fitted_attribute(self, name: str) -> Any:
        if "estimator_" not in vars(self):
            raise AttributeError(f"{type(self).__name__} has no {name} before fit.")
        return getattr(self.estimator_, name)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.estimator_type = inner.estimator_type
        tags.classifier_tags = deepcopy(inner.classifier_tags)
        tags.regressor_tags = deepcopy(inner.regressor_tags)
        for kind_tags in (tags.classifier_tags, tags.regressor_tags):
            if kind_tags is not None:
                kind_tags.poor_score = True  # trained on few labels
        tags.target_tags = deepcopy(inner.target_tags)
        tags.target_tags.required = True
        tags.input_tags = deepcopy(inner.input_tags)
        return tags


def _drop_optimizer_state(fitted: Any) -> None:
    """Clear the state of the optimizers of all nets within a fitted estimator."""
    for optimizer in parts_within(fitted, torch.optim.Optimizer):
        optimizer.state.clear()


def check_counts(
    n_initial: Any, n_instances: Any, n_queries: Any, n_candidates: Any
) -> None:
    """Raise ValueError unless these are valid counts of a campaign."""
    check_int("n_initial", n_initial)
    check_int("n_instances", n_instances)
    check_int("n_queries", n_queries, minimum=0)
    if n_candidates is None:
        return
    check_int("n_candidates", n_candidates)
    if n_candidates < n_instances:
        raise ValueError(
            f"n_candidates={n_candidates} must be at least n_instances={n_instances}, "
            "because the strategy picks from the candidates."
        )


def check_data(X: Any, y: Any, *, classes: bool) -> tuple[Any, Any]:
    """Return `X` and `y` in a form that can be indexed.

    Raises
    ------
    ValueError
        Unless there is one valid label per row; `classes` says whether labels must be
        classes.
    """
    if y is None:
        raise ValueError("fit requires y to be passed, but the target y is None.")
    X, y = _indexable(X), _indexable(y)
    if n_rows(X) != n_rows(y):
        raise ValueError(f"X has {n_rows(X)} rows, but y has {n_rows(y)} labels.")
    # Labels that are never revealed must be valid too.
    check_array(y, ensure_2d=False, dtype=None, input_name="y")
    if classes:
        check_classification_targets(y)
    # As in scikit-learn, labels belong to rows by position; `teach` goes by index.
    warn_if_permuted(X, y)
    if all(isinstance(table, pd.DataFrame | pd.Series) for table in (X, y)):
        y = y.set_axis(X.index)
    return X, y


def _indexable(values: Any) -> Any:
    """Convert to an array what can be converted but not indexed."""
    if hasattr(values, "__array__") and not hasattr(values, "__getitem__"):
        return np.asarray(values)
    return values.detach() if isinstance(values, torch.Tensor) else values


def check_budget(
    n: int, initial: Any, n_initial: int, n_instances: int, n_queries: int
) -> None:
    """Raise ValueError if the campaign needs more labels than there are rows."""
    if not is_drawn(initial):
        n_initial = n_rows(initial)
    needed = n_initial + n_queries * n_instances
    if needed > n:
        raise ValueError(
            f"The campaign labels {n_initial} + {n_queries} * {n_instances} = {needed} "
            f"rows, but X has n_samples={n}. Lower n_initial, n_instances or "
            "n_queries."
        )
