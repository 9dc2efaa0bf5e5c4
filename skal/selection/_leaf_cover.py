"""Rows that cover a pool by the leaves that they share with its rows."""

from __future__ import annotations

import torch
from torch import Tensor

from skal._numerics.leaf_coverage import LeafCoverage
from skal._numerics.leaf_pairs import LeafPairs
from skal.selection._greedy import LazyGreedy, any_of_largest
from skal.spaces.leaves import Leaves

__all__ = ["LeafCover"]

#: Rows of the largest values that are sorted at first, and gains computed at a time.
_SORTED, _TOGETHER = 1024, 8
#: Time for comparing rows one by one, as a share of that for all rows together, after
#: which all pairs are listed.
_PATIENCE = 1 / 6
#: Gains that fell to this share of what they were are computed anew.
_FALLEN = 1e-3
#: Rounding of a sum over the rows, relative to the largest one.
_ROUNDING = 64 * torch.finfo(torch.float64).eps


class LeafCover(LazyGreedy):
    r"""What each row adds to :math:`\sum_u w_u \max_{s \in S} f(c_{us})`.

    Parameters
    ----------
    leaves : Leaves
        The rows u, m of them; :math:`c_{us}` is the number of leaves that two share.
    similarity : Tensor of shape (T + 1,), float64
        :math:`f(0), \dots, f(T)`, which increases and is not negative.
    weights : Tensor of shape (m,), optional
        :math:`w`; by default 1.
    labeled : Leaves, optional
        Rows that are in S from the beginning.
    rows : Tensor of shape (K,), int64, optional
        Rows that may be picked; by default all.

    Notes
    -----
    Gains are sums over all rows, exact up to the rounding of float64.  They are bounded
    at first (`skal._numerics.leaf_coverage.LeafCoverage.bounds`), and only rows whose
    bound or last gain may be the largest are compared with all others.  When these have
    become many, all pairs that matter are listed, if they are not too many, and gains
    follow from the list (`skal._numerics.leaf_pairs.LeafPairs`).
    """

    tie: float = 0.0

    def __init__(
        self,
        leaves: Leaves,
        similarity: Tensor,
        weights: Tensor | None = None,
        labeled: Leaves | None = None,
        rows: Tensor | None = None,
    ) -> None:
        covered = None
        if labeled is not None and len(labeled):
            n_trees = leaves.n_trees
            differ = (leaves.nearest(labeled)[0] * n_trees).round().long()
            covered = (n_trees - differ).numpy()
        if weights is None:
            weights = torch.ones(len(leaves), dtype=torch.float64)
        self.coverage = LeafCoverage(
            leaves.shared, similarity.numpy(), weights.double().numpy(), covered
        )
        self.numbers = rows
        n_rows = len(leaves) if rows is None else len(rows)
        bounds = self.coverage.bounds(n_rows)
        if bounds is None:
            value = torch.full((n_rows,), torch.inf, dtype=torch.float64)
        else:
            value = torch.from_numpy(bounds)
            value = value if rows is None else value[rows]
        super().__init__(value)
        self._age -= 1  # no gain is known yet
        cost = leaves.shared.cost if len(leaves) else 1.0
        self._patience = _PATIENCE * len(leaves) / cost
        self._pairs: LeafPairs | None = None
        self._listed = 0.0  # largest gain when all were last computed from the list

    def choose(self) -> tuple[int, Tensor] | None:
        """Return a row of the largest gain, or None if no row adds anything."""
        self.value = self.open  # a copy, in which gains are brought up to date
        if self._pairs is None:
            self._find_largest()
        elif float(self.value.max()) <= _FALLEN * self._listed:
            self._sum_up(self._pairs)  # otherwise rounding errors would be left
        if self._n_picked == 0:
            self.tie = _ROUNDING * float(self.value.max())
        i = any_of_largest(self.value, self.tie, self.numbers)
        return (i, self.value[i]) if self.value[i] > 0 else None

    def _find_largest(self) -> None:
        """Compute gains from the largest bound on, until none may be larger."""
        value, size = self.value, 0
        best = -torch.inf
        while size < len(value):
            size = min(max(_SORTED, 8 * size), len(value))
            order = value.topk(size).indices
            is_open = (self._age[order] < self._n_picked) & (value[order] > -torch.inf)
            for some in order[is_open].split(_TOGETHER):
                if float(value[some[0]]) < best * (1 - _ROUNDING) - self.tie:
                    return
                if self.coverage.n_compared > self._patience and self._list_pairs():
                    return
                value[some] = self.gains(some)
                self._age[some] = self._n_picked
                best = max(best, float(value[some].max()))

    def _list_pairs(self) -> bool:
        """Compute all gains from a list of pairs, if it is not too long."""
        pairs = LeafPairs(self.coverage)
        if not pairs.fill():
            self._patience *= 2
            return False
        self.coverage.forget()
        self._pairs = pairs
        self._sum_up(pairs)
        return True

    def _sum_up(self, pairs: LeafPairs) -> None:
        gains = torch.from_numpy(pairs.gains())
        gains = gains if self.numbers is None else gains[self.numbers]
        is_picked = self.value == -torch.inf
        self.value.copy_(gains.masked_fill_(is_picked, -torch.inf))
        self._listed = float(self.value.max())

    def add(self, i: int) -> None:
        """Take account of the pick of row `i`."""
        if self._pairs is not None:
            falls = torch.from_numpy(self._pairs.add(self._place(i)))
            self.value -= falls if self.numbers is None else falls[self.numbers]
            return
        self.value -= self.coverage.base
        self.coverage.add(self._place(i))

    def gains(self, rows: Tensor) -> Tensor:
        """Compute what each of some rows adds, float64."""
        gains = [self.coverage.gain(self._place(i)) for i in rows.tolist()]
        return torch.tensor(gains, dtype=torch.float64)

    def _place(self, i: int) -> int:
        return i if self.numbers is None else int(self.numbers[i])
