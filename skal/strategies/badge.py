"""BADGE: gradients of the last layer, far from each other."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from skal.reading.gradients import per_row_gradients
from skal.reading.pool import Pool
from skal.reading.space import loss_directions
from skal.selection import Picks, kmeans_pp
from skal.spaces import GradientEmbedding
from skal.strategies.base import QueryStrategy

__all__ = ["BADGE"]


class BADGE(QueryStrategy):
    r"""BADGE [1]_: batches that are uncertain and diverse, by their gradients.

    Parameters
    ----------
    head : str, optional
        Name of the last layer; the last Linear by default.
    random_state : int, RandomState, Generator or None
        Draws the rows after the first.

    Notes
    -----
    With probabilities p, own label :math:`\hat y = \arg\max p` and features z, 1
    appended where the head has a bias, the gradient of the loss at :math:`\hat y` is
    :math:`g_x = (p - e_{\hat y}) \otimes z`.  The first pick has the largest; then
    k-means++ draws x with a probability proportional to :math:`\min_s \lVert g_x - g_s
    \rVert^2` over the picks s.  A pick's score is that distance (not squared) when
    picked; the norm for the first.  Labeled rows are not used.

    Reads features and outputs in one forward pass and keeps them, m × (d + C) numbers:
    the gradients stay factored, and no vector of C · d numbers is made.  The nets of a
    committee are read side by side.

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
    _requires: ClassVar[str | None] = "net"

    def __init__(self, head: str | None = None, random_state: Any = None) -> None:
        self.head = head
        self.random_state = random_state

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        layers = []
        for member, access in pool.nets(self.head):
            layers += per_row_gradients(
                access, member.rows, "last_layer", loss_directions(access)
            )
        picks = kmeans_pp(GradientEmbedding(layers), n, rng)
        return Picks(picks.indices, picks.scores.sqrt())
