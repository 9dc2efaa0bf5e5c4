"""Batches by mutual information: BatchBALD, and PowerBALD as its cheap relative."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from skal.reading.pool import Pool
from skal.selection import Picks, batch_bald, gaussian_batch_bald, power_bald
from skal.strategies.bald import BALD, resolve_noise
from skal.validation import check_int, check_positive

__all__ = ["BatchBALD", "PowerBALD"]

_N_CONFIGURATIONS = 2000


class BatchBALD(BALD):
    r"""BatchBALD [1]_: mutual information of all labels of the batch and the model.

    Parameters
    ----------
    posterior : Posterior or "auto"
        Source of the K models; `skal.posteriors.resolve_posterior` says what ``"auto"``
        chooses.
    n_configurations : int, optional
        Classification: number of label configurations of the batch for which the joint
        distribution is held.  With C classes it is exact up to :math:`b = \log_C`
        ``n_configurations`` picks; from there on this number of configurations is
        drawn.  Takes 8·(K + C)·``n_configurations`` bytes.  The default is 2000, with a
        warning if a batch has more.
    noise_variance : float, optional
        Regression: variance of a label about its model, in squared units of the model's
        own target; by default a tenth of the mean predictive variance over the pool.
        The larger it is, the more a row near a pick may still be worth.
    random_state : int, RandomState, Generator or None
        Draws the models and the configurations.

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
    Greedily maximizes :math:`I(y_1, \dots, y_b; \theta)`, to which a row near a pick
    adds little; for regression it is :math:`\frac12 \log\det(I + \Sigma_B/\sigma^2)`
    under a Gaussian.  The score of a pick is its gain in nats.  The first is that of
    `BALD`, and the sum is the mutual information of the batch, at most :math:`\log K`:
    if K is far below the size of the batch, the last rows can hardly be told apart.

    Keeps the outputs of the K models for the pool, 8·K·m·C bytes.  Gains never
    increase, so that a row is scored again only while it may be the best: a pick mostly
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
        draws = self._draw(pool, rng)
        outputs = draws.collect()
        _check_finite(outputs)
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
        f"hold. It is exact for {exact} picks; from there on {_N_CONFIGURATIONS} label "
        f"configurations are drawn under the {n_models} models, {mebibytes:.1f} MiB. "
        "Set n_configurations to choose their number and to silence this warning.",
        UserWarning,
        stacklevel=2,
    )


def _check_finite(outputs: Tensor) -> None:
    if not bool(torch.isfinite(outputs).all()):
        raise ValueError(
            "The outputs of the models are not finite. Did their training diverge?"
        )


class PowerBALD(BALD):
    r"""PowerBALD [1]_: rows drawn with probabilities that increase with `BALD`.

    Parameters
    ----------
    posterior, noise_variance
        As in `BALD`.
    power : float
        Exponent :math:`\beta` of the scores: small values are close to `Random`, large
        ones to `BALD`.
    random_state : int, RandomState, Generator or None
        Draws the models and the rows.

    Notes
    -----
    Draws without replacement, with probabilities proportional to
    :math:`\mathrm{BALD}(x)^\beta`.  It costs as little as `BALD`, without its
    redundancy in large batches.  The score of a pick is that of `BALD`.

    References
    ----------
    .. [1] Kirsch et al., "Stochastic batch acquisition: a simple baseline for deep
       active learning", TMLR 2023. https://arxiv.org/abs/2106.12059

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

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        check_positive("power", self.power)
        scores = self._checked_scores(pool, rng)
        return power_bald(scores, n, rng, power=self.power)
