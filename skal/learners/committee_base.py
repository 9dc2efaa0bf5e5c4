"""BaseCommittee: several learners that are trained and queried together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags

from skal._stacking import hstack_rows, stack_rows
from skal.learners.active import QueryMixin
from skal.learners.checks import (
    align_arguments,
    align_labels,
    check_duplicates,
    check_labeled,
    is_fitted,
    warn_if_permuted,
)
from skal.learners.diagram import DiagramMixin
from skal.learners.training import (
    fit_estimator,
    rows_to_read,
    set_owners,
    unchanged_on_error,
    warn_if_owned,
)
from skal.reading.pool import complete_columns
from skal.reading.unwrapping import accepts_nan, transform_inputs
from skal.rng import resolve_rng, seed_from
from skal.rows import as_dense, n_rows, take_rows

__all__ = ["BaseCommittee"]


class BaseCommittee(QueryMixin, DiagramMixin):
    """Training and querying of several learners together."""

    learner_list: list[Any]
    query_strategy: Callable[..., Any]
    on_transformed: bool
    random_state: Any
    on_duplicate: str

    # What scikit-learn's metadata routing may pass on, by `set_fit_request`.
    __metadata_request__fit: ClassVar[dict[str, Any]] = {"sample_weight": None}

    def fit(self, X: Any, y: Any, bootstrap: bool = False, **fit_kwargs: Any) -> Any:
        """Fit every member on these rows, which replace all earlier ones.

        Parameters
        ----------
        X : rows of shape (n, ...)
        y : array-like of shape (n,) or (n, n_outputs)
        bootstrap : bool, default=False
            Fit each member on its own bootstrap sample.
        **fit_kwargs
            Passed to the estimators.

        Raises
        ------
        ValueError
            If the rows are invalid. No member is changed in this case, nor if one of
            them fails to fit.
        """
        self._check(X, y)
        warn_if_permuted(X, y)
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
        """Add labeled rows to every member, and fit all members again.

        Parameters
        ----------
        X : rows of shape (n, ...)
        y : array-like of shape (n,) or (n, n_outputs)
            Labels are matched to rows by position, or by index if both `X` and `y` are
            pandas objects.
        bootstrap : bool, default=False
            Fit each member on its own bootstrap sample.
        only_new : bool, default=False
            Fit on the new rows alone; they are added to the training data nonetheless.
        **fit_kwargs
            Passed to the estimators.

        Raises
        ------
        ValueError
            If the rows are invalid. No member is changed in this case, nor if one of
            them fails to fit.
        """
        self._check(X, y)
        y = align_labels(X, y)
        # Members that share their rows keep sharing them: each set is stacked once.
        stacked: dict[tuple[int, int], tuple[Any, Any]] = {}
        grown, fit_on = [], []
        for member in self.learner_list:
            old_X, old_y = member.X_training, member.y_training
            key = id(old_X), id(old_y)
            if key not in stacked:
                if old_X is None:
                    stacked[key] = X, y
                else:
                    rows = complete_columns(X, old_X, member.estimator)
                    stacked[key] = stack_rows(old_X, rows), stack_rows(old_y, y, "y")
                check_duplicates(stacked[key][0], n_rows(X), self.on_duplicate)
            grown.append(stacked[key])
            fit_on.append(
                _last_rows(stacked[key], n_rows(X)) if only_new else grown[-1]
            )
        if len({id(rows) for rows, _ in fit_on}) == 1:  # members share their rows
            fit_kwargs = align_arguments(fit_on[0][0], fit_kwargs)
        self._train(fit_on, grown, bootstrap, fit_kwargs)

    def rebag(self, **fit_kwargs: Any) -> None:
        """Fit every member again, each on a bootstrap sample of its labeled rows.

        Parameters
        ----------
        **fit_kwargs
            Passed to the estimators.
        """
        data = [(m.X_training, m.y_training) for m in self.learner_list]
        if any(X is None for X, _ in data):
            raise NotFittedError("rebag needs members that have labeled rows.")
        self._train(data, data, True, fit_kwargs)

    def transform_without_estimating(self, X: Any) -> Any:
        """Transform rows with the Pipelines of all members, stacked side by side."""
        return hstack_rows(
            [transform_inputs(m.estimator, X) for m in self.learner_list]
        )

    @property
    def X_training(self) -> Any:
        """Labeled rows if all members share them, else None."""
        return self._shared("X_training")

    @property
    def y_training(self) -> Any:
        """Labels if all members share them, else None."""
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

    def _check_members(self) -> None:
        if not self.learner_list:
            raise ValueError("The committee has no members: learner_list is empty.")
        for member in self.learner_list:
            if not hasattr(member, "estimator") or not hasattr(member, "query"):
                name = type(member).__name__
                raise TypeError(
                    f"The members of a committee must be learners, got {name}. Pass "
                    f"ActiveLearner({name}(...)) in its place."
                )

    def _check(self, X: Any, y: Any) -> None:
        self._check_members()
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
        """Fit all members; store the rows to keep once all have succeeded."""
        warn_if_owned(self.learner_list)
        rngs = self._bootstrap_rngs() if bootstrap else [None] * len(self.learner_list)
        with unchanged_on_error(m.estimator for m in self.learner_list):
            for member, (X, y), rng in zip(
                self.learner_list, fit_on, rngs, strict=True
            ):
                fit_estimator(member.estimator, X, y, fit_kwargs, rng)
        for member, (X, y) in zip(self.learner_list, keep, strict=True):
            member.X_training, member.y_training = X, y
        set_owners(self.learner_list)

    def _bootstrap_rngs(self) -> list[torch.Generator | None]:
        """Return one generator per member, so that no two draw the same sample."""
        root = resolve_rng(self.random_state)
        return [resolve_rng(seed_from(root)) for _ in self.learner_list]

    def _predict_members(self, method: str, X: Any, **kwargs: Any) -> list[Any]:
        self._check_members()
        answers = []
        for member in self.learner_list:
            # A member that writes into its rows must not change those of the next.
            rows = rows_to_read(X, member.estimator)
            answers.append(as_dense(getattr(member, method)(rows, **kwargs)))
        return answers

    def __sklearn_is_fitted__(self) -> bool:
        return bool(self.learner_list) and all(
            is_fitted(m.estimator) for m in self.learner_list
        )

    def __sklearn_tags__(self) -> Any:
        # A committee takes the inputs that all its members take.
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        known = [
            get_tags(m).input_tags
            for m in self.learner_list
            if hasattr(m, "__sklearn_tags__")
        ]
        for name in ("sparse", "allow_nan"):
            taken = bool(known) and all(getattr(t, name) for t in known)
            setattr(tags.input_tags, name, taken)
        tags.target_tags.required = True
        return tags


def _last_rows(data: tuple[Any, Any], n: int) -> tuple[Any, Any]:
    X, y = data
    added = np.arange(n_rows(X) - n, n_rows(X))
    return take_rows(X, added), take_rows(y, added)
