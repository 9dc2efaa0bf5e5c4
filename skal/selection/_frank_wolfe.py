"""Frank-Wolfe: rows whose weighted sum stands for the sum of all."""

from __future__ import annotations

import torch
from torch import Tensor

from skal.selection._greedy import Outlook, pick_ahead, products
from skal.selection._max_det import sq_norms
from skal.selection._picks import Picks, check_n, first_of_largest

__all__ = ["frank_wolfe"]

#: Below what any direction has.
_LAST = torch.finfo(torch.float64).min / 4


def frank_wolfe(features: Tensor, n: int) -> Picks:
    r"""Approximate the sum of all features by few of them (ACS-FW [1]_).

    Parameters
    ----------
    features : Tensor of shape (m, d)
        Commonly `skal.spaces.posterior_features`.
    n : int
        From 0 to m.

    Returns
    -------
    picks : Picks
        Scores are the inner products of their directions with what is left of the sum
        when picked, float64.

    Raises
    ------
    ValueError
        If `n` is out of range.

    Notes
    -----
    With :math:`\phi = \sum_x \phi_x`, :math:`s = \sum_x \lVert \phi_x \rVert` and the
    approximation :math:`a`, 0 at first, the next pick is :math:`\arg\max_x \langle \phi
    - a, \phi_x / \lVert \phi_x \rVert \rangle`, and a moves toward :math:`s \, \phi_x /
    \lVert \phi_x \rVert` to the nearest point to :math:`\phi`.  Rows already picked are
    left out, so that n steps give n rows.  Rows of zeros come last; ties go in pool
    order.  In float64: m · d multiply-adds a pick, those of up to 32 picks in one
    product of matrices; see `skal.selection.greedy`.

    References
    ----------
    .. [1] Pinsler, Gordon, Nalisnick and Hernández-Lobato, "Bayesian batch active
       learning as sparse subset approximation", NeurIPS 2019.
       https://arxiv.org/abs/1908.02144

    Examples
    --------
    >>> import torch
    >>> from skal.selection._frank_wolfe import frank_wolfe
    >>> rows = torch.tensor([[2.0, 0.0], [9.0, 9.0], [0.0, 2.0], [-1.0, 0.0]])
    >>> frank_wolfe(rows, 3).indices
    tensor([1, 2, 0])
    """
    check_n(n, len(features))
    outlook = _Alignments(features)
    indices, scores = pick_ahead(outlook, n)
    return Picks(indices, torch.where(outlook.positive[indices], scores, 0.0))


class _Alignments(Outlook):
    """Inner products of all directions with what is left of the sum."""

    def __init__(self, features: Tensor) -> None:
        self.features = features
        norms = sq_norms(features).sqrt()
        self.positive = norms > 0
        self.inverse = torch.where(self.positive, 1 / norms, 0.0)
        self.total = float(norms.sum())
        self.target = features.sum(dim=0, dtype=torch.float64)
        self.approximation = torch.zeros_like(self.target)
        self.current = self._values(features, self.inverse, self.target[None])[0]
        self.n_taken = 0

    def value(self) -> Tensor:
        return self.current

    def look_ahead(self, rows: Tensor, n: int) -> list[int]:
        own, inverse = self.features[rows].double(), self.inverse[rows]
        approximation = self.approximation
        value = self.current[rows]
        left = torch.ones_like(value, dtype=torch.bool)
        found, ahead = [], []
        for _ in range(n):
            i = first_of_largest(torch.where(left, value, -torch.inf))
            found.append(i)
            left[i] = False
            rest = self.target - approximation
            direction = own[i] * (self.total * inverse[i]) - approximation
            sq_length = float(direction @ direction)
            if sq_length > 0:
                length = min(max(float(direction @ rest) / sq_length, 0.0), 1.0)
                approximation = approximation + length * direction
            ahead.append(approximation)
            rest = self.target - approximation
            value = self._values(own, inverse, rest[None])[0]
        self.ahead = torch.stack(ahead)
        self.values = self._values(
            self.features, self.inverse, self.target - self.ahead
        )
        self.n_taken = 0
        return rows[found].tolist()

    def take(self) -> None:
        self.approximation = self.ahead[self.n_taken]
        self.current = self.values[self.n_taken]
        self.n_taken += 1

    @staticmethod
    def _values(features: Tensor, inverse: Tensor, rests: Tensor) -> Tensor:
        """Inner products of the directions of rows with some vectors, ``(t, m)``."""
        values = products(features, rests).mul_(inverse)
        return values.masked_fill_(inverse == 0, _LAST)
