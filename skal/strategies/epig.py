"""EPIG: information that a label gives about the predictions of interest."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from skal.measures import epig, gaussian_epig
from skal.reading.pool import Pool
from skal.strategies.bald import resolve_noise
from skal.strategies.disagreement import PosteriorStrategy
from skal.validation import check_int

__all__ = ["EPIG"]


class EPIG(PosteriorStrategy):
    r"""EPIG [1]_: expected information of a label about predictions of interest.

    Parameters
    ----------
    posterior : Posterior or "auto"
        Source of the K models; `skal.posteriors.resolve_posterior` says what ``"auto"``
        chooses.
    X_target : array-like of shape (t, ...), optional
        Rows whose predictions are of interest; by default `n_targets` rows drawn from
        the pool.
    n_targets : int
        Number of rows to draw if `X_target` is None; all rows if the pool has fewer.
    noise_variance : float, optional
        Regression: as in `BALD`, with the default taken over the targets.
    random_state : int, RandomState, Generator or None
        Used to draw the models and the target rows.

    Notes
    -----
    The score is the mutual information of the label of a row and the label of a target
    row, averaged over the target rows, :math:`\mathrm{E}_{x_*} I(y; y_* \mid x, x_*)`;
    for regression under a Gaussian, :math:`-\frac12 \log(1 - \rho^2)` with the
    correlation of the two labels. In contrast, `BALD` also prefers rows that are
    informative about parts of the model that are irrelevant to the predictions of
    interest.

    The cost is K forward passes over the pool and the target rows, and m·t·K·C²
    multiply-adds.

    References
    ----------
    .. [1] Bickford Smith, Kirsch, Farquhar, Gal, Foster and Rainforth,
       "Prediction-oriented Bayesian active learning", AISTATS 2023.
       https://arxiv.org/abs/2304.08151

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from skal.strategies import EPIG
    >>> X, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(random_state=0).fit(X[::3], y[::3])
    >>> EPIG(random_state=0).select(forest, X, 4).indices.shape
    (4,)
    """

    _task: ClassVar[str] = "any"

    def __init__(
        self,
        posterior: Any = "auto",
        X_target: Any = None,
        n_targets: int = 200,
        noise_variance: float | None = None,
        random_state: Any = None,
    ) -> None:
        super().__init__(posterior, random_state)
        self.X_target = X_target
        self.n_targets = n_targets
        self.noise_variance = noise_variance

    def _score(self, pool: Pool, rng: torch.Generator) -> Tensor:
        check_int("n_targets", self.n_targets)
        draws = self._draw(pool, rng)
        if self.X_target is not None:
            members = Pool(pool.learner, self.X_target).members
            for member in members:
                member.rows.name = "X_target"
            targets = draws.collect([member.rows for member in members])
        else:
            chosen = torch.randperm(len(pool), generator=rng)[: self.n_targets]
            targets = self._collect_some(draws, chosen, len(pool))
        if draws.task == "regression":
            noise = resolve_noise(self.noise_variance, targets)
            parts = [gaussian_epig(p, targets, noise) for _, p in draws.blocks()]
        else:
            parts = [epig(p, targets) for _, p in draws.blocks()]
        return torch.cat(parts)

    def _collect_some(self, draws: Any, chosen: Tensor, m: int) -> Tensor:
        """Read the outputs for some rows of the pool, ``(K, t, C)``, in pool order."""
        wanted = torch.zeros(m, dtype=torch.bool)
        wanted[chosen] = True
        parts = [
            outputs[:, wanted[block].to(outputs.device)]
            for block, outputs in draws.blocks()
        ]
        return torch.cat(parts, dim=1)
