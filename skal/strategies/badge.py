"""BADGE: uncertain and diverse batches, by gradients of the last layer."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from skal.reading.gradients import per_row_gradients
from skal.reading.pool import Pool
from skal.reading.space import as_space, loss_directions
from skal.selection import Picks, kmeans_pp
from skal.strategies.base import QueryStrategy

__all__ = ["BADGE"]


class BADGE(QueryStrategy):
    r"""BADGE [1]_: uncertain and diverse batches, by gradients of the last layer.

    Parameters
    ----------
    head : str, optional
        Name of the last layer; by default the last Linear on the way to the outputs.
    random_state : int, RandomState, Generator or None
        Used to draw all rows but the first.

    Notes
    -----
    With probabilities p, predicted label :math:`\hat y = \arg\max p` and features z,
    with 1 appended if the head has a bias, the gradient of the loss at :math:`\hat y`
    is :math:`g_x = (p - e_{\hat y}) \otimes z`.  The first pick has the largest
    gradient.  Then k-means++ draws x with a probability proportional to :math:`\min_s
    \lVert g_x - g_s \rVert^2` over the picks s.  The score of a pick is this distance
    (not squared) when it was picked; for the first pick, the norm.  Labeled rows are
    not used.

    The cost is one forward pass.  Features and outputs are kept, m × (d + C) elements:
    gradients are stored as factors, and no vector of length C · d is computed.  The
    gradients of several nets are concatenated.

    References
    ----------
    .. [1] Ash, Zhang, Krishnamurthy, Langford and Agarwal, "Deep batch active learning
       by diverse, uncertain gradient lower bounds", ICLR 2020.
       https://arxiv.org/abs/1906.03671

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skal import NetClassifier
    >>> from skal.strategies.badge import BADGE
    >>> X, y = load_iris(return_X_y=True)
    >>> net = NetClassifier(max_epochs=5, random_state=0).fit(X[::5], y[::5])
    >>> BADGE(random_state=0).select(net, X, 3).indices.shape
    (3,)
    """

    _task: ClassVar[str] = "classification"
    _any_of_equal: ClassVar[bool] = True
    _requires: ClassVar[str | None] = "net"

    def __init__(self, head: str | None = None, random_state: Any = None) -> None:
        self.head = head
        self.random_state = random_state

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        pool.warn_if_overridden()
        gradients = [
            per_row_gradients(
                access, member.rows, "last_layer", loss_directions(access)
            )
            for member, access in pool.nets(self.head)
        ]
        picks = kmeans_pp(as_space(gradients, []).pool, n, rng)
        return Picks(picks.indices, picks.scores.sqrt())
