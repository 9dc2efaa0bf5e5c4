"""Pool and labeled rows as vectors: the spaces in which strategies compare rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from inspect import signature
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import is_classifier
from torch import Tensor

from skal._cells import column_label, first_text
from skal._numerics.float64 import extent, has_room, transformed
from skal.exceptions import UnsuitableLearnerError
from skal.reading.access import NetAccess
from skal.reading.gradients import Directions, GradientReader, per_row_gradients
from skal.reading.pool import Member, Pool
from skal.rows import Rows, as_dense
from skal.spaces import (
    Dense,
    Embedding,
    Factors,
    GradientEmbedding,
    Sketch,
    feature_scale,
)
from skal.spaces.gaussian import posterior_transform
from skal.validation import check_bool, check_int, check_option, check_positive

__all__ = [
    "Reader",
    "Space",
    "SpaceLike",
    "as_space",
    "conditions_on_labels",
    "covariance_features",
    "covariance_transform",
    "loss_directions",
    "read_inputs",
    "read_space",
    "reader_of",
    "resolve_space",
]

SpaceLike = str | Callable[[NetAccess, Rows], Tensor]
#: Reads rows in a space: vectors ``(rows, d)``, or the factors of gradients by layer.
Reader = Callable[[Rows], Any]


#: Magnitude of inputs from which sums of their squares may overflow.
_LARGEST_INPUT = 1e140


class Space(NamedTuple):
    """Pool and labeled rows in one space.

    Attributes
    ----------
    pool : Embedding
        The m rows of the pool.
    labeled : Embedding or None
        The L labeled rows; None if the learner holds none.
    """

    pool: Embedding
    labeled: Embedding | None

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Return the vectors of the pool ``(m, d)`` and of labeled rows ``(L, d)``.

        Raises
        ------
        ValueError
            If the rows are gradients in factors.
        """
        if not isinstance(self.pool, Dense):
            raise ValueError(
                "This strategy needs gradients as vectors. Set n_components to their "
                'length, such as 512, or use space="last_layer".'
            )
        rows = self.pool.features
        known = self.labeled
        return rows, known.features if isinstance(known, Dense) else rows[:0]


def read_space(
    pool: Pool,
    space: SpaceLike,
    n_components: int | None = 512,
    head: str | None = None,
    rng: torch.Generator | None = None,
) -> Space:
    """Read the pool, and the labeled rows if there are any, in a space of the learner.

    Parameters
    ----------
    pool : Pool
    space : {"gradients", "last_layer", "features", "inputs", "auto"} or callable
        ``"gradients"``: gradients of the outputs of a net (for a classifier, of the
        loss at the predicted label) with respect to all parameters.  ``"last_layer"``:
        the features with 1 appended, the gradients of a regressor with respect to its
        last layer.  ``"features"``: the input of the head.  ``"inputs"``: rows as the
        model sees them.  ``"auto"``: features if every model is a net or an ensemble of
        nets, otherwise inputs.  A callable is called with ``(access, rows)``, a
        `skal.reading.access.NetAccess` and `skal.rows.Rows`, and returns a tensor
        ``(rows, d)``.
    n_components : int or None
        Number of components to which gradients are projected; None uses exact
        gradients, stored as factors.
    head : str, optional
        Name of the module whose inputs are the features; by default the last Linear.
    rng : torch.Generator, optional
        Used to draw the projection; needed for ``"gradients"`` only.

    Returns
    -------
    space : Space
        The vectors of several models are concatenated.

    Raises
    ------
    ValueError
        If a parameter is out of range, or what was read is not finite.
    UnsuitableLearnerError
        If the space is one of nets and a model is not a net.
    """
    space = resolve_space(pool, space, n_components)
    readers: list[tuple[Member, Reader]]
    if space == "inputs":
        readers = [(member, read_inputs) for member in pool.members]
    else:
        readers = [
            (net, reader_of(access, space, n_components, rng))
            for net, access in pool.nets(head)
        ]
    rows: list[Any] = []
    labeled: list[Any] = []
    for member, read in readers:
        rows.append(read(member.rows))
        if member.labeled is not None:
            labeled.append(read(member.labeled))
    return as_space(rows, labeled)


def resolve_space(
    pool: Pool, space: SpaceLike, n_components: int | None = None
) -> SpaceLike:
    """Check the choice of a space, and choose for ``"auto"``; see `read_space`."""
    if n_components is not None:
        check_int("n_components", n_components)
    name = f"space={space!r}"
    if callable(space):
        name = "A callable space"
        if not _takes_two(space):
            raise ValueError(
                f"{name} is called with (access, rows), such as lambda access, rows: "
                "access.features(rows); this one does not take them."
            )
    else:
        check_option("space", space, [*_OF_NETS, "inputs", "auto"])
        if space == "inputs":
            return space
    for member in pool.members:
        if member.nets():
            continue
        if space == "auto":
            return "inputs"
        raise UnsuitableLearnerError(
            f"{name} is read from the net of a skorch estimator, such as "
            "skal.NetClassifier or skal.NetRegressor, and "
            f'{type(member.estimator).__name__} is not one. Use space="inputs".'
        )
    return "features" if space == "auto" else space


def reader_of(
    access: NetAccess,
    space: SpaceLike,
    n_components: int | None = None,
    rng: torch.Generator | None = None,
) -> Reader:
    """Make the reader of a space of one net; parameters as in `read_space`."""
    if callable(space):
        return partial(_call, space, access)
    if space == "inputs":
        return read_inputs
    return _OF_NETS[space](access, n_components, rng)


# -- readers -------------------------------------------------------------------------


def read_inputs(rows: Rows) -> Tensor:
    """Rows as the model sees them, ``(m, d)``, float64.

    Raises
    ------
    ValueError
        If they are not numeric, or not finite although the model takes them.
    """
    blocks = [
        _as_floats(block, where.start, rows.name).flatten(1)
        for where, block in rows.blocks()
    ]
    finite = torch.cat([block.isfinite().all(dim=1) for block in blocks])
    if not bool(finite.all()):
        raise ValueError(
            f"{int((~finite).sum())} of {len(finite)} rows of {rows.name} contain NaN "
            "or infinity, which the model accepts, but they have no distances (the "
            f"first is row {int(finite.int().argmin())}). Impute or drop them, for "
            "example with sklearn.impute.SimpleImputer as a step of the Pipeline."
        )
    inputs = torch.cat(blocks)
    if extent(*blocks) > _LARGEST_INPUT:
        _raise_too_large(inputs, rows)
    return inputs


def _raise_too_large(inputs: Tensor, rows: Rows) -> None:
    large = (inputs.abs().amax(dim=0) > _LARGEST_INPUT).nonzero()[:, 0].tolist()
    labels = [k if rows.transformers else column_label(rows.X, k) for k in large]
    raise ValueError(
        f"The squares of columns {labels[:10]} of {rows.name} overflow, so rows have "
        "no distances. Scale these columns or drop them, as identifiers should be."
    )


def _as_floats(block: Any, first: int, name: str) -> Tensor:
    try:
        return torch.from_numpy(np.array(as_dense(block), dtype=np.float64))
    except (TypeError, ValueError) as error:
        cell = first_text(block)
        where = ""
        if cell is not None:
            row, column, value = cell
            where = f" (row {first + row} of {name}, column {column!r}: {value!r})"
        raise ValueError(
            f"The inputs have no distances: {type(block).__name__} does not hold rows "
            f"of numbers{where}. Use another space, or encode the columns."
        ) from error


def _gradients(
    access: NetAccess, n_components: int | None, rng: torch.Generator | None
) -> Reader:
    directions = loss_directions(access)
    if n_components is None:
        return lambda rows: per_row_gradients(access, rows, "gradients", directions)
    if rng is None:
        raise TypeError("A projection of gradients needs a generator, rng.")
    reader = GradientReader(access, "gradients", directions)
    project = Sketch(n_components, rng)  # one for pool and labeled rows

    def read(batch: Any) -> Tensor:
        return project(reader(batch))

    return partial(access.collect, read=read, size=access.chunk_size)


def _last_layer(access: NetAccess, *_: Any) -> Reader:
    def read(batch: Any) -> Tensor:
        features, _ = access.forward_features(batch)
        return torch.cat([features, features.new_ones(len(features), 1)], dim=1)

    return partial(access.collect, read=read)


def _features(access: NetAccess, *_: Any) -> Reader:
    return access.features


#: Spaces of nets: each entry makes a `Reader` from ``(access, n_components, rng)``.
_OF_NETS: dict[str, Callable[..., Reader]] = {
    "gradients": _gradients,
    "last_layer": _last_layer,
    "features": _features,
}


def _call(
    space: Callable[[NetAccess, Rows], Tensor], access: NetAccess, rows: Rows
) -> Tensor:
    """Vectors that a callable space returns, checked."""
    vectors = space(access, rows)
    if not isinstance(vectors, Tensor) or vectors.ndim != 2:
        shape = tuple(getattr(vectors, "shape", ()))
        raise ValueError(
            f"space must return a tensor of shape (rows, d), got "
            f"{type(vectors).__name__} of shape {shape}."
        )
    vectors = vectors.detach()
    if len(vectors) != len(rows):
        raise ValueError(f"space returned {len(vectors)} rows for {len(rows)}.")
    if not bool(vectors.isfinite().all()):
        raise ValueError(
            "The vectors that space returned are not finite. Did the training of the "
            "net diverge?"
        )
    return vectors


def _takes_two(space: Callable[..., Any]) -> bool:
    try:
        signature(space).bind(None, None)
    except TypeError:
        return False
    except ValueError:  # a builtin without a signature
        pass
    return True


def as_space(rows: Sequence[Any], labeled: Sequence[Any]) -> Space:
    """Concatenate the vectors of several models; their inner products add up.

    Parameters
    ----------
    rows, labeled : sequence
        What the `Reader` of each model read: tensors, or lists of `Factors`.

    Raises
    ------
    ValueError
        If squares of elements overflow.

    Notes
    -----
    Vectors are float64 where the squares of float32 elements would overflow, or vanish.
    """
    if not isinstance(rows[0], Tensor):
        return _of_factors(_flat(rows), _flat(labeled))
    both = [
        parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=1)
        for parts in (rows, labeled)
        if parts
    ]
    if not has_room(extent(*both), both[0].dtype):
        both = [vectors.double() for vectors in both]
    return Space(Dense(both[0]), Dense(both[1]) if labeled else None)


def _of_factors(rows: list[Factors], labeled: list[Factors]) -> Space:
    both = [layers for layers in (rows, labeled) if layers]
    largest = 0.0
    for same in zip(*both, strict=True):
        inputs, outputs = zip(*same, strict=True)
        largest = max(largest, extent(*inputs) * extent(*outputs))
    if not has_room(largest, rows[0].inputs.dtype):
        both = [[Factors(a.double(), g.double()) for a, g in layers] for layers in both]
    embeddings = [GradientEmbedding(layers) for layers in both]
    return Space(embeddings[0], embeddings[1] if labeled else None)


def _flat(parts: Sequence[Any]) -> list[Factors]:
    return [layer for part in parts for layer in part]


def loss_directions(access: NetAccess) -> Directions | None:
    """Gradient of a classifier's loss at its own label with respect to the outputs.

    None for a regressor, of which each output is taken by itself.
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


# -- inner products as covariances -------------------------------------------------


def covariance_features(
    space: Space, noise_std: float, condition_on_labels: bool | str
) -> tuple[Tensor, Tensor]:
    """Features whose inner products are the covariances of a Gaussian process.

    Parameters
    ----------
    space : Space
        Inner products in it are the prior covariances.
    noise_std : float
        Standard deviation of the label noise, for a mean training variance of 1.
    condition_on_labels : bool or "auto"
        Whether the process is conditioned on the labeled rows; ``"auto"``: if there
        are any.

    Returns
    -------
    features, labeled : Tensor
        Of pool and labeled rows; `labeled` has no rows if there are none.  Computed in
        float64, and rounded to the type of the vectors where squares have room in it.

    Raises
    ------
    ValueError
        If `condition_on_labels` is True and there are no labeled rows, or if gradients
        were not projected.
    """
    features, labeled = space.vectors()
    transform = covariance_transform(space, noise_std, condition_on_labels)
    for dtype in (features.dtype, torch.float64):
        both = [transformed(rows, transform, dtype) for rows in (features, labeled)]
        if has_room(extent(*both), dtype):
            break
    return both[0], both[1]


def covariance_transform(
    space: Space, noise_std: float, condition_on_labels: bool | str
) -> Tensor:
    """Matrix ``(d, d)`` or scale ``()`` from vectors to those of `covariance_features`.

    Parameters and errors as in `covariance_features`.
    """
    check_positive("noise_std", noise_std)
    known = conditions_on_labels(condition_on_labels, space.labeled is not None)
    features, labeled = space.vectors()
    if known:
        return posterior_transform(labeled, noise_std)
    return feature_scale(labeled if len(labeled) else features)


def conditions_on_labels(condition_on_labels: bool | str, has_labeled: bool) -> bool:
    """Resolve ``condition_on_labels="auto"``.

    Raises
    ------
    ValueError
        If `condition_on_labels` is True and there are no labeled rows.
    """
    check_bool("condition_on_labels", condition_on_labels, auto=True)
    if condition_on_labels != "auto" and condition_on_labels and not has_labeled:
        raise ValueError(
            "condition_on_labels=True needs labeled rows, and the learner holds none. "
            'Pass them to it (X_training), or set condition_on_labels="auto".'
        )
    return bool(condition_on_labels) and has_labeled
