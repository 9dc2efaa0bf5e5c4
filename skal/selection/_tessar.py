"""TESSAR: rows near the faces of the Voronoi cells of labeled rows."""

from __future__ import annotations

from math import inf

import torch
from torch import Tensor

from skal.selection._greedy import Greedy, Picks, any_of_largest, check_n
from skal.selection._perturbed_centers import PerturbedCenters
from skal.selection._seeding import order_statistic

__all__ = ["tessar"]

#: Difference up to which logarithms of scores count as equal.
_TIE = 1e-9


def tessar(
    features: Tensor,
    n: int,
    rng: torch.Generator,
    centers: Tensor | None = None,
    *,
    sigmas: Tensor | None = None,
    n_copies: int = 5,
    n_reference: int = 2000,
    rank: int | None = None,
) -> Picks:
    r"""Pick by nearness to a face, distance and weight of the Voronoi cell [1]_.

    Parameters
    ----------
    features : Tensor of shape (m, d)
    n : int
        From 0 to m.
    rng : torch.Generator
        On the CPU.
    centers : Tensor of shape (L, d), optional
        Labeled rows in the same space, the first centers.  Without them the first pick
        is the row of the largest norm.
    sigmas : Tensor of shape (V,), optional
        Standard deviations of the noise on the centers, divided by the median distance
        of the rows to their nearest center (rows that coincide with a center are left
        out); by default :math:`10^{-3.6 + 0.4 k}` for :math:`k = 0, \dots, 9`.
    n_copies : int, default=5
        Number of noisy copies of the centers for each of `sigmas`.
    n_reference : int, default=2000
        Number of rows, drawn at random, by which the disagreement of a copy is
        measured.
    rank : int, optional
        Rank of :math:`L_q` among the metrics, 1 for the smallest; by default `n`.

    Returns
    -------
    picks : Picks
        Scores are :math:`\gamma D S` when picked, float64 (the norm for a first pick
        without centers).

    Raises
    ------
    ValueError
        If `n` is out of range, shapes do not fit, or an option is out of range.

    Notes
    -----
    Centers classify rows by the number of the nearest center, :math:`h(x)`.  In each of
    :math:`N = V \cdot` `n_copies` copies all centers have noise; the disagreement
    :math:`\rho` of a copy is the share of reference rows that it classifies
    differently.  :math:`L_x`, the Voronoi-based least disagree metric (VLDM), is the
    smallest :math:`\rho` of the copies that change :math:`h(x)`, and 1 if none does.
    With :math:`D_x` the distance to the nearest center, the next pick has the largest

    .. math:: \exp\Bigl(-\frac{\max(L_x - L_q, 0)}{L_q}\Bigr) \; D_x
        \sum_{u : h(u) = h(x)} D_u^2,

    where :math:`L_q` is the n-th smallest :math:`L` of all rows (the smallest positive
    one if that is 0).  Even the first pick therefore depends on n; set `rank` to
    prevent this.  The pick becomes a center, with different noise in each copy, and L,
    D, the cells and the weights are updated.  Ties are broken in a fixed random order;
    rows that coincide with a center come last.

    The paper leaves open the scales (here relative), the number of copies, that L_q is
    computed anew for each pick, and that equal centers count as one.  The constant that
    makes the exponentials sum to 1 is left out.

    Takes N · m · (L + n) · d multiply-adds and 5 · N · m bytes in float32; nothing of
    size N × m × d or m × m is made.

    References
    ----------
    .. [1] "TESSAR: geometry-aware active regression via dynamic Voronoi tessellation",
       ICLR 2026. https://openreview.net/forum?id=mhfbu9von5

    Examples
    --------
    Two labeled rows, with a row between them and two farther out:

    >>> import torch
    >>> from skal.selection import tessar
    >>> centers = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    >>> rows = torch.tensor([[-1.1, 0.0], [1.0, 0.0], [2.2, 0.0]])
    >>> tessar(rows, 1, torch.Generator().manual_seed(0), centers).indices
    tensor([1])
    """
    check_n(n, len(features))
    centers = features[:0] if centers is None else centers
    _check(features, centers, n_copies, n_reference, rank)
    reference = torch.randperm(len(features), generator=rng)[:n_reference]
    reference = reference.to(features.device)
    sigmas = _scales(sigmas, n_copies)
    cells = PerturbedCenters(features, centers, sigmas, reference, rng)
    return _Cells(features, cells, n if rank is None else rank).pick(n)


class _Cells(Greedy):
    """Logarithms of the scores of rows, float64; -inf on a center."""

    def __init__(
        self, features: Tensor, perturbed: PerturbedCenters, rank: int
    ) -> None:
        self.perturbed, self.rank = perturbed, rank
        if perturbed.cells.n_centers:
            self._weigh()
        else:
            norm = torch.linalg.vector_norm(features, dim=1)
            self.value = norm.double()

    def choose(self) -> tuple[int, Tensor] | None:
        if self.perturbed.cells.n_centers == 0:
            return super().choose()
        if not self.open.isfinite().any():  # every row left coincides with a center
            return None
        i = any_of_largest(self.open, _TIE, self.numbers)
        return i, self.open[i].exp()

    def update(self, i: int) -> None:
        self.perturbed.add(i)
        self._weigh()

    def _weigh(self) -> None:
        cells, vldm = self.perturbed.cells, self.perturbed.metric()
        # Logarithms, because scores of rows that no copy changes can underflow to 0.
        value = cells.sq_dist.double().log() / 2 + cells.weights().log()[cells.center]
        scale = order_statistic(vldm, self.rank)
        if scale is not None:
            value -= (vldm - scale).clamp(min=0) / scale
        self.value = value


def _scales(sigmas: Tensor | None, n_copies: int) -> Tensor:
    """Return the scale of the noise in each copy."""
    if sigmas is None:
        sigmas = 10 ** (-3.6 + 0.4 * torch.arange(10, dtype=torch.float64))
    try:
        scales = [float(sigma) for sigma in sigmas]
    except (TypeError, ValueError):  # not a sequence, or not of numbers
        scales = []
    if not scales or not all(0 < sigma < inf for sigma in scales):
        raise ValueError(
            f"sigmas must be positive numbers, at least one, got {sigmas!r}."
        )
    return torch.tensor(scales, dtype=torch.float64).repeat_interleave(n_copies)


def _check(
    features: Tensor, centers: Tensor, n_copies: int, n_reference: int, rank: int | None
) -> None:
    if features.ndim != 2 or centers.ndim != 2 or features.shape[1] != centers.shape[1]:
        raise ValueError(
            "features and centers must have the shapes (m, d) and (L, d), got "
            f"{tuple(features.shape)} and {tuple(centers.shape)}."
        )
    if n_copies < 1 or n_reference < 1 or (rank is not None and rank < 1):
        raise ValueError(
            "n_copies, n_reference and rank must be at least 1, got "
            f"{n_copies}, {n_reference} and {rank}."
        )
