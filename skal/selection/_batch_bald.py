"""BatchBALD: the rows whose labels together say most about the model."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from skal._numerics.products import block_size, blocks
from skal.measures import bald, bald_of_variance, entropy
from skal.selection._configurations import LabelConfigurations
from skal.selection._greedy import (
    Greedy,
    LookAhead,
    Picks,
    any_of_largest,
    best_of,
    check_n,
    random_keys,
)
from skal.validation import check_int, check_positive

__all__ = ["batch_bald", "batch_bald_of_covariance", "gaussian_batch_bald"]

#: Most memory of the configurations, in bytes.
_MOST_BYTES = 1 << 32
#: Gains are rounded to multiples of this, above the error of float64, so that those of
#: duplicates tie.
_STEP = 2.0**-36


def batch_bald(
    probs: Tensor, n: int, rng: torch.Generator, *, n_configurations: int = 2000
) -> Picks:
    r"""Pick greedily by the mutual information of a batch's labels and the model [1]_.

    Parameters
    ----------
    probs : Tensor of shape (K, m, C)
        Probabilities of m rows under the same K models, at least 2.
    n : int
        From 0 to m.
    rng : torch.Generator
        On the CPU.
    n_configurations : int, default=2000
        Maximum number of configurations of the labels of the picks.  As long as the
        :math:`C^b` configurations of b picks do not exceed it, all are kept; beyond
        that, this number of configurations is sampled.

    Returns
    -------
    picks : Picks
        Scores are the gains in mutual information, in nats; the first is `bald`.  Ties
        are broken in a fixed random order.  Once the labels of the picks distinguish
        all models, no row has a gain above 0, and the rows with the largest `bald`
        follow.

    Raises
    ------
    ValueError
        If `n` is out of range, there are fewer than 2 models, or fewer configurations
        than models or classes, or the configurations would take more than 4 GiB.

    Notes
    -----
    Labels are independent given the model, so a row gains

    .. math:: I(y_x; \omega \mid y_B)
       = \sum_s \pi_s H\Big(\sum_k w_{sk} p_k(y_x)\Big) - \frac1K \sum_k H(p_k(y_x))

    over the configurations s of the labels :math:`y_B` picked so far, of probability
    :math:`\pi_s`, with the posterior :math:`w_s` of the models given each.  Sampled
    configurations come from every model in turn and grow by one label with each pick.

    The gain of a row never rises as the batch grows (it is submodular), so only rows
    whose last known gain exceeds the best one found are evaluated again.  This is exact
    as long as all configurations are kept, and has sampling noise otherwise.

    Evaluating a row takes ``S * K * C`` multiply-adds and ``S * C`` logarithms for S
    configurations; memory beyond `probs` is ``8 * S * (K + C)`` bytes and a block.
    Sampled configurations whose posteriors agree to :math:`2^{-20}` are evaluated as
    one.  S therefore decreases as the labels distinguish the models, and a large batch
    with few models costs little.

    References
    ----------
    .. [1] Kirsch, van Amersfoort and Gal, "BatchBALD: efficient and diverse batch
       acquisition for deep Bayesian active learning", NeurIPS 2019.
       https://arxiv.org/abs/1906.08158

    Examples
    --------
    The first two rows are duplicates, so the third is worth more than a second of them:

    >>> import torch
    >>> from skal.selection import batch_bald
    >>> p = torch.tensor([[0.9, 0.9, 0.8], [0.1, 0.1, 0.8], [0.9, 0.9, 0.2]])
    >>> probs = torch.stack([p, 1 - p], dim=2)
    >>> batch_bald(probs, 2, torch.Generator().manual_seed(0)).indices
    tensor([1, 2])
    """
    _check(probs, n, n_configurations)
    return _LazyGains(probs.double(), n_configurations, rng).pick(n)


class _LazyGains(Greedy):
    """Upper bounds on the gains, lowered to the gains only where they may decide."""

    def __init__(
        self, probs: Tensor, n_configurations: int, rng: torch.Generator
    ) -> None:
        n_models, m, n_classes = probs.shape
        self.probs = probs
        self.own, self.single = probs.new_empty(2, m)
        for part in blocks(m, n_models * n_classes):
            self.own[part] = _mean_entropy(probs[:, part])
            self.single[part] = _rounded(bald(probs[:, part]))
        self.value = self.single
        self.labels = LabelConfigurations(n_models, n_configurations, rng, probs)
        self.n_classes = n_classes
        self.n_picked = 0

    def choose(self) -> tuple[int, Tensor] | None:
        self.value = self.open  # a copy, in which the bounds are lowered
        i = self._lazy_argmax() if self.n_picked else any_of_largest(self.value)
        return (i, self.value[i]) if self.value[i] > 0 else None

    def update(self, i: int) -> None:
        self.n_picked += 1
        self.labels.add(self.probs[:, i])

    def rest(self, left: Tensor, n: int) -> Tensor:
        return best_of(left, self.single, n)

    def _lazy_argmax(self) -> int:
        """Find a row of the largest gain."""
        gains = self.value
        shuffled = random_keys(torch.arange(len(gains), device=gains.device)).argsort()
        bounds, order = gains[shuffled].sort(descending=True, stable=True)
        best, best_row = -torch.inf, -1
        step = block_size(len(self.labels.weight) * self.n_classes)
        for start in range(0, len(order), step):
            bound, first = float(bounds[start]), int(order[start])
            # Equal bounds are in the order of `shuffled`, and so are equal gains.
            if bound < best or (bound == best and first > best_row):
                break
            places = order[start : start + step]
            places = places[gains[shuffled[places]] > -torch.inf]
            rows = shuffled[places]
            if not len(rows):
                break
            gains[rows] = _rounded(self._mean_entropy_given(rows) - self.own[rows])
            block_best = float(gains[rows].max())
            block_row = int(places[gains[rows] == block_best].min())
            if block_best > best or (block_best == best and block_row < best_row):
                best, best_row = block_best, block_row
        return int(shuffled[best_row])

    def _mean_entropy_given(self, rows: Tensor) -> Tensor:
        """Entropy of the label of each row given those of the picks, ``(b,)``."""
        given = self.labels.posterior @ self.probs[:, rows].flatten(1)
        # Twice as fast as torch.special.entr, and 0 log 0 is 0 as well.
        logs = given.clamp(min=torch.finfo(given.dtype).tiny).log_()
        terms = logs.mul_(given).view(len(given), len(rows), self.n_classes)
        return -(self.labels.weight @ terms.sum(dim=2))


def _mean_entropy(probs: Tensor) -> Tensor:
    """Mean over the models of the entropy of the label of each row, ``(m,)``."""
    n_models, m, n_classes = probs.shape
    return entropy(probs.reshape(-1, n_classes)).reshape(n_models, m).mean(dim=0)


def _rounded(gains: Tensor) -> Tensor:
    return (gains.clamp(min=0) / _STEP).round_() * _STEP


def _check(probs: Tensor, n: int, n_configurations: int) -> None:
    if probs.ndim != 3 or len(probs) < 2:
        raise ValueError(
            "probs must have the shape (K, m, C) with at least 2 models, got "
            f"{tuple(probs.shape)}."
        )
    n_models, m, n_classes = probs.shape
    check_n(n, m)
    check_int("n_configurations", n_configurations)
    if n_configurations < max(n_models, n_classes):
        raise ValueError(
            f"n_configurations must be at least {max(n_models, n_classes)}, the larger "
            f"of the numbers of models and classes, got {n_configurations}."
        )
    kept = min(n_configurations, n_classes ** min(n, 64))
    n_bytes = 8 * kept * (n_models + n_classes)
    if n_bytes > _MOST_BYTES:
        raise ValueError(
            f"A batch of {n} rows with {n_classes} classes would keep {kept} "
            f"configurations of labels under {n_models} models, {n_bytes / 2**30:.1f} "
            "GiB. Lower n_configurations."
        )


def gaussian_batch_bald(predictions: Tensor, n: int, noise_variance: float) -> Picks:
    r"""Pick greedily by the mutual information of targets and model, as Gaussians.

    Parameters
    ----------
    predictions : Tensor of shape (K, m, T)
        T targets of m rows under the same K models, at least 2.
    n : int
        From 0 to m.
    noise_variance : float
        Variance :math:`\sigma^2` of a label around the prediction of a model.

    Returns
    -------
    picks : Picks
        Scores are the gains in mutual information, in nats; the first is
        `gaussian_bald`.  Ties are broken in a fixed random order.

    Raises
    ------
    ValueError
        If `n` is out of range, there are fewer than 2 models, or the noise variance is
        not positive.

    Notes
    -----
    The mutual information of a batch B is :math:`\frac12 \log\det(I + \Sigma_B /
    \sigma^2)`, where :math:`\Sigma_B` is the covariance of its targets over the models
    (divided by K).  The deviations of the models are kept as K features of each target,
    and shrunk along those of each pick, as in a pivoted Cholesky decomposition:
    ``O(m * K * T**2)`` a pick, and a copy of `predictions` in float64.

    References
    ----------
    .. [1] Holzmüller, Zaverkin, Kästner and Steinwart, "A framework and benchmark for
       deep batch active learning for regression", JMLR 2023.
       https://arxiv.org/abs/2203.09410

    Examples
    --------
    >>> import torch
    >>> from skal.selection import gaussian_batch_bald
    >>> predictions = torch.tensor(
    ...     [[3.0, 3.0, 0.0], [-3.0, -3.0, 1.0], [0.0, 0.0, 2.0]]
    ... )
    >>> gaussian_batch_bald(predictions[..., None], 2, 0.5).indices
    tensor([1, 2])
    """
    if predictions.ndim != 3 or len(predictions) < 2:
        raise ValueError(
            "predictions must have the shape (K, m, T) with at least 2 models, got "
            f"{tuple(predictions.shape)}."
        )
    check_positive("noise_variance", noise_variance)
    check_n(n, predictions.shape[1])
    return _GaussianGains(predictions, noise_variance).pick(n)


class _GaussianGains(Greedy):
    """Gains in mutual information given the picks, of Gaussian targets."""

    def __init__(self, predictions: Tensor, noise_variance: float) -> None:
        wide = predictions.double()
        deviations = (wide - wide.mean(dim=0)).permute(1, 2, 0)  # (m, T, K)
        scale = (len(predictions) * noise_variance) ** 0.5
        self.features = deviations.contiguous().div_(scale)
        self._look()

    def update(self, i: int) -> None:
        # F (I + V'V)^(-1/2), by the few directions in which V = F[i] is not 0.
        _, size, directions = torch.linalg.svd(self.features[i], full_matrices=False)
        shrink = torch.rsqrt(1 + size.square()) - 1
        along = self.features @ directions.mT
        self.features += (along * shrink) @ directions
        self._look()

    def _look(self) -> None:
        n_targets = self.features.shape[1]
        if n_targets == 1:
            gains = torch.log1p(self.features[:, 0].square().sum(dim=1)) / 2
        else:
            gram = self.features @ self.features.mT
            identity = torch.eye(n_targets).to(gram)
            gains = torch.linalg.slogdet(identity + gram).logabsdet / 2
        self.value = gains.clamp(min=0)


def batch_bald_of_covariance(
    variance: Tensor,
    covariance: Callable[[Tensor | None, Tensor], Tensor],
    n: int,
    noise_variance: float,
) -> Picks:
    r"""Pick greedily by the mutual information of labels and Gaussian predictions.

    Parameters
    ----------
    variance : Tensor of shape (m, T), float64
        Of the predicted function at each row, without label noise; the T targets are
        independent of each other.
    covariance : callable
        ``covariance(rows, columns)`` returns the covariances ``(r, c, T)`` of the
        function at some rows with that at others, positions of shape (r,) and (c,);
        ``rows=None`` stands for all m.
    n : int
        From 0 to m.
    noise_variance : float
        Variance :math:`\sigma^2` of a label around the function, above 0.

    Returns
    -------
    picks : Picks
        Scores are the gains in mutual information, in nats; the first is
        `skal.measures.bald_of_variance`.  Ties are broken in a fixed random order.

    Raises
    ------
    ValueError
        If `n` is out of range, or the noise variance is not positive.

    Notes
    -----
    The mutual information of a batch B is :math:`\frac12 \log\det(I + K_B /
    \sigma^2)` for each target.  A pivoted Cholesky decomposition keeps one column of m
    elements for each pick and target; covariances of all rows are asked for with a few
    rows at a time, which are forecast to be picked next.

    Examples
    --------
    >>> import torch
    >>> from skal.selection import batch_bald_of_covariance
    >>> K = torch.tensor([[9.0, 8.9, 0.0], [8.9, 9.0, 0.0], [0.0, 0.0, 1.0]])
    >>> K = K.double()[:, :, None]
    >>> def covariance(rows, columns):
    ...     return (K if rows is None else K[rows])[:, columns]
    >>> variance = K.diagonal().T
    >>> batch_bald_of_covariance(variance, covariance, 2, 0.5).indices
    tensor([1, 2])
    """
    check_positive("noise_variance", noise_variance)
    check_n(n, len(variance))
    return _CovarianceGains(variance, covariance, n, noise_variance).pick(n)


class _CovarianceGains(LookAhead):
    """Gains in mutual information given the picks, of Gaussian predictions."""

    def __init__(
        self,
        variance: Tensor,
        covariance: Callable[[Tensor | None, Tensor], Tensor],
        n: int,
        noise: float,
    ) -> None:
        super().__init__(n)
        self.variance, self.covariance, self.noise = variance, covariance, noise
        self.value = bald_of_variance(variance, noise)
        # A pick takes the square of its column from the variance of each row.
        self.columns = variance.new_zeros((n, *variance.shape))
        self.n_known = 0

    def look_ahead(self, rows: Tensor, n: int) -> Tensor:
        few = _FewCovarianceGains(self, rows)
        few.numbers = rows
        picks = rows[few.pick(n).indices]
        with_all = self.covariance(None, picks)
        for k, pick in enumerate(picks):
            column = self.columns[self.n_known + k]
            column.copy_(with_all[:, k])
            _condition(self.columns[: self.n_known + k], column, int(pick), self.noise)
        return picks

    def take(self) -> None:
        column = self.columns[self.n_known]
        self.n_known += 1
        self.variance = (self.variance - column.square()).clamp_(min=0)
        self.value = bald_of_variance(self.variance, self.noise)


class _FewCovarianceGains(Greedy):
    """The same for a few of the rows, pick by pick."""

    is_rounded = True

    def __init__(self, whole: _CovarianceGains, rows: Tensor) -> None:
        self.noise, self.variance = whole.noise, whole.variance[rows]
        self.known = whole.columns[: whole.n_known, rows]
        self.kernel = whole.covariance(rows, rows)
        self.value = whole.value[rows]

    def update(self, i: int) -> None:
        column = self.kernel[:, i].clone()
        _condition(self.known, column, i, self.noise)
        self.known = torch.cat([self.known, column[None]])
        self.variance = (self.variance - column.square()).clamp_(min=0)
        self.value = bald_of_variance(self.variance, self.noise)


def _condition(known: Tensor, column: Tensor, i: int, noise: float) -> None:
    """Turn covariances ``(m, T)`` with row `i` into its column, given those before."""
    for before in known:
        column -= before * before[i]
    column /= (column[i].clamp(min=0) + noise).sqrt()
