"""The fitted models of a learner, and the rows as each of them sees them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
    VotingRegressor,
)
from skorch import NeuralNet

from skal._tables import column_names, take_columns
from skal.nets.criteria import is_binary
from skal.reading.access import NetAccess
from skal.reading.decisions import decision_values
from skal.reading.unwrapping import (
    accepts_nan,
    defines,
    estimator_of,
    innermost,
    is_net,
    is_sklearn_own,
    unwrap,
    walk,
)
from skal.rows import Rows, array_if_tensor, as_dense, take_slice
from skal.shared_copy import copy_to_read

__all__ = ["N_COMPARED", "Member", "warn_if_different"]

_VOTING = (VotingClassifier, VotingRegressor)
#: scikit-learn's ensembles that fit their parts on arrays.
_FIT_ON_ARRAYS = (
    *(RandomForestClassifier, RandomForestRegressor),
    *(ExtraTreesClassifier, ExtraTreesRegressor),
    *(BaggingClassifier, BaggingRegressor),
)
#: By how much the sum of a row of probabilities may differ from 1.
_TOLERANCE = 1e-3
#: Rows of which `warn_if_different` is given the probabilities.
N_COMPARED = 16


@dataclass(frozen=True, eq=False)
class Member:
    """A fitted model of a learner, and the rows as it sees them.

    Attributes
    ----------
    estimator : estimator
        The model, without its pipelines, searches and target transformers.
    rows : Rows
        The pool through all transformers before the estimator.
    labeled : Rows or None
        The labeled rows of the learner through the same transformers.
    y : array-like or None
        Labels of `labeled`, in the units of the learner.
    target_transformers : tuple
        Fitted transformers between `y` and the target of the estimator, outermost
        first.
    n_shared : int
        The number of outermost target transformers that all models of the learner
        share.
    index : int
        Position in ``pool.members`` of the member that this is, or is a part of.
    steps : tuple
        Transformers between the rows of that member and this estimator.
    codes : ndarray or None
        Classes of the learner by the integer labels of the estimator; None if the
        estimator was fitted on the classes.
    whole : Member or None
        What `of` was given, with its wrappers; None for a part of an ensemble.
    """

    estimator: Any
    rows: Rows
    labeled: Rows | None
    y: Any
    target_transformers: tuple[Any, ...] = ()
    n_shared: int = 0
    index: int = 0
    steps: tuple[Any, ...] = ()
    codes: np.ndarray | None = None
    whole: Member | None = None

    @classmethod
    def of(cls, estimator: Any, rows: Rows, labeled: Rows | None, y: Any) -> Member:
        """Make a member of a fitted estimator, with its wrappers taken off.

        Parameters
        ----------
        estimator : learner or estimator
        rows, labeled : Rows
            As the learner holds them.
        y : array-like or None
        """
        whole = cls(estimator, rows, labeled, y)
        return replace(whole._inside(estimator), steps=(), whole=whole)

    def on_labeled(self) -> Member:
        """Make the same model with the labeled rows in place of the pool."""
        if self.labeled is None:
            raise ValueError("The learner holds no labeled rows.")
        whole = self.whole
        if whole is not None and whole.labeled is not None:
            whole = replace(whole, rows=whole.labeled)
        return replace(self, rows=self.labeled, whole=whole)

    def overriding(self, method: str) -> list[Any]:
        """List the wrappers, and nets, for which a class of the user's has `method`.

        They predict something other than what is read within.
        """
        if self.whole is None:
            return []
        outer = self.whole.estimator
        *around, inner = walk(outer)
        if estimator_of(outer) is not outer:  # a learner
            around.insert(0, outer)
        asked = [*around, inner] if is_net(inner) else around
        return [estimator for estimator in asked if defines(estimator, method)]

    def asked(self, method: str) -> Member:
        """Get the model, or what wraps it where `overriding` is not empty."""
        if self.whole is None or not self.overriding(method):
            return self
        nan = accepts_nan(self.whole.estimator, True)
        return replace(self.whole, rows=self.whole.rows.through((), allow_nan=nan))

    def warn_if_overridden(self) -> None:
        """Warn if a class of the user's predicts other probabilities than are read."""
        asked = self.asked("predict_proba")
        if asked is self or not hasattr(self.estimator, "predict_proba"):
            return
        rows = self.rows.first(N_COMPARED), asked.rows.first(N_COMPARED)
        within = replace(self, rows=rows[0], whole=None).proba()
        own = replace(asked, rows=rows[1])._predicted_proba()
        (first, *_) = self.overriding("predict_proba")
        inner = f"the {type(self.estimator).__name__} within it"
        read = "its module" if first is self.estimator else inner
        warn_if_different(own, within, first, read)

    # -- parts ----------------------------------------------------------------------

    @property
    def is_ensemble(self) -> bool:
        """Whether the model consists of plausible models.

        This is true of forests, bagging and voting, and of an ensemble from outside
        scikit-learn that lists its models in ``estimators_``.  It is not true of
        boosting, stacking or a one-versus-rest classifier, whose parts predict
        something other than the target.
        """
        if isinstance(self.estimator, (*_VOTING, *_FIT_ON_ARRAYS)):
            return True
        parts = getattr(self.estimator, "estimators_", None)
        listed = isinstance(parts, (list, tuple)) and len(parts) > 0
        return listed and not is_sklearn_own(self.estimator)

    def parts(self) -> Iterator[Member]:
        """Yield the models of an ensemble; none of a single model."""
        if not self.is_ensemble:
            return
        ensemble = self.estimator
        estimators = list(ensemble.estimators_)
        columns = getattr(ensemble, "estimators_features_", [None] * len(estimators))
        by_array = isinstance(ensemble, _FIT_ON_ARRAYS)
        codes = self.codes
        # Of several outputs there is one array of classes each: they are not decoded.
        if (by_array or isinstance(ensemble, _VOTING)) and is_classifier(ensemble):
            classes = ensemble.classes_
            codes = None if isinstance(classes, list) else self.decode(classes)
        for estimator, own in zip(estimators, columns, strict=True):
            reads_array = by_array or own is not None
            before = (_AsArray(ensemble, own),) if reads_array else ()
            yield replace(self._inside(estimator, before), codes=codes)

    def nets(self) -> list[Member]:
        """List the nets that the model consists of.

        Returns
        -------
        nets : list of Member
            Itself, if it is a skorch net; the nets of all parts, if it is an ensemble
            of nets alone; else empty.
        """
        if is_net(self.estimator):
            return [self]
        nets: list[Member] = []
        for part in self.parts():
            found = part.nets()
            if not found:
                return []
            nets += found
        return nets

    @cached_property
    def access(self) -> NetAccess:
        """Access to the model, which is a skorch net."""
        return NetAccess(self.estimator)

    @cached_property
    def to_read(self) -> Any:
        """The estimator, with copies of the nets in it; see `copy_to_read`."""
        return copy_to_read(self.estimator)

    def _inside(self, wrapped: Any, before: tuple[Any, ...] = ()) -> Member:
        """Make a member of a model that sees the rows of this one."""
        estimator, transformers, target_transformers = unwrap(wrapped)
        steps = (*before, *transformers)
        nan = not isinstance(estimator, NeuralNet) and accepts_nan(estimator, True)
        width = getattr(estimator, "n_features_in_", None)
        labeled = self.labeled
        return replace(
            self,
            estimator=estimator,
            rows=self.rows.through(steps, allow_nan=nan, width=width),
            labeled=None
            if labeled is None
            else labeled.through(steps, allow_nan=nan, width=width),
            target_transformers=(*self.target_transformers, *target_transformers),
            steps=(*self.steps, *steps),
            whole=None,
        )

    def through_steps(self, block: Any) -> Rows:
        """Make rows of a block of ``pool.members[index]``, as this model sees them."""
        width = getattr(self.estimator, "n_features_in_", None)
        return Rows(block, self.steps, allow_nan=True, width=width)

    # -- predictions ----------------------------------------------------------------

    def proba(self) -> list[torch.Tensor]:
        """Predict class probabilities of the pool, one ``(m, C)`` for each output.

        The output of a label of a multi-label model has two columns: without and with
        the label.

        Raises
        ------
        ValueError
            If the rows of an output are not probability distributions.
        """
        asked = self.asked("predict_proba")
        if asked is self and is_net(self.estimator):
            outputs = self.access.outputs(self.rows)
            if is_binary(getattr(self.access.net, "criterion_", None)):
                # One output for each label; a net for two classes has one.
                columns = outputs.flatten(1).split(1, dim=1)
                return [self.access.to_proba(column) for column in columns]
            return [self.access.to_proba(outputs)]
        return asked._predicted_proba()

    def _predicted_proba(self) -> list[torch.Tensor]:
        """Predict class probabilities by `predict_proba`."""
        converted = is_net(innermost(self.estimator))
        blocks: list[list[np.ndarray]] = []
        for _, block in self.rows.blocks():
            block = block if converted else array_if_tensor(block)
            proba = self.to_read.predict_proba(block)
            blocks.append(proba if isinstance(proba, list) else [proba])
        outputs_ = [
            np.concatenate(parts).astype(np.float64, copy=False)
            for parts in zip(*blocks, strict=True)
        ]
        if not isinstance(proba, list) and self.is_multilabel(block, outputs_[0]):
            outputs_ = [np.stack((1 - p, p), axis=1) for p in outputs_[0].T]
        for k, output in enumerate(outputs_):
            outputs_[k] = _as_distributions(output, type(self.estimator).__name__)
        return [torch.from_numpy(output) for output in outputs_]

    def decisions(self) -> list[torch.Tensor]:
        """Compute the decision values of the pool; see `decision_values`."""
        asked = self.asked("decision_function")
        return decision_values(asked.to_read, asked.rows)

    def is_multilabel(self, block: Any, proba: np.ndarray) -> bool:
        """Whether the columns of `predict_proba` are labels, not classes.

        Parameters
        ----------
        block : rows
            As the estimator sees them.
        proba : ndarray of shape (b, C)
            Probabilities of these or other rows.
        """
        estimator = self.estimator
        if getattr(estimator, "multilabel_", False):
            return True
        if isinstance(getattr(estimator, "classes_", None), list):
            return True  # a chain; other models with several outputs return a list
        if proba.ndim != 2 or not _sums_differ(proba):
            return False
        # Only a multi-label model predicts one column for each column of these.
        row = array_if_tensor(take_slice(block, slice(1)))
        return np.shape(self.to_read.predict(row)) == (1, proba.shape[1])

    def classes(self, proba: list[torch.Tensor]) -> list[np.ndarray]:
        """Get the classes of the columns of `proba`, one array for each output."""
        if is_net(self.estimator):
            if len(proba) > 1:
                return [np.arange(2)] * len(proba)
            return [self.access.column_classes(proba[0].shape[1])]
        classes = self.estimator.classes_
        if isinstance(classes, list):
            return list(classes)
        if len(proba) > 1 or getattr(self.estimator, "multilabel_", False):
            return [np.arange(2)] * len(proba)
        return [np.asarray(classes)]

    def decode(self, labels: Any) -> np.ndarray:
        """Get the classes of the learner for labels of this estimator."""
        labels = np.asarray(labels)
        return labels if self.codes is None else self.codes[labels.astype(np.intp)]

    # -- units of the target --------------------------------------------------------

    def own_targets(self) -> np.ndarray | None:
        """Transform `y` to the units of the estimator, ``(L, targets)``, float64."""
        if self.y is None:
            return None
        return _transform(self.target_transformers, self.y)

    @property
    def has_own_units(self) -> bool:
        """Whether the estimator predicts in other units than the models share."""
        return len(self.target_transformers) > self.n_shared

    def to_own_units(self, predictions: np.ndarray) -> np.ndarray:
        """Transform predictions ``(b, targets)`` from the units that models share."""
        return _transform(self.target_transformers[self.n_shared :], predictions)

    def to_shared_units(self, predictions: np.ndarray) -> np.ndarray:
        """Transform predictions ``(b, targets)`` to the units that models share."""
        return _undo(self.target_transformers[self.n_shared :], predictions)

    def from_shared_units(self, predictions: np.ndarray) -> np.ndarray:
        """Transform predictions from the units that models share to the learner's."""
        return _undo(self.target_transformers[: self.n_shared], predictions)


class _AsArray:
    """Converts rows as an ensemble converted the rows of one of its parts."""

    def __init__(self, ensemble: Any, columns: np.ndarray | None) -> None:
        self.names = getattr(ensemble, "feature_names_in_", None)
        self.columns = columns

    def transform(self, X: Any) -> Any:
        if self.names is not None and column_names(X) is not None:
            X = take_columns(X, list(self.names))
        X = X if sparse.issparse(X) else as_dense(X)
        return X if self.columns is None else X[:, self.columns]


def warn_if_different(
    own: list[torch.Tensor], within: list[torch.Tensor], asked: Any, read: str
) -> None:
    """Warn if a model predicts other probabilities than what is read of it.

    Parameters
    ----------
    own, within : list of Tensor of shape (m, C)
        Probabilities of a few rows, by the model and by what is read.
    asked : estimator or learner
        The model.
    read : str
        What is read, as the warning calls it.
    """
    if len(own) == len(within) and all(
        a.shape == b.shape and np.allclose(a.cpu(), b.cpu(), atol=_TOLERANCE)
        for a, b in zip(own, within, strict=True)
    ):
        return
    warnings.warn(
        f"{type(asked).__name__}.predict_proba returns other probabilities than {read},"
        " which is read here. Margin, Entropy and LeastConfident ask predict_proba.",
        stacklevel=2,
    )


def _sums_differ(proba: np.ndarray) -> bool:
    """Whether a row without NaN does not sum to 1, up to errors of float32."""
    return bool((np.abs(proba.sum(axis=1) - 1) > _TOLERANCE).any())


def _as_distributions(proba: np.ndarray, name: str) -> np.ndarray:
    """Return `proba`, ``(m, C)``, once its rows are distributions.

    Some models assign probability 0 to all classes for a row far from all others: no
    class is then more probable than another.
    """
    if proba.ndim != 2:
        raise ValueError(
            f"predict_proba of {name} returned an array of shape {proba.shape}; one "
            "column for each class is needed."
        )
    finite = np.isfinite(proba).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"predict_proba of {name} returned NaN or infinity for "
            f"{int((~finite).sum())} of {len(proba)} rows (the first is row "
            f"{int(finite.argmin())}). Did its training diverge?"
        )
    unknown = ~proba.any(axis=1, keepdims=True)
    if unknown.any():
        proba = np.where(unknown, 1 / max(1, proba.shape[1]), proba)
    if (proba < -_TOLERANCE).any() or _sums_differ(proba):
        sums = proba.sum(axis=1)
        raise ValueError(
            f"predict_proba of {name} does not return probabilities: its values range "
            f"from {proba.min():.3g} to {proba.max():.3g}, and the sums of its rows "
            f"from {sums.min():.3g} to {sums.max():.3g}. Return one probability for "
            "each class; a multi-label model predicts one column for each label."
        )
    return proba


def _transform(transformers: tuple[Any, ...], targets: Any) -> np.ndarray:
    # Copies, as transformers with copy=False write into what they are given.
    values = np.array(targets, dtype=np.float64).reshape(len(targets), -1)
    for transformer in transformers:
        values = np.asarray(transformer.transform(values), dtype=np.float64)
        values = values.reshape(len(values), -1)
    return values


def _undo(transformers: tuple[Any, ...], predictions: np.ndarray) -> np.ndarray:
    predictions = predictions.copy()
    for transformer in reversed(transformers):
        undone = transformer.inverse_transform(predictions)
        predictions = np.asarray(undone).reshape(len(predictions), -1)
    return predictions
