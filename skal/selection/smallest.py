"""Where the smallest numbers of each row of a long table are."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["smallest"]

#: Rows of so few numbers a number asked for are sorted whole.
_SHORT = 8
#: Bits of a float32 that a position may take, of the 23 behind its point.
_SPARE_BITS = 9


def smallest(values: Tensor, k: int) -> tuple[Tensor, Tensor, float]:
    """Find the k smallest numbers of each row, in order, by their leading digits.

    Parameters
    ----------
    values : Tensor of shape (b, L)
        Finite numbers.
    k : int
        From 1 to L.

    Returns
    -------
    smallest : Tensor of shape (b, k)
        Increasing, each up to the blur.
    positions : Tensor of shape (b, k), int64
        Of numbers that are so near any may come first, and any may be left out.
    blur : float
        Bound on the relative errors.

    Notes
    -----
    Long rows are cut into groups: the k smallest numbers lie in the k groups of the
    least minima.  On the CPU a number's last bits give way to its position, so that
    numpy's vectorised sort moves both at once, in less time than `torch.topk` takes.

    Examples
    --------
    >>> import torch
    >>> from skal.selection.smallest import smallest
    >>> smallest(torch.tensor([[3.0, 1.0, 2.0]]), 2)[1]
    tensor([[1, 2]])
    """
    b, n = values.shape
    if values.device.type != "cpu":
        found = values.topk(k, dim=1, largest=False)
        return found.values, found.indices, 0.0
    if n < _SHORT * k:
        return _first(values, k)
    size = max(2, round((n / k / 2) ** 0.5))  # a number inside is gathered as well
    n_groups = n // size  # what is left over is a group of its own below
    grouped = values[:, : size * n_groups].view(b, size, n_groups)
    _, groups, blur = _first(grouped.amin(dim=1), k)
    inside = grouped.gather(2, groups[:, None].expand(-1, size, -1)).flatten(1)
    rest = values[:, size * n_groups :]
    numbers, place, more_blur = _first(torch.cat([inside, rest], dim=1), k)
    member = groups.gather(1, place % k).add_(place // k * n_groups)
    left_over = place + size * (n_groups - k)
    positions = torch.where(place < size * k, member, left_over)
    return numbers, positions, max(blur, more_blur)


def _first(values: Tensor, k: int) -> tuple[Tensor, Tensor, float]:
    """Sort numbers and positions as one: the positions are the numbers' last bits."""
    n = values.shape[1]
    bits = (n - 1).bit_length()
    if bits > _SPARE_BITS or values.dtype.itemsize < 4:
        values = values.double()
    whole = torch.int32 if values.dtype == torch.float32 else torch.int64
    positions = torch.arange(n, dtype=whole)
    packed = (values.contiguous().view(whole) & -(1 << bits)).bitwise_or_(positions)
    packed.view(values.dtype).numpy().sort(axis=1)
    front = packed[:, :k].contiguous()
    blur = 2.0**bits * torch.finfo(values.dtype).eps
    return front.view(values.dtype), (front & ((1 << bits) - 1)).long(), blur
