"""The single models of a learner: members of a committee, parts of an ensemble."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    BaseEnsemble,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
    VotingRegressor,
)
from skorch import NeuralNet

from skal.exceptions import UnsuitableLearnerError
from skal.reading.pool import Member, Pool
from skal.reading.unwrapping import unwrap
from skal.rows import Rows, take_slice

__all__ = ["Model", "ensemble_models", "is_ensemble", "member_models", "net_models"]

_VOTING = (VotingClassifier, VotingRegressor)
#: They train their parts on arrays.
_ON_ARRAYS = (
    *(RandomForestClassifier, RandomForestRegressor),
    *(ExtraTreesClassifier, ExtraTreesRegressor),
    *(BaggingClassifier, BaggingRegressor),
)


@dataclass
class Model:
    """One fitted model, and how it hangs in the learner.

    Attributes
    ----------
    estimator : estimator
        Gives the outputs.
    member : Member
        Which of the pool's members it is, or is a part of.
    index : int
        Position of that member.
    transformers : tuple
        Between the member's rows and the estimator.
    target_transformers : list
        Between the target of the learner and that of the estimator, outermost first.
    n_kept : int
        How many of the outermost of these stay on predictions.
    codes : ndarray or None
        Classes that the estimator knows by their positions; None if by themselves.
    """

    estimator: Any
    member: Member
    index: int
    transformers: tuple[Any, ...] = ()
    target_transformers: list[Any] = field(default_factory=list)
    n_kept: int = 0
    codes: np.ndarray | None = None

    def unwrap(self) -> Model:
        """Take pipelines, searches and target transformers off the estimator."""
        estimator, transformers, targets = unwrap(self.estimator)
        return Model(
            estimator,
            self.member,
            self.index,
            (*self.transformers, *transformers),
            [*self.target_transformers, *targets],
            self.n_kept,
            self.codes,
        )

    def rows(self, rows: Rows) -> Rows:
        """Rows of the member, as this model sees them."""
        if not self.transformers:
            return rows
        return Rows(
            rows.X,
            (*rows.transformers, *self.transformers),
            allow_nan=rows.allow_nan,
            name=rows.name,
        )

    def first_row(self) -> Any:
        """First row of the pool as the member sees it, to learn shapes from."""
        rows = self.member.rows
        row = Rows(take_slice(rows.X, slice(0, 1)), rows.transformers, allow_nan=True)
        return next(row.blocks())[1]

    def decode(self, labels: np.ndarray) -> np.ndarray:
        """Classes of the learner that labels of this estimator stand for."""
        return labels if self.codes is None else self.codes[labels.astype(np.intp)]

    def to_common_units(self, predictions: np.ndarray) -> np.ndarray:
        """Undo target transformers, but the kept, of predictions ``(b, outputs)``."""
        for transformer in reversed(self.target_transformers[self.n_kept :]):
            undone = transformer.inverse_transform(predictions)
            predictions = np.asarray(undone).reshape(len(predictions), -1)
        return predictions


class _AsArray:
    """Gives a block as the parts of a forest or a bagging were given theirs."""

    def __init__(self, ensemble: Any, columns: np.ndarray | None = None) -> None:
        self.names = getattr(ensemble, "feature_names_in_", None)
        self.columns = columns

    def transform(self, X: Any) -> Any:
        if hasattr(X, "columns") and self.names is not None:
            X = X[list(self.names)]
        if hasattr(X, "detach"):
            X = X.detach().cpu()
        X = X if sparse.issparse(X) else np.asarray(X)
        return X if self.columns is None else X[:, self.columns]


def is_ensemble(estimator: Any) -> bool:
    """Whether the parts of a fitted estimator are plausible models each.

    So are those of forests, bagging and voting, and of an estimator from outside
    scikit-learn with a list ``estimators_``. The parts of boosting, stacking or a
    one-versus-rest classifier are not: they predict something else than the whole.
    """
    if isinstance(estimator, (*_VOTING, *_ON_ARRAYS)):
        return True
    foreign = any(
        cls.__module__.startswith("sklearn.")
        and not cls.__module__.startswith(("sklearn.base", "sklearn.utils"))
        and cls is not BaseEnsemble
        for cls in type(estimator).__mro__
    )
    parts = getattr(estimator, "estimators_", None)
    return not foreign and isinstance(parts, (list, tuple)) and len(parts) > 0


def member_models(pool: Pool) -> list[Model]:
    """Every member of the pool as a model."""
    alone = len(pool.members) == 1
    return [
        Model(
            member.estimator,
            member,
            index,
            target_transformers=list(member.target_transformers),
            # A single member's own units are common to all that it consists of.
            n_kept=len(member.target_transformers) if alone else 0,
        )
        for index, member in enumerate(pool.members)
    ]


def ensemble_models(whole: Model) -> list[Model]:
    """Parts of an ensemble, each as a model."""
    ensemble = whole.estimator
    parts = list(ensemble.estimators_)
    prepare: list[tuple[Any, ...]] = [()] * len(parts)
    if isinstance(ensemble, (BaggingClassifier, BaggingRegressor)):
        prepare = [(_AsArray(ensemble, f),) for f in ensemble.estimators_features_]
    elif isinstance(ensemble, _ON_ARRAYS):
        prepare = [(_AsArray(ensemble),)] * len(parts)
    by_code = isinstance(ensemble, (VotingClassifier, *_ON_ARRAYS))
    codes = whole.codes
    if is_classifier(ensemble) and by_code:
        if isinstance(ensemble.classes_, list):
            raise UnsuitableLearnerError(
                f"{type(ensemble).__name__} predicts several outputs; disagreement is "
                "measured on one. Fit a classifier for each."
            )
        codes = whole.decode(np.asarray(ensemble.classes_))
    return [
        Model(
            part,
            whole.member,
            whole.index,
            transformers=(*whole.transformers, *first),
            target_transformers=whole.target_transformers,
            n_kept=whole.n_kept,
            codes=codes,
        )
        for part, first in zip(parts, prepare, strict=True)
    ]


def net_models(pool: Pool, source: str) -> list[Model]:
    """Every skorch net of the learner: itself, members, parts of ensembles.

    Raises
    ------
    UnsuitableLearnerError
        If a model is none.
    """
    return [net for model in member_models(pool) for net in _nets(model, source)]


def _nets(model: Model, source: str) -> Iterator[Model]:
    inner = model.unwrap()
    if isinstance(inner.estimator, NeuralNet):
        yield inner
    elif is_ensemble(inner.estimator):
        for part in ensemble_models(inner):
            yield from _nets(part, source)
    else:
        raise UnsuitableLearnerError(
            f"{source} draws from the net of a skorch estimator, and "
            f"{type(inner.estimator).__name__} is none. Use skal.NetClassifier or "
            "skal.NetRegressor, alone, in a Pipeline, a committee or an ensemble; or "
            "posterior=Members() for an ensemble or committee of other estimators."
        )
