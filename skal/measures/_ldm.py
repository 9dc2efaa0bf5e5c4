"""The least disagree metric: how small a change of the model flips a row."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf
from typing import Literal

import torch
from torch import Tensor

from skal._numerics.flips import HeadRows, stack_head

__all__ = ["least_disagree_metric"]

#: Count above that of any rows.
_NEVER = 2**31 - 1
#: Most elements of a batch of perturbations (64 MiB).
_MAX_DRAWN = 1 << 23


def least_disagree_metric(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    reference: Tensor,
    *,
    rng: torch.Generator,
    n_unchanged: int = 10,
    sigmas: Tensor | None = None,
    is_reference: Tensor | None = None,
    stop: Literal["reference", "pool", "row"] = "reference",
    batch_size: int = 32,
) -> Tensor:
    """Estimate the least disagree metric (LDM) of each row.

    The LDM of x is the smallest share of inputs that change their class if the head of
    the net is perturbed until x changes its class.  Unlike all other measures, it is
    small for valuable rows, because it is a metric; strategies rank rows by its
    negative.

    Parameters
    ----------
    features : Tensor of shape (m, d)
        Inputs of the head for the rows of interest.
    weight : Tensor of shape (C, d)
        Weight of the head. With C = 1 the class is the sign of the logit.
    bias : Tensor of shape (C,) or None
        Bias of the head, perturbed as well.
    reference : Tensor of shape (M, d)
        Inputs of the head for the rows by which disagreement is measured.
    rng : torch.Generator
        On the CPU; source of the seed of each noise scale.
    n_unchanged : int, default=10
        A noise scale ends after this many consecutive perturbed heads that lower no
        estimate.
    sigmas : Tensor of shape (S,), optional
        Standard deviations of the noise, in the order in which they are tried;
        by default ``10 ** (-5 + 0.1 k)`` for k = 0, ..., 50.
    is_reference : Tensor of shape (m,), bool, optional
        Which rows of interest are reference rows, too.  Such a row is left out of the
        share that it is given: a head that flips it and k reference rows in all counts
        as ``(k - 1) / (M - 1)``.
    stop : {"reference", "pool", "row"}, default="reference"
        Whose lowered estimate restarts the count of `n_unchanged`: that of any
        reference row, of any row of the pool, or, in a count for each row, that of the
        row (as in the algorithm of the paper; a row is done once its count is full).
        The first two are the same if the reference rows are those of interest.  With
        more rows, ``"pool"`` takes much longer, because nearly every head lowers the
        estimate of some row; ``"reference"`` does not.
    batch_size : int, default=32
        Perturbed heads evaluated at once; changes only speed and memory.

    Returns
    -------
    ldm : Tensor of shape (m,)
        Multiples of 1/M in [0, 1], or of 1/(M - 1) where a row was left out, float32;
        1 for rows that were never flipped.

    Raises
    ------
    ValueError
        If shapes do not fit or an option is out of range.

    Notes
    -----
    For each scale s, heads ``W' = W + s E`` with standard normal E are drawn; ``rho``
    is the share of the reference rows whose most likely class differs between W' and
    W, and the estimate of each row that W' flips becomes ``min(estimate, rho)``. More
    heads never raise an estimate.

    The cost is at most ``draws * (m + M) * d * C`` multiply-adds.  Two exact tests save
    most of them: a batch of heads cannot lower a row whose estimate is no larger than
    the smallest rho of the batch, nor a row whose gap between logits is beyond the
    reach of its noise.  Memory beyond the arguments is some tens of bytes per row.

    References
    ----------
    Cho, Kim, Lee, Shin and Yoo, "Querying easily flip-flopped samples for deep active
    learning", ICLR 2024. https://arxiv.org/abs/2401.09787

    Examples
    --------
    A line through the origin of the plane: the metric is the angle to it, over pi.

    >>> import torch
    >>> from skal.measures import least_disagree_metric
    >>> rng = torch.Generator().manual_seed(0)
    >>> reference = torch.randn(2000, 2, generator=rng)
    >>> rows = torch.tensor([[1.0, 0.0], [1.0, 0.7], [1.0, 1.4]])
    >>> weight = torch.tensor([[0.0, 1.0]])
    >>> ldm = least_disagree_metric(rows, weight, None, reference, rng=rng)
    >>> [round(float(value), 1) for value in ldm]
    [0.0, 0.2, 0.3]
    """
    _check(features, weight, bias, reference)
    if n_unchanged < 1 or batch_size < 1:
        raise ValueError(
            "n_unchanged and batch_size must be at least 1, got "
            f"{n_unchanged} and {batch_size}."
        )
    if stop not in ("reference", "pool", "row"):
        raise ValueError(f"stop must be 'reference', 'pool' or 'row', got {stop!r}.")
    if sigmas is None:
        sigmas = 10 ** (-5 + 0.1 * torch.arange(51, dtype=torch.float64))
    scales = [float(sigma) for sigma in sigmas]
    if not scales or not all(0 < sigma < inf for sigma in scales):
        raise ValueError("sigmas must be positive, and at least one is needed.")
    head = stack_head(weight, bias)
    pool, monte_carlo = HeadRows(features, head), HeadRows(reference, head)
    batch_size = max(1, min(batch_size, _MAX_DRAWN // head.numel()))
    # A seed for each scale makes its draws independent of the number of others.
    seeds = torch.randint(2**62, (len(scales),), generator=rng).tolist()
    counts = torch.full(
        (len(pool),), len(monte_carlo), dtype=torch.int32, device=features.device
    )
    watched = torch.full_like(counts[:1], len(monte_carlo)).repeat(len(monte_carlo))
    ways: dict[str, Callable[..., None]] = {
        "reference": partial(_lower_for_reference, watched=watched),
        "pool": _lower_for_pool,
        "row": _lower_for_rows,
    }
    lower = ways[stop]
    for sigma, seed in zip(scales, seeds, strict=True):
        draws = _Draws(head.shape, sigma, seed, batch_size)
        lower(counts, pool, monte_carlo, draws, n_unchanged)
    ldm = counts.to(torch.float32) / len(monte_carlo)
    if is_reference is not None and len(monte_carlo) > 1:
        others = (counts.to(torch.float32) - 1) / (len(monte_carlo) - 1)
        ldm = torch.where(is_reference, others, ldm)
    return ldm


class _Draws:
    """Perturbations of one scale; the i-th does not depend on the batch size."""

    def __init__(
        self, shape: torch.Size, sigma: float, seed: int, batch_size: int
    ) -> None:
        self._shape, self._sigma, self._batch_size = shape, sigma, batch_size
        self._rng = torch.Generator().manual_seed(seed)

    def next(self) -> Tensor:
        noise = [
            torch.randn(self._shape, generator=self._rng, dtype=torch.float32)
            for _ in range(self._batch_size)
        ]
        return torch.stack(noise).to(torch.float64) * self._sigma


def _lower_for_reference(
    counts: Tensor,
    pool: HeadRows,
    monte_carlo: HeadRows,
    draws: _Draws,
    n_unchanged: int,
    watched: Tensor,
) -> None:
    """Lower the counts in place until `n_unchanged` heads lowered no `watched` one."""
    unchanged = 0
    while unchanged < n_unchanged:
        noise = draws.next()
        seen = monte_carlo.flips(noise)
        rho = seen.sum(dim=1, dtype=counts.dtype)
        reached = _where_flipped(seen, rho)
        # Estimates of the watched rows before each head, as if heads came one by one.
        before = torch.cat([watched[None], reached[:-1]]).cummin(dim=0).values
        used = 0
        for lowers in (reached < before).any(dim=1).tolist():
            used += 1
            unchanged = 0 if lowers else unchanged + 1
            if unchanged == n_unchanged:
                break
        noise, rho = noise[:used], rho[:used]
        watched.copy_(torch.minimum(watched, reached[:used].amin(dim=0)))
        rows = ((counts > rho.min()) & pool.can_flip(noise)).nonzero()[:, 0]
        lowest = _where_flipped(pool.flips(noise, rows), rho).amin(dim=0)
        counts[rows] = torch.minimum(counts[rows], lowest)


def _where_flipped(flips: Tensor, rho: Tensor) -> Tensor:
    """Return the count of each head where it flips a row, else `_NEVER`, (B, n)."""
    return torch.where(flips, rho[:, None], _NEVER)


def _lower_for_pool(
    counts: Tensor,
    pool: HeadRows,
    monte_carlo: HeadRows,
    draws: _Draws,
    n_unchanged: int,
) -> None:
    """Lower the counts in place until `n_unchanged` heads lowered none of them."""
    unchanged = 0
    while True:
        noise = draws.next()
        rho = monte_carlo.flips(noise).sum(dim=1).tolist()
        rows = ((counts > min(rho)) & pool.can_flip(noise)).nonzero()[:, 0]
        flips, lowest = pool.flips(noise, rows), counts[rows]
        for flipped, value in zip(flips, rho, strict=True):
            better = flipped & (lowest > value)
            if bool(better.any()):
                lowest[better] = value
                unchanged = 0
                continue
            unchanged += 1
            if unchanged == n_unchanged:
                break
        counts[rows] = lowest
        if unchanged == n_unchanged:
            return


def _lower_for_rows(
    counts: Tensor,
    pool: HeadRows,
    monte_carlo: HeadRows,
    draws: _Draws,
    n_unchanged: int,
) -> None:
    """Lower the counts in place, each until `n_unchanged` heads left it as it was."""
    live = torch.ones_like(counts, dtype=torch.bool)
    unchanged = torch.zeros_like(counts)
    while bool(live.any()):
        noise = draws.next()
        rho = monte_carlo.flips(noise).sum(dim=1).tolist()
        active = live & (counts > min(rho)) & pool.can_flip(noise)
        rows = active.nonzero()[:, 0]
        flips = pool.flips(noise, rows)
        for flipped, value in zip(flips, rho, strict=True):
            better = rows[flipped & (counts[rows] > value) & live[rows]]
            unchanged += 1
            counts[better] = value
            unchanged[better] = 0
            live &= unchanged < n_unchanged


def _check(
    features: Tensor, weight: Tensor, bias: Tensor | None, reference: Tensor
) -> None:
    if weight.ndim != 2:
        raise ValueError(
            f"weight must have shape (classes, features), got {tuple(weight.shape)}."
        )
    for name, rows in (("features", features), ("reference", reference)):
        if rows.ndim != 2 or rows.shape[1] != weight.shape[1]:
            raise ValueError(
                f"{name} must have shape (rows, {weight.shape[1]}) to fit the weight, "
                f"got {tuple(rows.shape)}."
            )
        if not len(rows):
            raise ValueError(f"{name} has no rows.")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(
            f"bias must have shape ({weight.shape[0]},), got {tuple(bias.shape)}."
        )
