"""How many trees put two rows into the same leaf, counted for a row and all others."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["COMPARED", "LISTED", "SharedLeaves", "local_codes"]

Codes = NDArray[np.int32]
Counts = NDArray[np.int64]

#: Cost of counting a row that is listed in a leaf, and of comparing two codes, in
#: nanoseconds; only their ratio matters.
LISTED, COMPARED = 2.6, 0.07


class SharedLeaves:
    """Counts the trees in which a row shares its leaf with each of m rows.

    Parameters
    ----------
    codes : ndarray of shape (m, T), int32
        Leaf of each row in each tree, from 0.  No two trees share a code.
    n_codes : int
        All codes are below.

    Notes
    -----
    The rows of each leaf are listed once, in T · m integers.  Where leaves are small,
    the lists of the leaves of a row are concatenated and their elements are counted;
    where they are large, codes are compared column by column.

    Examples
    --------
    >>> import numpy as np
    >>> from skal._numerics.shared_leaves import SharedLeaves
    >>> codes = np.array([[0, 2], [1, 2], [1, 3]], dtype=np.int32)
    >>> SharedLeaves(codes, 4).with_all(codes[0])
    array([2, 1, 0])
    """

    def __init__(self, codes: Codes, n_codes: int) -> None:
        m, n_trees = codes.shape
        self.codes = codes
        self.start = np.zeros(n_codes, dtype=np.int64)
        self.stop = np.zeros(n_codes, dtype=np.int64)
        self.rows = np.empty(m * n_trees, dtype=np.int32)
        for t in range(n_trees if m else 0):
            local, low = local_codes(codes[:, t])
            sizes = np.bincount(local)
            ends = t * m + sizes.cumsum()
            present = np.flatnonzero(sizes)
            self.stop[low + present] = ends[present]
            self.start[low + present] = ends[present] - sizes[present]
            # numpy sorts integers of two bytes by their digits.
            self.rows[t * m : (t + 1) * m] = local.argsort(kind="stable")

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def n_trees(self) -> int:
        """T."""
        return self.codes.shape[1]

    def sizes(self, codes: Codes) -> Counts:
        """Count the rows in leaves, in the shape of their codes."""
        sizes: Counts = self.stop[codes] - self.start[codes]
        return sizes

    def with_all(self, own: Codes) -> Counts:
        """Count the leaves that a row, with codes ``(T,)``, shares with each, (m,)."""
        start, stop = self.start[own], self.stop[own]
        if not self.is_listed((stop - start).sum(), self.codes.size):
            return self._compare(own)
        return self.count_listed(start, stop)

    def with_rest(self, i: int) -> Counts:
        """Count the leaves that row `i` shares with itself and those after it."""
        own = self.codes[i]
        start, stop = self.places[i], self.stop[own]
        if not self.is_listed((stop - start).sum(), self.codes[i:].size):
            return self._compare(own, i)
        return self.count_listed(start, stop, i)

    @cached_property
    def places(self) -> NDArray[np.int32]:
        """Place of each row in the lists of its leaves, ``(m, T)``."""
        m, n_trees = self.codes.shape
        places = np.empty((m, n_trees), dtype=np.int32)
        for t in range(n_trees):
            rows = self.rows[t * m : (t + 1) * m]
            places[rows, t] = np.arange(t * m, (t + 1) * m, dtype=np.int32)
        return places

    @staticmethod
    def is_listed(n_listed: int, n_compared: int) -> bool:
        """Tell whether to count so many listed rows, or to compare so many codes."""
        return bool(LISTED * n_listed <= COMPARED * n_compared)

    def count_listed(self, start: Counts, stop: Counts, first: int = 0) -> Counts:
        """Count how often rows from `first` on are listed in slices of `rows`."""
        pairs = zip(start.tolist(), stop.tolist(), strict=True)
        listed = np.concatenate([self.rows[a:b] for a, b in pairs])
        if first:
            listed -= first
        counts: Counts = np.bincount(listed, minlength=len(self) - first)
        return counts

    def _compare(self, own: Codes, first: int = 0) -> Counts:
        """Count by comparing the codes of all rows from `first` on, tree by tree."""
        columns = self._columns
        same = np.empty(len(self) - first, dtype=bool)
        total = np.zeros(len(self) - first, dtype=np.min_scalar_type(self.n_trees))
        local = own - self._low
        inside = (local >= 0) & (local <= np.iinfo(columns.dtype).max)
        for column, code in zip(
            columns[inside], local[inside].astype(columns.dtype), strict=True
        ):
            np.equal(column[first:], code, out=same)
            np.add(total, same, out=total, casting="unsafe")
        return total.astype(np.int64)

    @cached_property
    def _low(self) -> Codes:
        return self.codes.min(axis=0)

    @cached_property
    def _columns(self) -> NDArray[np.unsignedinteger]:
        """Codes of each tree, in as few bytes as possible, ``(T, m)``."""
        width = int((self.codes.max(axis=0) - self._low).max(initial=0))
        columns = np.empty(self.codes.shape[::-1], dtype=np.min_scalar_type(width))
        np.subtract(self.codes.T, self._low[:, None], out=columns, casting="unsafe")
        return columns


def local_codes(column: Codes) -> tuple[NDArray[np.integer], int]:
    """Codes of a tree from 0 on, in two bytes if possible, and the lowest one."""
    low = int(column.min())
    local = column - np.int32(low)
    small = int(local.max()) < 2**16
    return (local.astype(np.uint16) if small else local), low
