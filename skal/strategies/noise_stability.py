"""Noise stability: rows whose output changes most with the weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from sklearn.base import is_classifier
from torch import Tensor

from skal.posteriors import perturb_weights
from skal.reading.access import NetAccess, as_columns
from skal.reading.pool import Pool
from skal.rng import seed_from
from skal.rows import Rows
from skal.selection import Picks, k_center
from skal.spaces import Dense
from skal.strategies.base import QueryStrategy
from skal.validation import check_bool, check_int, check_option, check_positive

__all__ = ["NoiseStability"]

#: Weights of all draws are kept if they fit in this, drawn anew for each batch if not.
_KEPT_BYTES = 2**28


class NoiseStability(QueryStrategy):
    r"""Noise stability [1]_: large and diverse deviations under noise on the weights.

    Parameters
    ----------
    n_draws : int
        Number K of draws of the weights.
    noise_scale : float
        Length :math:`\zeta` of a step over the norm of the weights.
    scaling : {"per_tensor", "global"}
        Whether each weight tensor is moved by its own norm, with biases fixed, as in
        the authors' program, or all parameters together, as in the paper.
    outputs : {"auto", "probabilities", "features", "predictions"}
        Output whose deviations are taken.  ``"auto"``: probabilities of a classifier,
        penultimate features of a regressor, as in the authors' program.
    normalize : bool
        Whether to divide the deviations of a row by the norm of its output.
    head : str, optional
        Name of the module whose input are the features; by default the last Linear.
    random_state : int, RandomState, Generator or None
        Draws the weights.

    Notes
    -----
    With draws :math:`\Delta\theta_k`, the deviation :math:`\delta(x)` of a row is the
    vector of all :math:`f(x; \theta + \Delta\theta_k) - f(x; \theta)`, k = 1 to K.  The
    batch is picked by greedy k-center on :math:`\delta` (Euclidean) with the origin as
    the only initial center: the first pick has the largest deviation.  Labeled rows are
    not used.  The score of a pick is its distance to the nearest center when it was
    picked.

    For small :math:`\zeta` the inner products of :math:`\delta` estimate those of the
    Jacobians, so that :math:`\lVert \delta(x) \rVert` ranks rows by the norm of their
    Jacobian.

    Costs K + 1 forward passes over the pool, and keeps m × K × (number of outputs or
    features) float32 elements.  The deviations of several nets are concatenated.

    References
    ----------
    .. [1] Li, Yang, Gu, Zhan, Wang, Xu and Xu, "Deep active learning with noise
       stability", AAAI 2024. https://arxiv.org/abs/2205.13340

    Examples
    --------
    >>> import numpy as np
    >>> from skal import NetRegressor
    >>> from skal.strategies import NoiseStability
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> net = NetRegressor(max_epochs=5, random_state=0).fit(X[5:15], X[5:15, 0] ** 2)
    >>> NoiseStability(n_draws=5, random_state=0).select(net, X, 2).indices.shape
    (2,)
    """

    _requires: ClassVar[str | None] = "net"

    def __init__(
        self,
        n_draws: int = 30,
        noise_scale: float = 1e-3,
        scaling: str = "per_tensor",
        outputs: str = "auto",
        normalize: bool = True,
        head: str | None = None,
        random_state: Any = None,
    ) -> None:
        self.n_draws = n_draws
        self.noise_scale = noise_scale
        self.scaling = scaling
        self.outputs = outputs
        self.normalize = normalize
        self.head = head
        self.random_state = random_state

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        self._check_parameters()
        deviations = [
            self._deviations(access, member.rows, rng)
            for member, access in pool.nets(self.head)
        ]
        embedding = Dense(torch.cat(deviations, dim=1))
        picks = k_center(embedding, n, min_sq_dist=embedding.sq_norm())
        return Picks(picks.indices, picks.scores.clamp(min=0).sqrt())

    def _deviations(
        self, access: NetAccess, rows: Rows, rng: torch.Generator
    ) -> Tensor:
        """Read the deviations of all draws, side by side, ``(m, K * D)``."""
        read = self._reader(access)
        seeds = [seed_from(rng) for _ in range(self.n_draws)]

        def draw(seed: int) -> dict[str, Tensor]:
            own = torch.Generator().manual_seed(seed)
            return perturb_weights(access.module, self.scaling, self.noise_scale, own)

        n_bytes = sum(p.numel() * p.element_size() for p in access.module.parameters())
        keep = self.n_draws * n_bytes <= _KEPT_BYTES
        kept = [draw(seed) for seed in seeds] if keep else []

        def deviations(batch: Any) -> Tensor:
            clean = read(batch, None)
            moved = (read(batch, weights) for weights in kept or map(draw, seeds))
            delta = torch.cat([other - clean for other in moved], dim=1)
            if self.normalize:
                norm = clean.norm(dim=1, keepdim=True)
                delta = delta / torch.where(norm > 0, norm, 1.0)
            return delta.float()

        return access.collect(rows, deviations)

    def _reader(
        self, access: NetAccess
    ) -> Callable[[Any, dict[str, Tensor] | None], Tensor]:
        outputs = self.outputs
        if outputs == "auto":
            outputs = "probabilities" if is_classifier(access.net) else "features"
        if outputs == "features":
            return lambda batch, weights: access.forward_features(batch, weights)[0]
        if outputs == "predictions":
            return lambda batch, weights: as_columns(access.forward(batch, weights))
        to_proba = access.to_proba
        return lambda batch, weights: to_proba(
            as_columns(access.forward(batch, weights))
        )

    def _check_parameters(self) -> None:
        check_int("n_draws", self.n_draws)
        check_positive("noise_scale", self.noise_scale)
        check_bool("normalize", self.normalize)
        check_option("scaling", self.scaling, ["per_tensor", "global"])
        check_option(
            "outputs",
            self.outputs,
            ["auto", "probabilities", "features", "predictions"],
        )
