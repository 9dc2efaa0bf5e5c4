"""Rows compared by the leaves of trees into which they fall."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from skal._numerics.products import blocks
from skal._numerics.shared_leaves import SEVERAL, SharedLeaves
from skal.spaces.dense import Embedding, cannot_compare
from skal.spaces.low_rank import low_rank

__all__ = ["Leaves", "leaf_vectors"]

#: Centers that are compared with all rows at a time.
_TOGETHER = 64


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
    therefore exact.  The codes take 4 · m · T bytes, and a list of the rows of each
    leaf, which is made when rows are first compared, as much again.  Comparing a row
    with all takes as many additions as its leaves have rows, and m · T comparisons
    where that is less work; see `skal._numerics.shared_leaves.SharedLeaves`.

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

    @property
    def device(self) -> torch.device:
        """That of the codes, the CPU."""
        return self.codes.device

    @cached_property
    def shared(self) -> SharedLeaves:
        """Counts of the leaves that rows share."""
        return SharedLeaves(self.codes.numpy(), self.n_codes)

    def take(self, rows: Tensor | slice) -> Leaves:
        """Leaves of some rows."""
        return Leaves(self.codes[rows], self.n_codes, self.n_components)

    def followed_by(self, others: Leaves) -> Leaves:
        """Leaves of these rows and of other rows of the same trees."""
        codes = torch.cat([self.codes, others.codes])
        return Leaves(codes, self.n_codes, self.n_components)

    def sq_dists(self) -> Tensor:
        """Squared distances of rows that share 0, 1, ..., T leaves, ``(T + 1,)``."""
        differ = torch.arange(self.n_trees, -1, -1, dtype=torch.float64)
        return differ / self.n_trees

    def mean_product(self) -> Tensor:
        """Mean inner product of each row with all rows, itself included, ``(m,)``."""
        sizes = torch.from_numpy(self.shared.sizes(self.shared.codes))
        return sizes.sum(dim=1).double() / (2 * self.n_trees * max(1, len(self)))

    def mean_nearness(self, reference: Tensor | None = None) -> Tensor:
        """Mean of 1 / (1 + distance), as `skal.measures.mean_nearness`, ``(m,)``."""
        m = len(self)
        rows = torch.arange(m) if reference is None else reference
        nearness = 1 / (1 + self.sq_dists().sqrt())
        total = torch.zeros(m, dtype=torch.float64)
        for own in self.codes[rows].numpy():
            total += nearness[torch.from_numpy(self.shared.with_all(own))]
        is_own = torch.zeros(m, dtype=torch.long)
        is_own[rows] = 1
        others = (total - is_own) / (len(rows) - is_own).clamp(min=1)
        # Of equal densities, sums in another order differ by rounding.
        return ((1 + (m - 1) * others) / m).float().double()

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

    def nearest_among(self, rows: Tensor, others: Tensor) -> Tensor:
        """Least share of some rows from any of the others; both are masks ``(m,)``.

        For few rows; `nearest` is for few centers.
        """
        mask, own = others.numpy(), self.codes[rows].numpy()
        most = torch.zeros(len(own), dtype=torch.long)
        for start in range(0, len(own), SEVERAL):
            some = slice(start, start + SEVERAL)
            shared, column = self.shared.with_several(own[some])
            most[some] = torch.from_numpy(shared[mask].max(axis=0)[column]).long()
        return self.sq_dists()[most]

    def lower_bounds(self, rows: Tensor) -> Tensor:
        """Shares of some rows with all rows, which are exact, ``(t, m)``."""
        differ = self._differ(self.codes[rows])
        self._compared = dict(zip(rows.tolist(), differ, strict=True))
        return differ.double() / self.n_trees

    def share_leaves(self, rows: Tensor | None, others: Tensor) -> Tensor:
        """Half the share of trees in which rows share a leaf: their inner products."""
        own = self if rows is None else self.take(rows)
        differ = own._differ(self.codes[others])
        return differ.double().div_(-2 * self.n_trees).add_(0.5).T

    def _differ(self, codes: Tensor) -> Tensor:
        """Count the trees in which rows differ from `codes`, ``(t, m)``, float32."""
        result = torch.empty(len(codes), len(self))
        for start in range(0, len(codes), SEVERAL):
            some = slice(start, start + SEVERAL)
            shared, column = self.shared.with_several(codes[some].numpy())
            for part in blocks(*shared.shape, in_cache=True):
                result[some, part] = torch.from_numpy(shared[part, column].T).float()
        return result.neg_().add_(self.n_trees)


def leaf_vectors(
    pool: Leaves, labeled: Leaves | None, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Vectors of pool and labeled rows, one after the other, by `low_rank`.

    Notes
    -----
    Their inner products are those of `Leaves` if the rows span at most `n_components`
    dimensions; otherwise they lack what the pivots do not explain.
    """
    both = pool
    if labeled is not None:
        both = pool.followed_by(labeled)
    return low_rank(both.share_leaves, both.sq_norm(), pool.n_components, dtype)
