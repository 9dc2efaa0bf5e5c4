"""ActiveLearner: one estimator, its labeled rows and a query strategy."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, ClassVar

import numpy as np
from modAL.models import ActiveLearner as ModALActiveLearner
from modAL.uncertainty import uncertainty_sampling

from skal._stacking import stack_rows
from skal.learners.checks import (
    align_arguments,
    align_labels,
    check_duplicates,
    check_labeled,
    warn_if_permuted,
)
from skal.learners.delegating import EstimatorMethods
from skal.learners.diagram import DiagramMixin
from skal.learners.modal import ask
from skal.learners.training import (
    fit_estimator,
    set_owners,
    unchanged_on_error,
    warn_if_owned,
    warn_if_rebuilt,
)
from skal.reading.pool import complete_columns
from skal.reading.unwrapping import accepts_nan
from skal.rng import resolve_rng
from skal.rows import n_rows, row_shape, take_rows
from skal.strategies.base import QueryStrategy
from skal.strategies.recommended import recommended_strategy

__all__ = ["ActiveLearner", "QueryMixin"]


class QueryMixin:
    """Mixin of learners that choose rows by their ``query_strategy``."""

    query_strategy: Any

    @property
    def query_strategy_(self) -> Any:
        """Strategy of the next query: `query_strategy`, or the default in its place."""
        return self._strategy()

    def _strategy(self) -> Any:
        return self.query_strategy

    def query(
        self,
        X_pool: Any,
        *query_args: Any,
        return_metrics: bool = False,
        **query_kwargs: Any,
    ) -> tuple[Any, ...]:
        """Call the strategy once to choose the rows to label next.

        Parameters
        ----------
        X_pool : rows of shape (m, ...)
        *query_args, **query_kwargs
            Passed to the strategy, such as ``n_instances=5``.
        return_metrics : bool, default=False
            Return the strategy's scores as well (None, with a warning, if it returns
            none).

        Returns
        -------
        indices : ndarray of shape (n,), int64
            Distinct positions in the pool, in the strategy's order.
        rows : as `X_pool`
            Those rows.
        metrics : ndarray of shape (n,)
            Only with `return_metrics`.

        Raises
        ------
        TypeError
            If the strategy is not callable, or returns anything but positions.
        ValueError
            If the pool is empty, ``n_instances`` does not fit it, or the positions
            returned are not distinct rows of the pool.
        """
        strategy = self._strategy()
        if isinstance(strategy, type) or not callable(strategy):
            raise TypeError(
                "query_strategy must be a function or an instance of a strategy, got "
                f"{strategy!r}."
            )
        own = isinstance(strategy, QueryStrategy)
        if own and type(strategy).__call__ is QueryStrategy.__call__:
            # It checks what it is passed and what it picks.
            chosen = strategy.select(self, X_pool, *query_args, **query_kwargs)
        else:
            chosen = ask(
                strategy, self, X_pool, query_args, query_kwargs, return_metrics
            )
        indices, metrics = chosen
        rows = take_rows(X_pool, indices)
        return (indices, rows, metrics) if return_metrics else (indices, rows)


class ActiveLearner(QueryMixin, EstimatorMethods, DiagramMixin, ModALActiveLearner):
    """An estimator with a query strategy that chooses the rows to label next.

    A subclass of modAL's ``ActiveLearner`` that works with current scikit-learn and
    pandas, and with arrays, sparse matrices, lists, tensors, DataFrames and Series of
    pandas, polars and pyarrow, dicts of these, and Datasets.

    Parameters
    ----------
    estimator : estimator
        Any scikit-learn estimator, net, Pipeline or search. It is fitted in place, not
        cloned: pass ``clone(estimator)`` to use it in several learners.
    query_strategy : callable, optional
        Called as ``query_strategy(learner, X_pool, ...)``: a strategy of
        ``skal.strategies``, one of modAL's functions, or any callable that returns
        indices or (indices, metrics). By default, modAL's ``uncertainty_sampling`` for
        a classifier with ``predict_proba`` and one label a row, as in modAL; otherwise
        what `skal.recommended_strategy` chooses, with `random_state`. The parameter
        stays None; ``query_strategy_`` is the choice.
    X_training : rows of shape (n, ...), optional
        The first labeled rows; the estimator is fitted on them immediately.
    y_training : array-like of shape (n,) or (n, n_outputs), optional
        Their labels.
    bootstrap_init : bool, default=False
        Use a bootstrap sample of the rows for the first fit.
    on_transformed : bool, default=False
        Whether modAL's ranked batch computes distances between rows that are
        transformed by all steps of a Pipeline but the last.
    force_all_finite : bool, default=True
        Whether to raise an error for NaN and infinite values in labeled rows. NaN is
        accepted nonetheless if the tags of the estimator say that it accepts missing
        values; in a DataFrame, NaN is left to the estimator.
    random_state : int, RandomState, Generator or None, default=None
        Used to draw the bootstrap samples, and by the default strategy. With an int,
        the same sample is drawn each time.
    on_duplicate : {"warn", "raise", "ignore"}, default="warn"
        What `teach` does with rows of a pandas object that have already been labeled:
        those with the same index label and the same values as an earlier row.
    **fit_kwargs
        Passed to the fit on `X_training`; not allowed without it.

    Attributes
    ----------
    X_training, y_training : as given, or None
        All labeled rows so far.
    query_strategy_ : callable
        The strategy of the next query: `query_strategy` or, if it is None, the default,
        which is chosen anew at each access. If `skal.recommended_strategy` chose it,
        its attribute ``reason`` says why.
    classes_, n_features_in_, feature_names_in_
        Those of the fitted estimator, if it has them.

    See Also
    --------
    Committee : Several learners that vote.

    Notes
    -----
    If the estimator raises an error in `fit` or `teach`, the learner and the estimator
    are restored to their previous state. For this purpose, a copy of the fitted
    estimator is kept while it trains.

    Labeled rows are state, not parameters: `get_params` does not return them, and
    ``clone`` returns an unfitted learner without rows, as cross-validation needs.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.learners import ActiveLearner
    >>> X, y = load_iris(return_X_y=True)
    >>> start = [0, 50, 100]
    >>> learner = ActiveLearner(
    ...     LogisticRegression(), X_training=X[start], y_training=y[start]
    ... )
    >>> indices, rows = learner.query(X, n_instances=2)
    >>> learner.teach(rows, y[indices])
    >>> learner.X_training.shape
    (5, 4)
    """

    # What scikit-learn's metadata routing may pass on, as sample weights are, by
    # `set_fit_request` and `set_score_request`.
    __metadata_request__fit: ClassVar[dict[str, Any]] = {"sample_weight": None}
    __metadata_request__score: ClassVar[dict[str, Any]] = {"sample_weight": None}

    #: Whether a failed fit is undone, which costs a copy of the estimator per fit.
    _restores_on_error = True

    def __init__(
        self,
        estimator: Any,
        query_strategy: Callable[..., Any] | None = None,
        X_training: Any = None,
        y_training: Any = None,
        bootstrap_init: bool = False,
        on_transformed: bool = False,
        force_all_finite: bool = True,
        random_state: Any = None,
        on_duplicate: str = "warn",
        **fit_kwargs: Any,
    ) -> None:
        # modAL's __init__ is not called: it fits before its parameters are stored.
        self.estimator = estimator
        self.query_strategy = query_strategy
        self.X_training = None
        self.y_training = None
        self.bootstrap_init = bootstrap_init
        self.on_transformed = on_transformed
        self.force_all_finite = force_all_finite
        self.random_state = random_state
        self.on_duplicate = on_duplicate
        if X_training is not None or y_training is not None:
            self.fit(X_training, y_training, bootstrap=bootstrap_init, **fit_kwargs)
        elif fit_kwargs:
            raise TypeError(
                f"Unexpected arguments {sorted(fit_kwargs)}: arguments of fit are "
                "allowed only together with X_training and y_training."
            )

    def _strategy(self) -> Any:
        if self.query_strategy is not None:
            return self.query_strategy
        y = self.y_training
        n_labels = 1 if y is None else int(np.prod(row_shape(y)))
        if hasattr(self, "predict_proba") and n_labels == 1:
            return uncertainty_sampling
        chosen = recommended_strategy(self)
        return chosen.set_params(random_state=self.random_state)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters, which do not include the labeled rows.

        Parameters
        ----------
        deep : bool, default=True
            Include the parameters of the estimator and the strategy
            (``estimator__C``, ``query_strategy__n_draws``).
        """
        params = super().get_params(deep=deep)
        return {
            k: v for k, v in params.items() if k not in ("X_training", "y_training")
        }

    def set_params(self, **params: Any) -> ActiveLearner:
        """Set parameters, those of the estimator and the strategy included.

        Parameters
        ----------
        **params : dict
            As listed by `get_params`.

        Returns
        -------
        learner : self

        Warns
        -----
        UserWarning
            If a fitted net builds its module anew, with other weights.
        """
        with warn_if_rebuilt(self.estimator):
            super().set_params(**params)
        return self

    def fit(
        self, X: Any, y: Any, bootstrap: bool = False, **fit_kwargs: Any
    ) -> ActiveLearner:
        """Fit on these rows, which replace all earlier ones.

        Parameters
        ----------
        X : rows of shape (n, ...)
        y : array-like of shape (n,) or (n, n_outputs)
        bootstrap : bool, default=False
            Fit on a bootstrap sample of the rows; all rows are kept.
        **fit_kwargs
            Passed to the estimator. Arguments with one value per row, such as
            ``sample_weight``, are sampled together with the rows.

        Raises
        ------
        ValueError
            If there are no rows, or `X` and `y` differ in length. Nothing is changed in
            this case, nor if the estimator raises an error.
        """
        self._check(X, y)
        warn_if_permuted(X, y)
        self._train(X, y, X, y, bootstrap, fit_kwargs)
        return self

    def teach(
        self,
        X: Any,
        y: Any,
        bootstrap: bool = False,
        only_new: bool = False,
        **fit_kwargs: Any,
    ) -> None:
        """Add labeled rows, and fit again.

        Parameters
        ----------
        X : rows of shape (n, ...)
            Converted to the container and dtype of the rows so far. The columns of a
            DataFrame are matched by name; if the estimator does not need one, it may
            be missing, and additional columns are dropped.
        y : array-like of shape (n,) or (n, n_outputs)
            Labels are matched to rows by position, or by index if both `X` and `y` are
            pandas objects.
        bootstrap : bool, default=False
            Fit on a bootstrap sample.
        only_new : bool, default=False
            Fit on the new rows alone, for estimators whose ``fit`` continues from the
            last one. The new rows are added to the training data nonetheless.
        **fit_kwargs
            Passed to the estimator. Arguments with one value per row, such as
            ``sample_weight``, belong to all rows of the fit, those so far first; they
            are matched like `y` if they hold the index of these rows.

        Raises
        ------
        ValueError
            If there are no rows, `X` and `y` differ in length or in index, the rows do
            not match those so far, or some rows have already been labeled and
            `on_duplicate` is "raise". Nothing is changed in this case, nor if the
            estimator raises an error.
        """
        self._check(X, y)
        y = align_labels(X, y)
        X_all, y_all = self._grown(X, y)
        check_duplicates(X_all, n_rows(X), self.on_duplicate)
        if only_new:
            added = np.arange(n_rows(X_all) - n_rows(X), n_rows(X_all))
            X_fit, y_fit = take_rows(X_all, added), take_rows(y_all, added)
        else:
            X_fit, y_fit = X_all, y_all
        fit_kwargs = align_arguments(X_fit, fit_kwargs)
        X_fit, y_fit, fit_kwargs = self._teach_on(X_fit, y_fit, fit_kwargs)
        self._train(X_fit, y_fit, X_all, y_all, bootstrap, fit_kwargs)

    def _add_training_data(self, X: Any, y: Any) -> None:
        """Add labeled rows without a fit, as modAL's learners do."""
        self._check(X, y)
        self.X_training, self.y_training = self._grown(X, align_labels(X, y))

    def _check(self, X: Any, y: Any) -> None:
        check_labeled(
            X,
            y,
            finite=self.force_all_finite,
            allow_nan=accepts_nan(self.estimator),
        )

    def _grown(self, X: Any, y: Any) -> tuple[Any, Any]:
        if self.X_training is None:
            return X, y
        X = complete_columns(X, self.X_training, self.estimator)
        return stack_rows(self.X_training, X), stack_rows(self.y_training, y, "y")

    def _teach_on(
        self, X: Any, y: Any, fit_kwargs: dict[str, Any]
    ) -> tuple[Any, Any, dict[str, Any]]:
        """Return the data `teach` fits on; a subclass may add to the labeled rows."""
        return X, y, fit_kwargs

    def _train(
        self,
        X_fit: Any,
        y_fit: Any,
        X_all: Any,
        y_all: Any,
        bootstrap: bool,
        fit_kwargs: dict[str, Any],
    ) -> None:
        """Fit; store all rows once that has succeeded."""
        rng = resolve_rng(self.random_state) if bootstrap else None
        warn_if_owned([self])
        undo = unchanged_on_error([self.estimator])
        with undo if self._restores_on_error else nullcontext():
            fit_estimator(self.estimator, X_fit, y_fit, fit_kwargs, rng)
        self.X_training, self.y_training = X_all, y_all
        set_owners([self])
