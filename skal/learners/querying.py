"""The query of a learner: its strategy is called once."""

from __future__ import annotations

from typing import Any

from skal.learners.modal import ask
from skal.rows import take_rows
from skal.strategies.base import QueryStrategy

__all__ = ["QueryMixin"]


class QueryMixin:
    """Mixin of learners that choose rows by their ``query_strategy``."""

    query_strategy: Any

    def _strategy(self) -> Any:
        """Return the strategy that a query calls."""
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
