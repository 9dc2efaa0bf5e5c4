"""Rows compared by the leaves of trees into which they fall."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from skal._numerics.products import blocks
from skal.spaces.dense import Embedding, cannot_compare
from skal.spaces.low_rank import low_rank

__all__ = ["Leaves", "leaf_vectors"]

#: Rows that are compared with all others at a time, and elements of their table of
#: leaves, 64 MiB.
_TOGETHER, _TABLE = 64, 2**24


class Leaves(Embedding):
    r"""Leaves of T trees; ``sq_dist`` is the share of trees in which two rows differ.

    Parameters
    ----------
    codes : Tensor of shape (m, T), int32
        Leaf of each row in each tree.  No two trees share a code.
    n_codes : int
        All codes are below.
    n_components : int, default=512
        Largest length of the vectors of `leaf_vectors`.

    Notes
    -----
    A row is the vector of :math:`n_{codes}` elements that has :math:`1 / \sqrt{2 T}` at
    each of its leaves and 0 elsewhere.  The squared distance of two such vectors is the
    share of trees in which the rows fall into different leaves.  It is counted, and
    therefore exact.  The codes take 4 · m · T bytes; comparing 64 rows with all takes
    64 · m · T additions.

    Examples
    --------
    >>> import torch
    >>> from skal.spaces import Leaves
    >>> Leaves(torch.tensor([[0, 2], [1, 2], [1, 3]], dtype=torch.int32), 4).sq_dist(0)
    tensor([0.0000, 0.5000, 1.0000], dtype=torch.float64)
    """

    def __init__(self, codes: Tensor, n_codes: int, n_components: int = 512) -> None:
        if codes.ndim != 2:
            raise ValueError(
                f"codes must have the shape (m, T), got {tuple(codes.shape)}."
            )
        self.codes = codes
        self.n_codes = n_codes
        self.n_components = n_components
        self._compared: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def n_trees(self) -> int:
        """T."""
        return self.codes.shape[1]

    def sq_norm(self) -> Tensor:
        """Squared norm of each row, always 1/2, ``(m,)``."""
        return torch.full((len(self),), 0.5, dtype=torch.float64)

    def sq_dist(self, i: int, rows: Tensor | None = None) -> Tensor:
        """Share of trees in which all or some rows are in another leaf than row `i`."""
        distance = self._compared.get(i)
        if distance is None:
            own = self.codes[i]
            codes = self.codes if rows is None else self.codes[rows]
            return (codes != own).sum(dim=1).double() / self.n_trees
        return (distance if rows is None else distance[rows]).double() / self.n_trees

    def nearest(self, centers: Embedding) -> tuple[Tensor, Tensor]:
        """Least share of each row, and the number of the center; the first of several.

        64 centers are compared at a time.
        """
        if not isinstance(centers, Leaves):
            raise cannot_compare(self, centers)
        if (self.n_trees, self.n_codes) != (centers.n_trees, centers.n_codes):
            raise ValueError("The leaves are of different trees.")
        best = torch.full((len(self),), torch.inf)
        center = torch.zeros(len(self), dtype=torch.long)
        for start in range(0, len(centers), _TOGETHER):
            differ = self._differ(centers.codes[start : start + _TOGETHER])
            least, number = differ.min(dim=0)
            closer = least < best
            best = torch.where(closer, least, best)
            center = torch.where(closer, number + start, center)
        return best.double() / self.n_trees, center

    def lower_bounds(self, rows: Tensor) -> Tensor:
        """Shares of some rows with all rows, which are exact, ``(t, m)``."""
        differ = self._differ(self.codes[rows])
        self._compared = dict(zip(rows.tolist(), differ, strict=True))
        return differ.double() / self.n_trees

    def share_leaves(self, rows: Tensor | None, others: Tensor) -> Tensor:
        """Half the share of trees in which rows share a leaf: their inner products."""
        own = self if rows is None else Leaves(self.codes[rows], self.n_codes)
        differ = own._differ(self.codes[others]).T
        return (0.5 - differ.double().div_(2 * self.n_trees)).contiguous()

    def _differ(self, codes: Tensor) -> Tensor:
        """Count the trees in which rows differ from `codes`, ``(t, m)``, float32."""
        result = torch.empty(len(codes), len(self))
        step = max(1, min(_TOGETHER, _TABLE // self.n_codes))
        for start in range(0, len(codes), step):
            few = codes[start : start + step]
            is_own = torch.zeros(self.n_codes, len(few))
            numbers = torch.arange(len(few))[:, None].expand_as(few)
            is_own[few.flatten().long(), numbers.flatten()] = 1.0
            for part in blocks(len(self), max(len(few), self.n_trees)):
                same = embedding_bag(self.codes[part], is_own, mode="sum")
                result[start : start + step, part] = self.n_trees - same.T
        return result


def leaf_vectors(pool: Leaves, labeled: Leaves | None) -> tuple[Tensor, Tensor]:
    """Vectors of pool and labeled rows, by `low_rank`, float64.

    Notes
    -----
    Their inner products are those of `Leaves` if the rows span at most `n_components`
    dimensions; otherwise they lack what the pivots do not explain.
    """
    both = pool
    if labeled is not None:
        codes = torch.cat([pool.codes, labeled.codes])
        both = Leaves(codes, pool.n_codes)
    vectors = low_rank(both.share_leaves, both.sq_norm(), pool.n_components)
    return vectors[: len(pool)], vectors[len(pool) :]
