"""Greedy sampling for regression: far from what is labeled, in inputs and outputs."""

from __future__ import annotations

from contextlib import nullcontext
from typing import ClassVar

import numpy as np
import torch
from skorch import NeuralNet
from torch import Tensor

from skal.exceptions import UnsuitableLearnerError
from skal.hooks import evaluating
from skal.reading.pool import Member, Pool
from skal.reading.space import read_inputs
from skal.rows import array_if_tensor
from skal.selection import Picks
from skal.spaces import Dense
from skal.strategies.base import QueryStrategy
from skal.validation import check_option

__all__ = ["GreedySampling"]

#: Distances between pool and labeled rows that are there together.
_BLOCK = 2**21


class GreedySampling(QueryStrategy):
    r"""Greedy sampling for regression [1]_: GSx, GSy and iGS.

    Parameters
    ----------
    criterion : {"both", "inputs", "outputs"}
        Where distances are taken: in inputs and outputs (iGS), in inputs (GSx) or in
        outputs (GSy).

    Notes
    -----
    With inputs x as the model sees them, predictions f(x) and labels y, the next pick
    is the row of the largest distance, its score:

    - GSx: :math:`\min_s \lVert x - x_s \rVert`
    - GSy: :math:`\min_s \lVert f(x) - y_s \rVert`
    - iGS: :math:`\min_s \lVert x - x_s \rVert \lVert f(x) - y_s \rVert`

    over rows s that are labeled or picked, the latter with their prediction for y.
    Where the learner holds no labeled rows, as a bare estimator, the first pick is the
    row nearest to the mean of the inputs (GSx, iGS) or of the predictions (GSy), as the
    paper starts; its score is infinity.  Scale inputs that differ in their units.

    Any regressor will do; one prediction a row.  The predictions of a committee are
    averaged; inputs and labels are those of its first member.  Keeps m × d numbers, and
    never all distances to the labeled rows; a pass over the inputs a pick.

    References
    ----------
    .. [1] Wu, Lin and Huang, "Active learning for regression using greedy sampling",
       Information Sciences 2019. https://arxiv.org/abs/1808.04245

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from skal import ActiveLearner
    >>> from skal.strategies.greedy_sampling import GreedySampling
    >>> X = np.linspace(-1, 1, 21)[:, None]
    >>> line = LinearRegression()
    >>> learner = ActiveLearner(line, X_training=X[8:14], y_training=X[8:14, 0])
    >>> GreedySampling().select(learner, X, 2).indices.tolist()
    [0, 20]
    """

    _task: ClassVar[str] = "regression"
    _reads: ClassVar[str] = "predictions"

    def __init__(self, criterion: str = "both") -> None:
        self.criterion = criterion

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        check_option("criterion", self.criterion, ["both", "inputs", "outputs"])
        member = pool.members[0]
        parts, labeled = [], []
        if self.criterion != "outputs":
            parts.append(read_inputs(member.rows))
            if member.labeled is not None:
                labeled.append(read_inputs(member.labeled))
        if self.criterion != "inputs":
            predictions = [_predict(member) for member in pool.members]
            parts.append(torch.stack(predictions).mean(dim=0))
            if member.labeled is not None:
                labeled.append(_labels(member, pool))
        return _greedy(parts, labeled, n)


def _greedy(parts: list[Tensor], labeled: list[Tensor], n: int) -> Picks:
    """Farthest-first by the product of the distances in some spaces."""
    distance = parts[0].new_full((len(parts[0]),), torch.inf)
    if labeled:
        distance = _to_labeled(parts, labeled)
    indices = torch.empty(n, dtype=torch.long)
    scores = distance.new_empty(n)
    spaces = [Dense(part) for part in parts]
    left = torch.ones_like(distance, dtype=torch.bool)
    for k in range(n):
        if k == 0 and not labeled:
            middle = Dense(parts[0].mean(dim=0, keepdim=True))
            i = int(spaces[0].nearest(middle)[0].argmin())
        else:
            i = int(torch.where(left, distance, -1.0).argmax())
        indices[k], scores[k], left[i] = i, distance[i], False
        own = torch.ones_like(distance)
        for space in spaces:
            own *= space.sq_dist(i).sqrt()
        distance = torch.minimum(distance, own)
    return Picks(indices, scores)


def _to_labeled(parts: list[Tensor], labeled: list[Tensor]) -> Tensor:
    """Least product of distances to labeled rows, in blocks."""
    if len(parts) == 1:
        return Dense(parts[0]).nearest(Dense(labeled[0]))[0].sqrt()
    size = max(1, _BLOCK // len(labeled[0]))
    result = []
    for blocks in zip(*(part.split(size) for part in parts), strict=True):
        product = None
        for block, known in zip(blocks, labeled, strict=True):
            distances = torch.cdist(block, known)
            product = distances if product is None else product.mul_(distances)
        if product is not None:
            result.append(product.amin(dim=1))
    return torch.cat(result)


def _predict(member: Member) -> Tensor:
    """Predictions in the estimator's own units, ``(m, targets)``."""
    net = isinstance(member.estimator, NeuralNet)
    blocks = []
    # A net's predict leaves its modules in eval mode.
    with evaluating(member.estimator.module_) if net else nullcontext():
        for _, block in member.rows.blocks():
            block = block if net else array_if_tensor(block)
            predicted = np.array(member.estimator.predict(block), dtype=np.float64)
            blocks.append(torch.from_numpy(predicted.reshape(len(predicted), -1)))
    result = torch.cat(blocks)
    if not bool(result.isfinite().all()):
        raise ValueError(
            "The predictions of the model are not finite. Did its training diverge?"
        )
    return result


def _labels(member: Member, pool: Pool) -> Tensor:
    """Labels in the estimator's own units, ``(L, targets)``."""
    y = member.own_targets()
    if y is None:
        raise UnsuitableLearnerError(
            f"{type(pool.learner).__name__} holds labeled rows without labels."
        )
    # A copy: torch warns of read-only memory, as the values of a Series are.
    return torch.tensor(y)
