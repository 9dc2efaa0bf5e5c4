"""Fisher information of the rows of a classifier, read from its nets."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from skal.reading.access import NetAccess, as_columns, index_batch
from skal.reading.gradients import Directions, GradientReader
from skal.reading.pool import Pool
from skal.reading.space import SpaceLike, reader_of, resolve_space
from skal.rows import Rows
from skal.selection import Information
from skal.spaces import Factors, Sketch

__all__ = ["information_directions", "read_information"]

#: Maximum number of elements kept for one net: 2 GiB in float64.
_LIMIT = 2**28
Read = Callable[[Rows], Information]


def read_information(
    pool: Pool, space: SpaceLike, n_components: int | None, head: str | None, rng: Any
) -> tuple[list[Information], list[Information] | None]:
    """Read pool and labeled rows, one `Information` for each net of the learner.

    Parameters
    ----------
    pool : Pool
    space : {"gradients", "last_layer", "features", "inputs", "auto"} or callable
        ``"gradients"``: information about all parameters, projected to `n_components`.
        ``"last_layer"``: information about the parameters of the last layer.  Others:
        information about the parameters of an additional linear layer, from the vectors
        of `skal.reading.space.read_space` to the outputs of the net.
    n_components : int or None
    head : str, optional
    rng : torch.Generator

    Returns
    -------
    rows, labeled : list of Information
        None for `labeled` if a net has no labeled rows.

    Raises
    ------
    ValueError
        If a parameter is out of range, or more than 2 GiB would be kept for a net.
    """
    space = resolve_space(pool, space, n_components)
    if space == "gradients" and n_components is None:
        raise ValueError(
            "This strategy needs gradients as vectors. Set n_components to their "
            'length, such as 512, or use space="last_layer".'
        )
    rows, labeled = [], []
    for member, access in pool.nets(head):
        read = _reader(access, space, n_components, rng)
        rows.append(read(member.rows))
        if member.labeled is not None:
            labeled.append(read(member.labeled))
    return rows, labeled if len(labeled) == len(rows) else None


def information_directions(access: NetAccess) -> Directions:
    r"""Directions whose outer products sum to the Fisher information of the outputs.

    For outputs f and C classes with probabilities p, they are C - 1 columns B with
    :math:`B B^\top = \sum_y p_y \nabla_f \log p_y \nabla_f \log p_y^\top`.
    """
    to_proba = access.to_proba

    def directions(outputs: Tensor) -> Tensor:
        with torch.enable_grad():
            outputs = outputs.detach().double().requires_grad_()
            proba = to_proba(outputs)
            root = proba.clamp(min=torch.finfo(proba.dtype).tiny).sqrt()
            columns = [
                torch.autograd.grad(own.sum(), outputs, retain_graph=True)[0]
                for own in root.unbind(dim=1)
            ]
        columns_C = 2 * torch.stack(columns, dim=2)
        # Weighted by the roots of p the columns add up to 0.  A reflection that maps
        # the roots to the last axis therefore leaves the last column empty.
        mirror = root.detach() / root.detach().norm(dim=1, keepdim=True)
        mirror[:, -1] += 1
        along = torch.einsum("boc,bc->bo", columns_C, mirror)
        along *= 2 / mirror.square().sum(dim=1, keepdim=True)
        turned = columns_C - along[:, :, None] * mirror[:, None, :]
        return turned[:, :, : max(1, proba.shape[1] - 1)]

    return directions


def _reader(
    access: NetAccess, space: SpaceLike, n_components: int | None, rng: torch.Generator
) -> Read:
    directions = information_directions(access)
    if space == "last_layer":
        return partial(_collect, access, _last_layer(access, directions))
    if space == "gradients" and n_components is not None:
        return partial(
            _collect, access, _all_layers(access, directions, n_components, rng)
        )
    features = reader_of(access, space)

    def read(rows: Rows) -> Information:
        def outputs(batch: Any) -> Information:
            columns = directions(as_columns(access.forward(batch)))
            empty = columns.new_ones(len(columns), 1)
            return Information(empty, columns.mT)

        inputs = features(rows)
        columns = _collect(access, outputs, rows, width=inputs.shape[1]).outputs
        return Information(inputs.to(columns.device), columns)

    return read


def _collect(
    access: NetAccess,
    read: Callable[[Any], Information],
    rows: Rows,
    width: int | None = None,
) -> Information:
    """Read all rows, unless they would take too much memory."""
    looked = False

    def checked(batch: Any) -> Information:
        nonlocal looked
        if not looked:  # with one row, since a batch may be too large
            one = read(index_batch(batch, slice(1)))
            _check_size(len(rows), one, width or one.inputs.shape[1])
            looked = True
        return read(batch)

    inputs, outputs = access.collect(rows, checked, access.chunk_size)
    return Information(inputs, outputs)


def _check_size(m: int, part: Information, width: int) -> None:
    n_vectors, o = part.outputs.shape[1:]
    n_elements = m * (width + n_vectors * (o + 2 * n_vectors)) + 4 * (o * width) ** 2
    if n_elements > _LIMIT:
        raise ValueError(
            f"The information of {m} rows with {n_vectors + 1} classes on {o * width} "
            f"parameters takes {n_elements / 2**27:.1f} GiB, more than 2. Query a part "
            "of the pool (skal.strategies.Subsample or Prefilter), or project "
            'gradients to few components (space="gradients", n_components=128).'
        )


def _last_layer(
    access: NetAccess, directions: Directions
) -> Callable[[Any], Information]:
    reader = GradientReader(access, "last_layer", directions)

    def read(batch: Any) -> Information:
        ((inputs, outputs),) = reader(batch)
        n_vectors = _n_vectors(access, directions, batch)
        return Information(inputs, outputs.unflatten(1, (n_vectors, -1)))

    return read


def _all_layers(
    access: NetAccess, directions: Directions, n_components: int, rng: torch.Generator
) -> Callable[[Any], Information]:
    reader, project = (
        GradientReader(access, "gradients", directions),
        Sketch(n_components, rng),
    )

    def read(batch: Any) -> Information:
        n_vectors = _n_vectors(access, directions, batch)

        def by_vector(layers: list[Factors]) -> Tensor:
            single = [
                Factors(
                    inputs.repeat_interleave(n_vectors, dim=0),
                    outputs.unflatten(1, (n_vectors, -1)).flatten(0, 1),
                )
                for inputs, outputs in layers
            ]
            return project(single).unflatten(0, (-1, n_vectors))

        outputs = by_vector(reader(batch))
        return Information(outputs.new_ones(len(outputs), 1), outputs)

    return read


def _n_vectors(access: NetAccess, directions: Directions, batch: Any) -> int:
    with torch.no_grad():
        outputs = as_columns(access.forward(index_batch(batch, slice(1))))
    return directions(outputs).shape[2]
