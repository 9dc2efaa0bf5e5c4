"""BayesianOptimizer: a learner that searches for the largest target."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from modAL.acquisition import max_EI
from modAL.models import BayesianOptimizer as ModALBayesianOptimizer
from sklearn.pipeline import Pipeline

from skal.exceptions import UnsuitableLearnerError
from skal.learners.active import ActiveLearner
from skal.reading.unwrapping import walk
from skal.rows import as_array, row_shape, take_row

__all__ = ["BayesianOptimizer"]


class BayesianOptimizer(ActiveLearner, ModALBayesianOptimizer):
    """A learner that searches for the row with the largest target.

    Parameters
    ----------
    estimator : regressor
        Its ``predict`` must accept ``return_std=True``, as
        ``GaussianProcessRegressor`` and ``BayesianRidge`` do; or a Pipeline that ends
        in such a regressor, or :func:`skal.tabular.make_tabular_regressor` of it.
    query_strategy : callable, default=max_EI of modAL
        ``max_PI`` and ``max_UCB`` are others.
    X_training, y_training, bootstrap_init, on_transformed, force_all_finite, \
random_state, on_duplicate, **fit_kwargs
        As in `ActiveLearner`.

    Attributes
    ----------
    X_max : one row of X_training, or None
        The row with the largest target so far.
    y_max : float
        The largest target so far; minus infinity if there is none.

    See Also
    --------
    ActiveLearner : Searches for rows that improve the model.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.gaussian_process import GaussianProcessRegressor
    >>> from skal.learners import BayesianOptimizer
    >>> X = np.linspace(0, 6, 50)[:, None]
    >>> y = np.sin(X[:, 0])
    >>> optimizer = BayesianOptimizer(
    ...     GaussianProcessRegressor(optimizer=None),
    ...     X_training=X[[5, 40]],
    ...     y_training=y[[5, 40]],
    ... )
    >>> for _ in range(4):
    ...     indices, rows = optimizer.query(X)
    ...     optimizer.teach(rows, y[indices])
    >>> round(optimizer.y_max, 2)
    1.0
    """

    def __init__(
        self,
        estimator: Any,
        query_strategy: Callable[..., Any] = max_EI,
        X_training: Any = None,
        y_training: Any = None,
        bootstrap_init: bool = False,
        on_transformed: bool = False,
        force_all_finite: bool = True,
        random_state: Any = None,
        on_duplicate: str = "warn",
        **fit_kwargs: Any,
    ) -> None:
        ActiveLearner.__init__(
            self,
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

    def predict(self, X: Any, **predict_kwargs: Any) -> Any:
        """Predict with the estimator.

        Raises
        ------
        UnsuitableLearnerError
            If ``return_std=True`` is passed and the estimator does not accept it.
        """
        if predict_kwargs.get("return_std") and not _gives_std(self.estimator):
            raise UnsuitableLearnerError(
                "BayesianOptimizer needs a regressor whose predict accepts "
                "return_std=True, such as GaussianProcessRegressor or BayesianRidge; "
                f"{type(self.estimator).__name__} does not."
            )
        return super().predict(X, **predict_kwargs)

    def _check(self, X: Any, y: Any) -> None:
        super()._check(X, y)
        if (n_targets := int(np.prod(row_shape(y)))) > 1:
            raise ValueError(
                f"BayesianOptimizer searches for the largest of one target, got y with "
                f"{n_targets} columns. Pass one of them, or what you want to be large, "
                "such as a weighted sum."
            )

    @property
    def X_max(self) -> Any:
        """Row with the largest target so far."""
        if self.y_training is None:
            return None
        return take_row(self.X_training, int(np.argmax(as_array(self.y_training))))

    @property
    def y_max(self) -> float:
        """Largest target so far."""
        if self.y_training is None:
            return -np.inf
        return float(np.max(as_array(self.y_training)))

    def get_max(self) -> tuple[Any, float]:
        """Get the row with the largest target so far, and this target."""
        return self.X_max, self.y_max


def _gives_std(estimator: Any) -> bool:
    # Pipelines pass on the arguments of `predict`; other wrappers must know this one.
    parts = [part for part in walk(estimator) if not isinstance(part, Pipeline)]
    return all("return_std" in inspect.signature(p.predict).parameters for p in parts)
