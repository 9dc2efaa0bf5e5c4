"""Noise stability: rows whose output changes most with the weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from sklearn.base import is_classifier
from torch import Tensor

from skal.posteriors import perturb_weights
from skal.reading.access import NetAccess
from skal.reading.batches import as_columns
from skal.reading.pool import Pool
from skal.rng import seed_from
from skal.selection import Picks, lcmd
from skal.spaces import Dense
from skal.strategies.base import QueryStrategy
from skal.strategies.centers import farthest_first
from skal.validation import check_bool, check_int, check_option, check_positive

__all__ = ["NoiseStability"]

#: Weights of all draws are kept if they fit in this, drawn anew for each batch if not.
_KEPT_BYTES = 2**28
#: From a batch, and weights in place of the net's or None, to outputs ``(b, D)``.
OutputReader = Callable[[Any, dict[str, Tensor] | None], Tensor]


class NoiseStability(QueryStrategy):
    r"""Noise stability [1]_: large and diverse deviations under noise on the weights.

    Parameters
    ----------
    n_draws : int, default=30
        Number K of draws of the weights.
    noise_scale : float, default=0.001
        Length :math:`\zeta` of a step, relative to the norm of the weights.
    scaling : {"per_tensor", "global"}, default="per_tensor"
        Whether each weight tensor is moved relative to its own norm, with biases fixed,
        as in the authors' program, or all parameters together relative to their joint
        norm, as in the paper.
    outputs : {"auto", "probabilities", "features", "predictions"}, default="auto"
        Output whose deviations are computed.  ``"auto"``: the probabilities of a
        classifier, the predictions of a regressor.  ``"features"``: the penultimate
        features.
    normalize : bool or "auto", default="auto"
        Whether to divide the deviations of a row by the norm of its output; with
        ``"auto"``, only if the outputs are probabilities.
    centers : {"auto", "origin", "labeled"}, default="auto"
        Initial centers of the selection: the origin, which means no deviation, or the
        deviations of the labeled rows.  ``"auto"``: the labeled rows for a regressor
        with labeled rows, otherwise the origin.
    selection : {"k_center", "lcmd"}, default="k_center"
        Whether to pick the row farthest from its nearest center, or the farthest row of
        the cluster with the largest sum of squared distances, as in `LCMD`.
    head : str, optional
        Name of the module whose inputs are the features; by default the last Linear
        on the way to the outputs.
    random_state : int, RandomState, Generator or None
        Used to draw the weights.

    Notes
    -----
    With draws :math:`\Delta\theta_k`, the deviation :math:`\delta(x)` of a row is the
    vector of all :math:`f(x; \theta + \Delta\theta_k) - f(x; \theta)`, k = 1 to K,
    optionally divided by :math:`\lVert f(x; \theta) \rVert`.  The batch is picked by
    greedy k-center on :math:`\delta` (Euclidean), by default with the origin as the
    only initial center for classifiers, where the first pick has the largest deviation,
    and with the labeled rows for regressors.  The score of a pick is its distance to
    the nearest center when it was picked.

    For small :math:`\zeta` and without normalization the inner products of
    :math:`\delta` estimate those of the Jacobians of f, so that :math:`\lVert \delta(x)
    \rVert` ranks rows by the norm of their Jacobian.  Probabilities have norms from
    :math:`1/\sqrt{C}` to 1, and normalizing them changes little.  The norm of a
    prediction may be near 0, regardless of the weights: with normalized deviations,
    regression on scaled tables is worse than with random sampling.

    The authors' program, which uses the normalized features of a regressor, corresponds
    to ``outputs="features", normalize=True, centers="origin"``; regression as described
    in the paper, to ``scaling="global", centers="origin"``.

    Several targets should have the same scale, because their deviations are compared.

    The cost is K + 1 forward passes over the pool, and over the labeled rows if they
    are centers; m × K × (number of outputs or features) float32 elements are kept.  The
    deviations of several nets are concatenated.

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
    _any_of_equal: ClassVar[bool] = True

    def __init__(
        self,
        n_draws: int = 30,
        noise_scale: float = 1e-3,
        scaling: str = "per_tensor",
        outputs: str = "auto",
        normalize: bool | str = "auto",
        centers: str = "auto",
        selection: str = "k_center",
        head: str | None = None,
        random_state: Any = None,
    ) -> None:
        self.n_draws = n_draws
        self.noise_scale = noise_scale
        self.scaling = scaling
        self.outputs = outputs
        self.normalize = normalize
        self.centers = centers
        self.selection = selection
        self.head = head
        self.random_state = random_state

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        self._check_parameters()
        if self.outputs in ("auto", "probabilities"):
            pool.warn_if_overridden()
        nets = list(pool.nets(self.head))
        centers = self.centers
        if centers == "auto":
            regresses = not any(is_classifier(access.net) for _, access in nets)
            centers = "labeled" if regresses and pool.labeled else "origin"
        if centers == "labeled" and not pool.labeled:
            raise ValueError(
                'centers="labeled" needs labeled rows, and the learner holds none. '
                'Pass them to it (X_training), or set centers="origin".'
            )
        deviations, known = [], []
        for member, access in nets:
            read = self._reader(access, rng)
            deviations.append(access.collect(member.rows, read))
            if centers == "labeled" and member.labeled is not None:
                known.append(access.collect(member.labeled, read))
        rows = Dense(torch.cat(deviations, dim=1))
        initial = Dense(
            torch.cat(known, dim=1)
            if known
            else rows.features.new_zeros(1, rows.features.shape[1])
        )
        if self.selection == "lcmd":
            picks = lcmd(rows, n, initial)
        else:
            picks = farthest_first(rows, n, initial)
        return Picks(picks.indices, picks.scores.clamp(min=0).sqrt())

    def _reader(
        self, access: NetAccess, rng: torch.Generator
    ) -> Callable[[Any], Tensor]:
        """Make the function from a batch to its deviations, ``(b, K * D)``."""
        read, normalize = self._output_reader(access)
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
            if normalize:
                norm = clean.norm(dim=1, keepdim=True)
                delta = delta / torch.where(norm > 0, norm, 1.0)
            return delta.float()

        return deviations

    def _output_reader(self, access: NetAccess) -> tuple[OutputReader, bool]:
        """Choose the output to read, and whether to normalize its deviations."""
        outputs, normalize = self.outputs, self.normalize
        if outputs == "auto":
            outputs = "probabilities" if is_classifier(access.net) else "predictions"
        if normalize == "auto":
            normalize = outputs == "probabilities"

        def features(batch: Any, weights: dict[str, Tensor] | None) -> Tensor:
            return access.forward_features(batch, weights)[0]

        def raw(batch: Any, weights: dict[str, Tensor] | None) -> Tensor:
            return as_columns(access.forward(batch, weights))

        def probabilities(batch: Any, weights: dict[str, Tensor] | None) -> Tensor:
            return access.to_proba(raw(batch, weights))

        readers = {
            "features": features,
            "predictions": raw,
            "probabilities": probabilities,
        }
        return readers[outputs], bool(normalize)

    def _check_parameters(self) -> None:
        check_int("n_draws", self.n_draws)
        check_positive("noise_scale", self.noise_scale)
        check_bool("normalize", self.normalize, auto=True)
        check_option("scaling", self.scaling, ["per_tensor", "global"])
        check_option("centers", self.centers, ["auto", "origin", "labeled"])
        check_option("selection", self.selection, ["k_center", "lcmd"])
        check_option(
            "outputs",
            self.outputs,
            ["auto", "probabilities", "features", "predictions"],
        )
