"""Expected model change: rows whose label would change a regressor most."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from skal.measures import expected_model_change, gradient_gram
from skal.reading.access import NetAccess
from skal.reading.batches import as_columns
from skal.reading.gradients import GradientReader
from skal.reading.pool import Member, Pool
from skal.strategies.disagreement import PosteriorStrategy
from skal.validation import check_option

__all__ = ["EMCM"]


class EMCM(PosteriorStrategy):
    r"""Expected model change [1]_: rows whose labels would change a regressor most.

    Parameters
    ----------
    posterior : Posterior or "auto", default="auto"
        Source of the K models whose predictions stand for the unknown label;
        `skal.posteriors.resolve_posterior` says what ``"auto"`` chooses.
    space : {"last_layer", "gradients"}, default="last_layer"
        Whether gradients are those of the last layer or of all trainable parameters.
    head : str, optional
        Name of the last layer; by default the last Linear on the way to the outputs.
    random_state : int, RandomState, Generator or None
        Used to draw the models.

    Notes
    -----
    The score is the length of the gradient of half the squared error, in expectation
    over the labels that K models predict:

    .. math::
        \frac1K \sum_k \lVert \nabla_\theta f(x)^\top (f(x) - f_k(x)) \rVert

    For one target this is :math:`\lVert \nabla_\theta f(x) \rVert \frac1K \sum_k |f(x)
    - f_k(x)|`; for several, the norm of the sum of their gradients times their
    residuals, in units of the net's own targets.  For the last layer and one target the
    gradient consists of the features, with 1 appended if it has a bias.  Each net of a
    committee or ensemble is f in turn, and the scores are averaged.  Labeled rows are
    not used.

    The cost is K + 1 forward passes over the pool, and a forward and a backward pass
    for each of T targets (of the last layer only for ``"last_layer"``).  m × T × (T +
    1) elements are kept, and nothing of size m × K or m × m.

    References
    ----------
    .. [1] Cai, Zhang and Zhou, "Maximizing expected model change for active learning
       in regression", ICDM 2013. https://doi.org/10.1109/ICDM.2013.104

    Examples
    --------
    >>> import numpy as np
    >>> from skal import NetRegressor
    >>> from skal.posteriors import MCDropout
    >>> from skal.strategies import EMCM
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> net = NetRegressor(module__dropout=0.2, max_epochs=5, random_state=0)
    >>> net = net.fit(X[5:15], X[5:15, 0] ** 2)
    >>> EMCM(MCDropout(n_draws=50), random_state=0).select(net, X, 2).indices.shape
    (2,)
    """

    _task: ClassVar[str] = "regression"
    _requires: ClassVar[str | None] = "net"

    def __init__(
        self,
        posterior: Any = "auto",
        space: str = "last_layer",
        head: str | None = None,
        random_state: Any = None,
    ) -> None:
        super().__init__(posterior, random_state)
        self.space = space
        self.head = head

    def _score(self, pool: Pool, rng: torch.Generator) -> Tensor:
        check_option("space", self.space, ["last_layer", "gradients"])
        draws = self._draw(pool, rng)
        nets = [
            (member, *_read(access, member, self.space))
            for member, access in pool.nets(self.head)
        ]
        scores = []
        for block, models in draws.blocks():
            changes = []
            for member, predicted, gram in nets:
                labels = _to_own_units(models, member)
                residuals = predicted[block] - labels.to(predicted.device)
                changes.append(expected_model_change(residuals, gram[block]).cpu())
            scores.append(torch.stack(changes).mean(dim=0))
        return torch.cat(scores)


def _read(access: NetAccess, member: Member, space: str) -> tuple[Tensor, Tensor]:
    """Predictions ``(m, T)``, and inner products of their gradients ``(m, T, T)``."""
    reader = GradientReader(access, space)

    def read(batch: Any) -> tuple[Tensor, Tensor]:
        predicted = as_columns(access.forward(batch)).double()
        n_targets = predicted.shape[1]
        return predicted, gradient_gram(reader(batch), n_targets)

    predicted, gram = access.collect(member.rows, read, access.chunk_size)
    return predicted, gram


def _to_own_units(predictions: Tensor, member: Member) -> Tensor:
    """Transform predictions ``(K, b, T)`` to the units of a net's own target."""
    if not member.has_own_units:
        return predictions
    flat = member.to_own_units(predictions.flatten(0, 1).cpu().numpy())
    return torch.from_numpy(flat).reshape(*predictions.shape[:2], -1)
