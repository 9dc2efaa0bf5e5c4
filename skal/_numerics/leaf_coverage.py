"""How well rows cover others by the leaves that they share."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from skal._numerics.shared_leaves import COMPARED, LISTED, SharedLeaves, local_codes

__all__ = ["LeafCoverage", "pair_sums"]

#: Pairs of rows that are kept, 120 MB for up to 255 trees.
_KEPT = 3 * 2**23
#: Cost of an entry of a table of two trees, in the units of `LISTED`.
_PAIRED = 3.5

Floats = NDArray[np.float64]
#: Rows, and the leaves that another row shares with each.
_Pairs = tuple[NDArray[np.int32], NDArray[np.unsignedinteger]]


class LeafCoverage:
    r"""Coverage :math:`\sum_u w_u \max_{s \in S} f(c_{us})` of m rows u by a set S.

    Parameters
    ----------
    shared : SharedLeaves
        :math:`c_{us}` is the number of leaves that two rows share.
    similarity : ndarray of shape (T + 1,), float64
        :math:`f(0), \dots, f(T)`, which increases and is not negative.
    weights : ndarray of shape (m,), float64
        :math:`w`.
    covered : ndarray of shape (m,), int64, optional
        Leaves that each row shares with the nearest row of S; without them S is empty.

    Notes
    -----
    The rows that a row would cover better, and the leaves it shares with them, are kept
    when its gain is first computed: they only become fewer as S grows.  Beyond 25
    million pairs of rows, a gain is computed anew each time.
    """

    def __init__(
        self,
        shared: SharedLeaves,
        similarity: Floats,
        weights: Floats,
        covered: NDArray[np.int64] | None = None,
    ) -> None:
        self.shared, self.similarity, self.weights = shared, similarity, weights
        #: What every row adds, whatever its leaves, while S is empty.
        self.base = 0.0 if covered is not None else similarity[0] * weights.sum()
        kind = np.min_scalar_type(shared.n_trees)
        self.covered = np.zeros(len(shared), kind)
        if covered is not None:
            self.covered += covered.astype(kind)
        #: Rows that were compared with all others so far.
        self.n_compared = 0
        self._kept: dict[int, _Pairs] = {}
        self._n_kept = 0

    def gain(self, row: int) -> float:
        """Compute what a row would add to the coverage."""
        rows, counts = self._better(row)
        before = self.covered[rows]
        better = counts > before
        rows, counts, before = rows[better], counts[better], before[better]
        if self._n_kept + len(rows) <= _KEPT:
            self._kept[row] = rows, counts
            self._n_kept += len(rows)
        added = self.similarity[counts] - self.similarity[before]
        return float(self.base + self.weights[rows] @ added)

    def _better(self, row: int) -> _Pairs:
        """List the rows that a row would cover better, and perhaps others, in it."""
        if row in self._kept:
            rows, counts = self._kept.pop(row)
            self._n_kept -= len(rows)
            return rows, counts
        self.n_compared += 1
        counts = self._counts(row)
        rows = (counts > self.covered).nonzero()[0].astype(np.int32)
        return rows, counts[rows]

    def forget(self) -> None:
        """Drop what is kept of rows whose gains were computed."""
        self._kept.clear()
        self._n_kept = 0

    def add(self, row: int) -> None:
        """Add a row to S."""
        self.covered = np.maximum(self.covered, self._counts(row))
        self.base = 0.0

    def _counts(self, row: int) -> NDArray[np.unsignedinteger]:
        counts = self.shared.with_all(self.shared.codes[row])
        return counts.astype(self.covered.dtype)

    def bounds(self, n_rows: int) -> Floats | None:
        r"""Bound what each row would add, ``(m,)``; None if `n_rows` gains are faster.

        What a row adds to the coverage of row u is at most :math:`\alpha_u c (c - 1) +
        \beta_u c`, with the least coefficients for which that is true of any c.
        """
        similarity = self.similarity
        gain = np.maximum(similarity - similarity[:, None], 0)
        shared = np.arange(2.0, len(gain))
        linear = gain[:, 1]
        slopes = (gain[:, 2:] - linear[:, None] * shared) / (shared * (shared - 1))
        # What is linear up to rounding needs no table of two trees.
        slopes[slopes < 1e-15 * gain.max()] = 0.0
        linear = self.weights * linear[self.covered]
        quadratic = self.weights * slopes.max(axis=1, initial=0.0)[self.covered]
        sums = pair_sums(self.shared, linear, quadratic, n_rows)
        return None if sums is None else self.base + sums * (1 + 1e-9)


def pair_sums(
    shared: SharedLeaves, linear: Floats, quadratic: Floats, n_rows: int
) -> Floats | None:
    r"""Sum :math:`v_u c_{iu} + w_u c_{iu} (c_{iu} - 1)` over u, for each row i.

    Parameters
    ----------
    shared : SharedLeaves
        :math:`c_{iu}` is the number of leaves that rows i and u share.
    linear, quadratic : ndarray of shape (m,)
        v and w.
    n_rows : int
        Number of rows whose sums are needed.

    Returns
    -------
    sums : ndarray of shape (m,), float64, or None
        None where counting :math:`c_{iu}` itself takes no longer.

    Notes
    -----
    :math:`c (c - 1)` counts the ordered pairs of trees in which both leaves are shared.
    The weights of the rows in each pair of leaves are added up in one table per pair of
    trees: m · T² / 2 additions, whatever m² is.
    """
    m, n_trees = shared.codes.shape
    columns = [local_codes(column)[0].astype(np.int64) for column in shared.codes.T]
    sums = np.zeros(m)
    if linear.any():
        for column in columns:
            sums += np.bincount(column, linear)[column]
    if not quadratic.any():
        return sums
    widths = [int(column.max()) + 1 for column in columns]
    per_pair = _PAIRED * m + max(widths) ** 2
    per_row = LISTED * float(shared.sizes(shared.codes).sum()) / m
    per_row = min(per_row, COMPARED * m * n_trees)
    if n_trees * (n_trees - 1) / 2 * per_pair > n_rows * per_row:
        return None
    twice = 2 * quadratic
    for s, t in combinations(range(n_trees), 2):
        both = columns[s] * widths[t]
        both += columns[t]
        sums += np.bincount(both, twice)[both]
    return sums
