"""CAL: rows whose prediction differs from those of the nearest labeled rows."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from skal.measures import contrast
from skal.reading.access import NetAccess
from skal.reading.batches import as_columns
from skal.reading.pool import Member, Pool
from skal.rows import Rows
from skal.selection import KNearest
from skal.strategies.base import ScoreStrategy
from skal.validation import check_int

__all__ = ["CAL"]


class CAL(ScoreStrategy):
    r"""CAL [1]_: predictions that differ from those of nearby labeled rows.

    Parameters
    ----------
    n_neighbors : int, default=10
        Number of labeled rows that a row is compared with; all labeled rows if there
        are fewer.
    head : str, optional
        Name of the module whose inputs are the features; by default the last Linear
        on the way to the outputs.
    random_state : int, RandomState, Generator or None
        Used to order rows with equal scores; None gives the same order in each query.

    Notes
    -----
    The score is :math:`\frac1k \sum_{j \in N(x)} \mathrm{KL}(p(x_j) \,\|\, p(x))` in
    nats, over the k = `n_neighbors` labeled rows that are nearest by the Euclidean
    distance of the features, scaled to unit length; of equally near rows, the first one
    is used.  The probabilities are those of the net; the true labels are not used.  The
    scores of several nets are averaged.

    The cost is one forward pass over the pool and the labeled rows, and a product of
    their features, m × L × d multiply-adds for L labeled rows.  L × (d + C) elements
    are kept, and the pool is read batch by batch.

    References
    ----------
    .. [1] Margatina, Vernikos, Barrault and Aletras, "Active learning by acquiring
       contrastive examples", EMNLP 2021. https://arxiv.org/abs/2109.03764

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skal import ActiveLearner, NetClassifier
    >>> from skal.strategies import CAL
    >>> X, y = load_iris(return_X_y=True)
    >>> net = NetClassifier(lr=0.01, random_state=0)
    >>> learner = ActiveLearner(net, CAL(), X_training=X[::3], y_training=y[::3])
    >>> indices, rows = learner.query(X, n_instances=4)
    >>> bool((y[indices] > 0).all())
    True
    """

    _task: ClassVar[str] = "classification"
    _requires: ClassVar[str | None] = "net"
    _requires_labeled: ClassVar[bool] = True
    _draws_only_ties: ClassVar[bool] = True

    def __init__(
        self, n_neighbors: int = 10, head: str | None = None, random_state: Any = None
    ) -> None:
        self.n_neighbors = n_neighbors
        self.head = head
        self.random_state = random_state

    def _score(self, pool: Pool, rng: torch.Generator) -> Tensor:
        check_int("n_neighbors", self.n_neighbors)
        pool.warn_if_overridden()
        scores = [
            _contrasts(access, member, member.labeled, self.n_neighbors).cpu()
            for member, access in pool.nets(self.head)
            if member.labeled is not None
        ]
        return torch.stack(scores).mean(dim=0)


def _contrasts(access: NetAccess, member: Member, labeled: Rows, k: int) -> Tensor:
    """Scores of the rows by one net, ``(m,)``."""

    def read(batch: Any) -> tuple[Tensor, Tensor]:
        features, outputs = access.forward_features(batch)
        return features, access.to_proba(as_columns(outputs))

    known, known_proba = access.collect(labeled, read)
    nearest = KNearest(known, min(k, len(known)), metric="cosine")

    def score(batch: Any) -> Tensor:
        features, proba = read(batch)
        return contrast(proba, known_proba, nearest(features))

    return access.collect(member.rows, score)
