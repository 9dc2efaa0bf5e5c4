"""Information of labels about the predictions of interest: EPIG and BatchEPIG."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from skal.measures import epig, epig_of_covariance, gaussian_epig
from skal.posteriors import Draws, GaussianPredictions
from skal.reading.pool import Pool
from skal.selection import (
    Picks,
    batch_epig,
    batch_epig_of_covariance,
    gaussian_batch_epig,
)
from skal.strategies.bald import (
    check_finite_outputs,
    noise_of_gaussian,
    resolve_noise,
)
from skal.strategies.disagreement import PosteriorStrategy
from skal.validation import check_int

__all__ = ["EPIG", "BatchEPIG"]


class EPIG(PosteriorStrategy):
    r"""EPIG [1]_: expected information of a label about predictions of interest.

    Parameters
    ----------
    posterior : Posterior or "auto", default="auto"
        Source of the K models; `skal.posteriors.resolve_posterior` says what ``"auto"``
        chooses.
    X_target : array-like of shape (t, ...), optional
        Rows whose predictions are of interest; by default `n_targets` rows drawn from
        the pool.
    n_targets : int, default=200
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
    of interest.  The rows with the largest scores are often similar; `BatchEPIG`
    avoids this.

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
        draws = self._read(pool, rng, jointly=True)
        if isinstance(draws, GaussianPredictions):
            targets, of_targets, noise = self._gaussian_targets(draws, rng)
            variance = draws.variance()
            parts = [
                epig_of_covariance(covariance, variance[block], of_targets, noise)
                for block, covariance in draws.covariances(targets)
            ]
            return torch.cat(parts)
        outputs = self._outputs_of_targets(draws, rng)
        if draws.task == "regression":
            noise = resolve_noise(self.noise_variance, outputs)
            parts = [gaussian_epig(p, outputs, noise) for _, p in draws.blocks()]
        else:
            parts = [epig(p, outputs) for _, p in draws.blocks()]
        return torch.cat(parts)

    def _gaussian_targets(
        self, found: GaussianPredictions, rng: torch.Generator
    ) -> tuple[Any, Tensor, float]:
        """Return the target rows, their variances and the noise of labels."""
        check_int("n_targets", self.n_targets)
        if self.X_target is not None:
            targets = found.pool.rows_of(self.X_target, "X_target")
        else:
            targets = found.rows_at(self._choose(len(found.pool), rng).sort().values)
        of_targets = found.variance(targets)
        noise = noise_of_gaussian(self.noise_variance, found, of_targets)
        return targets, of_targets, noise

    def _outputs_of_targets(self, draws: Draws, rng: torch.Generator) -> Tensor:
        """Read the outputs for the target rows, ``(K, t, C)``."""
        check_int("n_targets", self.n_targets)
        if self.X_target is not None:
            return draws.collect(draws.pool.rows_of(self.X_target, "X_target"))
        chosen = self._choose(len(draws.pool), rng)
        return self._collect_some(draws, chosen, len(draws.pool))

    def _choose(self, m: int, rng: torch.Generator) -> Tensor:
        return torch.randperm(m, generator=rng)[: self.n_targets]

    def _collect_some(self, draws: Draws, chosen: Tensor, m: int) -> Tensor:
        """Read the outputs for some rows of the pool, ``(K, t, C)``, in pool order."""
        wanted = torch.zeros(m, dtype=torch.bool)
        wanted[chosen] = True
        parts = [
            outputs[:, wanted[block].to(outputs.device)]
            for block, outputs in draws.blocks()
        ]
        return torch.cat(parts, dim=1)


class BatchEPIG(EPIG):
    r"""ParBaLS [1]_: `EPIG` given the labels of the previous picks.

    Parameters
    ----------
    posterior, X_target, n_targets, noise_variance
        As in `EPIG`.
    n_configurations : int, default=10
        Classification: maximum number of configurations of the labels of the picks; all
        are kept as long as there are no more, otherwise this number is sampled.
    random_state : int, RandomState, Generator or None
        Used to draw the models, the target rows and the labels.

    Notes
    -----
    Each row picked has the largest mean over the target rows of :math:`I(y; y_* \mid
    y_B)`, the information that its label adds to those of the picks :math:`y_B` about
    the label of a target row.  Since these labels are unknown, they are sampled for
    classification, each set of labels from one of the models, and the scores are
    averaged.  The models are then weighted by the likelihood of the labels.  The
    authors' program instead fits a model to each set of labels [1]_, which costs
    `n_configurations` fits for each pick.  Both agree if the models are many draws from
    the posterior.  With few models, or confident ones such as the trees of a forest,
    the labels soon determine the model: the rows with the largest `EPIG` then fill the
    batch, with a score of 0.  For regression under a Gaussian, covariances given labels
    do not depend on their values, so that nothing is sampled.

    Classification costs, for each pick, `n_configurations` times what `EPIG` costs
    after the forward passes, and 8·K·m·C bytes, which takes seconds for 5000 rows; for
    larger pools, use ``Subsample(BatchEPIG())``.  Regression costs m·t multiply-adds
    for each pick, and 8·m·t·T bytes.

    This implementation follows the abstract and the introduction of the paper, and the
    authors' program (``eer.py`` in https://github.com/ADDAPT-ML/ParBaLS).

    References
    ----------
    .. [1] Hu and Mussmann, "Batch Bayesian active learning with partial batch label
       sampling", 2025. https://arxiv.org/abs/2510.09877

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from skal.strategies import BatchEPIG
    >>> X, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(max_depth=3, random_state=0).fit(X[::3], y[::3])
    >>> BatchEPIG(random_state=0).select(forest, X, 4).indices.shape
    (4,)
    """

    _any_of_equal: ClassVar[bool] = True

    def __init__(
        self,
        posterior: Any = "auto",
        X_target: Any = None,
        n_targets: int = 200,
        noise_variance: float | None = None,
        n_configurations: int = 10,
        random_state: Any = None,
    ) -> None:
        super().__init__(posterior, X_target, n_targets, noise_variance, random_state)
        self.n_configurations = n_configurations

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        check_int("n_configurations", self.n_configurations)
        draws = self._read(pool, rng, jointly=True)
        if isinstance(draws, GaussianPredictions):
            targets, of_targets, noise = self._gaussian_targets(draws, rng)
            variance = draws.variance()
            of_both = variance.new_empty((len(variance), *of_targets.shape))
            for block, covariance in draws.covariances(targets):
                of_both[block] = covariance
            return batch_epig_of_covariance(
                variance, draws.covariance, of_targets, of_both, n, noise
            )
        of_targets = self._outputs_of_targets(draws, rng)
        outputs = draws.collect()
        check_finite_outputs(outputs)
        if draws.task == "regression":
            noise = resolve_noise(self.noise_variance, of_targets)
            return gaussian_batch_epig(outputs, of_targets, n, noise)
        return batch_epig(
            outputs, of_targets, n, rng, n_configurations=self.n_configurations
        )
