"""What Committee and CommitteeRegressor share: members, their rows, their training."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags

from skal.learners.answers import ask
from skal.learners.checks import accepts_nan, check_labeled, is_fitted
from skal.learners.rows import stack_rows, take_rows
from skal.learners.training import as_input, fit_estimator, unchanged_on_error
from skal.learners.transforming import hstack_rows, transform_inputs
from skal.rng import resolve_rng, seed_from
from skal.rows import n_rows

__all__ = ["CommitteeMixin", "input_tags_of"]


class CommitteeMixin:
    """Training and querying of several learners together.

    A class that uses it has ``learner_list``, ``query_strategy``, ``on_transformed``
    and ``random_state``.
    """

    learner_list: list[Any]
    random_state: Any

    @property
    def X_training(self) -> Any:
        """Labeled rows if all members share them, else None."""
        return self._shared("X_training")

    @property
    def y_training(self) -> Any:
        """Their labels, or None."""
        return self._shared("y_training")

    @property
    def n_features_in_(self) -> int:
        """Number of features of the fitted members."""
        return self._first_estimator().n_features_in_

    @property
    def feature_names_in_(self) -> Any:
        """Names of the features of the fitted members."""
        return self._first_estimator().feature_names_in_

    def _first_estimator(self) -> Any:
        return self.learner_list[0].estimator if self.learner_list else None

    def _shared(self, name: str) -> Any:
        first = getattr(self.learner_list[0], name, None) if self.learner_list else None
        same = all(getattr(m, name, None) is first for m in self.learner_list)
        return first if same else None

    def fit(self, X: Any, y: Any, bootstrap: bool = False, **fit_kwargs: Any) -> Any:
        """Fit every member on these rows and forget all others.

        Parameters
        ----------
        X : rows of shape (n, ...)
        y : array-like of shape (n,) or (n, n_outputs)
        bootstrap : bool, default=False
            Fit each member on a bootstrap sample of its own.
        **fit_kwargs
            Passed to the estimators.
        """
        self._check(X, y)
        data = [(X, y)] * len(self.learner_list)
        self._train(data, data, bootstrap, fit_kwargs)
        return self

    def teach(
        self,
        X: Any,
        y: Any,
        bootstrap: bool = False,
        only_new: bool = False,
        **fit_kwargs: Any,
    ) -> None:
        """Add labeled rows to every member and fit all again.

        Parameters
        ----------
        X : rows of shape (n, ...)
        y : array-like of shape (n,) or (n, n_outputs)
        bootstrap : bool, default=False
            Fit each member on a bootstrap sample of its own.
        only_new : bool, default=False
            Fit on the new rows alone; they join the training data all the same.
        **fit_kwargs
            Passed to the estimators.

        Raises
        ------
        ValueError
            If the rows are wrong. No member is changed then, nor if one of them
            fails to fit.
        """
        self._check(X, y)
        # Members that share rows go on sharing them: each set is stacked once.
        stacked: dict[tuple[int, int], tuple[Any, Any]] = {}
        grown, fit_on = [], []
        for member in self.learner_list:
            old_X, old_y = member.X_training, member.y_training
            key = id(old_X), id(old_y)
            if key not in stacked:
                stacked[key] = (
                    (X, y)
                    if old_X is None
                    else (stack_rows(old_X, X), stack_rows(old_y, y, "y"))
                )
            grown.append(stacked[key])
            fit_on.append(
                _last_rows(stacked[key], n_rows(X)) if only_new else grown[-1]
            )
        self._train(fit_on, grown, bootstrap, fit_kwargs)

    def rebag(self, **fit_kwargs: Any) -> None:
        """Fit every member on a bootstrap sample of its own labeled rows."""
        data = [(m.X_training, m.y_training) for m in self.learner_list]
        if any(X is None for X, _ in data):
            raise NotFittedError("rebag needs members that have labeled rows.")
        self._train(data, data, True, fit_kwargs)

    def query(
        self,
        X_pool: Any,
        *query_args: Any,
        return_metrics: bool = False,
        **query_kwargs: Any,
    ) -> tuple[Any, ...]:
        """Ask the strategy, once, which rows to label next.

        Parameters
        ----------
        X_pool : rows of shape (m, ...)
        *query_args, **query_kwargs
            Passed to the strategy, such as ``n_instances=5``.
        return_metrics : bool, default=False
            Return the strategy's scores as well.

        Returns
        -------
        indices : ndarray of shape (n,), int64
            Distinct positions in the pool, in the strategy's order.
        rows : as `X_pool`
            Those rows.
        metrics : ndarray of shape (n,)
            Only with `return_metrics`.
        """
        return ask(self, X_pool, query_args, query_kwargs, return_metrics)

    def transform_without_estimating(self, X: Any) -> Any:
        """Transform rows by the Pipelines of all members, side by side."""
        return hstack_rows(
            [transform_inputs(m.estimator, X) for m in self.learner_list]
        )

    def _member_answers(self, method: str, X: Any, **kwargs: Any) -> list[Any]:
        if not self.learner_list:
            raise ValueError("The committee has no members: learner_list is empty.")
        answers = []
        for member in self.learner_list:
            rows = as_input(X, member.estimator)
            answer = getattr(member, method)(rows, **kwargs)
            answers.append(
                answer.detach().cpu().numpy()
                if isinstance(answer, torch.Tensor)
                else np.asarray(answer)
            )
        return answers

    def _check(self, X: Any, y: Any) -> None:
        if not self.learner_list:
            raise ValueError("The committee has no members: learner_list is empty.")
        check_labeled(
            X,
            y,
            finite=any(getattr(m, "force_all_finite", True) for m in self.learner_list),
            allow_nan=all(accepts_nan(m.estimator) for m in self.learner_list),
        )

    def _train(
        self,
        fit_on: list[tuple[Any, Any]],
        keep: list[tuple[Any, Any]],
        bootstrap: bool,
        fit_kwargs: dict[str, Any],
    ) -> None:
        """Fit all members, and keep the rows once that has succeeded."""
        rngs = self._bootstrap_rngs() if bootstrap else [None] * len(self.learner_list)
        with unchanged_on_error(m.estimator for m in self.learner_list):
            for member, (X, y), rng in zip(
                self.learner_list, fit_on, rngs, strict=True
            ):
                fit_estimator(member.estimator, X, y, fit_kwargs, rng)
        for member, (X, y) in zip(self.learner_list, keep, strict=True):
            member.X_training, member.y_training = X, y

    def _bootstrap_rngs(self) -> list[torch.Generator | None]:
        """One generator a member, so that no two draw the same sample."""
        root = resolve_rng(self.random_state)
        return [resolve_rng(seed_from(root)) for _ in self.learner_list]

    def __sklearn_is_fitted__(self) -> bool:
        return bool(self.learner_list) and all(
            is_fitted(m.estimator) for m in self.learner_list
        )


def input_tags_of(members: list[Any], tags: Any) -> Any:
    """Let the tags of a committee take what all its members take."""
    known = [get_tags(m).input_tags for m in members if hasattr(m, "__sklearn_tags__")]
    for name in ("sparse", "allow_nan"):
        setattr(
            tags.input_tags, name, bool(known) and all(getattr(t, name) for t in known)
        )
    return tags


def _last_rows(data: tuple[Any, Any], n: int) -> tuple[Any, Any]:
    X, y = data
    added = np.arange(n_rows(X) - n, n_rows(X))
    return take_rows(X, added), take_rows(y, added)
