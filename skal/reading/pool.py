"""A learner and its pool, unwrapped to what a query strategy reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
import torch
from sklearn.base import is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet

from skal.exceptions import UnsuitableLearnerError
from skal.reading.access import NetAccess
from skal.reading.models import Member
from skal.reading.unwrapping import (
    allows_nan,
    estimator_of,
    innermost,
    learners_of,
    unwrap,
)
from skal.rows import ChainedRows, Rows, n_rows, take_rows

__all__ = ["Member", "Pool"]


class Pool:
    """A learner and the rows it may ask labels for.

    Parameters
    ----------
    learner : ActiveLearner, Committee or estimator
        Fitted; `ActiveLearner`, `Committee`, `Pipeline`,
        `TransformedTargetRegressor`, `GridSearchCV` and `RandomizedSearchCV` are
        taken apart in any nesting.
    X : array-like of shape (m, ...)
        The pool as the user holds it; see `skal.rows.Rows` for the kinds.
    name : str
        What the rows are called in an error.

    Raises
    ------
    ValueError
        If the pool is empty, or its columns are not those of the training data.
    """

    def __init__(self, learner: Any, X: Any, name: str = "the pool") -> None:
        self.learner = learner
        self.X = X
        self.name = name
        self._n = n_rows(X)
        if self._n == 0:
            raise ValueError("The pool is empty: there is no row to query.")
        shape = getattr(X, "shape", None)
        if shape is not None and len(shape) == 1 and not _is_text(X):
            raise ValueError(
                f"The pool must have rows and columns, got shape {tuple(shape)}. Use "
                "X.reshape(-1, 1) for one feature, X.reshape(1, -1) for one row."
            )

    def __len__(self) -> int:
        return self._n

    def take(self, indices: torch.Tensor | np.ndarray) -> Pool:
        """Give a pool of some of the rows, with the same learner.

        Parameters
        ----------
        indices : Tensor or ndarray of shape (n,)
            Positions.  Rows of arrays and tables are copied; a Dataset and a dask
            array are read when the rows are.
        """
        X = take_rows(self.X, np.asarray(torch.as_tensor(indices).cpu()))
        return Pool(self.learner, X, "the part of the pool that is looked at")

    @cached_property
    def members(self) -> list[Member]:
        """The fitted models: one for a learner, several for a committee.

        Raises
        ------
        NotFittedError
            If one of them is not fitted.
        """
        members = [self._member(learner) for learner in learners_of(self.learner)]
        sets = [m for m in members if m.labeled is not None]
        distinct = {id(m.labeled.X): m for m in sets if m.labeled is not None}
        if len(distinct) > 1 or 0 < len(sets) < len(members):
            # Members taught on rows of their own, or of which some hold none: all of
            # them are labeled, and each member sees all of them in its own way.
            held = [m.labeled.X for m in distinct.values() if m.labeled is not None]
            y = np.concatenate([np.asarray(m.y) for m in distinct.values()])
            for member in members:
                name = "the labeled data"
                parts = [self._rows(member, X, name) for X in held]
                member.labeled, member.y = ChainedRows(parts), y
        return members

    @staticmethod
    def _rows(member: Member, X: Any, name: str) -> Rows:
        """Rows as a member sees them."""
        seen = member.rows
        return Rows(X, seen.transformers, allow_nan=seen.allow_nan, name=name)

    @property
    def labeled(self) -> list[tuple[Any, Any]]:
        """Labeled rows with their labels, as learner or members hold them.

        A set that several members share is there once.  The models need not be fitted.
        """
        sets = {}
        for holder in (self.learner, *learners_of(self.learner)):
            X = getattr(holder, "X_training", None)
            if X is not None and n_rows(X) > 0:
                sets[id(X)] = X, getattr(holder, "y_training", None)
        return list(sets.values())

    @property
    def is_fitted(self) -> bool:
        """Whether every model is fitted."""
        try:
            _ = self.members
        except NotFittedError:
            return False
        return True

    def check_finite(self) -> None:
        """Read the pool once, raising if a row cannot be given to the model."""
        if self.is_fitted:
            for member in self.members:
                member.rows.check_finite()
        else:
            allow_nan = allows_nan(self.learner)
            Rows(self.X, allow_nan=allow_nan, name=self.name).check_finite()

    @property
    def task(self) -> str:
        """``"classification"``, ``"regression"`` or ``"unknown"``."""
        for learner in learners_of(self.learner):
            estimator = innermost(learner)
            if not hasattr(estimator, "__sklearn_tags__"):
                continue
            if is_classifier(estimator):
                return "classification"
            if is_regressor(estimator):
                return "regression"
        return "unknown"

    def proba(self) -> list[torch.Tensor]:
        """Class probabilities, float64, one ``(m, C)`` for each output.

        Those of a committee are the mean of its members', columns matched by class;
        a class that a member has not seen has probability 0 with it.
        """
        members = self.members
        if len(members) == 1:
            return members[0].proba()
        probas = [member.proba() for member in members]
        columns = [m.classes(p) for m, p in zip(members, probas, strict=True)]
        classes = [
            np.unique(np.concatenate(seen)) for seen in zip(*columns, strict=True)
        ]
        total = [torch.zeros((self._n, len(c)), dtype=torch.float64) for c in classes]
        for member, own in zip(probas, columns, strict=True):
            for k, (proba, seen) in enumerate(zip(member, own, strict=True)):
                places = torch.from_numpy(np.searchsorted(classes[k], seen))
                total[k][:, places] += proba.cpu()
        return [proba / len(members) for proba in total]

    def nets(self, head: str | None = None) -> Iterator[tuple[Member, NetAccess]]:
        """Yield every net, of learners and of ensembles, with what may be read from it.

        Parameters
        ----------
        head : str, optional
            Name of the head in the net's module; the last Linear by default.
        """
        for member in self.members:
            for net in member.nets():
                yield member, NetAccess(net, head=head)

    def check_gives(self, reads: str, strategy: str, others: Callable[[], str]) -> None:
        """Raise unless every model gives what a strategy reads.

        Parameters
        ----------
        reads : {"nothing", "proba", "posterior", "net"}
            A posterior says itself what it misses.
        strategy : str
            Name of the strategy, for the error.
        others : callable
            Gives the names of strategies that read less.

        Raises
        ------
        UnsuitableLearnerError
            If a model is no skorch net or ensemble of such nets, or has no
            `predict_proba`.
        """
        if reads not in ("net", "proba"):
            return
        wanted = {
            "net": "the net of a skorch estimator, such as skal.NetClassifier or "
            "skal.NetRegressor (in a Pipeline or not, or several in a Committee or an "
            "ensemble of skal)",
            "proba": "predict_proba",
        }[reads]
        for member in self.members:
            estimator = member.estimator
            gives = bool(member.nets())
            if reads == "proba":
                gives = hasattr(estimator, "predict_proba")
            if not gives:
                raise UnsuitableLearnerError(
                    f"{strategy} reads {wanted}; {type(estimator).__name__} does not "
                    f"give it. Strategies that do without: {others()}."
                )

    def _member(self, learner: Any) -> Member:
        labeled_X = getattr(learner, "X_training", None)
        labeled_y = getattr(learner, "y_training", None)
        if labeled_X is None and learner is not self.learner:
            labeled_X = getattr(self.learner, "X_training", None)
            labeled_y = getattr(self.learner, "y_training", None)
        outer = estimator_of(learner)
        if isinstance(outer, NeuralNet):
            if not getattr(outer, "initialized_", False):
                raise _not_fitted(outer)
        elif hasattr(outer, "__sklearn_tags__"):  # others are taken at their word
            check_is_fitted(outer)
        self._check_columns(outer, labeled_X)
        estimator, transformers, target_transformers = unwrap(outer)
        allow_nan = not isinstance(estimator, NeuralNet) and allows_nan(estimator)
        rows = Rows(self.X, transformers, allow_nan=allow_nan, name=self.name)
        labeled = None
        if labeled_X is not None and n_rows(labeled_X) > 0:
            labeled = Rows(
                labeled_X, transformers, allow_nan=allow_nan, name="the labeled data"
            )
        return Member(estimator, rows, labeled, labeled_y, target_transformers)

    def _check_columns(self, estimator: Any, labeled_X: Any) -> None:
        names = getattr(estimator, "feature_names_in_", None)
        if names is not None and hasattr(self.X, "columns"):
            missing = [name for name in names if name not in self.X.columns]
            if missing:
                raise ValueError(
                    f"The pool lacks {len(missing)} of the columns that the model was "
                    f"trained on: {missing[:10]}."
                )
        expected = getattr(estimator, "n_features_in_", None)
        if expected is None:
            shape: tuple[int, ...] = getattr(labeled_X, "shape", ())
            expected = shape[1] if len(shape) == 2 else None
        shape = getattr(self.X, "shape", ())
        if expected is not None and len(shape) == 2 and shape[1] != expected:
            raise ValueError(
                f"The pool has {shape[1]} features, but the model was trained on "
                f"{expected}."
            )


def _is_text(X: Any) -> bool:
    return getattr(getattr(X, "dtype", None), "kind", "") in "OUST"


def _not_fitted(estimator: Any) -> NotFittedError:
    return NotFittedError(
        f"This {type(estimator).__name__} instance is not fitted yet. Call 'fit' with "
        "labeled data before querying."
    )
