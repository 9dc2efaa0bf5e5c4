"""Gains of all rows that cover others by leaves, kept up to date from listed pairs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skal._numerics.leaf_coverage import Floats, LeafCoverage
from skal._numerics.shared_leaves import SEVERAL

__all__ = ["LeafPairs"]

#: Bytes of the list: 50 million pairs of up to 65,536 rows and 255 trees.
_MOST = 150 * 2**20
#: Rows whose lists are read at a time.
_TOGETHER = 128

Rows = NDArray[np.intp]


class LeafPairs:
    """The rows that would cover each row better, and the leaves they share with it.

    Parameters
    ----------
    coverage : LeafCoverage
        Of which the rows covered so far are read and, by `add`, changed.

    Notes
    -----
    A pick changes the gains only of the rows that would cover the same rows, which the
    list tells: counting each row once is enough for any number of picks.
    """

    def __init__(self, coverage: LeafCoverage) -> None:
        self.coverage = coverage
        # Rows k, k + n, k + 2 n, ...: each part is a sample of all rows.
        self._n_parts = -(-len(coverage.shared) // SEVERAL)
        self._parts: list[tuple[Rows, NDArray[np.unsignedinteger], Rows]] = []

    def fill(self) -> bool:
        """List the pairs, unless there are too many; False if so."""
        n_bytes = 0
        for k in range(self._n_parts):
            others, counts, ends = self._list(k)
            self._parts.append((others, counts, ends))
            n_new = others.nbytes + counts.nbytes
            n_bytes += n_new
            if n_bytes > _MOST or (k == 0 and n_new * self._n_parts > _MOST):
                self._parts.clear()
                return False
        return True

    def _list(self, k: int) -> tuple[Rows, NDArray[np.unsignedinteger], Rows]:
        """List pairs of a part: others, shared leaves, and where a row's list ends."""
        shared, covered = self.coverage.shared, self.coverage.covered
        own = np.arange(k, len(shared), self._n_parts)
        counts, column = shared.with_several(shared.codes[own])
        limit = np.zeros(counts.shape[1], dtype=covered.dtype)
        limit[column] = covered[own]
        number = np.zeros(counts.shape[1], dtype=np.uint8)
        number[column] = np.arange(len(own))
        other, place = np.divmod(np.flatnonzero(counts > limit), len(limit))
        order = number[place].argsort(kind="stable")
        other, place = other[order], place[order]
        ends = np.bincount(number[place], minlength=len(own)).cumsum()
        kind = np.min_scalar_type(len(shared))
        return other.astype(kind), counts[other, place].astype(covered.dtype), ends

    def gains(self) -> Floats:
        """Compute what each row would add to the coverage, ``(m,)``."""
        coverage = self.coverage
        gains = np.full(len(coverage.shared), coverage.base)
        for k, (others, counts, ends) in enumerate(self._parts):
            own = np.arange(k, len(gains), self._n_parts)
            sizes = np.diff(ends, prepend=0)
            covered = coverage.covered[own].repeat(sizes)
            weights = coverage.weights[own].repeat(sizes)
            added = weights * self._more(counts, covered)
            gains += np.bincount(others, added, minlength=len(gains))
        return gains

    def add(self, row: int) -> Floats:
        """Add a row to S; compute by how much the gain of each row falls, ``(m,)``."""
        coverage = self.coverage
        falls = np.full(len(coverage.shared), coverage.base)
        before = coverage.covered
        coverage.add(row)
        changed = (coverage.covered > before).nonzero()[0]
        for start in range(0, len(changed), _TOGETHER):
            some = changed[start : start + _TOGETHER]
            lists = [self._list_of(u) for u in some.tolist()]
            sizes = [len(others) for others, _ in lists]
            others, counts = (np.concatenate(part) for part in zip(*lists, strict=True))
            fall = self._more(counts, before[some].repeat(sizes))
            fall -= self._more(counts, coverage.covered[some].repeat(sizes))
            fall *= coverage.weights[some].repeat(sizes)
            falls += np.bincount(others, fall, minlength=len(falls))
        return falls

    def _list_of(self, u: int) -> tuple[Rows, NDArray[np.unsignedinteger]]:
        place, k = divmod(u, self._n_parts)
        others, counts, ends = self._parts[k]
        part = slice(ends[place - 1] if place else 0, ends[place])
        return others[part], counts[part]

    def _more(
        self,
        counts: NDArray[np.unsignedinteger],
        covered: NDArray[np.unsignedinteger],
    ) -> Floats:
        similarity = self.coverage.similarity
        more: Floats = similarity[np.maximum(counts, covered)] - similarity[covered]
        return more
