"""Mutual information of labels and model: BALD, BatchBALD and PowerBALD."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import torch
from torch import Tensor

from skal.exceptions import UnsuitableLearnerError
from skal.measures import bald, bald_of_variance, gaussian_bald
from skal.posteriors import Draws, GaussianPredictions
from skal.reading.pool import Pool
from skal.selection import (
    Picks,
    batch_bald,
    batch_bald_of_covariance,
    gaussian_batch_bald,
)
from skal.selection._scores import draw_by_scores
from skal.strategies.disagreement import Disagreement
from skal.strategies.drawing import WeightedStrategy
from skal.validation import check_int, check_positive

__all__ = [
    "BALD",
    "BatchBALD",
    "KLDivergence",
    "PowerBALD",
    "check_finite_outputs",
    "noise_of_gaussian",
    "resolve_noise",
]

#: Number of label configurations by default.
_N_CONFIGURATIONS = 2000


def resolve_noise(noise_variance: float | None, predictions: Tensor) -> float:
    """Resolve the variance of labels: a tenth of the predictive variance by default.

    Parameters
    ----------
    noise_variance : float or None
    predictions : Tensor of shape (K, m, T)
    """
    if noise_variance is not None:
        check_positive("noise_variance", noise_variance)
        return float(noise_variance)
    return _noise_of(predictions.var(dim=0, correction=0))


def _noise_of(variance: Tensor) -> float:
    noise = float(variance.mean()) / 10
    return noise if noise > 0 else 1.0  # models that agree: any will do


def noise_of_gaussian(
    noise_variance: float | None, found: GaussianPredictions, variance: Tensor
) -> float:
    """Resolve the variance of labels about Gaussian predictions.

    Parameters
    ----------
    noise_variance : float or None
    found : GaussianPredictions
    variance : Tensor of shape (m, T)
        Of the predictions, whose mean the default is a tenth of.
    """
    if noise_variance is not None:
        check_positive("noise_variance", noise_variance)
        return float(noise_variance)
    if found.of_labels:
        raise UnsuitableLearnerError(
            f"{found.source} gives the variance of labels, in which their noise is "
            "contained; what the model does not know is the rest. Set noise_variance, "
            "if it is the same for all rows, or use PredictiveVariance, or a posterior "
            "of several models such as Bagged()."
        )
    return _noise_of(variance)


def of_function(found: GaussianPredictions, variance: Tensor, noise: float) -> Tensor:
    """Take known noise off the variances of labels."""
    return (variance - noise).clamp(min=0) if found.of_labels else variance


def check_finite_outputs(outputs: Tensor) -> None:
    """Raise ValueError unless the outputs of the models are finite."""
    if not bool(torch.isfinite(outputs).all()):
        raise ValueError(
            "The outputs of the models are not finite. Did their training diverge?"
        )


class BALD(Disagreement):
    r"""BALD [1]_: mutual information of the label and the model.

    Parameters
    ----------
    posterior : Posterior or "auto", default="auto"
        Source of the K models; `skal.posteriors.resolve_posterior` says what ``"auto"``
        chooses.
    noise_variance : float, optional
        Regression: variance of a label about its model, in squared units of the model's
        own target; by default a tenth of the mean predictive variance over the pool.
        With a single target it does not change the order of the rows.
    random_state : int, RandomState, Generator or None
        Used to draw the models.

    Notes
    -----
    The score is the mutual information between the label and the model, :math:`H(\bar
    p) - \frac1K \sum_k H(p_k)`, from 0 to :math:`\log C`: it is large where the models
    are confident and disagree.  For regression, under a Gaussian, it is :math:`\frac12
    \log\det(I + \Sigma/\sigma^2)` with the covariance :math:`\Sigma` of the targets of
    the row over the models.  For a committee of classifiers it equals query by
    committee with the mean Kullback-Leibler divergence from the consensus [2]_, and can
    be imported as ``KLDivergence``.  If the learner predicts a distribution
    (`skal.posteriors.PredictiveDistribution`), :math:`\Sigma` has its variances on the
    diagonal.  Similar rows have similar scores, so a large batch
    is redundant; `BatchBALD` avoids this.

    The cost is K forward passes over the pool, which is read in blocks.

    References
    ----------
    .. [1] Houlsby, Huszár, Ghahramani and Lengyel, "Bayesian active learning for
       classification and preference learning", 2011. https://arxiv.org/abs/1112.5745
    .. [2] McCallum and Nigam, "Employing EM and pool-based active learning for text
       classification", ICML 1998.
       https://www.cs.cmu.edu/~knigam/papers/emactive-icml98.pdf

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skal import NetClassifier
    >>> from skal.strategies import BALD
    >>> X, y = load_iris(return_X_y=True)
    >>> net = NetClassifier(module__dropout=0.2, max_epochs=5, random_state=0)
    >>> BALD(random_state=0).select(net.fit(X[::3], y[::3]), X, 4).indices.shape
    (4,)
    """

    _task: ClassVar[str] = "any"

    def __init__(
        self,
        posterior: Any = "auto",
        noise_variance: float | None = None,
        random_state: Any = None,
    ) -> None:
        super().__init__(posterior, random_state)
        self.noise_variance = noise_variance

    def _score(self, pool: Pool, rng: torch.Generator) -> Tensor:
        found = self._read(pool, rng)
        if isinstance(found, GaussianPredictions):
            variance = found.variance()
            noise = noise_of_gaussian(self.noise_variance, found, variance)
            return bald_of_variance(of_function(found, variance, noise), noise)
        return self._score_draws(found)

    def _score_draws(self, draws: Draws) -> Tensor:
        if draws.task == "regression":
            predictions = draws.collect()
            noise = resolve_noise(self.noise_variance, predictions)
            return gaussian_bald(predictions, noise)
        return torch.cat([self._measure(outputs) for _, outputs in draws.blocks()])

    def _measure(self, outputs: Tensor) -> Tensor:
        return bald(outputs)


#: The name of `BALD` for a committee of classifiers.
KLDivergence = BALD


class BatchBALD(BALD):
    r"""BatchBALD [1]_: mutual information of all labels of the batch and the model.

    Parameters
    ----------
    posterior : Posterior or "auto", default="auto"
        Source of the K models; `skal.posteriors.resolve_posterior` says what ``"auto"``
        chooses.
    n_configurations : int, optional
        Classification: number of label configurations of the batch for which the joint
        distribution is stored.  With C classes, the computation is exact up to :math:`b
        = \log_C` ``n_configurations`` picks; for larger batches, this number of
        configurations is drawn.  They take 8·(K + C)·``n_configurations`` bytes.  The
        default is 2000, with a warning if the batch has more configurations.
    noise_variance : float, optional
        Regression: variance of a label about its model, in squared units of the model's
        own target; by default a tenth of the mean predictive variance over the pool.
        The larger it is, the more valuable is a row that is similar to a pick.
    random_state : int, RandomState, Generator or None
        Used to draw the models and the configurations.

    Warns
    -----
    UserWarning
        If configurations are drawn and `n_configurations` was not set.

    Raises
    ------
    ValueError
        If `n_configurations` is less than K or C, or the configurations would take more
        than 4 GiB.

    Notes
    -----
    Greedily maximizes :math:`I(y_1, \dots, y_b; \theta)`, to which a row similar to a
    pick adds little; for regression under a Gaussian it is :math:`\frac12 \log\det(I +
    \Sigma_B/\sigma^2)`.  The score of a pick is its gain in nats.  The score of the
    first pick is that of `BALD`, and the sum of all scores is the mutual information of
    the batch, at most :math:`\log K`: if K is far below the size of the batch, the
    gains of the last picks hardly differ.

    For the covariances of a Gaussian process or a Bayesian linear model,
    :math:`\Sigma_B` is that of its predictions; those of the picks with the pool are
    computed in blocks.

    The outputs of the K models for the pool are kept, 8·K·m·C bytes.  Gains never
    increase, so a row is scored again only while it may be the best one: a pick usually
    costs a few hundred to a few thousand rows × ``n_configurations`` × K × C
    multiply-adds, and less once the labels of the picks distinguish the models.  When
    they do so completely, the rows with the largest `BALD` fill the batch, with a score
    of 0.

    References
    ----------
    .. [1] Kirsch, van Amersfoort and Gal, "BatchBALD: efficient and diverse batch
       acquisition for deep Bayesian active learning", NeurIPS 2019.
       https://arxiv.org/abs/1906.08158

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from skal.strategies import BatchBALD
    >>> X, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(random_state=0).fit(X[::3], y[::3])
    >>> scores = BatchBALD(random_state=0).select(forest, X, 4).scores
    >>> bool((scores[1:] <= scores[:-1]).all())
    True
    """

    _any_of_equal: ClassVar[bool] = True

    def __init__(
        self,
        posterior: Any = "auto",
        n_configurations: int | None = None,
        noise_variance: float | None = None,
        random_state: Any = None,
    ) -> None:
        super().__init__(posterior, noise_variance, random_state)
        self.n_configurations = n_configurations

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        if self.n_configurations is not None:
            check_int("n_configurations", self.n_configurations)
        draws = self._read(pool, rng, jointly=True)
        if isinstance(draws, GaussianPredictions):
            variance = draws.variance()
            noise = noise_of_gaussian(self.noise_variance, draws, variance)
            return batch_bald_of_covariance(variance, draws.covariance, n, noise)
        outputs = draws.collect()
        check_finite_outputs(outputs)
        if draws.task == "classification":
            if self.n_configurations is None:
                _warn_of_sampling(outputs, n)
            return batch_bald(
                outputs,
                n,
                rng,
                n_configurations=self.n_configurations or _N_CONFIGURATIONS,
            )
        noise = resolve_noise(self.noise_variance, outputs)
        return gaussian_batch_bald(outputs, n, noise)


def _warn_of_sampling(outputs: Tensor, n: int) -> None:
    n_models, _, n_classes = outputs.shape
    if n_classes == 1:  # there is only one configuration
        return
    exact = next(
        b for b in range(_N_CONFIGURATIONS) if n_classes ** (b + 1) > _N_CONFIGURATIONS
    )
    if n <= exact + 1:  # the labels of the last pick need not be held
        return
    mebibytes = 8 * _N_CONFIGURATIONS * (n_models + n_classes) / 2**20
    warnings.warn(
        f"The joint distribution of {n} labels of {n_classes} classes is too large to "
        f"store. It is exact for {exact} picks; after that, {_N_CONFIGURATIONS} label "
        f"configurations are drawn under the {n_models} models, {mebibytes:.1f} MiB. "
        "Set n_configurations to choose their number and to silence this warning.",
        UserWarning,
        stacklevel=2,
    )


class PowerBALD(WeightedStrategy, BALD):
    r"""PowerBALD [1]_: rows drawn with probabilities that increase with `BALD`.

    Parameters
    ----------
    posterior, noise_variance
        As in `BALD`.
    power : float, default=1.0
        Exponent :math:`\beta` of the scores: small values are close to `Random`, large
        ones to `BALD`.
    random_state : int, RandomState, Generator or None
        Used to draw the models and the picks.

    Notes
    -----
    Rows are drawn without replacement, with probabilities proportional to
    :math:`\mathrm{BALD}(x)^\beta`.  The cost is that of `BALD`, without its redundancy
    in large batches.  The score of a pick is that of `BALD`.  `Stochastic` does the
    same with any scores.

    References
    ----------
    .. [1] Kirsch, Farquhar, Atighehchian, Jesson, Branchaud-Charron and Gal,
       "Stochastic batch acquisition: a simple baseline for deep active learning", TMLR
       2023. https://arxiv.org/abs/2106.12059

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from skal.strategies import PowerBALD
    >>> X, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(random_state=0).fit(X[::3], y[::3])
    >>> PowerBALD(random_state=0).select(forest, X, 4).indices.shape
    (4,)
    """

    def __init__(
        self,
        posterior: Any = "auto",
        noise_variance: float | None = None,
        power: float = 1.0,
        random_state: Any = None,
    ) -> None:
        super().__init__(posterior, noise_variance, random_state)
        self.power = power

    def _weighted(
        self, pool: Pool, n: int, rng: torch.Generator
    ) -> tuple[Picks, Tensor]:
        check_positive("power", self.power)
        scores = self._checked_scores(pool, rng)
        return draw_by_scores(scores, n, rng, beta=self.power, kind="power")
