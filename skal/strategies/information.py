"""Fisher information of the rows of a classifier: of its nets, or of a layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from skal._numerics.products import block_size, blocks
from skal.exceptions import UnsuitableLearnerError
from skal.reading.access import NetAccess
from skal.reading.batches import as_columns, index_batch
from skal.reading.gradients import Directions, GradientReader
from skal.reading.pool import Pool
from skal.reading.space import NET_SPACES
from skal.rows import ChainedRows, Rows
from skal.selection import Information
from skal.selection._fisher_bait import InformationRows
from skal.spaces import Factors, Sketch, feature_scale
from skal.spaces.low_rank import low_rank
from skal.strategies.space import (
    SpaceLike,
    is_of_nets,
    read_space,
    reader_of_net,
    resolve_space,
)

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
    """Read pool and labeled rows, one `Information` for each net or output.

    Vectors of the pool that would take more than 64 MiB are not kept: they are read
    anew whenever they are asked for.

    Parameters
    ----------
    pool : Pool
    space : str, Posterior or callable
        As in `skal.strategies.space.read_space`; ``"auto"`` is ``"gradients"`` for
        nets.  ``"gradients"``: information about all parameters, projected to
        `n_components`.  ``"last_layer"``: information about the parameters of the last
        layer.  Others: information about the parameters of an additional linear layer,
        from the vectors of the space to the outputs of the net, or to the logarithms of
        the probabilities of another learner.  The vectors of another learner have a
        mean squared norm of 1, and at most `n_components` elements.
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
    space = resolve_space(pool, space, n_components, "gradients")
    if space == "gradients" and n_components is None:
        raise ValueError(
            "This strategy needs gradients as vectors. Set n_components to their "
            'length, such as 512, or use space="last_layer".'
        )
    is_of_net = callable(space) or space in (*NET_SPACES, "inputs")
    if not (is_of_net and is_of_nets(pool)):
        return _of_probabilities(pool, space, n_components or 512, head, rng)
    rows: list[InformationRows] = []
    labeled: list[InformationRows] = []
    for member, access in pool.nets(head):
        read = _reader(access, space, n_components, rng)
        rows.append(read(member.rows))
        if member.labeled is not None:
            labeled.append(read(member.labeled))
    return rows, labeled if len(labeled) == len(rows) else None


def _of_probabilities(
    pool: Pool, space: SpaceLike, n_components: int, head: str | None, rng: Any
) -> tuple[list[InformationRows], list[InformationRows] | None]:
    """Information about a linear layer from a space to logarithms of probabilities."""
    if not all(hasattr(m.estimator, "predict_proba") for m in pool.members):
        raise UnsuitableLearnerError(
            "The Fisher information of a classifier needs its predict_proba, and "
            f"{type(pool.members[0].estimator).__name__} does not have it. Use LCMD, "
            "or put the classifier into a CalibratedClassifierCV."
        )
    vectors, known = read_space(pool, space, n_components, head, rng).vectors()
    both = _narrow(torch.cat([vectors, known]).double(), n_components)
    both *= feature_scale(both[len(vectors) :] if len(known) else both)
    rows, labeled = both.split([len(vectors), len(known)])
    found = _of_layer(rows, pool.proba())
    if not len(known):
        return found, None
    return found, _of_layer(labeled, pool.proba(labeled=True))


def _narrow(vectors: Tensor, n_components: int) -> Tensor:
    """Vectors of at most so many elements, with nearly the same inner products."""
    if vectors.shape[1] <= n_components:
        return vectors

    def entries(rows: Tensor | None, others: Tensor) -> Tensor:
        return (vectors if rows is None else vectors[rows]) @ vectors[others].T

    return low_rank(entries, vectors.square().sum(dim=1), n_components)


def _of_layer(inputs: Tensor, probas: list[Tensor]) -> list[InformationRows]:
    """Information about a linear layer to each output with these probabilities."""
    directions = information_directions(partial(torch.softmax, dim=1))
    result: list[InformationRows] = []
    for proba in probas:
        log_proba = proba.clamp(min=torch.finfo(proba.dtype).tiny).log()
        one = Information(inputs[:1, :1], directions(log_proba[:1]).mT)
        _check_size(len(inputs), one, inputs.shape[1], keeps=True)
        parts = blocks(len(inputs), proba.shape[1] ** 2)
        columns = torch.cat([directions(log_proba[part]).mT for part in parts])
        result.append(Information(inputs, columns))
    return result


def information_directions(to_proba: Callable[[Tensor], Tensor]) -> Directions:
    r"""Directions whose outer products sum to the Fisher information of the outputs.

    For outputs f and C classes with probabilities p, they are C - 1 columns B with
    :math:`B B^\top = \sum_y p_y \nabla_f \log p_y \nabla_f \log p_y^\top`.

    Parameters
    ----------
    to_proba : callable
        Maps outputs to probabilities, differentiably.
    """

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
    directions = information_directions(access.to_proba)
    if space == "last_layer":
        return partial(_collect, access, _last_layer(access, directions))
    if space == "gradients" and n_components is not None:
        return partial(
            _collect, access, _all_layers(access, directions, n_components, rng)
        )
    features = reader_of_net(access, space)

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
    few = index_batch(batch, slice(2))  # a batch norm may refuse a single row
    with torch.no_grad():
        outputs = as_columns(access.forward(few))
    return directions(outputs).shape[2]
