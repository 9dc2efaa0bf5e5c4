"""TESSAR: rows near the faces of the cells of what is labeled."""

from __future__ import annotations

from math import inf

import torch
from torch import Tensor

from skal._numerics.sites import PerturbedSites
from skal.selection._picks import Picks, check_n, first_of_largest
from skal.selection._seeding import order_statistic

__all__ = ["tessar"]

#: Logarithms of scores nearer than this are taken for equal.
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
        Labeled rows in the same space, the first sites.  Without them the first pick
        is the row of the largest norm.
    sigmas : Tensor of shape (V,), optional
        Standard deviations of the noise on the sites, over the median distance of the
        rows to the nearest site; by default :math:`10^{-3.6 + 0.4 k}` for :math:`k =
        0, \dots, 9`.
    n_copies : int
        Copies of the sites for each of them.
    n_reference : int
        Rows, drawn from all, on which it is measured how much a copy disagrees.
    rank : int, optional
        Which of the smallest metrics, counted from 1, is :math:`L_q`; by default `n`.

    Returns
    -------
    picks : Picks
        Scores are :math:`\gamma D S` when picked, float64 (the norm for a first pick
        without sites).

    Raises
    ------
    ValueError
        If `n` is out of range, shapes do not fit, or an option is out of range.

    Notes
    -----
    The hypothesis of sites is the number of the nearest one, :math:`h(x)`.  In each of
    :math:`N = V \cdot` `n_copies` copies all sites have noise; :math:`\rho` is the
    share of the reference whose nearest site is another one there.  :math:`L_x`, the
    Voronoi-based least disagree metric (VLDM), is the smallest :math:`\rho` of the
    copies that change :math:`h(x)`, and 1 if none does.  With :math:`D_x` the distance
    to the nearest site, the next pick has the largest

    .. math:: \exp\Bigl(-\frac{\max(L_x - L_q, 0)}{L_q}\Bigr) \; D_x
        \sum_{u : h(u) = h(x)} D_u^2,

    where :math:`L_q` is the n-th smallest :math:`L` of all rows (the smallest that is
    positive if that is 0), so that even the first pick hangs on n: fix `rank` if it
    must not.  The pick becomes a site, in each copy with noise of its own, and
    L, D, cells and weights follow.  Ties go in pool order; rows that lie on a site
    come last, in pool order.

    Where the paper is not known to say, this is decided here: the scales and that they
    are relative, the number of draws, that L_q is taken anew for each pick, and that
    equal sites are one.  The constant that makes the exponentials sum to 1 is left out.

    N · m · (L + n) · d multiply-adds; 5 · N · m bytes are kept in float32, and nothing
    of size N × m × d or m × m is made.

    References
    ----------
    .. [1] "TESSAR: geometry-aware active regression via dynamic Voronoi tessellation",
       ICLR 2026. https://openreview.net/forum?id=mhfbu9von5

    Examples
    --------
    Two labeled rows, and a row between them beside one farther out:

    >>> import torch
    >>> from skal.selection._tessar import tessar
    >>> centers = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    >>> rows = torch.tensor([[-1.1, 0.0], [1.0, 0.0], [2.2, 0.0]])
    >>> tessar(rows, 1, torch.Generator().manual_seed(0), centers).indices
    tensor([1])
    """
    check_n(n, len(features))
    centers = features[:0] if centers is None else centers
    _check(features, centers, n_copies, n_reference, rank)
    reference = torch.randperm(len(features), generator=rng)[:n_reference]
    cells = PerturbedSites(
        features,
        centers,
        _scales(sigmas, n_copies),
        reference.to(features.device),
        rng,
    )
    indices: list[int] = []
    scores = features.new_zeros(n, dtype=torch.float64)
    for k in range(n):
        if cells.cells.n_centers == 0:
            norm = torch.linalg.vector_norm(features, dim=1)
            i = int(norm.argmax())
            scores[k] = norm[i]
        else:
            value = _log_scores(cells, n if rank is None else rank)
            if not bool(value.isfinite().any()):  # every row left lies on a site
                break
            i = first_of_largest(value, _TIE)
            scores[k] = value[i].exp()
        indices.append(i)
        if k < n - 1:
            cells.add(i)
    left = torch.ones(len(features), dtype=torch.bool, device=features.device)
    picked = torch.tensor(indices, dtype=torch.long, device=features.device)
    left[picked] = False
    rest = torch.nonzero(left)[: n - len(indices), 0]
    return Picks(torch.cat([picked, rest]), scores)


def _log_scores(sites: PerturbedSites, rank: int) -> Tensor:
    """Logarithm of what rows are picked for, float64; -inf on a site."""
    # Not itself: where nothing changes a row it can vanish, as it does on a site.
    vldm = sites.metric()
    sq_dist = sites.cells.sq_dist.double()
    value = sq_dist.log() / 2 + sites.cells.weights().log()[sites.cells.center]
    scale = order_statistic(vldm, rank)
    if scale is not None:
        value -= (vldm - scale).clamp(min=0) / scale
    return value


def _scales(sigmas: Tensor | None, n_copies: int) -> Tensor:
    """Scale of each copy."""
    if sigmas is None:
        sigmas = 10 ** (-3.6 + 0.4 * torch.arange(10, dtype=torch.float64))
    try:
        scales = [float(sigma) for sigma in sigmas]
    except (TypeError, ValueError):  # no sequence, or not of numbers
        scales = []
    if not scales or not all(0 < sigma < inf for sigma in scales):
        raise ValueError(
            "sigmas must be positive numbers, and there must be one at least, got "
            f"{sigmas!r}."
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
