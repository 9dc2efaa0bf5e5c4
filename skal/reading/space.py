"""Pool and labeled rows as vectors of one space."""

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
    "check_space",
    "knows_labels",
    "loss_directions",
    "own_features",
    "read_inputs",
    "read_space",
    "update",
]

SpaceLike = str | Callable[[NetAccess, Rows], Tensor]


class Space(NamedTuple):
    """Pool and labeled rows as embeddings of one space."""

    pool: Embedding
    labeled: Embedding | None


def read_space(
    pool: Pool, space: SpaceLike, n_components: int | None, head: str | None, rng: Any
) -> Space:
    """Read the pool, and the labeled rows if there are any, side by side of all nets.

    Parameters
    ----------
    pool : Pool
    space : {"gradients", "last_layer", "features", "inputs"} or callable
        ``"gradients"``: gradients of all parameters.  ``"last_layer"``: features with 1
        appended, those of the last layer. ``"features"``: without the 1.
        ``"inputs"``: rows as the model sees them.  A callable gets ``(access, rows)``
        and gives features ``(rows, d)``.
    n_components : int or None
        Numbers that gradients are projected to; None keeps them, factored.
    head : str, optional
        Name of the module whose input are the features.
    rng : torch.Generator

    Raises
    ------
    ValueError
        If a parameter is none of these, or what was read is not finite.
    """
    check_space(space, n_components)
    if space == "inputs":
        read = [_both(member, read_inputs) for member in pool.members]
        return _side_by_side(read)
    read = []
    for member, access in pool.nets(head):
        if space == "gradients":
            read.append(_both(member, _gradient_reader(access, n_components, rng)))
        elif space == "last_layer":
            read.append(_both(member, partial(_last_layer, access)))
        elif space == "features":
            read.append(_both(member, access.features))
        elif callable(space):
            read.append(_both(member, partial(own_features, space, access)))
    return _side_by_side(read)


def check_space(space: SpaceLike, n_components: int | None) -> None:
    """Raise ValueError unless a space has this name, and a sketch this length."""
    if not callable(space):
        check_option("space", space, ["gradients", "last_layer", "features", "inputs"])
    elif not _takes_two(space):
        raise ValueError(
            "A callable space is called with (access, rows), such as lambda access, "
            "rows: access.features(rows); this one does not take them."
        )
    if n_components is not None:
        check_int("n_components", n_components)


def knows_labels(condition_on_labels: bool | str, labeled: bool) -> bool:
    """Whether an update by labels is asked for, and there are some.

    Raises
    ------
    ValueError
        If it is asked for and there is none.
    """
    if not isinstance(condition_on_labels, bool) and condition_on_labels != "auto":
        raise ValueError(
            'condition_on_labels must be True, False or "auto", got '
            f"{condition_on_labels!r}."
        )
    if condition_on_labels is True and not labeled:
        raise ValueError(
            "condition_on_labels=True needs labeled rows, and the learner holds none. "
            'Pass them to it (X_training), or set condition_on_labels="auto".'
        )
    return bool(condition_on_labels) and labeled


def update(
    space: Space, noise_std: float, condition_on_labels: bool | str
) -> tuple[Tensor, Tensor]:
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
    check_positive("noise_std", noise_std)
    known = knows_labels(condition_on_labels, space.labeled is not None)
    if not isinstance(space.pool, Dense):
        raise ValueError(
            "This strategy needs gradients as vectors. Set n_components to their "
            'length, such as 512, or use space="last_layer".'
        )
    features = space.pool.features
    labeled = space.labeled.features if isinstance(space.labeled, Dense) else None
    if labeled is None or not known:
        scale = feature_scale(features if labeled is None else labeled)
        none = features[:0] if labeled is None else labeled
        return features.double() * scale, none.double() * scale
    transform = posterior_transform(labeled, noise_std)
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
            f"({type(block).__name__}). Take another space."
        ) from error


def _both(member: Member, read: Callable[[Rows], Any]) -> tuple[Any, Any]:
    """Read pool and labeled rows; None for the latter if there is none."""
    rows = read(member.rows)
    return rows, None if member.labeled is None else read(member.labeled)


def _gradient_reader(
    access: NetAccess, n_components: int | None, rng: torch.Generator
) -> Callable[[Rows], Any]:
    directions = loss_directions(access)
    if n_components is None:
        return lambda rows: per_row_gradients(access, rows, "gradients", directions)
    reader, project = (
        GradientReader(access, "gradients", directions),
        Sketch(n_components, rng),
    )
    size = access.chunk_size
    return lambda rows: access.collect(rows, lambda b: project(reader(b)), size)


def _last_layer(access: NetAccess, rows: Rows) -> Tensor:
    def read(batch: Any) -> Tensor:
        features, _ = access.forward_features(batch)
        return torch.cat([features, features.new_ones(len(features), 1)], dim=1)

    return access.collect(rows, read)


def _takes_two(space: Callable[..., Any]) -> bool:
    try:
        signature(space).bind(None, None)
    except TypeError:
        return False
    except ValueError:  # a builtin that does not tell
        pass
    return True


def own_features(
    space: Callable[[NetAccess, Rows], Tensor], access: NetAccess, rows: Rows
) -> Tensor:
    """Features that a callable space returns, checked."""
    features = space(access, rows)
    if not isinstance(features, Tensor) or features.ndim != 2:
        shape = tuple(getattr(features, "shape", ()))
        raise ValueError(
            f"space must give a tensor of the shape (rows, d), got "
            f"{type(features).__name__} of the shape {shape}."
        )
    if len(features) != len(rows):
        raise ValueError(f"space gave {len(features)} rows for {len(rows)}.")
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
