"""Committees and ensembles as a posterior: each member is a plausible model."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from typing import Any

import numpy as np
import torch
from sklearn.base import is_classifier
from torch import Tensor

from skal.exceptions import UnsuitableLearnerError
from skal.posteriors.base import Draws, Posterior, Reader
from skal.posteriors.nets import NetReader
from skal.reading.pool import Member, Pool
from skal.reading.unwrapping import is_net
from skal.reading.variance_column import without_variance
from skal.rng import preserve_global_rng
from skal.rows import Rows, array_if_tensor

__all__ = ["Members", "check_several", "has_members"]


class Members(Posterior):
    """The members of a committee or of an ensemble.

    Notes
    -----
    The models are, in this order,

    * the learners of a `Committee` or `CommitteeRegressor` of modAL or skal, one model
      for each;
    * the parts of a random forest, extra trees, bagging or voting;
    * the ``estimators_`` of an ensemble from outside scikit-learn, such as skal's.

    Columns are matched by class: a member assigns probability 0 to a class that it has
    not seen.  A member without `predict_proba` is certain of the class that it
    predicts.  The predictions of a committee of regressors are in the units of the
    learner, whatever the target transformers of its members.  Nothing is drawn; the
    weights of a voting ensemble are ignored.

    Boosting and stacking raise an error, because their parts are not models of the
    target.

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
        models = pool.members
        if len(models) == 1:
            (whole,) = models
            if not whole.is_ensemble:
                check_several(pool)
                raise UnsuitableLearnerError(
                    f"{type(whole.estimator).__name__} has no members to disagree. "
                    "Use a Committee, a random forest, extra trees, bagging, voting "
                    "or one of skal's ensembles of nets."
                )
            models = list(whole.parts())

        # The transformers before an ensemble are run once, not for each of its parts.
        @cache
        def first_row(index: int) -> Any:
            _, block = next(iter(pool.members[index].rows.first().blocks()))
            return block

        return Draws(pool, [_reader(model, first_row) for model in models], "Members()")


def has_members(pool: Pool) -> bool:
    """Whether `Members` finds two models or more."""
    if len(pool.members) > 1:
        return True
    (member,) = pool.members
    return member.is_ensemble and len(member.estimator.estimators_) > 1


def check_several(pool: Pool) -> None:
    """Raise UnsuitableLearnerError for a committee or an ensemble of one member."""
    (member,) = pool.members
    ensemble = member.estimator if member.is_ensemble else pool.learner
    held = "estimators_" if member.is_ensemble else "learner_list"
    if len(getattr(ensemble, held, ())) == 1:
        raise UnsuitableLearnerError(
            f"{type(ensemble).__name__} has a single member, which cannot disagree "
            "with itself. Give it at least two, which differ by their estimators, "
            "their seeds or their rows."
        )


def _reader(model: Member, first_row: Callable[[int], Any]) -> Reader:
    # Through the net, probabilities keep the precision that predict_proba drops.
    if is_net(model.estimator):
        return NetReader(model, [nullcontext])
    return _EstimatorReader(model, first_row)


class _EstimatorReader(Reader):
    """Reads the outputs of an estimator by its `predict_proba` or `predict`."""

    n_draws = 1

    def __init__(self, model: Member, first_row: Callable[[int], Any]) -> None:
        self.model = model
        self.member = model.index
        estimator = model.estimator
        self.labels = None
        if is_classifier(estimator):
            if isinstance(estimator.classes_, list):
                raise _several_outputs(estimator)
            self.classes = np.asarray(estimator.classes_)
            self.labels = model.decode(self.classes)
            self.n_outputs = len(self.labels)
        else:
            self.n_outputs = self.read(first_row(model.index)).shape[2]

    def read(self, block: Any) -> Tensor:
        """Read ``(1, b, n_outputs)`` for a block of the member's rows."""
        return self._run(self.model.through_steps(block))

    def _run(self, rows: Rows) -> Tensor:
        with preserve_global_rng():
            parts = [self._predict(array_if_tensor(part)) for _, part in rows.blocks()]
        return torch.from_numpy(np.concatenate(parts))[None]

    def _predict(self, X: Any) -> np.ndarray:
        estimator = self.model.to_read
        if self.labels is None:
            predicted = without_variance(estimator, estimator.predict(X))
            predicted = predicted.astype(np.float64, copy=False)
            return self.model.to_shared_units(predicted.reshape(len(predicted), -1))
        if hasattr(estimator, "predict_proba"):
            proba = np.asarray(estimator.predict_proba(X), dtype=np.float64)
            if self.model.is_multilabel(X, proba):
                raise _several_outputs(estimator)
            return proba
        predicted = np.asarray(estimator.predict(X))
        if predicted.size > len(predicted):
            raise _several_outputs(estimator)
        return (predicted[:, None] == self.classes).astype(np.float64)


def _several_outputs(estimator: Any) -> UnsuitableLearnerError:
    return UnsuitableLearnerError(
        f"{type(estimator).__name__} predicts several outputs or labels; disagreement "
        "is measured on one. Fit a classifier for each, or use Entropy, LeastConfident "
        "or Margin, which sum over outputs."
    )
