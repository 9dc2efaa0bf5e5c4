"""How many trees put two rows into the same leaf, counted for a row and all others."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import embedding_bag

__all__ = ["COMPARED", "LISTED", "SEVERAL", "SharedLeaves", "local_codes"]

Codes = NDArray[np.int32]
Counts = NDArray[np.int64]
Packed = NDArray[np.uint8] | NDArray[np.int32]

#: Rows that are compared with all at a time.
SEVERAL = 192
#: Cost of counting a row that is listed in a leaf, of comparing two codes, and of the
#: same for one of several rows, in nanoseconds; only their ratios matter.
LISTED, COMPARED, TOGETHER = 2.6, 0.07, 0.02
#: Leaves up to which a table for several rows takes at most 32 MiB.
_MOST_CODES = 2**17


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

    Several rows are counted together in half of the time or less: each leaf has a
    vector, with an element for three of the rows, and the vectors of the leaves of each
    row are added up.

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

    @cached_property
    def cost(self) -> float:
        """Mean cost of `with_all` for a row of these; that of `TOGETHER` is 1."""
        listed = LISTED * float(self.sizes(self.codes).sum()) / max(1, len(self))
        return min(listed, COMPARED * self.codes.size) / (TOGETHER * self.codes.size)

    def with_all(self, own: Codes) -> Counts:
        """Count the leaves that a row, with codes ``(T,)``, shares with each, (m,)."""
        start, stop = self.start[own], self.stop[own]
        if LISTED * (stop - start).sum() > COMPARED * self.codes.size:
            return self._compare(own)
        return self._count_listed(start, stop)

    def with_several(
        self, own: Codes, first: int = 0
    ) -> tuple[Packed, NDArray[np.intp]]:
        """Count the leaves that several rows share with each row from `first` on.

        Parameters
        ----------
        own : ndarray of shape (b, T)
            Codes of `SEVERAL` rows, or fewer.
        first : int

        Returns
        -------
        counts : ndarray of shape (m - first, C)
            Some columns may be of no row; they are 0.
        column : ndarray of shape (b,)
            Column of each of the rows.
        """
        n_listed = self.sizes(own).sum()
        listed, together = LISTED * n_listed, TOGETHER * self.codes.size * len(own)
        if len(own) and listed > together and len(self.start) <= _MOST_CODES:
            return self._add_up(own, first)
        counts = np.empty((len(own), len(self) - first), dtype=np.int32)
        for row, codes in zip(counts, own, strict=True):
            row[:] = self.with_all(codes)[first:]
        return counts.T, np.arange(len(own))

    def _count_listed(self, start: Counts, stop: Counts) -> Counts:
        """Count how often each row is listed in slices of `rows`."""
        pairs = zip(start.tolist(), stop.tolist(), strict=True)
        listed = np.concatenate([self.rows[a:b] for a, b in pairs])
        counts: Counts = np.bincount(listed, minlength=len(self))
        return counts

    def _add_up(self, own: Codes, first: int) -> tuple[Packed, NDArray[np.intp]]:
        """Count by adding up vectors of leaves; see `with_several`."""
        # float32 adds integers of 24 bits exactly: three counts of up to 255.
        per_element = 3 if self.n_trees < 2**8 else 1
        number = np.arange(len(own))
        element, place = np.divmod(number, per_element)
        table = np.zeros((len(self.start), int(element.max()) + 1), np.float32)
        for k in range(per_element):
            chosen = place == k
            table[own[chosen].T, element[chosen]] += 256.0**k
        codes = torch.from_numpy(self.codes[first:])
        total = embedding_bag(codes, torch.from_numpy(table), mode="sum").int()
        if per_element == 1:
            return total.numpy(), number
        return total.numpy().view(np.uint8), 4 * element + place

    def _compare(self, own: Codes) -> Counts:
        """Count by comparing the codes of all rows, tree by tree."""
        columns = self._columns
        same = np.empty(len(self), dtype=bool)
        total = np.zeros(len(self), dtype=np.min_scalar_type(self.n_trees))
        local = own - self._low
        inside = (local >= 0) & (local <= np.iinfo(columns.dtype).max)
        for column, code in zip(
            columns[inside], local[inside].astype(columns.dtype), strict=True
        ):
            np.equal(column, code, out=same)
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
