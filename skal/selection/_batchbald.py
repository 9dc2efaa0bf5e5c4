"""BatchBALD: the rows whose labels together say most of the model."""

from __future__ import annotations

import torch
from torch import Tensor

from skal.measures import bald, entropy
from skal.selection._picks import Picks, check_n
from skal.validation import check_int

__all__ = ["batch_bald"]

_BLOCK = 1 << 21  # conditional probabilities held at once
_MOST_BYTES = 1 << 32
# Gains are rounded to this, so that those of duplicates tie: beyond float64's error.
_STEP = 2.0**-36
# Samples whose posteriors agree to this are evaluated as one, at their mean.
_GRID = 2.0**-20


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
    n_configurations : int
        Configurations of the picks' labels kept. All :math:`C^b` of b picks are, as
        long as they are no more than this; beyond, so many are sampled.

    Returns
    -------
    picks : Picks
        Scores are the gains in mutual information, in nats; the first is `bald`. Ties
        go in pool order. Once no row gains anything, the labels of the picks tell the
        models apart, and the rows of the largest `bald` are left to take.

    Raises
    ------
    ValueError
        If `n` is out of range, there are fewer than 2 models or fewer samples than
        models, or the samples would take more than 4 GiB (the message says how much).

    Notes
    -----
    With labels independent given the model, a row gains

    .. math:: I(y_x; \omega \mid y_B)
       = \sum_s \pi_s H\Big(\sum_k w_{sk} p_k(y_x)\Big) - \frac1K \sum_k H(p_k(y_x))

    over the configurations s of the labels :math:`y_B` picked so far, of probability
    :math:`\pi_s`, and the posterior :math:`w_s` of the models after each. Sampled
    configurations come from every model in turn and grow by a label each pick.

    A gain never rises as the batch grows (it is submodular), so only rows whose last
    known gain is above the best one found are evaluated anew. This is exact as long
    as all configurations are kept, and up to their noise once they are sampled.

    Evaluating a row costs ``S * K * C`` multiply-adds and ``S * C`` logarithms for S
    configurations; memory beyond `probs` is ``8 * S * (K + C)`` bytes and a block.
    Samples whose posteriors agree to :math:`2^{-20}` are evaluated as one: S falls as
    the labels tell the models apart, and a large batch under few models costs little.

    References
    ----------
    .. [1] Kirsch, van Amersfoort and Gal, "BatchBALD: efficient and diverse batch
       acquisition for deep Bayesian active learning", NeurIPS 2019.
       https://arxiv.org/abs/1906.08158

    Examples
    --------
    The first two rows are one and the same, so that the third is worth more:

    >>> import torch
    >>> from skal.selection._batchbald import batch_bald
    >>> p = torch.tensor([[0.9, 0.9, 0.8], [0.1, 0.1, 0.8], [0.9, 0.9, 0.2]])
    >>> probs = torch.stack([p, 1 - p], dim=2)
    >>> batch_bald(probs, 2, torch.Generator().manual_seed(0)).indices
    tensor([0, 2])
    """
    _check(probs, n, n_configurations)
    probs = probs.double()
    n_models, _, n_classes = probs.shape
    blocks = probs.split(max(1, _BLOCK // (n_models * n_classes)), dim=1)
    own = torch.cat([_mean_entropy(block) for block in blocks])
    single = _rounded(torch.cat([bald(block) for block in blocks]))
    gains = single.clone()  # upper bounds, once there are picks
    labels = _Configurations(n_models, n_configurations, rng, probs)
    indices: list[int] = []
    scores: list[Tensor] = []
    for k in range(n):
        pick = int(gains.argmax()) if k == 0 else _lazy_argmax(gains, own, labels)
        if gains[pick] == 0:  # so are all the others, from here on
            indices += _best_of(single, gains > -torch.inf, n - k)
            scores += [gains[pick]] * (n - k)
            break
        indices.append(pick)
        scores.append(gains[pick].clone())
        gains[pick] = -torch.inf
        if k < n - 1:
            labels.add(probs[:, pick])
    rows = torch.tensor(indices, dtype=torch.long, device=probs.device)
    return Picks(rows, torch.stack(scores) if scores else gains[:0])


def _mean_entropy(probs: Tensor) -> Tensor:
    """Mean over the models of the entropy of each row's label, ``(m,)``."""
    n_models, m, n_classes = probs.shape
    return entropy(probs.reshape(-1, n_classes)).reshape(n_models, m).mean(dim=0)


def _best_of(scores: Tensor, among: Tensor, n: int) -> list[int]:
    """List the rows of the highest scores, ties in pool order."""
    order = scores.where(among, -torch.inf).sort(descending=True, stable=True).indices
    return order[:n].tolist()


def _rounded(gains: Tensor) -> Tensor:
    return (gains.clamp(min=0) / _STEP).round_() * _STEP


def _lazy_argmax(gains: Tensor, own: Tensor, labels: _Configurations) -> int:
    """Find the row of the largest gain, lowering bounds in place as far as it takes."""
    bounds, order = gains.sort(descending=True, stable=True)
    best, best_row = -torch.inf, -1
    step = labels.block_size
    for start in range(0, len(order), step):
        bound, first = float(bounds[start]), int(order[start])
        # Among equal bounds the order is that of the pool, so the first is the lowest.
        if bound < best or (bound == best and first > best_row):
            break
        rows = order[start : start + step]
        rows = rows[gains[rows] > -torch.inf]
        if not len(rows):
            break
        gains[rows] = _rounded(labels.mean_entropy(rows) - own[rows])
        block_best = float(gains[rows].max())
        block_row = int(rows[gains[rows] == block_best].min())
        if block_best > best or (block_best == best and block_row < best_row):
            best, best_row = block_best, block_row
    return best_row


class _Configurations:
    """Labels that the picks may take: all of them, or samples once they are many."""

    def __init__(
        self, n_models: int, n_configurations: int, rng: torch.Generator, probs: Tensor
    ) -> None:
        self._probs, self._rng = probs, rng
        self._n_configurations = n_configurations
        self._picked: list[Tensor] = []
        # Posterior of the models after each configuration, and its probability.
        self._posterior = probs.new_full((1, n_models), 1 / n_models)
        self._weight = probs.new_ones(1)
        self._source: Tensor | None = None  # the model that each sample comes from
        self._samples = self._posterior  # posterior of each, once there are samples

    @property
    def block_size(self) -> int:
        """Rows evaluated together."""
        return max(1, _BLOCK // (len(self._weight) * self._probs.shape[2]))

    def mean_entropy(self, rows: Tensor) -> Tensor:
        """Entropy of the rows' labels given those of the picks, ``(len(rows),)``."""
        n_models, _, n_classes = self._probs.shape
        given = self._posterior @ self._probs[:, rows].reshape(n_models, -1)
        # Twice as fast as torch.special.entr; 0 log 0 is 0 here, too.
        logs = given.clamp(min=torch.finfo(given.dtype).tiny).log_()
        terms = logs.mul_(given).view(len(given), len(rows), n_classes)
        return -(self._weight @ terms.sum(dim=2))

    def add(self, probs: Tensor) -> None:
        """Extend the configurations by the label of a row, `probs` of shape (K, C)."""
        self._picked.append(probs)
        if self._source is not None:
            self._sample(probs, self._source)
            self._merge()
        elif len(self._weight) * probs.shape[1] <= self._n_configurations:
            joint = self._posterior[:, None] * probs.T  # (S, C, K)
            shares = joint.sum(dim=2, keepdim=True)
            weight = (self._weight[:, None] * shares[..., 0]).flatten()
            possible = weight > 0
            self._posterior = (joint / shares).flatten(0, 1)[possible]
            self._weight = weight[possible]
        else:
            n_models = len(probs)
            # Every model equally often: less noise than drawing them.
            start = torch.randperm(n_models, generator=self._rng)
            source = start[torch.arange(self._n_configurations) % n_models]
            self._source = source.to(probs.device)
            shape = (self._n_configurations, n_models)
            self._samples = probs.new_full(shape, 1 / n_models)
            for picked in self._picked:
                self._sample(picked, self._source)
            self._merge()

    def _sample(self, probs: Tensor, source: Tensor) -> None:
        """Draw a label for each sample from its model, and update the posteriors."""
        uniform = torch.rand(
            self._n_configurations, 1, generator=self._rng, dtype=probs.dtype
        )
        cumulative = probs.cumsum(dim=1)[source]
        point = uniform.to(probs.device) * cumulative[:, -1:]
        label = torch.searchsorted(cumulative, point, right=True)[:, 0]
        joint = self._samples * probs.T[label]
        self._samples = joint / joint.sum(dim=1, keepdim=True)

    def _merge(self) -> None:
        """Evaluate samples of nearly one posterior together."""
        cells = (self._samples / _GRID).round_()
        _, cell, count = torch.unique(
            cells, dim=0, return_inverse=True, return_counts=True
        )
        total = self._samples.new_zeros(len(count), self._samples.shape[1])
        total.index_add_(0, cell, self._samples)
        self._posterior = total / count[:, None]
        self._weight = count.to(total) / self._n_configurations


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
            "GiB: lower n_configurations."
        )
