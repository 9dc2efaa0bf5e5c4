"""Batches by EPIG: rows whose labels together say most about rows of interest."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from skal._numerics.products import blocks
from skal.measures import epig, epig_of_covariance
from skal.selection._configurations import LabelConfigurations
from skal.selection._greedy import Greedy, LookAhead, Picks, best_of, check_n
from skal.validation import check_int, check_positive

__all__ = ["batch_epig", "batch_epig_of_covariance", "gaussian_batch_epig"]

#: A gain below this is the rounding of one that is 0.
_LEAST = 2.0**-36


def batch_epig(
    probs: Tensor,
    target_probs: Tensor,
    n: int,
    rng: torch.Generator,
    *,
    n_configurations: int = 10,
) -> Picks:
    r"""Pick greedily by EPIG given the labels of the picks, some of them sampled [1]_.

    Parameters
    ----------
    probs : Tensor of shape (K, m, C)
        Probabilities of m rows under the same K models, at least 2.
    target_probs : Tensor of shape (K, t, C)
        Of the same models, for the rows whose predictions are of interest.
    n : int
        From 0 to m.
    rng : torch.Generator
        On the CPU.
    n_configurations : int, default=10
        Maximum number of configurations of the labels of the picks.  As long as the
        :math:`C^b` configurations of b picks do not exceed it, all are kept; beyond
        that, this number of configurations is sampled.

    Returns
    -------
    picks : Picks
        Scores are the gains at the time, in nats; the first is `skal.measures.epig`.
        Ties are broken in a fixed random order.  Once the labels of the picks
        distinguish all models, no row has a gain above 0, and the rows with the largest
        EPIG follow.

    Raises
    ------
    ValueError
        If `n` or `n_configurations` is out of range, there are fewer than 2 models or
        no target, or the two tensors do not go together.

    Notes
    -----
    The gain of a row is

    .. math:: \frac1t \sum_* I(y_x; y_* \mid y_B)
       = \frac1t \sum_* \sum_s \pi_s I_{w_s}(y_x; y_*)

    over the configurations s of the labels :math:`y_B` picked so far, of probability
    :math:`\pi_s`, with the posterior :math:`w_s` of the models given each.  Gains may
    rise as the batch grows, so every row is evaluated for every pick:
    :math:`S m t K C^2` multiply-adds and :math:`S m t C^2` logarithms with S
    configurations.

    References
    ----------
    .. [1] Hu and Mussmann, "Batch Bayesian active learning with partial batch label
       sampling", 2025. https://arxiv.org/abs/2510.09877

    Examples
    --------
    The first two rows are duplicates, so the third is worth more than a second of them:

    >>> import torch
    >>> from skal.selection import batch_epig
    >>> first, third = [0.9, 0.1, 0.9, 0.1], [0.1, 0.1, 0.9, 0.9]
    >>> p = torch.tensor([first, first, third]).T
    >>> probs = torch.stack([p, 1 - p], dim=2)
    >>> batch_epig(probs, probs, 2, torch.Generator().manual_seed(0)).indices
    tensor([1, 2])
    """
    _check(probs, target_probs, n)
    check_int("n_configurations", n_configurations)
    labels = LabelConfigurations(len(probs), n_configurations, rng, probs.double())
    return _Gains(probs.double(), target_probs.double(), labels).pick(n)


class _Gains(Greedy):
    """EPIG given the labels of the picks, by models of unequal probabilities."""

    is_rounded = True

    def __init__(
        self, probs: Tensor, targets: Tensor, labels: LabelConfigurations
    ) -> None:
        self.probs, self.targets, self.labels = probs, targets, labels
        self.single = self.value = epig(probs, targets)

    def choose(self) -> tuple[int, Tensor] | None:
        return super().choose() if bool((self.open > _LEAST).any()) else None

    def update(self, i: int) -> None:
        self.labels.add(self.probs[:, i])
        self.value = torch.zeros_like(self.single)
        labels = zip(self.labels.weight, self.labels.posterior, strict=True)
        for share, weights in labels:
            possible = weights > 0
            self.value += share * epig(
                self.probs[possible], self.targets[possible], weights[possible]
            )

    def rest(self, left: Tensor, n: int) -> Tensor:
        return best_of(left, self.single, n)


def _check(values: Tensor, targets: Tensor, n: int) -> None:
    if values.ndim != 3 or len(values) < 2:
        raise ValueError(
            "The outputs of the rows must have the shape (K, m, C) with at least 2 "
            f"models, got {tuple(values.shape)}."
        )
    wanted = (len(values), targets.shape[1] if targets.ndim > 1 else 0, values.shape[2])
    if targets.shape != wanted or not wanted[1]:
        raise ValueError(
            f"The outputs of the targets must have the shape ({wanted[0]}, t, "
            f"{wanted[2]}), as those of the rows, got {tuple(targets.shape)}."
        )
    check_n(n, values.shape[1])


def gaussian_batch_epig(
    predictions: Tensor, target_predictions: Tensor, n: int, noise_variance: float
) -> Picks:
    r"""Pick greedily by EPIG given the picks, for regression under a Gaussian.

    Parameters
    ----------
    predictions : Tensor of shape (K, m, T)
        T targets of m rows under the same K models, at least 2.
    target_predictions : Tensor of shape (K, t, T)
        Of the same models, for the rows whose predictions are of interest.
    n : int
        From 0 to m.
    noise_variance : float
        Variance :math:`\sigma^2` of a label about the prediction of a model.

    Returns
    -------
    picks : Picks
        Scores are the gains at the time, in nats; the first is
        `skal.measures.gaussian_epig`.  Ties are broken in a fixed random order.

    Raises
    ------
    ValueError
        If `n` is out of range, there are fewer than 2 models or no target, the two
        tensors do not go together, or the noise variance is not positive.

    Notes
    -----
    `batch_epig_of_covariance` with the covariances over the models (divided by K).
    """
    _check(predictions, target_predictions, n)
    x = predictions.double() - predictions.double().mean(dim=0)
    z = target_predictions.double() - target_predictions.double().mean(dim=0)

    def covariance(rows: Tensor | None, columns: Tensor) -> Tensor:
        left = x if rows is None else x[:, rows]
        return torch.einsum("kro,kco->rco", left, x[:, columns]) / len(x)

    check_positive("noise_variance", noise_variance)
    # Held once, and divided in place: it is by far the largest part of the memory.
    cross = torch.einsum("kmo,kto->mto", x, z).div_(len(x))
    given = _Given(
        x.square().mean(dim=0), z.square().mean(dim=0), cross, noise_variance
    )
    return _CovarianceGains(given, covariance, n).pick(n)


def batch_epig_of_covariance(
    variance: Tensor,
    covariance: Callable[[Tensor | None, Tensor], Tensor],
    target_variance: Tensor,
    target_covariance: Tensor,
    n: int,
    noise_variance: float,
) -> Picks:
    r"""Pick greedily by EPIG given the picks, by covariances of Gaussian predictions.

    Parameters
    ----------
    variance : Tensor of shape (m, T), float64
        Of the predicted function at each row, without label noise; the T outputs are
        independent of each other.
    covariance : callable
        ``covariance(rows, columns)`` returns the covariances ``(r, c, T)`` of the
        function at some rows with that at others, positions of shape (r,) and (c,);
        ``rows=None`` stands for all m.
    target_variance : Tensor of shape (t, T), float64
        At the rows of interest.
    target_covariance : Tensor of shape (m, t, T), float64
        Of the function at the rows with that at the rows of interest.
    n : int
        From 0 to m.
    noise_variance : float
        Variance :math:`\sigma^2` of a label about the function, above 0.

    Returns
    -------
    picks : Picks
        Scores are the gains at the time, in nats; the first is
        `skal.measures.epig_of_covariance`.  Ties are broken in a fixed random order.

    Raises
    ------
    ValueError
        If `n` is out of range, there is no target, or the noise variance is not
        positive.

    Notes
    -----
    The gain is :math:`-\frac12 \log(1 - \rho^2)` with the correlation :math:`\rho` of
    two labels given the labels of the picks, in the mean over the targets.  A Gaussian
    covariance given labels depends on their rows alone, so that no label is sampled.
    A pick subtracts a product of m and t elements from `target_covariance`, of which a
    copy is kept; covariances of all rows are asked for with a few rows at a time, which
    are forecast to be picked next.
    """
    check_positive("noise_variance", noise_variance)
    check_n(n, len(variance))
    if not len(target_variance):
        raise ValueError("There is no row of interest.")
    given = _Given(
        variance.clone(),
        target_variance.clone(),
        target_covariance.clone(),
        noise_variance,
    )
    return _CovarianceGains(given, covariance, n).pick(n)


class _Given:
    """Covariances of the function given the labels of the picks."""

    def __init__(
        self, variance: Tensor, of_targets: Tensor, cross: Tensor, noise: float
    ) -> None:
        self.variance, self.of_targets, self.cross = variance, of_targets, cross
        self.noise = noise
        self.columns: list[Tensor] = []  # of the picks, (m, T) each

    def at(self, rows: Tensor) -> _Given:
        """Copy this for some of the rows."""
        found = _Given(
            self.variance[rows], self.of_targets.clone(), self.cross[rows], self.noise
        )
        found.columns = [column[rows] for column in self.columns]
        return found

    def add(self, column: Tensor, i: int) -> None:
        """Condition on the label of row `i`, with its covariances ``(m, T)``."""
        for before in self.columns:
            column = column - before * before[i]
        scale = (column[i].clamp(min=0) + self.noise).sqrt()
        column, to_targets = column / scale, self.cross[i] / scale
        self.columns.append(column)
        self.variance = (self.variance - column.square()).clamp_(min=0)
        self.of_targets = (self.of_targets - to_targets.square()).clamp_(min=0)
        for part in blocks(len(column), to_targets.numel()):
            self.cross[part] -= column[part, None] * to_targets

    def gains(self) -> Tensor:
        """EPIG of each row, ``(m,)``."""
        gains = self.variance.new_empty(len(self.variance))
        for part in blocks(len(gains), self.of_targets.numel()):
            gains[part] = epig_of_covariance(
                self.cross[part], self.variance[part], self.of_targets, self.noise
            )
        return gains


class _CovarianceGains(LookAhead):
    """EPIG given the picks; their covariances with all rows are read in advance."""

    def __init__(
        self,
        given: _Given,
        covariance: Callable[[Tensor | None, Tensor], Tensor],
        n: int,
    ) -> None:
        super().__init__(n)
        self.given, self.covariance = given, covariance
        self.value = given.gains()

    def look_ahead(self, rows: Tensor, n: int) -> Tensor:
        few = _FewGains(self.given.at(rows), self.covariance(rows, rows))
        few.numbers = rows
        picks = rows[few.pick(n).indices]
        columns = self.covariance(None, picks).unbind(dim=1)
        self.ahead = list(zip(columns, picks.tolist(), strict=True))
        return picks

    def take(self) -> None:
        column, i = self.ahead.pop(0)
        self.given.add(column, i)
        self.value = self.given.gains()


class _FewGains(Greedy):
    """The same for a few of the rows, whose covariances are known."""

    is_rounded = True

    def __init__(self, given: _Given, kernel: Tensor) -> None:
        self.given, self.kernel = given, kernel
        self.value = given.gains()

    def update(self, i: int) -> None:
        self.given.add(self.kernel[:, i], i)
        self.value = self.given.gains()
