"""Probes of a module on a few rows: what may be read of its layers by hooks.

A module may sort the rows of a batch, as for sequences of different lengths, and undo
that later, or mix them.  What hooks see is then not of the row at the same place.  It
may do so in large batches alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from skal.contexts import hiding
from skal.exceptions import UnsuitableLearnerError, is_out_of_memory
from skal.reading.batches import batch_length, index_batch
from skal.rng import preserve_global_rng

__all__ = [
    "N_MANY",
    "are_aligned",
    "are_close",
    "gradients_by",
    "has_factors",
    "is_single",
    "probe_rows",
    "reads_rows_alone",
]

#: Number of different rows in a small batch, and of rows in a large one.
_N_FEW, N_MANY = 8, 512
#: How much a row may differ between a small and a large batch: a share of the
#: differences between rows, plus multiples of the rounding in single precision.
_SHARE, _ROUNDING = 0.05, 64

# -- rows ---------------------------------------------------------------------------


def probe_rows(n_rows: int, n: int) -> Tensor:
    """Choose rows of a batch that no sorting by a value of theirs leaves in order.

    Parameters
    ----------
    n_rows : int
        Number of rows in the batch.
    n : int
        Maximum number of different rows.

    Returns
    -------
    positions : int64 Tensor
        From all over the batch, its halves in turn, and the first row once more, so
        that they are neither ascending nor descending, unless the rows are alike.

    Examples
    --------
    >>> from skal.reading.probing import probe_rows
    >>> probe_rows(100, 4)
    tensor([ 0, 50, 25, 75,  0])
    """
    n = min(n, n_rows)
    spread = torch.arange(n) * n_rows // max(1, n)
    half = (n + 1) // 2
    order = torch.empty_like(spread)
    order[::2], order[1::2] = spread[:half], spread[half:]
    return torch.cat([order, order[:1]])


def are_aligned(outputs: Tensor, within: Sequence[Tensor]) -> list[bool]:
    """Tell of which tensors each row reaches only the same row of the outputs.

    Parameters
    ----------
    outputs : Tensor of shape (b, C)
    within : sequence of Tensor of shape (b, ...)
        From which the outputs were computed, with gradients.

    Returns
    -------
    aligned : list of bool

    Notes
    -----
    The cost is a backward pass for each row.

    Examples
    --------
    >>> import torch
    >>> from skal.reading.probing import are_aligned
    >>> x = torch.rand(3, 2, requires_grad=True)
    >>> are_aligned(x.sum(dim=1, keepdim=True), [x])
    [True]
    >>> are_aligned(x.flip(0), [x])
    [False]
    """
    aligned = [True] * len(within)
    if not within or not outputs.requires_grad:
        return aligned
    # Uneven weights, so that the gradients of several outputs do not cancel.
    weights = torch.arange(1, outputs.shape[1] + 1, device=outputs.device).cos()
    for row in range(len(outputs)):
        vectors = torch.zeros_like(outputs)
        vectors[row] = weights.to(outputs)
        gradients = torch.autograd.grad(
            outputs, within, vectors, retain_graph=True, allow_unused=True
        )
        for k, gradient in enumerate(gradients):
            if gradient is not None:
                others = torch.cat([gradient[:row], gradient[row + 1 :]])
                aligned[k] &= not bool(others.any())
    return aligned


def reads_rows_alone(
    read: Callable[[Any], Tensor | Sequence[Tensor]], batch: Any
) -> bool:
    """Whether what is read of a row does not depend on the other rows of its batch.

    Parameters
    ----------
    read : callable
        Maps a batch to a tensor ``(b, ...)``, or to several.
    batch : Tensor, tuple or dict of Tensor
        Up to nine of its first 512 rows are read with the others, and once more as a
        small batch.

    Returns
    -------
    alone : bool
        Also True if that cannot be found out: for a single row, if what is read is
        random, and if a batch of few rows cannot be read.

    Examples
    --------
    >>> import torch
    >>> from skal.reading.probing import reads_rows_alone
    >>> x = torch.rand(20, 2)
    >>> reads_rows_alone(torch.tanh, x)
    True
    >>> reads_rows_alone(lambda x: x - x.mean(dim=0) if len(x) > 16 else x, x)
    False
    """
    together = index_batch(batch, slice(N_MANY))
    if batch_length(together) < 2:
        return True
    places = probe_rows(batch_length(together), _N_FEW)
    few = index_batch(together, places)

    def listed(batch: Any) -> list[Tensor]:
        found = read(batch)
        return [found] if isinstance(found, Tensor) else list(found)

    with preserve_global_rng(), hiding():
        try:
            own, among = listed(few), [x[places] for x in listed(together)]
            return not _any_differ(own, among) or _any_differ(own, listed(few))
        # Whatever is wrong is raised where all rows are read.
        except Exception:
            return True


def _any_differ(first: list[Tensor], second: list[Tensor]) -> bool:
    return any(map(_differ, first, second))


def _differ(rows: Tensor, others: Tensor) -> bool:
    """Whether tensors of the same rows differ by more than rounding."""
    if rows.shape != others.shape or rows.is_complex():
        return False
    a, b = rows.detach().double(), others.detach().double()
    spread, size = float((b - b.mean(dim=0)).norm()), float(b.norm())
    rounding = _ROUNDING * torch.finfo(torch.float32).eps
    return float((a - b).norm()) > _SHARE * spread + rounding * size


# -- layers and their gradients ------------------------------------------------------


def has_factors(module: nn.Module, n_owners: Counter[int]) -> TypeGuard[nn.Linear]:
    """Whether a module computes ``x @ weight.T + bias``, with parameters to train.

    The gradient of a parameter that another module shares has further terms.
    """
    own = dict(module.named_parameters())
    plain = isinstance(module, nn.Linear) and type(module).forward is nn.Linear.forward
    if not plain or "weight" not in own or not own.keys() <= {"weight", "bias"}:
        return False
    is_trained = False
    for p in own.values():
        if n_owners[id(p)] > 1 or p.is_complex():
            return False
        is_trained |= p.requires_grad
    return is_trained


def is_single(module: nn.Module, n_owners: Counter[int]) -> bool:
    """Whether a module has no parts, and parameters to train that it does not share."""
    own = list(module.parameters())
    return (
        not any(module.children())
        and not isinstance(module, torch.jit.ScriptModule)  # takes no hooks
        and any(p.requires_grad for p in own)
        and all(p.is_floating_point() and n_owners[id(p)] == 1 for p in own)
    )


def gradients_by(
    outputs: Tensor, inputs: Sequence[Tensor], weights: Tensor
) -> Sequence[Tensor | None]:
    """Compute the gradients of the weighted sum of outputs; None if there is none.

    Raises
    ------
    UnsuitableLearnerError
        If torch cannot differentiate the outputs.
    """
    if not outputs.requires_grad or not inputs:
        return [None] * len(inputs)
    try:
        return torch.autograd.grad(outputs, inputs, weights, allow_unused=True)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise UnsuitableLearnerError(
            f"The net cannot be differentiated: {str(error).splitlines()[0]} A module "
            "that checkpoints activations must do so in training alone (if "
            "self.training); otherwise use a strategy of outputs or features."
        ) from error


def are_close(
    own: Tensor | None, right: Tensor | None, layer_outputs: list[Tensor]
) -> bool:
    """Whether a parameter's gradient by hooks is that of autograd, up to rounding."""
    if own is None or right is None:
        given = right if own is None else own
        return given is None or (own is not None and not bool(given.any()))
    eps = max(torch.finfo(x.dtype).eps for x in layer_outputs)
    error, size = float((own - right).norm()), float(right.norm())
    return error <= max(3e-3, 8 * eps) * size
