"""Gradients per row, kept as factors behind norms and distances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from skal._numerics.nearest import nearest_of_pairs, sq_dist_of_pairs, sq_dist_to
from skal._numerics.products import blocks, linear, rounding_bound
from skal.spaces.dense import Embedding, cannot_compare

__all__ = ["Factors", "GradientEmbedding"]


class Factors(NamedTuple):
    """Gradients of rows with respect to one layer: ``outputs[r] ⊗ inputs[r]``.

    Attributes
    ----------
    inputs : Tensor of shape (b, i)
        Input of the layer, with a 1 appended if it has a bias.
    outputs : Tensor of shape (b, K * o)
        Gradients with respect to the output of the layer, direction by direction.  A
        gradient that is not an outer product is stored here whole, with ``i`` = 1.
    """

    inputs: Tensor
    outputs: Tensor


class GradientEmbedding(Embedding):
    r"""Gradients as sums of outer products, which are never multiplied out.

    Parameters
    ----------
    layers : sequence of Factors
        Factors of m rows for each layer, as read by
        `skal.reading.gradients.per_row_gradients`.  The embedding of BADGE has a single
        pair of factors.

    Notes
    -----
    With factors a and g of layer l, the inner product of two rows is
    :math:`\sum_l \langle a_l, a_l' \rangle \langle g_l, g_l' \rangle`.  The squared
    distance follows from those of the factors,

    .. math::
        2 \lVert a \otimes g - a' \otimes g' \rVert^2 = \alpha (G + G') +
        \gamma (A + A') - \alpha \gamma + (A - A') (G - G')

    with :math:`\alpha = \lVert a - a' \rVert^2, \gamma = \lVert g - g' \rVert^2, A =
    \lVert a \rVert^2, G = \lVert g \rVert^2`, which is 0 for equal factors.  A pass
    reads m × Σ(i + o) elements; the gradients have m × Σ i·o.

    Examples
    --------
    >>> import torch
    >>> from skal.spaces import Factors, GradientEmbedding
    >>> a, g = torch.tensor([[1.0, 2.0], [0.0, 1.0]]), torch.tensor([[3.0], [1.0]])
    >>> GradientEmbedding([Factors(a, g)]).sq_dist(0)
    tensor([ 0., 34.])
    """

    def __init__(self, layers: Sequence[Factors]) -> None:
        if not layers:
            raise ValueError("layers must hold the factors of at least one layer.")
        lengths = {len(factor) for layer in layers for factor in layer}
        if len(lengths) != 1:
            raise ValueError(
                f"All factors must have the same number of rows, got {lengths}."
            )
        self.layers = [Factors(*layer) for layer in layers]
        self._norms = [
            Factors(*(torch.linalg.vecdot(x, x) for x in layer)) for layer in layers
        ]
        self._sq_norm = _sum([a * g for a, g in self._norms])
        self._rounding_bound = 2 * max(
            rounding_bound(x) for layer in layers for x in layer
        )

    def __len__(self) -> int:
        return len(self._sq_norm)

    def sq_norm(self) -> Tensor:
        """Squared norm of each row, ``(m,)``."""
        return self._sq_norm.clone()

    def inner(self, rows: Tensor) -> Tensor:
        """Inner products of some rows with all rows, ``(t, m)``."""
        # The many rows come first: products with few rows are fastest that way.
        terms = [linear(a, a[rows]).mul_(linear(g, g[rows])) for a, g in self.layers]
        return _sum(terms).T

    def sq_dist(self, i: int, rows: Tensor | None = None) -> Tensor:
        """Squared distances of all or some rows to row `i`; 0 to its duplicates."""
        terms = []
        for layer, norms in zip(self.layers, self._norms, strict=True):
            apart = [sq_dist_to(x, x[i], rows) for x in layer]
            own = norms if rows is None else Factors(*(x[rows] for x in norms))
            other = Factors(*(x[i] for x in norms))
            terms.append(_sq_dist_of_outer(Factors(*apart), own, other))
        return _sum(terms).clamp_(min=0)

    def lower_bounds(self, rows: Tensor) -> Tensor:
        """Lower bounds on the squared distances of some rows to all rows, ``(t, m)``.

        By one matrix product for each factor.
        """
        low = self._sq_norm * (1 - self._rounding_bound)
        return self.inner(rows).mul_(-2).add_(low).add_(low[rows][:, None])

    def nearest(self, centers: Embedding) -> tuple[Tensor, Tensor]:
        """Squared distance of each row to its nearest center, and that center's number.

        By matrix products; what their rounding leaves open is computed exactly.
        """
        if not isinstance(centers, GradientEmbedding):
            raise cannot_compare(self, centers)
        if _widths(self) != _widths(centers):
            raise ValueError(
                f"The factors must have the same widths, got {_widths(self)} and "
                f"{_widths(centers)}."
            )
        sq_dist = torch.empty_like(self._sq_norm)
        center = torch.empty_like(sq_dist, dtype=torch.long)
        rounding = 2 * (self._rounding_bound + centers._rounding_bound)
        for part in blocks(len(self), max(len(centers), *map(sum, _widths(self)))):
            own = self._sq_norm[part]
            values = _sum(
                [
                    linear(a[part], b) * linear(g[part], h)
                    for (a, g), (b, h) in zip(self.layers, centers.layers, strict=True)
                ]
            )
            values = values.mul_(-2).add_(centers._sq_norm)
            limit = values.amin(dim=1) + rounding * (own + centers._sq_norm.max())
            row, candidate = torch.nonzero(values <= limit[:, None]).T
            distances = self._pairs(centers, row + part.start, candidate)
            sq_dist[part], center[part] = nearest_of_pairs(
                row, candidate, distances, len(own)
            )
        return sq_dist, center

    def _pairs(self, other: GradientEmbedding, row: Tensor, center: Tensor) -> Tensor:
        """Squared distances of rows to rows of another embedding, pair by pair."""
        terms = []
        layers = zip(self.layers, self._norms, other.layers, other._norms, strict=True)
        for own, own_norms, theirs, their_norms in layers:
            apart = [
                sq_dist_of_pairs(x, y, row, center)
                for x, y in zip(own, theirs, strict=True)
            ]
            norms = Factors(*(x[row] for x in own_norms))
            other_norms = Factors(*(x[center] for x in their_norms))
            terms.append(_sq_dist_of_outer(Factors(*apart), norms, other_norms))
        return _sum(terms).clamp_(min=0)


def _sum(terms: Sequence[Tensor]) -> Tensor:
    """Add up tensors, in the memory of the first."""
    total = terms[0]
    for term in terms[1:]:
        total += term
    return total


def _sq_dist_of_outer(apart: Factors, own: Factors, other: Factors) -> Tensor:
    """Squared distances of outer products, by distances and norms of their factors."""
    (alpha, gamma), (A, G), (A_, G_) = apart, own, other
    twice = alpha * (G + G_) + gamma * (A + A_) - alpha * gamma + (A - A_) * (G - G_)
    # Exactly the other's squared norm where one product is 0: such rows often tie.
    norms, norms_ = A * G, A_ * G_
    is_zero = (norms == 0) | (norms_ == 0)
    return torch.where(is_zero, norms + norms_, twice / 2)


def _widths(embedding: GradientEmbedding) -> list[tuple[int, ...]]:
    return [tuple(x.shape[1] for x in layer) for layer in embedding.layers]
