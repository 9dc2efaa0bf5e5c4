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
    >>> from skal._numerics.smallest import smallest
    >>> smallest(torch.tensor([[3.0, 1.0, 2.0]]), 2)[1]
    tensor([[1, 2]])
    """
    b, n = values.shape
    if values.device.type != "cpu":
        found = values.topk(k, dim=1, largest=False)
        return found.values, found.indices, 0.0
    if n < _SHORT * k:
        return _first(values.clone(), torch.arange(n), k)
    size = max(2, round((n / k / 2) ** 0.5))  # a number inside is gathered as well
    n_groups, left = divmod(n, size)  # as many groups as are left over have one more
    grouped = values[:, : n - left].view(b, size, n_groups)
    minima = grouped.amin(dim=1)
    if left:
        rest = values.new_full((b, n_groups), torch.finfo(values.dtype).max)
        rest[:, :left] = values[:, n - left :]
        torch.minimum(minima, rest, out=minima)
    _, groups, blur = _first(minima, torch.arange(n_groups), k)
    inside = grouped.gather(2, groups[:, None].expand(-1, size, -1)).flatten(1)
    if left:
        inside = torch.cat([inside, rest.gather(1, groups)], dim=1)
        size += 1
    shift = (k - 1).bit_length()
    codes = torch.arange(size << shift).view(size, -1)[:, :k].flatten()
    numbers, code, more_blur = _first(inside, codes, k)
    group = groups.gather(1, code & ((1 << shift) - 1))
    positions = (code >> shift).mul_(n_groups).add_(group)
    return numbers, positions, max(blur, more_blur)


def _first(values: Tensor, codes: Tensor, k: int) -> tuple[Tensor, Tensor, float]:
    """Sort numbers, which are overwritten, with codes of their columns as last bits."""
    bits = int(codes[-1]).bit_length()  # codes increase
    if bits > _SPARE_BITS or values.dtype.itemsize < 4:
        values = values.double()
    whole = torch.int32 if values.dtype == torch.float32 else torch.int64
    packed = values.view(whole)
    packed &= -(1 << bits)
    packed |= codes.to(whole)
    values.numpy().sort(axis=1)
    front = packed[:, :k].contiguous()
    blur = 2.0**bits * torch.finfo(values.dtype).eps
    return front.view(values.dtype), (front & ((1 << bits) - 1)).long(), blur
