"""Fisher information of the rows of a classifier, read from its nets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from skal._numerics.blocks import block_size
from skal.reading.access import NetAccess, as_columns, index_batch
from skal.reading.gradients import Directions, GradientReader
from skal.reading.pool import Pool
from skal.reading.space import SpaceLike, reader_of, resolve_space
from skal.rows import ChainedRows, Rows
from skal.selection import Information
from skal.selection._fisher_bait import InformationRows
from skal.spaces import Factors, Sketch

__all__ = ["information_directions", "read_information"]

#: Maximum number of elements kept for one net: 2 GiB in float64.
_LIMIT = 2**28
#: Elements of the vectors of rows, 64 MiB in float32, above which they are read anew.
_KEPT = 2**24
Read = Callable[[Rows], InformationRows]


class _Anew:
    """Information that is read from the net whenever it is asked for.

    Parameters
    ----------
    access : NetAccess
    read : callable
        Reads a batch.
    rows : Rows
    one : Information
        Of one of the rows.
    """

    def __init__(
        self,
        access: NetAccess,
        read: Callable[[Any], Information],
        rows: Rows,
        one: Information,
    ) -> None:
        self._access, self._read, self._rows = access, read, rows
        self._size = _batch_size(access, one)
        self.shape = (len(rows), *one.shape[1:])

    def take(self, rows: Tensor) -> Information:
        """Return the information of the rows of these numbers."""
        chosen = self._rows.take(rows.cpu().numpy())
        return Information(*self._access.collect(chosen, self._read, self._size))

    def blocks(self, width: int) -> Iterator[tuple[slice, Information]]:
        """Yield all rows in order, as `Information.blocks`."""
        read = self._access.stream(self._rows, self._read, self._size)
        for where, parts in read:
            for part, block in Information(*parts).blocks(width):
                yield slice(where.start + part.start, where.start + part.stop), block


def read_information(
    pool: Pool, space: SpaceLike, n_components: int | None, head: str | None, rng: Any
) -> tuple[list[InformationRows], list[InformationRows] | None]:
    """Read pool and labeled rows, one `Information` for each net of the learner.

    Vectors of the pool that would take more than 64 MiB are not kept: they are read
    anew whenever they are asked for.

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
    rows, labeled : list of InformationRows
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
    rows: list[InformationRows] = []
    labeled: list[InformationRows] = []
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
        width = inputs.shape[1]
        _check_size(len(rows), _first(access, outputs, rows), width, keeps=True)
        _, columns = access.collect(rows, outputs, access.chunk_size)
        return Information(inputs.to(columns.device), columns)

    return read


def _collect(
    access: NetAccess, read: Callable[[Any], Information], rows: Rows
) -> InformationRows:
    """Read all rows, or leave them to be read anew if they would take much memory."""
    one = _first(access, read, rows)
    _, i, k, o = one.shape
    keeps = len(rows) * (i + k * o) <= _KEPT or isinstance(rows, ChainedRows)
    _check_size(len(rows), one, i, keeps)
    if not keeps:
        return _Anew(access, read, rows, one)
    return Information(*access.collect(rows, read, _batch_size(access, one)))


def _batch_size(access: NetAccess, one: Information) -> int:
    """Return the rows of a batch whose vectors take little memory."""
    _, i, k, o = one.shape
    return min(access.chunk_size, block_size(i + k * o))


def _first(
    access: NetAccess, read: Callable[[Any], Information], rows: Rows
) -> Information:
    """Read a single row, since a batch may be too large."""
    _, batch = next(access.batches(rows))
    with torch.inference_mode(False), torch.no_grad():
        return read(index_batch(batch, slice(1)))


def _check_size(m: int, one: Information, width: int, keeps: bool) -> None:
    _, _, k, o = one.shape
    per_row = 2 * k**2 + (width + k * o if keeps else 0)
    n_elements = m * per_row + 4 * (o * width) ** 2
    if n_elements > _LIMIT:
        raise ValueError(
            f"The information of {m} rows with {k + 1} classes on {o * width} "
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

        layers = [
            Factors(inputs, outputs.unflatten(1, (n_vectors, -1)).flatten(0, 1))
            for inputs, outputs in reader(batch)
        ]
        outputs = project(layers).unflatten(0, (-1, n_vectors))
        return Information(outputs.new_ones(len(outputs), 1), outputs)

    return read


def _n_vectors(access: NetAccess, directions: Directions, batch: Any) -> int:
    with torch.no_grad():
        outputs = as_columns(access.forward(index_batch(batch, slice(1))))
    return directions(outputs).shape[2]
