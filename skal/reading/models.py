"""The fitted models of a learner, and the rows as each of them sees them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
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

from skal.reading.access import NetAccess
from skal.reading.unwrapping import accepts_nan, is_sklearn_own, unwrap
from skal.rows import Rows, array_if_tensor, as_dense

__all__ = ["Member"]

_VOTING = (VotingClassifier, VotingRegressor)
#: scikit-learn's ensembles that fit their parts on arrays.
_FIT_ON_ARRAYS = (
    *(RandomForestClassifier, RandomForestRegressor),
    *(ExtraTreesClassifier, ExtraTreesRegressor),
    *(BaggingClassifier, BaggingRegressor),
)


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

    @classmethod
    def of(cls, estimator: Any, rows: Rows, labeled: Rows | None, y: Any) -> Member:
        """Make a member of a fitted estimator, with its wrappers taken off.

        Parameters
        ----------
        estimator : estimator
        rows, labeled : Rows
            As the learner holds them.
        y : array-like or None
        """
        whole = cls(estimator, rows, labeled, y)._inside(estimator)
        return replace(whole, steps=())

    # -- parts ----------------------------------------------------------------------

    @property
    def is_ensemble(self) -> bool:
        """Whether the model consists of plausible models.

        The parts of forests, bagging and voting are, and those that an ensemble from
        outside scikit-learn lists in ``estimators_``.  The parts of boosting, stacking
        or a one-versus-rest classifier are not: they predict something else than the
        target.
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
        if isinstance(self.estimator, NeuralNet):
            return [self]
        nets: list[Member] = []
        for part in self.parts():
            found = part.nets()
            if not found:
                return []
            nets += found
        return nets

    def _inside(self, wrapped: Any, before: tuple[Any, ...] = ()) -> Member:
        """Make a member of a model that sees the rows of this one."""
        estimator, transformers, target_transformers = unwrap(wrapped)
        steps = (*before, *transformers)
        nan = not isinstance(estimator, NeuralNet) and accepts_nan(estimator, True)
        labeled = self.labeled
        return replace(
            self,
            estimator=estimator,
            rows=self.rows.through(steps, allow_nan=nan),
            labeled=None if labeled is None else labeled.through(steps, allow_nan=nan),
            target_transformers=(*self.target_transformers, *target_transformers),
            steps=(*self.steps, *steps),
        )

    def through_steps(self, block: Any) -> Rows:
        """Make rows of a block of ``pool.members[index]``, as this model sees them."""
        return Rows(block, self.steps, allow_nan=True)

    # -- predictions ----------------------------------------------------------------

    def proba(self) -> list[torch.Tensor]:
        """Predict class probabilities of the pool, one ``(m, C)`` for each output."""
        if isinstance(self.estimator, NeuralNet):
            access = NetAccess(self.estimator)
            outputs = access.outputs(self.rows)
            return [access.to_proba(outputs)]
        blocks: list[list[np.ndarray]] = []
        for _, block in self.rows.blocks():
            proba = self.estimator.predict_proba(array_if_tensor(block))
            blocks.append(proba if isinstance(proba, list) else [proba])
        return [
            torch.from_numpy(np.concatenate(parts).astype(np.float64, copy=False))
            for parts in zip(*blocks, strict=True)
        ]

    def classes(self, proba: list[torch.Tensor]) -> list[np.ndarray]:
        """Get the classes of the columns of `proba`, one array for each output."""
        if isinstance(self.estimator, NeuralNet):
            return [NetAccess(self.estimator).column_classes(proba[0].shape[1])]
        classes = self.estimator.classes_
        return list(classes) if isinstance(classes, list) else [np.asarray(classes)]

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
        for transformer in reversed(self.target_transformers[self.n_shared :]):
            undone = transformer.inverse_transform(predictions)
            predictions = np.asarray(undone).reshape(len(predictions), -1)
        return predictions


class _AsArray:
    """Converts rows as an ensemble converted the rows of one of its parts."""

    def __init__(self, ensemble: Any, columns: np.ndarray | None) -> None:
        self.names = getattr(ensemble, "feature_names_in_", None)
        self.columns = columns

    def transform(self, X: Any) -> Any:
        if hasattr(X, "columns") and self.names is not None:
            X = X[list(self.names)]
        X = X if sparse.issparse(X) else as_dense(X)
        return X if self.columns is None else X[:, self.columns]


def _transform(transformers: tuple[Any, ...], targets: Any) -> np.ndarray:
    values = np.asarray(targets, dtype=np.float64).reshape(len(targets), -1)
    for transformer in transformers:
        values = np.asarray(transformer.transform(values), dtype=np.float64)
        values = values.reshape(len(values), -1)
    return values
