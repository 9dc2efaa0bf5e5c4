"""EPIG: information that a label gives about the predictions of interest."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from skal.measures import epig, epig_of_covariance, gaussian_epig
from skal.posteriors import GaussianPredictions
from skal.reading.pool import Pool
from skal.strategies.bald import noise_of_gaussian, resolve_noise
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
    correlation of the two labels.  Where the learner gives a joint distribution instead
    of models, as a Gaussian process does, its covariances are used
    (`skal.posteriors.PredictiveDistribution`).  In contrast, `BALD` also prefers rows
    that are informative about parts of the model that are irrelevant to the predictions
    of interest.

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
        draws = self._read(pool, rng, jointly=True)
        if isinstance(draws, GaussianPredictions):
            return self._score_gaussian(draws, rng)
        if self.X_target is not None:
            targets = draws.collect(draws.pool.rows_of(self.X_target, "X_target"))
        else:
            chosen = self._choose(len(pool), rng)
            targets = self._collect_some(draws, chosen, len(pool))
        if draws.task == "regression":
            noise = resolve_noise(self.noise_variance, targets)
            parts = [gaussian_epig(p, targets, noise) for _, p in draws.blocks()]
        else:
            parts = [epig(p, targets) for _, p in draws.blocks()]
        return torch.cat(parts)

    def _score_gaussian(
        self, found: GaussianPredictions, rng: torch.Generator
    ) -> Tensor:
        if self.X_target is not None:
            targets = found.pool.rows_of(self.X_target, "X_target")
        else:
            targets = found.rows_at(self._choose(len(found.pool), rng).sort().values)
        of_targets = found.variance(targets)
        noise = noise_of_gaussian(self.noise_variance, found, of_targets)
        variance = found.variance()
        parts = [
            epig_of_covariance(covariance, variance[block], of_targets, noise)
            for block, covariance in found.covariances(targets)
        ]
        return torch.cat(parts)

    def _choose(self, m: int, rng: torch.Generator) -> Tensor:
        return torch.randperm(m, generator=rng)[: self.n_targets]

    def _collect_some(self, draws: Any, chosen: Tensor, m: int) -> Tensor:
        """Read the outputs for some rows of the pool, ``(K, t, C)``, in pool order."""
        wanted = torch.zeros(m, dtype=torch.bool)
        wanted[chosen] = True
        parts = [
            outputs[:, wanted[block].to(outputs.device)]
            for block, outputs in draws.blocks()
        ]
        return torch.cat(parts, dim=1)
