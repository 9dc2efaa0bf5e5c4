"""Greedy sampling for regression: far from labeled rows, in inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from skal._numerics.products import blocks
from skal.exceptions import UnsuitableLearnerError
from skal.reading.inputs import read_inputs
from skal.reading.pool import Member, Pool
from skal.reading.untrained import seen_rows
from skal.reading.unwrapping import is_net
from skal.reading.variance_column import without_variance
from skal.rows import array_if_tensor
from skal.selection import Picks
from skal.selection._greedy import Greedy, any_of_largest
from skal.spaces import Dense
from skal.strategies.base import QueryStrategy
from skal.validation import check_option, check_share

__all__ = ["GreedySampling", "WiGS"]


class GreedySampling(QueryStrategy):
    r"""Greedy sampling [1]_: rows far from labeled ones in inputs and outputs (iGS).

    Parameters
    ----------
    criterion : {"both", "inputs", "outputs"}, default="both"
        Distances are taken in inputs and outputs (iGS), in inputs (GSx) or in outputs
        (GSy).
    random_state : int, RandomState, Generator or None
        Not used: nothing is drawn.

    Notes
    -----
    With inputs x as the model sees them, predictions f(x) and labels y, the next pick
    is the row with the largest distance, its score:

    - GSx: :math:`\min_s \lVert x - x_s \rVert`
    - GSy: :math:`\min_s \lVert f(x) - y_s \rVert`
    - iGS: :math:`\min_s \lVert x - x_s \rVert \lVert f(x) - y_s \rVert`

    over rows s that are labeled or picked, with the prediction as the label of a picked
    row.  If there are no labeled rows, as with an estimator in place of a learner, the
    first pick is the row nearest to the mean of the inputs (GSx, iGS) or of the
    predictions (GSy), as in the paper; its score is infinity.  Scale inputs that have
    different units.

    Suits any regressor; with ``criterion="inputs"`` it need not be fitted.  The cost is
    one prediction for each row.  The predictions of a committee are averaged; the
    inputs are the rows as its first member receives them, and the labeled rows of all
    members are used.  m × d elements are kept, but never all distances to the labeled
    rows; each pick takes a pass over the inputs.

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
    _any_of_equal: ClassVar[bool] = True
    _draws_only_ties: ClassVar[bool] = True

    def __init__(self, criterion: str = "both", random_state: Any = None) -> None:
        self.criterion = criterion
        self.random_state = random_state

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        check_option("criterion", self.criterion, ["both", "inputs", "outputs"])
        inputs, outputs = self.criterion != "outputs", self.criterion != "inputs"
        return _Farthest(*_read(pool, inputs, outputs)).pick(n)


class WiGS(QueryStrategy):
    r"""WiGS [1]_: greedy sampling by a weighted sum of distances in inputs and outputs.

    Parameters
    ----------
    weight : float, default=0.5
        Weight w of the distance in the inputs, from 0 to 1; that of the distance in the
        outputs is 1 - w.
    random_state : int, RandomState, Generator or None
        Not used: nothing is drawn.

    Notes
    -----
    The product of `GreedySampling` (iGS) ignores a row that is near a labeled row in
    the inputs, however wrong its prediction may be; a sum does not.  With inputs x as
    the model sees them, predictions f(x) and labels y, the next pick is the row with
    the largest :math:`\min_s w\, d'_x(x, x_s) + (1 - w)\, d'_y(f(x), y_s)`, its score,
    over rows s that are labeled or picked, with the prediction as the label of a picked
    row.  The distances d' are scaled to the range from 0 to 1, by the smallest and the
    largest distance between a row of the pool and a labeled row, and keep this scale
    throughout a batch.  If there are no labeled rows, the first pick is the row nearest
    to the mean of the inputs, with a score of infinity, and the distances to it give
    the scale.

    With w = 1 the picks are those of ``GreedySampling("inputs")``, with w = 0 those of
    ``GreedySampling("outputs")``.  The paper also lowers w from query to query, or lets
    reinforcement learning choose it; here the weight is set by `set_params`.  The
    formula is that of the authors' program.

    Suits any regressor.  The cost is one prediction for each row, and two passes over
    the distances to the labeled rows, which are never all kept.

    References
    ----------
    .. [1] Nguyen, Russo, Hoffman and McCormick, "Adaptive active learning for
       regression via reinforcement learning", 2026. https://arxiv.org/abs/2603.10435

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from skal import ActiveLearner
    >>> from skal.strategies import WiGS
    >>> X = np.linspace(-1, 1, 21)[:, None]
    >>> line = LinearRegression()
    >>> learner = ActiveLearner(line, X_training=X[8:14], y_training=X[8:14, 0])
    >>> WiGS(weight=0.3).select(learner, X, 2).indices.tolist()
    [0, 20]
    """

    _task: ClassVar[str] = "regression"
    _any_of_equal: ClassVar[bool] = True
    _draws_only_ties: ClassVar[bool] = True

    def __init__(self, weight: float = 0.5, random_state: Any = None) -> None:
        self.weight = weight
        self.random_state = random_state

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        check_share("weight", self.weight)
        weights = float(self.weight), 1 - float(self.weight)
        return _FarthestBySum(*_read(pool), weights).pick(n)


# -- distances to labeled and picked rows ----------------------------------------------


class _Farthest(Greedy):
    """Least product of the distances, in some spaces, to a labeled or picked row."""

    def __init__(self, parts: list[Tensor], labeled: list[Tensor]) -> None:
        self.spaces = [Dense(part) for part in parts]
        self.is_empty = not labeled
        if labeled:
            self.value = self._least(parts, labeled)
        else:
            self.value = parts[0].new_full((len(parts[0]),), torch.inf)

    def choose(self) -> tuple[int, Tensor] | None:
        if not self.is_empty:
            return super().choose()
        middle = Dense(self.spaces[0].features.mean(dim=0, keepdim=True))
        i = any_of_largest(-self.spaces[0].nearest(middle)[0])
        return i, self.value[i]

    def update(self, i: int) -> None:
        distances = [space.sq_dist(i).sqrt() for space in self.spaces]
        self.value = torch.minimum(self.value, self.joined(distances))
        self.is_empty = False

    def joined(self, distances: list[Tensor]) -> Tensor:
        """Make one distance of those in all spaces."""
        product = torch.ones_like(distances[0])
        for distance in distances:
            product *= distance
        return product

    def _least(self, parts: list[Tensor], labeled: list[Tensor]) -> Tensor:
        """Least joined distance to a labeled row."""
        if len(parts) == 1:
            return Dense(parts[0]).nearest(Dense(labeled[0]))[0].sqrt()
        result = parts[0].new_empty(len(parts[0]))
        for part, distances in _distances(parts, labeled):
            result[part] = self.joined(distances).amin(dim=1)
        return result


class _FarthestBySum(_Farthest):
    """Least weighted sum of the distances, each scaled to its range."""

    def __init__(
        self, parts: list[Tensor], labeled: list[Tensor], weights: tuple[float, float]
    ) -> None:
        self.weights = weights
        self.ranges: list[tuple[float, float]] = []
        for _, distances in _distances(parts, labeled) if labeled else ():
            self._widen(distances)
        super().__init__(parts, labeled)

    def joined(self, distances: list[Tensor]) -> Tensor:
        if self.is_empty:
            self._widen(distances)
        total = torch.zeros_like(distances[0])
        ranges = zip(self.weights, distances, self.ranges, strict=True)
        for weight, distance, (low, high) in ranges:
            if high > low:  # otherwise it distinguishes no rows
                total += (distance - low) * (weight / (high - low))
        return total

    def _widen(self, distances: list[Tensor]) -> None:
        """Let the ranges contain some distances."""
        own = [(float(d.min()), float(d.max())) for d in distances]
        known = self.ranges or own
        self.ranges = [
            (min(a, low), max(b, high))
            for (a, b), (low, high) in zip(known, own, strict=True)
        ]


def _distances(
    parts: list[Tensor], labeled: list[Tensor]
) -> Iterator[tuple[slice, list[Tensor]]]:
    """Yield distances of blocks of rows to all labeled rows, in each space."""
    for part in blocks(len(parts[0]), len(labeled[0])):
        # By differences: expanded squares lose small distances far from 0.
        yield (
            part,
            [
                torch.cdist(
                    rows[part], known, compute_mode="donot_use_mm_for_euclid_dist"
                )
                for rows, known in zip(parts, labeled, strict=True)
            ],
        )


# -- inputs and outputs ----------------------------------------------------------------


def _read(
    pool: Pool, inputs: bool = True, outputs: bool = True
) -> tuple[list[Tensor], list[Tensor]]:
    """Read inputs and predictions of the pool, and inputs and labels of labeled rows.

    The second list is empty if there are no labeled rows.
    """
    parts, labeled = [], []
    if inputs:
        rows, known = seen_rows(pool)[0]
        parts.append(read_inputs(rows))
        if known is not None:
            labeled.append(read_inputs(known))
    if outputs:
        member = pool.members[0]
        predictions = [_predict(member) for member in pool.members]
        parts.append(torch.stack(predictions).mean(dim=0))
        if member.labeled is not None:
            labeled.append(_labels(member, pool))
    return parts, labeled


def _predict(member: Member) -> Tensor:
    """Predictions in the estimator's own units, ``(m, targets)``."""
    net = is_net(member.estimator)
    blocks = []
    if net:
        next(member.access.batches(member.rows))  # warns if rows depend on others
    for _, block in member.rows.blocks():
        block = block if net else array_if_tensor(block)
        predicted = without_variance(member.estimator, member.to_read.predict(block))
        predicted = np.array(predicted, dtype=np.float64)
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
