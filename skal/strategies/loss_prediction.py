"""Loss prediction: rows with the largest losses predicted by the net."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from skal.exceptions import UnsuitableLearnerError
from skal.reading.access import NetAccess
from skal.reading.pool import Pool
from skal.reading.probing import reads_rows_alone
from skal.rows import Rows
from skal.strategies.base import ScoreStrategy

__all__ = ["LossPrediction"]


class LossPrediction(ScoreStrategy):
    r"""Loss prediction [1]_: rows with the largest losses predicted by the net itself.

    Parameters
    ----------
    random_state : int, RandomState, Generator or None
        Used to order rows with equal scores; None gives the same order in each query.

    Notes
    -----
    The learner must be a :class:`skal.nets.LossPredictionClassifier` or
    :class:`skal.nets.LossPredictionRegressor`, which learn to rank the losses of rows
    during training.

    The score is the predicted loss :math:`\hat l(x)`, which has neither a unit nor a
    meaningful zero: only the order of the rows is learned.  The loss does not
    distinguish label noise from a lack of training data, so that rows whose labels are
    noisy are picked, too.

    The scores of several nets are averaged: a constant added to all rows does not
    change the order, and the margin, which is the same unless it was set, gives them
    one scale.

    The cost is one forward pass over the pool for each net; m elements are kept.

    References
    ----------
    .. [1] Yoo and Kweon, "Learning loss for active learning", CVPR 2019.
       https://arxiv.org/abs/1905.03677

    Examples
    --------
    >>> import numpy as np
    >>> from skal.nets import LossPredictionRegressor
    >>> from skal.strategies import LossPrediction
    >>> X = np.linspace(-1, 1, 200)[:, None]
    >>> noise = np.random.default_rng(0).normal(size=200)
    >>> y = np.where(X[:, 0] > 0, noise, 0)
    >>> net = LossPredictionRegressor(lr=0.01, random_state=0).fit(X, y)
    >>> LossPrediction().select(net, [[-0.5], [0.5]]).indices
    array([1])
    """

    _requires: ClassVar[str | None] = "net"
    _draws_only_ties: ClassVar[bool] = True

    def __init__(self, random_state: Any = None) -> None:
        self.random_state = random_state

    def _check_learner(self, pool: Pool) -> None:
        super()._check_learner(pool)
        for _, access in pool.nets():
            if not hasattr(access.net, "forward_loss"):
                raise UnsuitableLearnerError(
                    "LossPrediction reads the losses that a net predicts, and "
                    f"{type(access.net).__name__} was not trained to predict them: use "
                    "skal.nets.LossPredictionClassifier or LossPredictionRegressor."
                )

    def _score(self, pool: Pool, rng: torch.Generator) -> Tensor:
        predicted = []
        for member, access in pool.nets():
            _check_rows_alone(access, member.rows)
            losses = access.collect(member.rows, access.net.forward_loss)
            predicted.append(losses.double().cpu())
        return torch.stack(predicted).mean(0)


def _check_rows_alone(access: NetAccess, rows: Rows) -> None:
    """Raise if the predicted loss of a row may be that of another row."""
    _, batch = next(access.batches(rows))
    with torch.inference_mode(False), torch.no_grad():
        alone = reads_rows_alone(access.net.forward_loss, batch)
    if not alone and access.check_rows_alone(batch):
        raise UnsuitableLearnerError(
            f"{type(access.module).__name__} sorts or mixes the rows of a batch, and "
            "the losses predicted from its inner layers are not those of the rows at "
            "the same places. Keep the order of the rows in these layers, or list "
            "others with blocks=."
        )
