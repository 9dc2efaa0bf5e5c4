"""Least disagree metric: rows whose class a small change of the head would flip."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from skal.exceptions import UnsuitableLearnerError
from skal.measures import least_disagree_metric
from skal.nets.bayesian import LINEAR
from skal.reading.access import NetAccess
from skal.reading.batches import as_columns
from skal.reading.pool import Pool
from skal.rows import Rows
from skal.selection import Picks, seeding
from skal.spaces import Cosine
from skal.strategies.alike import warn_if_alike
from skal.strategies.base import QueryStrategy, ScoreStrategy
from skal.validation import check_int, check_option

__all__ = ["LDM", "LDMSeeding"]


def _read(
    strategy: LDM | LDMSeeding, pool: Pool, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Least disagree metrics of the rows, ``(m,)``, and their features, ``(m, d)``."""
    check_int("n_reference", strategy.n_reference)
    check_int("n_unchanged", strategy.n_unchanged)
    check_option("stop", strategy.stop, ["reference", "pool", "row"])
    pool.warn_if_overridden()
    metrics: list[Tensor] = []
    features: list[Tensor] = []
    for member, access in pool.nets(strategy.head):
        z, head = _features_of_the_decision(access, member.rows)
        drawn = torch.randperm(len(z), generator=rng)[: strategy.n_reference]
        reference = drawn.to(z.device)
        is_reference = torch.zeros(len(z), dtype=torch.bool, device=z.device)
        is_reference[reference] = True
        metrics.append(
            least_disagree_metric(
                z,
                head.weight.detach().to(z),
                None if head.bias is None else head.bias.detach().to(z),
                z[reference],
                is_reference=is_reference,
                n_unchanged=strategy.n_unchanged,
                sigmas=strategy.sigmas,
                stop=strategy.stop,
                rng=rng,
            )
        )
        features.append(z)
    return torch.stack(metrics).mean(0), torch.cat(features, dim=1)


def _features_of_the_decision(access: NetAccess, rows: Rows) -> tuple[Tensor, Any]:
    """Read the features, once it is certain that the head alone decides the class."""
    head: Any = None

    def read(batch: Any) -> tuple[Tensor, Tensor]:
        nonlocal head
        z, outputs = access.forward_features(batch)
        head = _linear_head(access, batch)
        if z.shape[1] != head.in_features:
            raise UnsuitableLearnerError(
                "The head runs on several positions of a row, where the least disagree "
                "metric needs one vector a row. Name another with head=."
            )
        outputs, direct = as_columns(outputs), head(z.to(head.weight.dtype))
        if outputs.shape != direct.shape:
            same = torch.zeros(len(z), dtype=torch.bool, device=z.device)
        elif outputs.shape[1] == 1:
            same = torch.ones(len(z), dtype=torch.bool, device=z.device)
        else:
            same = outputs.argmax(1) == direct.argmax(1)
        return z, same

    z, same = access.collect(rows, read)
    # Rounding may swap near ties; a layer behind the head swaps far more.
    if int((~same).sum()) > 0.01 * len(same):
        raise UnsuitableLearnerError(
            "The class that the net predicts is not that of its head's largest output: "
            "something behind the head decides. Name the last layer with head=."
        )
    return z, head


def _linear_head(access: NetAccess, batch: Any) -> Any:
    head = access.find_head(batch).layer
    if not isinstance(head, LINEAR):
        raise UnsuitableLearnerError(
            "The least disagree metric moves the weights of a torch.nn.Linear, and the "
            f"head is a {type(head).__name__}. Name a Linear with head=."
        )
    return head


class LDM(ScoreStrategy):
    r"""LDM [1]_: rows whose class flips under the smallest change of the last layer.

    Parameters
    ----------
    n_reference : int, default=2000
        Number M of rows, drawn from the pool, by which the disagreement of two
        hypotheses is measured; all rows if the pool has fewer.
    n_unchanged : int, default=10
        Number s of consecutive draws without a decrease after which the next scale is
        tried.
    sigmas : sequence of float, optional
        Scales of the noise, ascending; by default :math:`10^{-5 + 0.1 k}` for :math:`k
        = 0, \dots, 50`.
    stop : {"reference", "pool", "row"}, default="reference"
        Whose decrease restarts the count of `n_unchanged`: that of any of the M rows,
        of any row of the pool, as in the authors' program, or, for each row, its own,
        as in the paper.  If the pool has at most M rows, the first two are the same;
        for larger pools, the second one takes much longer.
    head : str, optional
        Name of the last layer; by default the last Linear on the way to the outputs.
    random_state : int, RandomState, Generator or None
        Used to draw the hypotheses.

    Notes
    -----
    The metric of a row is the smallest share of inputs on which a hypothesis that
    changes the class of the row disagrees with the net, :math:`L(x) = \inf \{\rho(h, g)
    : h(x) \neq g(x)\}`, estimated under Gaussian noise on weights and bias of the head.
    A reference row is left out of the share that is computed for this row.  Scores are
    :math:`-L`, and rows with equal scores, which are common, are in random order.  Rows
    that no draw changes have :math:`L = 1`.  Diversity is not considered; see
    `LDMSeeding`.

    The cost is one forward pass, and then (number of draws) × (M + number of undecided
    rows) × d × C multiply-adds.  The features are kept, m × d elements.  The metrics of
    several nets are averaged.

    References
    ----------
    .. [1] Cho, Kim, Lee, Shin and Yoo, "Querying easily flip-flopped samples for deep
       active learning", ICLR 2024. https://arxiv.org/abs/2401.09787

    Examples
    --------
    >>> import numpy as np
    >>> from skal import NetClassifier
    >>> from skal.strategies import LDM
    >>> X = np.linspace(-1, 1, 41)[:, None]
    >>> net = NetClassifier(max_epochs=30, lr=0.01, random_state=0).fit(X, X[:, 0] > 0)
    >>> int(abs(LDM(random_state=0).select(net, X, 1).indices[0] - 20)) < 4
    True
    """

    _task: ClassVar[str] = "classification"
    _requires: ClassVar[str | None] = "net"

    def __init__(
        self,
        n_reference: int = 2000,
        n_unchanged: int = 10,
        sigmas: Any = None,
        stop: Literal["reference", "pool", "row"] = "reference",
        head: str | None = None,
        random_state: Any = None,
    ) -> None:
        self.n_reference = n_reference
        self.n_unchanged = n_unchanged
        self.sigmas = sigmas
        self.stop = stop
        self.head = head
        self.random_state = random_state

    def _score(self, pool: Pool, rng: torch.Generator) -> Tensor:
        return 0.0 - _read(self, pool, rng)[0]  # 0, not -0


class LDMSeeding(QueryStrategy):
    r"""LDM-Seeding [1]_: easily flipped rows, spread out as in k-means++.

    Parameters
    ----------
    n_reference, n_unchanged, sigmas, stop, head
        As in `LDM`.
    quantile : {"program", "paper"}, default="program"
        Whether :math:`L_q` below is the (q+1)-th smallest metric, as in the authors'
        program, or the q-th, as in the paper.
    random_state : int, RandomState, Generator or None
        Used to draw the hypotheses and the picks.

    Notes
    -----
    With the metric :math:`L` of `LDM` and a batch of q rows, the weight of a row is
    :math:`\gamma = \exp(-\max(L - L_q, 0) / L_q)`; it is 1 for the q smallest metrics,
    and the other weights are scaled to sum to q and clipped at 1.  Equal metrics are
    put in random order.  The first pick has the smallest :math:`L`.  Then a row is
    drawn with a probability proportional to :math:`(\gamma_x \min_{s} d(x, s))^2` over
    the picks s, where d is the cosine distance of the features.  Labeled rows are not
    used.  The score of a pick is :math:`-L`.

    The cost is that of `LDM` and q passes over the features; nothing of size m × m is
    kept.

    References
    ----------
    .. [1] Cho, Kim, Lee, Shin and Yoo, "Querying easily flip-flopped samples for deep
       active learning", ICLR 2024. https://arxiv.org/abs/2401.09787

    Examples
    --------
    >>> import numpy as np
    >>> from skal import NetClassifier
    >>> from skal.strategies import LDMSeeding
    >>> X = np.linspace(-1, 1, 41)[:, None]
    >>> net = NetClassifier(max_epochs=5, random_state=0).fit(X, X[:, 0] > 0)
    >>> LDMSeeding(random_state=0).select(net, X, 3).indices.shape
    (3,)
    """

    _task: ClassVar[str] = "classification"
    _alike_at_zero: ClassVar[bool] = False  # all metrics are looked at
    _requires: ClassVar[str | None] = "net"
    _any_of_equal: ClassVar[bool] = True

    def __init__(
        self,
        n_reference: int = 2000,
        n_unchanged: int = 10,
        sigmas: Any = None,
        stop: Literal["reference", "pool", "row"] = "reference",
        quantile: str = "program",
        head: str | None = None,
        random_state: Any = None,
    ) -> None:
        self.n_reference = n_reference
        self.n_unchanged = n_unchanged
        self.sigmas = sigmas
        self.stop = stop
        self.quantile = quantile
        self.head = head
        self.random_state = random_state

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        check_option("quantile", self.quantile, ["program", "paper"])
        metric, features = _read(self, pool, rng)
        if len(pool) > 1:
            warn_if_alike(type(self).__name__, -metric, pool)
        return seeding(metric, Cosine(features), n, rng, quantile=self.quantile)
