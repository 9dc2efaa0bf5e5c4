"""Density of the pool around each row, and scores as non-negative weights."""

from __future__ import annotations

import torch
from torch import Tensor

from skal._numerics.products import blocks

__all__ = ["mean_cosine", "mean_nearness", "not_negative"]


def mean_cosine(features: Tensor) -> Tensor:
    r"""Mean cosine between each row and all rows.

    Parameters
    ----------
    features : Tensor of shape (m, d)

    Returns
    -------
    density : Tensor of shape (m,), float64
        :math:`\frac1m \sum_u \cos(z, z_u)`, including the row itself, in [-1, 1].  A
        cosine with a row of zeros is 0.

    Notes
    -----
    Two passes, since this is the inner product with the mean of the unit vectors.

    Examples
    --------
    >>> import torch
    >>> from skal.measures import mean_cosine
    >>> mean_cosine(torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 3.0]])).tolist()
    [0.3333333333333333, 0.6666666666666666, 0.6666666666666666]
    """
    total = features.new_zeros(features.shape[1], dtype=torch.float64)
    for part in blocks(*features.shape):
        total += _unit(features[part]).sum(dim=0)
    mean = total / len(features)
    density = torch.empty(len(features), dtype=torch.float64, device=features.device)
    for part in blocks(*features.shape):
        # Row by row: the rounding of a matrix product depends on the other rows.
        density[part] = (_unit(features[part]) * mean).sum(dim=1)
    return density


def mean_nearness(features: Tensor, reference: Tensor | None = None) -> Tensor:
    r"""Mean of 1 / (1 + distance) between each row and all rows, or an estimate of it.

    Parameters
    ----------
    features : Tensor of shape (m, d)
    reference : Tensor of shape (M,), int64, optional
        Distinct rows from which the mean is estimated; by default, all rows.

    Returns
    -------
    density : Tensor of shape (m,), float64
        :math:`\frac1m \sum_u (1 + \lVert z - z_u \rVert)^{-1}`, in (0, 1].  The row
        itself contributes 1; the other rows contribute their mean over the reference.
        Rounded to float32, so that duplicates are equal.

    Raises
    ------
    ValueError
        If the reference is empty.

    Notes
    -----
    Takes m·M·d multiply-adds, in blocks; nothing of size m × M is kept.

    Examples
    --------
    >>> import torch
    >>> from skal.measures import mean_nearness
    >>> mean_nearness(torch.tensor([[0.0], [1.0], [4.0]]))
    tensor([0.5667, 0.5833, 0.4833], dtype=torch.float64)
    """
    m = len(features)
    rows = torch.arange(m, device=features.device) if reference is None else reference
    if not len(rows):
        raise ValueError("reference must have at least one row.")
    # Near the origin less is lost to rounding.
    origin = features[rows].double().mean(dim=0)
    points = features[rows].double() - origin
    sq_norm = points.square().sum(dim=1)
    own = torch.zeros(m, dtype=torch.long, device=features.device)
    own[rows] = 1
    total = torch.empty(m, dtype=torch.float64, device=features.device)
    for part in blocks(m, max(points.shape)):
        block = features[part].double() - origin
        here = block.square().sum(dim=1, keepdim=True)
        sq_dist = torch.addmm(sq_norm, block, points.T, alpha=-2).add_(here)
        # Rounding would keep duplicates from 0, and the root would enlarge it.
        floor = 64 * torch.finfo(torch.float64).eps * (here + sq_norm)
        sq_dist[sq_dist < floor] = 0.0
        total[part] = (1 / sq_dist.sqrt_().add_(1)).sum(dim=1)
    others = (total - own) / (len(rows) - own).clamp(min=1)
    # Of equal densities, sums in another order differ by rounding.
    return ((1 + (m - 1) * others) / m).float().double()


def not_negative(scores: Tensor) -> Tensor:
    """Scores as non-negative weights: unchanged, or raised if any is below 0.

    Parameters
    ----------
    scores : Tensor of shape (m,)
        Higher is more valuable.

    Returns
    -------
    weights : Tensor of shape (m,)
        The smallest is 0 if any score is negative.

    Raises
    ------
    ValueError
        If a score is infinite.

    Examples
    --------
    >>> import torch
    >>> from skal.measures import not_negative
    >>> not_negative(torch.tensor([-1.0, -0.25]))
    tensor([0.0000, 0.7500])
    >>> not_negative(torch.tensor([1.0, 3.0]))
    tensor([1., 3.])
    """
    if not bool(scores.isfinite().all()):
        raise ValueError("Scores used as weights must be finite; some are not.")
    return scores - scores.min().clamp(max=0)


def _unit(rows: Tensor) -> Tensor:
    norm = torch.linalg.vector_norm(rows.double(), dim=1, keepdim=True)
    return rows / torch.where(norm > 0, norm, 1.0)
