"""The smallest numbers of each row of a long table."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["smallest"]

#: Rows of so few numbers a number asked for are sorted whole.
_SHORT = 8


def smallest(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find the k smallest numbers of each row, in order.

    Parameters
    ----------
    values : Tensor of shape (b, L)
        NaN is not allowed.
    k : int
        From 1 to L.

    Returns
    -------
    smallest : Tensor of shape (b, k)
    positions : Tensor of shape (b, k), int64
        Of equal numbers any may come first, and any may be left out at the end.

    Notes
    -----
    As `torch.topk`, and faster for long rows: they are cut into groups, and the k
    smallest numbers lie in the k groups of the least minima.

    Examples
    --------
    >>> import torch
    >>> from skal.selection.smallest import smallest
    >>> smallest(torch.tensor([[3.0, 1.0, 2.0]]), 2)
    (tensor([[1., 2.]]), tensor([[1, 2]]))
    """
    b, n = values.shape
    if n < _SHORT * k or b == 0:
        found = values.topk(k, dim=1, largest=False)
        return found.values, found.indices
    size = max(2, round((n / k) ** 0.5))
    n_groups = n // size  # what is left over is a group of its own below
    grouped = values[:, : size * n_groups].view(b, size, n_groups)
    groups = grouped.amin(dim=1).topk(k, dim=1, largest=False, sorted=False).indices
    inside = grouped.gather(2, groups[:, None].expand(-1, size, -1)).flatten(1)
    rest = values[:, size * n_groups :]
    found = torch.cat([inside, rest], dim=1).topk(k, dim=1, largest=False)
    place = found.indices
    member = groups.gather(1, place % k).add_(place // k * n_groups)
    left_over = place - size * k + size * n_groups
    return found.values, torch.where(place < size * k, member, left_over)
