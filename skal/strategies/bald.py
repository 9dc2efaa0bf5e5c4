"""BALD: mutual information between a label and the model, row by row."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from skal.measures import bald, gaussian_bald
from skal.posteriors import Draws
from skal.reading.pool import Pool
from skal.strategies.disagreement import Disagreement
from skal.validation import check_positive

__all__ = ["BALD", "KLDivergence", "resolve_noise"]


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
    variance = float(predictions.var(dim=0, correction=0).mean()) / 10
    return variance if variance > 0 else 1.0  # models that agree: any will do


class BALD(Disagreement):
    r"""BALD [1]_: mutual information of the label and the model.

    Parameters
    ----------
    posterior : Posterior or "auto"
        Source of the K models; `skal.posteriors.resolve_posterior` says what ``"auto"``
        chooses.
    noise_variance : float, optional
        Regression: variance of a label about its model, in squared units of the model's
        own target; by default a tenth of the mean predictive variance over the pool.
        With a single target it does not change the order of the rows.
    random_state : int, RandomState, Generator or None
        Draws the models.

    Notes
    -----
    Scores the mutual information between label and model, :math:`H(\bar p) - \frac1K
    \sum_k H(p_k)`, from 0 to :math:`\log C`: it is large where the models are confident
    and disagree.  For regression, under a Gaussian, it is :math:`\frac12 \log\det(I +
    \Sigma/\sigma^2)` with the covariance :math:`\Sigma` of the targets of the row over
    the models.  For a committee of classifiers it equals query by committee with the
    mean Kullback-Leibler divergence from the consensus [2]_, and can be imported as
    ``KLDivergence``.  Rows near each other have similar scores, so that a large batch
    is redundant; `BatchBALD` avoids this.

    Costs K forward passes over the pool, read in blocks.

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
        return self._score_draws(self._draw(pool, rng))

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
