"""Committees and ensembles as a posterior: each member is a plausible model."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from sklearn.base import is_classifier
from skorch import NeuralNet
from torch import Tensor

from skal.exceptions import UnsuitableLearnerError
from skal.posteriors.base import Draws, Posterior, Reader
from skal.posteriors.models import (
    Model,
    ensemble_models,
    is_ensemble,
    member_models,
)
from skal.posteriors.net_reader import NetReader
from skal.reading.pool import Pool
from skal.rng import preserve_global_rng
from skal.rows import Rows

__all__ = ["Members", "has_members"]


class Members(Posterior):
    """The members of a committee or of an ensemble.

    Notes
    -----
    Taken are, in this order,

    * the learners of a `Committee` or `CommitteeRegressor`, modAL's or skal's, one
      model each;
    * the parts of a random forest, extra trees, bagging or voting;
    * the ``estimators_`` of an ensemble from outside scikit-learn, as of skal's.

    Columns are put together by class: a class that a member has not seen has
    probability 0 with it. A member without `predict_proba` counts as certain of the
    class that it predicts. Members of a committee of regressors predict in the units
    of the learner, whatever target transformers each has. Nothing is drawn; the
    weights of a voting ensemble are not used.

    Boosting and stacking are refused: their parts are no models of the target.

    Examples
    --------
    >>> import torch
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from skal.reading.pool import Pool
    >>> from skal.posteriors import Members
    >>> X, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(n_estimators=7, random_state=0).fit(X, y)
    >>> Members().draw(Pool(forest, X), torch.Generator()).collect().shape
    torch.Size([7, 150, 3])
    """

    def draw(self, pool: Pool, rng: torch.Generator) -> Draws:
        """Take the members; see `Posterior.draw`."""
        models = member_models(pool)
        if len(models) == 1:
            (whole,) = models
            if not is_ensemble(whole.estimator):
                raise UnsuitableLearnerError(
                    f"{type(whole.estimator).__name__} has no members to disagree. "
                    "Use a Committee, a random forest, extra trees, bagging, voting "
                    "or one of skal's ensembles of nets."
                )
            models = ensemble_models(whole)
        readers = [_reader(model) for model in models]
        return Draws(pool, readers, "Members()")


def _reader(model: Model) -> Reader:
    # Read through the net, probabilities keep the precision that predict_proba drops.
    inner = model.unwrap()
    if isinstance(inner.estimator, NeuralNet):
        return NetReader(inner, [nullcontext])
    return _EstimatorReader(model)


class _EstimatorReader(Reader):
    """Outputs of an estimator by its `predict_proba` or `predict`."""

    n_draws = 1

    def __init__(self, model: Model) -> None:
        self.model = model
        self.member = model.index
        estimator = model.estimator
        self.labels = None
        if is_classifier(estimator):
            if isinstance(estimator.classes_, list):
                raise UnsuitableLearnerError(
                    f"{type(estimator).__name__} predicts several outputs; "
                    "disagreement is measured on one. Fit a classifier for each."
                )
            self.classes = np.asarray(estimator.classes_)
            self.labels = model.decode(self.classes)
            self.n_outputs = len(self.labels)
        else:
            self.n_outputs = self.read(model.first_row()).shape[2]

    def read(self, block: Any) -> Tensor:
        """Give outputs for rows as the member sees them, ``(1, b, n_outputs)``."""
        rows = self.model.rows(Rows(block, allow_nan=True))
        with preserve_global_rng():
            parts = [self._predict(_to_numpy(part)) for _, part in rows.blocks()]
        return torch.from_numpy(np.concatenate(parts))[None]

    def _predict(self, X: Any) -> np.ndarray:
        estimator = self.model.estimator
        if self.labels is None:
            predicted = np.asarray(estimator.predict(X), dtype=np.float64)
            return self.model.to_common_units(predicted.reshape(len(predicted), -1))
        if hasattr(estimator, "predict_proba"):
            return np.asarray(estimator.predict_proba(X), dtype=np.float64)
        predicted = np.asarray(estimator.predict(X))
        return (predicted[:, None] == self.classes).astype(np.float64)


def _to_numpy(block: Any) -> Any:
    if isinstance(block, Tensor):
        return block.detach().cpu().numpy()
    return block


def has_members(pool: Pool) -> bool:
    """Whether `Members` finds two models or more."""
    if len(pool.members) > 1:
        return True
    estimator = pool.members[0].estimator
    return is_ensemble(estimator) and len(estimator.estimators_) > 1
