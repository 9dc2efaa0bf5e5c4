"""What strategies of a kernel share: pool and labeled rows in its space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from inspect import signature
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import sparse
from sklearn.base import is_classifier
from torch import Tensor

from skal.reading.access import NetAccess
from skal.reading.gradients import Directions, GradientReader, per_row_gradients
from skal.reading.pool import Member, Pool
from skal.rows import Rows
from skal.spaces import (
    Dense,
    Embedding,
    Factors,
    GradientEmbedding,
    Sketch,
    feature_scale,
)
from skal.spaces.gaussian import posterior_transform, transformed
from skal.validation import check_int, check_option, check_positive

__all__ = [
    "Space",
    "check_kernel",
    "knows_labels",
    "loss_directions",
    "own_features",
    "read_inputs",
    "read_space",
    "update",
]

Kernel = str | Callable[[NetAccess, Rows], Tensor]


class Space(NamedTuple):
    """Pool and labeled rows as embeddings of one kernel."""

    pool: Embedding
    labeled: Embedding | None


def read_space(
    pool: Pool, kernel: Kernel, sketch: int | None, head: str | None, rng: Any
) -> Space:
    """Read the pool, and the labeled rows if there are any, side by side of all nets.

    Parameters
    ----------
    pool : Pool
    kernel : {"grad", "ll", "features", "inputs"} or callable
        ``"grad"``: gradients of all parameters.  ``"ll"``: features with 1 appended,
        those of the last layer.  ``"features"``: without the 1.  ``"inputs"``: rows as
        the model sees them.  A callable gets ``(access, rows)`` and gives features
        ``(rows, d)``.
    sketch : int or None
        Numbers that gradients are projected to; None keeps them, factored.
    head : str, optional
        Name of the module whose input are the features.
    rng : torch.Generator

    Raises
    ------
    ValueError
        If a parameter is none of these, or what was read is not finite.
    """
    check_kernel(kernel, sketch)
    if kernel == "inputs":
        read = [_both(member, read_inputs) for member in pool.members]
        return _side_by_side(read)
    read = []
    for member, access in pool.nets(head):
        if kernel == "grad":
            read.append(_both(member, _gradient_reader(access, sketch, rng)))
        elif kernel == "ll":
            read.append(_both(member, partial(_last_layer, access)))
        elif kernel == "features":
            read.append(_both(member, access.features))
        elif callable(kernel):
            read.append(_both(member, partial(own_features, kernel, access)))
    return _side_by_side(read)


def check_kernel(kernel: Kernel, sketch: int | None) -> None:
    """Raise ValueError unless a kernel has this name, and a sketch this length."""
    if not callable(kernel):
        check_option("kernel", kernel, ["grad", "ll", "features", "inputs"])
    elif not _takes_two(kernel):
        raise ValueError(
            "A callable kernel is called with (access, rows), such as lambda access, "
            "rows: access.features(rows); this one does not take them."
        )
    if sketch is not None:
        check_int("sketch", sketch)


def knows_labels(posterior: bool | str, labeled: bool) -> bool:
    """Whether an update by labels is asked for, and there are some.

    Raises
    ------
    ValueError
        If it is asked for and there is none.
    """
    if not isinstance(posterior, bool) and posterior != "auto":
        raise ValueError(f'posterior must be True, False or "auto", got {posterior!r}.')
    if posterior is True and not labeled:
        raise ValueError(
            "posterior=True needs labeled rows, and the learner holds none. Give them "
            'to it (X_training), or set posterior="auto".'
        )
    return bool(posterior) and labeled


def update(space: Space, noise: float, posterior: bool | str) -> tuple[Tensor, Tensor]:
    """Features of the pool and labeled rows, after the labels if asked and there.

    Returns
    -------
    features, labeled : Tensor
        float64; none labeled if there is none.

    Raises
    ------
    ValueError
        If the labels are asked for and there is none, or gradients were not projected.
    """
    check_positive("noise", noise)
    known = knows_labels(posterior, space.labeled is not None)
    if not isinstance(space.pool, Dense):
        raise ValueError(
            "This strategy needs gradients as vectors. Set sketch to how long they are "
            'to be, such as 512, or take kernel="ll".'
        )
    features = space.pool.features
    labeled = space.labeled.features if isinstance(space.labeled, Dense) else None
    if labeled is None or not known:
        scale = feature_scale(features if labeled is None else labeled)
        none = features[:0] if labeled is None else labeled
        return features.double() * scale, none.double() * scale
    transform = posterior_transform(labeled, noise)
    return transformed(features, transform), transformed(labeled, transform)


def loss_directions(access: NetAccess) -> Directions | None:
    """Gradient, by the raw outputs, of a classifier's loss at its own label.

    None for a regressor: each output for itself.
    """
    if not is_classifier(access.net):
        return None
    to_proba = access.to_proba

    def directions(outputs: Tensor) -> Tensor:
        with torch.enable_grad():
            outputs = outputs.detach().double().requires_grad_()
            proba = to_proba(outputs)
            label = proba.argmax(dim=1, keepdim=True)
            loss = -proba.gather(1, label).log().sum()
            (gradient,) = torch.autograd.grad(loss, outputs)
        return gradient[:, :, None]

    return directions


def read_inputs(rows: Rows) -> Tensor:
    """Rows as the model sees them, ``(m, d)``, float64.

    Raises
    ------
    ValueError
        If they are not numbers, or not finite, although the model takes them.
    """
    blocks = [_numbers(block).flatten(1) for _, block in rows.blocks()]
    finite = torch.cat([block.isfinite().all(dim=1) for block in blocks])
    if not bool(finite.all()):
        raise ValueError(
            f"{int((~finite).sum())} of {len(finite)} rows of {rows.name} contain NaN "
            "or infinity, which the model takes, but they have no distances (the first "
            f"is row {int(finite.int().argmin())}). Impute or drop them, for example "
            "with sklearn.impute.SimpleImputer as a step of the Pipeline."
        )
    return torch.cat(blocks)


def _numbers(block: Any) -> Tensor:
    if sparse.issparse(block):
        block = block.toarray()
    if isinstance(block, Tensor):
        return block.detach().cpu().double()
    try:
        return torch.from_numpy(np.array(block, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The inputs have no distances, being no rows of numbers "
            f"({type(block).__name__}). Take another kernel or space."
        ) from error


def _both(member: Member, read: Callable[[Rows], Any]) -> tuple[Any, Any]:
    """Read pool and labeled rows; None for the latter if there is none."""
    rows = read(member.rows)
    return rows, None if member.labeled is None else read(member.labeled)


def _gradient_reader(
    access: NetAccess, sketch: int | None, rng: torch.Generator
) -> Callable[[Rows], Any]:
    directions = loss_directions(access)
    if sketch is None:
        return lambda rows: per_row_gradients(access, rows, "all", directions)
    reader, project = GradientReader(access, "all", directions), Sketch(sketch, rng)
    size = access.n_together
    return lambda rows: access.collect(rows, lambda b: project(reader(b)), size)


def _last_layer(access: NetAccess, rows: Rows) -> Tensor:
    def read(batch: Any) -> Tensor:
        features, _ = access.forward_features(batch)
        return torch.cat([features, features.new_ones(len(features), 1)], dim=1)

    return access.collect(rows, read)


def _takes_two(kernel: Callable[..., Any]) -> bool:
    try:
        signature(kernel).bind(None, None)
    except TypeError:
        return False
    except ValueError:  # a builtin that does not tell
        pass
    return True


def own_features(
    kernel: Callable[[NetAccess, Rows], Tensor], access: NetAccess, rows: Rows
) -> Tensor:
    """Features that a callable kernel gives, checked."""
    features = kernel(access, rows)
    if not isinstance(features, Tensor) or features.ndim != 2:
        shape = tuple(getattr(features, "shape", ()))
        raise ValueError(
            f"kernel must give a tensor of the shape (rows, d), got "
            f"{type(features).__name__} of the shape {shape}."
        )
    if len(features) != len(rows):
        raise ValueError(f"kernel gave {len(features)} rows for {len(rows)}.")
    return features


def _side_by_side(read: Sequence[tuple[Any, Any]]) -> Space:
    """Join what several nets gave: the sum of their kernels."""
    pools, labeled = zip(*read, strict=True)
    known = None if any(x is None for x in labeled) else _embedding(labeled)
    return Space(_embedding(pools), known)


def _embedding(parts: Sequence[Any]) -> Embedding:
    if isinstance(parts[0], Tensor):
        features = parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=1)
        _check_finite(features)
        return Dense(features)
    layers: list[Factors] = [layer for part in parts for layer in part]
    for layer in layers:
        _check_finite(layer.inputs)
        _check_finite(layer.outputs)
    return GradientEmbedding(layers)


def _check_finite(features: Tensor) -> None:
    if not bool(features.sum().isfinite()) and not bool(features.isfinite().all()):
        raise ValueError(
            "The features or gradients of the model are not finite. Did its training "
            "diverge?"
        )
