"""A learner and its pool, as a query strategy reads them; columns matched by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet

from skal._stacking import with_columns_of
from skal._tables import column_names, take_columns
from skal.contexts import hiding
from skal.exceptions import UnsuitableLearnerError
from skal.nets.copying import copy_to
from skal.reading.access import NetAccess
from skal.reading.models import N_COMPARED, Member, warn_if_different
from skal.reading.untrained import check_finite_untrained
from skal.reading.unwrapping import (
    accepts_nan,
    as_input,
    defines,
    estimator_of,
    innermost,
    is_net,
    learners_of,
    unwrap,
)
from skal.rng import preserve_global_rng
from skal.rows import (
    ChainedRows,
    Rows,
    array_if_tensor,
    as_dense,
    copied_rows,
    find_masked_rows,
    n_rows,
    take_rows,
    take_slice,
    transform_rows,
)

__all__ = ["Matched", "Member", "Pool", "complete_columns", "match_columns"]


class Pool:
    """A learner and the unlabeled rows that it may query.

    Parameters
    ----------
    learner : ActiveLearner, Committee or estimator
        Fitted, in any nesting of `ActiveLearner`, `Committee`, `Pipeline`,
        `TransformedTargetRegressor`, `GridSearchCV` and `RandomizedSearchCV`.
    X : container of m rows
        The pool as the user holds it; see `skal.rows` for the kinds.
    name : str
        What the rows are called in an error.

    Raises
    ------
    ValueError
        If the pool is empty or one-dimensional.
    """

    def __init__(self, learner: Any, X: Any, name: str = "the pool") -> None:
        self.learner = learner
        self.X = X
        self.name = name
        self._n = n_rows(X)
        if self._n == 0:
            raise ValueError(f"{self._title} is empty: there is no row to query.")
        shape = getattr(X, "shape", None)
        if shape is not None and len(shape) == 1 and not _is_text(X):
            raise ValueError(
                f"{self._title} must have rows and columns, got shape {tuple(shape)}. "
                "Use X.reshape(-1, 1) for one feature, X.reshape(1, -1) for one row."
            )
        masked = find_masked_rows(X)
        if masked is not None:
            raise ValueError(
                f"{int(masked.sum())} of {self._n} rows of {name} hold masked values "
                f"(the first is row {int(masked.argmax())}), and models would take "
                "what is under the mask for data. Drop these rows, or fill them, as "
                "X.filled(np.nan) does for an imputer or a model that accepts NaN."
            )

    def __len__(self) -> int:
        return self._n

    @property
    def _title(self) -> str:
        """What the rows are called, at the start of a sentence."""
        return self.name[:1].upper() + self.name[1:]

    def take(self, indices: torch.Tensor | np.ndarray) -> Pool:
        """Make a pool of some of the rows, with the same learner.

        Parameters
        ----------
        indices : Tensor or ndarray of shape (n,)
            Positions.  Rows of arrays and tables are copied; a Dataset or a dask array
            is read when the rows are.
        """
        X = take_rows(self.X, np.asarray(torch.as_tensor(indices).cpu()))
        return Pool(self.learner, X, "the part of the pool that is looked at")

    def rows_of(self, X: Any, name: str) -> list[Rows]:
        """Make rows of another container, as each of the members sees them.

        Parameters
        ----------
        X : container of rows
        name : str
            What the rows are called in an error.
        """
        members = Pool(self.learner, X, name).members
        for member in members:
            member.rows.name = name
        return [member.rows for member in members]

    @cached_property
    def members(self) -> list[Member]:
        """The fitted models: one for a learner, several for a committee.

        If the members of a committee hold different labeled rows, the labeled rows of
        each member are those of all members, transformed by its own pipeline.

        Raises
        ------
        NotFittedError
            If a model is not fitted.
        ValueError
            If the columns of the pool are not those of the training data, and the
            model does not take such rows.
        """
        learners = learners_of(self.learner)
        held: list[tuple[Any, Any] | None] = []
        distinct: dict[int, tuple[Any, Any]] = {}
        for learner in learners:
            pair = self._held_by(learner)
            held.append(pair)
            if pair is not None:
                distinct[id(pair[0])] = pair
        # Where they differ, each model sees all of them.
        together = len(distinct) > 1 or (bool(distinct) and None in held)
        seen: dict[tuple[Any, ...], Any] = {}
        members = []
        for k, (learner, pair) in enumerate(zip(learners, held, strict=True)):
            outer = estimator_of(learner)
            _check_fitted(outer)
            X, names = match_columns(self.X, pair and pair[0], learner, self.name)
            if names is None:
                self._check_n_features(outer, pair)
            elif X is not self.X:  # one copy for all models with the same columns
                X = seen.setdefault(tuple(names), X)
            own = list(distinct.values()) if together else [pair] if pair else []
            labeled = self._labeled(own, names) if own else (None, None)
            member = Member.of(learner, Rows(X, name=self.name), *labeled)
            # The units of a single member are those of all its parts.
            n_shared = len(member.target_transformers) if len(learners) == 1 else 0
            members.append(replace(member, index=k, n_shared=n_shared))
        return members

    @property
    def labeled(self) -> list[tuple[Any, Any]]:
        """Labeled rows with their labels, as the learner or its members hold them.

        A set that several members share is listed once.  The models need not be fitted.
        """
        sets = {}
        for holder in (self.learner, *learners_of(self.learner)):
            X = getattr(holder, "X_training", None)
            if X is not None and n_rows(X) > 0:
                sets[id(X)] = X, _labels_of(holder)
        return list(sets.values())

    @property
    def is_fitted(self) -> bool:
        """Whether every model is fitted."""
        try:
            _ = self.members
        except NotFittedError:
            return False
        return True

    @property
    def is_before_first_fit(self) -> bool:
        """Whether no model of the learner is fitted.

        A committee of which only some members are fitted is not at its beginning.
        """
        if self.is_fitted:
            return False
        learners = learners_of(self.learner)
        return len(learners) == 1 or not any(
            Pool(learner, self.X).is_fitted for learner in learners
        )

    def check_finite(self) -> None:
        """Read the pool once; raise if a row has NaN that the models do not accept."""
        if self.is_fitted:
            for member in self.members:
                member.rows.check_finite()
        else:
            check_finite_untrained(self)

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

    def proba(self, labeled: bool = False) -> list[torch.Tensor]:
        """Predict class probabilities, float64, one ``(m, C)`` for each output.

        Parameters
        ----------
        labeled : bool
            Whether those of the labeled rows are predicted in place of the pool.

        Notes
        -----
        The probabilities of a committee are the mean over its members, with columns
        matched by class; a member assigns probability 0 to a class that it has not
        seen.  A committee whose class has a `predict_proba` of the user's is asked.
        """
        members = self.members if self._committee is None else [self._committee]
        if labeled:
            members = [m.on_labeled() for m in members if m.labeled]
        return _mean_proba(members)

    @cached_property
    def _committee(self) -> Member | None:
        """The committee, if it predicts probabilities in a way of the user's."""
        members = learners_of(self.learner)
        if members == [self.learner] or not defines(self.learner, "predict_proba"):
            return None
        first = self.members[0].whole
        assert first is not None  # of a whole learner
        nan = all(accepts_nan(estimator_of(member), True) for member in members)
        rows = first.rows.through((), allow_nan=nan)
        return replace(first, estimator=self.learner, rows=rows)

    def warn_if_overridden(self) -> None:
        """Warn if a class of the user's predicts other probabilities than are read.

        For strategies that read outputs of models otherwise than by `proba`.
        """
        for member in self.members:
            member.warn_if_overridden()
        if self._committee is None:
            return
        few = self.take(torch.arange(min(N_COMPARED, len(self))))
        mean = _mean_proba(few.members)
        warn_if_different(few.proba(), mean, self.learner, "the mean of its members")

    def nets(self, head: str | None = None) -> Iterator[tuple[Member, NetAccess]]:
        """Yield every net of the learners and their ensembles, with access to it.

        Parameters
        ----------
        head : str, optional
            Name of the head in the net's module; by default the last Linear to run.

        Yields
        ------
        member : Member
            The net, with pool and labeled rows as it sees them.
        access : NetAccess
            All on the device of the first net; those of other devices are copied.
        """
        device: torch.device | None = None
        for member in self.members:
            for net in member.nets():
                own = next(net.estimator.module_.parameters(), None)
                device = own.device if device is None and own is not None else device
                if own is not None and own.device != device:
                    net = replace(net, estimator=copy_to(net.estimator, device))
                yield (
                    net,
                    net.access if head is None else NetAccess(net.estimator, head),
                )

    def _held_by(self, learner: Any) -> tuple[Any, Any] | None:
        """Labeled rows of a member, or those of the committee that it is of."""
        for holder in (learner, self.learner):
            X = getattr(holder, "X_training", None)
            if X is not None:
                return (X, _labels_of(holder)) if n_rows(X) > 0 else None
        return None

    def _labeled(
        self, sets: list[tuple[Any, Any]], names: list[Any] | None
    ) -> tuple[Rows, Any]:
        """Labeled rows of one model, with the columns that the pool has."""
        parts = []
        for X, _ in sets:
            own = column_names(X)
            differ = names is not None and own is not None and own != names
            if differ and set(names or []) <= set(own or []):
                X = take_columns(X, names or [])
            parts.append(Rows(X, name="the labeled data"))
        if len(sets) == 1:
            return parts[0], sets[0][1]
        return ChainedRows(parts), _joined_labels([y for _, y in sets])

    def _check_n_features(self, estimator: Any, held: tuple[Any, Any] | None) -> None:
        """Raise if rows without names have another number of features."""
        expected = getattr(estimator, "n_features_in_", None)
        if expected is None and held is not None:
            shape: tuple[int, ...] = getattr(held[0], "shape", ())
            expected = shape[1] if len(shape) == 2 else None
        shape = getattr(self.X, "shape", ())
        if expected is not None and len(shape) == 2 and shape[1] != expected:
            raise ValueError(
                f"{self._title} has {shape[1]} features, but the model was trained on "
                f"{expected}."
            )


def _labels_of(holder: Any) -> Any:
    """Labels that a learner holds; those of a tensor as an array, wherever it is."""
    return array_if_tensor(getattr(holder, "y_training", None))


def _joined_labels(parts: list[Any]) -> np.ndarray:
    """Join the labels of several members, as a column if one of them is."""
    arrays = [as_dense(y) for y in parts]
    if any(labels.ndim > 1 for labels in arrays):
        arrays = [labels.reshape(len(labels), -1) for labels in arrays]
        widths = sorted({labels.shape[1] for labels in arrays})
        if len(widths) > 1:
            raise UnsuitableLearnerError(
                f"The members of the committee have labels of {widths} columns; they "
                "must predict the same targets."
            )
    return np.concatenate(arrays)


def _is_text(X: Any) -> bool:
    return getattr(getattr(X, "dtype", None), "kind", "") in "OUST"


def _mean_proba(members: list[Member]) -> list[torch.Tensor]:
    """Mean probabilities of models, one ``(m, C)`` for each output."""
    if len(members) == 1:
        return members[0].proba()
    probas = [member.proba() for member in members]
    columns = [m.classes(p) for m, p in zip(members, probas, strict=True)]
    classes = [np.unique(np.concatenate(seen)) for seen in zip(*columns, strict=True)]
    m = len(members[0].rows)
    total = [torch.zeros((m, len(c)), dtype=torch.float64) for c in classes]
    for member, own in zip(probas, columns, strict=True):
        for k, (proba, seen) in enumerate(zip(member, own, strict=True)):
            places = torch.from_numpy(np.searchsorted(classes[k], seen))
            total[k][:, places] += proba.cpu()
    return [proba / len(members) for proba in total]


def _check_fitted(estimator: Any) -> None:
    """Raise unless an estimator is fitted, as far as can be told."""
    if isinstance(estimator, NeuralNet):
        if not getattr(estimator, "initialized_", False):
            raise NotFittedError(
                f"This {type(estimator).__name__} instance is not fitted yet. Call "
                "'fit' with labeled data before querying."
            )
    elif hasattr(estimator, "__sklearn_tags__"):
        check_is_fitted(estimator)
        # It predicts by its prior, too, and so counts as fitted for scikit-learn.
        if isinstance(inner := innermost(estimator), GaussianProcessRegressor):
            check_is_fitted(inner, "X_train_")


# -- columns ------------------------------------------------------------------------


class Matched(NamedTuple):
    """Rows with the columns that a model was trained on.

    Attributes
    ----------
    X : rows
    names : list or None
        The columns of `X`; None if they were not matched by name.
    """

    X: Any
    names: list[Any] | None


def match_columns(
    X: Any, labeled: Any, learner: Any, name: str = "the pool"
) -> Matched:
    """Put the columns of new rows in the order of the training rows.

    Parameters
    ----------
    X : rows
        Returned as they are if they have no names.
    labeled : rows or None
        The training rows; without them the names are those that the estimator saw.
    learner : learner or estimator
        Fitted.  It decides about missing and additional columns: a pipeline may not
        need the missing ones and may ignore the additional ones.
    name : str
        What the rows are called in an error.

    Returns
    -------
    matched : Matched
        Additional columns are dropped, and missing ones stay missing.

    Raises
    ------
    ValueError
        If columns are missing or additional, and the estimator refuses such rows.
    """
    known, got = _known_names(labeled, learner), column_names(X)
    if known is None or got is None or len(set(got)) < len(got):
        return Matched(X, None)
    common = [column for column in known if column in set(got)]
    if not common:  # names of another type: columns are matched by position
        return Matched(X, None)
    if got == known:
        return Matched(X, known)
    additional = [column for column in got if column not in set(known)]
    ordered = take_columns(X, [*common, *additional])
    if len(common) == len(known) and not additional:
        return Matched(ordered, known)
    refusal = _refusal(ordered, learner)
    if refusal is not None:
        missing = [column for column in known if column not in set(got)]
        raise ValueError(
            f"The columns of {name} are not those that the model was trained on: "
            f"missing {missing[:20]}, additional {additional[:20]}. "
            f"{type(estimator_of(learner)).__name__} does not accept such rows: "
            f"{' '.join(str(refusal).split())}"
        ) from refusal
    if not additional:
        return Matched(ordered, common)
    matched = take_columns(X, common)
    if _refusal(matched, learner) is None:
        return Matched(matched, common)
    return Matched(X, None)


def complete_columns(X: Any, labeled: Any, learner: Any) -> Any:
    """Give new rows the columns of the training rows, before both are stacked.

    Parameters
    ----------
    X, labeled, learner
        As in `match_columns`, whose errors are raised.

    Returns
    -------
    X : rows
        Additional columns are dropped, and missing ones hold missing values, once the
        estimator has shown that it reads neither.
    """
    if column_names(labeled) is None:
        return X
    matched, names = match_columns(X, labeled, learner, "X")
    return matched if names is None else with_columns_of(labeled, matched)


def _known_names(labeled: Any, learner: Any) -> list[Any] | None:
    seen = getattr(estimator_of(learner), "feature_names_in_", None)
    names = column_names(labeled) if seen is None else list(seen)
    return names if names is not None and len(set(names)) == len(names) else None


def _refusal(X: Any, learner: Any) -> Exception | None:
    """Let a model predict the first row, without changing it; return its error."""
    estimator, transformers, _ = unwrap(learner)
    try:
        with preserve_global_rng(), hiding():
            row = copied_rows(as_input(take_slice(X, slice(1)), estimator))
            row = transform_rows(row, transformers)
            if is_net(estimator):
                NetAccess(estimator).outputs(Rows(row, allow_nan=True))
            else:
                estimator.predict(array_if_tensor(row))
    # Any step of a pipeline may refuse rows, each in its own way.
    except Exception as error:
        return error
    return None
