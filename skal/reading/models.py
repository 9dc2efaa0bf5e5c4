"""One fitted model of a learner, and the rows as it sees them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet

from skal.reading.access import NetAccess
from skal.rows import Rows

__all__ = ["Member"]


@dataclass
class Member:
    """One fitted model of a learner, with the rows as it sees them.

    Attributes
    ----------
    estimator : estimator
        What is left when pipelines, searches and target transformers are taken off.
    rows : Rows
        The pool through the member's transformers.
    labeled : Rows or None
        The learner's labeled rows through the same transformers.
    y : array-like or None
        Labels of `labeled`, in the units of the learner.
    target_transformers : list
        Fitted transformers between `y` and the estimator's own target.
    """

    estimator: Any
    rows: Rows
    labeled: Rows | None
    y: Any
    target_transformers: list[Any] = field(default_factory=list)

    def nets(self) -> list[NeuralNet]:
        """Give the net that the estimator is, or those of an ensemble of nets.

        None for other estimators, and for the ensembles of scikit-learn, which may
        show each part some of the columns.
        """
        if isinstance(self.estimator, NeuralNet):
            return [self.estimator]
        parts = getattr(self.estimator, "estimators_", None)
        foreign = type(self.estimator).__module__.startswith("sklearn.")
        if foreign or not isinstance(parts, list):
            return []
        return parts if all(isinstance(part, NeuralNet) for part in parts) else []

    def proba(self) -> list[torch.Tensor]:
        """Class probabilities of the pool, float64, one ``(m, C)`` for each output."""
        if isinstance(self.estimator, NeuralNet):
            access = NetAccess(self.estimator)
            outputs = access.outputs(self.rows)
            return [access.to_proba(outputs)]
        blocks: list[list[np.ndarray]] = []
        for _, block in self.rows.blocks():
            proba = self.estimator.predict_proba(_as_numpy(block, self.estimator))
            blocks.append(proba if isinstance(proba, list) else [proba])
        return [
            torch.from_numpy(np.concatenate(parts).astype(np.float64, copy=False))
            for parts in zip(*blocks, strict=True)
        ]

    def classes(self, proba: list[torch.Tensor]) -> list[np.ndarray]:
        """Give the classes of the columns of `proba`, one array for each output."""
        if isinstance(self.estimator, NeuralNet):
            return [NetAccess(self.estimator).column_classes(proba[0].shape[1])]
        classes = self.estimator.classes_
        return list(classes) if isinstance(classes, list) else [np.asarray(classes)]


def _as_numpy(block: Any, estimator: Any) -> Any:
    """Give a tensor to scikit-learn's own estimators as an array."""
    if isinstance(block, torch.Tensor) and not isinstance(estimator, NeuralNet):
        return block.detach().cpu().numpy()
    return block
