"""Scores and positions that a strategy returned: checked, and converted to tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from skal.rows import as_dense, find_masked_rows

__all__ = ["as_positions", "as_scores", "check_not_nan"]


def as_scores(scores: Any, source: str) -> Tensor:
    """Convert scores to a tensor of numbers that can be ordered.

    Parameters
    ----------
    scores : array-like
        Real numbers.  Lists are read as float64.
    source : str
        What returned them, for errors.

    Returns
    -------
    scores : Tensor
        Without a gradient, on the same device.  Booleans become integers, and half
        precision and unsigned integers floats.

    Raises
    ------
    TypeError
        If they are not numbers, or complex.
    ValueError
        If some are masked.

    Examples
    --------
    >>> from skal.strategies.returned import as_scores
    >>> as_scores([True, False], "Mine")
    tensor([1, 0])
    """
    _refuse_masked(scores, f"{source} returned masked scores", "such as -inf")
    what = f"{source} must return real numbers as scores"
    values = _tensor(scores, what)
    if values.is_complex():
        raise TypeError(f"{what}, got complex numbers.")
    if values.dtype == torch.bool:
        return values.long()
    half = values.dtype in (torch.float16, torch.bfloat16)
    unsigned = not values.dtype.is_floating_point and not values.dtype.is_signed
    return values.double() if unsigned else values.float() if half else values


def as_positions(indices: Any, source: str) -> Tensor:
    """Convert positions of rows to int64, on the CPU.

    Parameters
    ----------
    indices : array-like
        Integers, or floats that are whole numbers.
    source : str
        What returned them, for errors.

    Raises
    ------
    TypeError
        If they are anything else, such as a mask.
    ValueError
        If some are masked.

    Examples
    --------
    >>> from skal.strategies.returned import as_positions
    >>> as_positions([2, 0], "Mine")
    tensor([2, 0])
    """
    _refuse_masked(indices, f"{source} returned masked positions", "picked rows alone")
    what = f"{source} must return positions of rows as integers"
    found = _tensor(indices, what).cpu()
    positions = found.long() if not found.is_complex() else found
    if found.dtype == torch.bool or not torch.equal(positions.to(found.dtype), found):
        raise TypeError(f"{what}, got {found.dtype}: {found.tolist()[:5]}.")
    return positions


def check_not_nan(scores: Tensor, source: type) -> None:
    """Raise ValueError for scores of NaN, and name the likely cause.

    Parameters
    ----------
    scores : Tensor of shape (m,)
    source : type
        Class of the strategy.
    """
    nan = scores.isnan()
    if not bool(nan.any()):
        return
    cause = "the outputs of the model are not finite. Did its training diverge?"
    if not source.__module__.startswith("skal."):
        cause = "compute a number for each row, such as -inf for the last ones."
    raise ValueError(
        f"{source.__name__} returned a score of NaN for {int(nan.sum())} of "
        f"{len(scores)} rows (the first is row {int(nan.int().argmax())}): {cause}"
    )


def _tensor(values: Any, what: str) -> Tensor:
    if values is None:
        raise TypeError(f"{what}, got None.")
    if isinstance(values, Tensor):
        if values.is_meta:
            raise TypeError(f"{what}, got a tensor without values.")
        values = values.detach()
        return values if values.layout == torch.strided else values.to_dense()
    try:
        array = as_dense(values)
        if array.dtype.kind == "O":
            array = np.array(array, dtype=np.float64)
        return torch.tensor(array.astype(array.dtype.newbyteorder("=")))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{what}, got {type(values).__name__}: {error}") from error


def _refuse_masked(values: Any, what: str, remedy: str) -> None:
    masked = find_masked_rows(values)
    if masked is not None:
        raise ValueError(
            f"{what} in {int(masked.sum())} of {len(masked)} places: fill them, "
            f"{remedy}."
        )
