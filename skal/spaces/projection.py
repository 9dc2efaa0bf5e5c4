"""Random projections of vectors, by Hadamard matrices where they are long."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Projection"]

#: Shortest and longest parts that are transformed.
_SHORTEST, _LONGEST = 2**7, 2**12
#: How many times fewer multiply-adds make up for the passes of a transform.
_WORTH = 4


class Projection:
    r"""Random matrix with independent columns of mean 0, of :math:`\pm 1` or Gaussian.

    Parameters
    ----------
    width : int
        Length w of the vectors.
    n_components : int
        Length p of their projections.
    rng : torch.Generator
        On the CPU.

    Notes
    -----
    Maps rows x to :math:`x \Omega` with :math:`E[\Omega_{ij} \Omega_{kj}] =
    \delta_{ik}`, so that :math:`\langle x \Omega, x' \Omega \rangle / p` is on average
    :math:`\langle x, x' \rangle`.  Parts of x whose length n is a power of 2, at least
    128, go through a Hadamard matrix: their rows of :math:`\Omega` are p columns, drawn
    without repetition, of D H with random signs D, or of several such matrices side by
    side where p > n [1]_.  The rest meets Gaussians, or signs if it is a single number.

    A part costs about :math:`2 \sqrt n \max(n, p)` multiply-adds a row, and keeps half
    as many numbers; a Gaussian matrix costs and keeps n p, and is taken where that is
    less.

    References
    ----------
    .. [1] Tropp, "Improved analysis of the subsampled randomized Hadamard transform",
       Advances in Adaptive Data Analysis 2011. https://arxiv.org/abs/1011.1595

    Examples
    --------
    >>> import torch
    >>> from skal.spaces.projection import Projection
    >>> project = Projection(512, 512, torch.Generator().manual_seed(0))
    >>> float(project(torch.ones(1, 512)).square().sum()) / 512  # no error: H is whole
    512.0
    """

    def __init__(self, width: int, n_components: int, rng: torch.Generator) -> None:
        self.n_components = n_components
        self.parts: list[_Part] = []
        start = 0
        while n := _transformed(width - start, n_components):
            self.parts.append(_draw(start, n, n_components, rng))
            start += n
        shape = (width - start, n_components)
        self.start = start
        self.matrix = torch.randn(shape, generator=rng) if shape[0] > 1 else None
        if shape[0] == 1:
            self.matrix = _signs(shape, rng)

    @staticmethod
    def size(width: int, n_components: int) -> int:
        """Numbers that are kept."""
        kept = 0
        while n := _transformed(width, n_components):
            kept += -(-n_components // n) * n * _sides(n)[1] + n_components
            width -= n
        return kept + width * n_components

    def to(self, like: Tensor) -> Projection:
        """Move all to the device and dtype of a tensor; returns itself."""
        self.parts = [part.to(like) for part in self.parts]
        if self.matrix is not None:
            self.matrix = self.matrix.to(like)
        return self

    def __call__(self, rows: Tensor) -> Tensor:
        """Project rows ``(b, w)`` to ``(b, p)``, in memory column by column."""
        result = None
        for part in self.parts:
            own = part(rows)
            result = own if result is None else result.add_(own)
        if self.matrix is not None:
            rest = rows[:, self.start :].T
            if result is None:
                return (self.matrix.T @ rest).T
            result.addmm_(self.matrix.T, rest)
        if result is None:
            return rows.new_zeros(len(rows), self.n_components)
        return result.T


class _Part(NamedTuple):
    """Transform of some numbers of each row, the Kronecker product of two matrices."""

    start: int
    first: Tensor  # (copies * l, r, r), each with its signs
    second: Tensor  # (l, l)
    columns: Tensor  # (p,)

    def to(self, like: Tensor) -> _Part:
        first, second = self.first.to(like), self.second.to(like)
        return _Part(self.start, first, second, self.columns.to(like.device))

    def __call__(self, rows: Tensor) -> Tensor:
        """Columns of the product, ``(p, b)``: whole columns are chosen fast."""
        b, left, right = len(rows), len(self.second), self.first.shape[1]
        copies = len(self.first) // left
        own = rows[:, self.start : self.start + left * right].T.view(left, right, b)
        half = torch.bmm(self.first, own.repeat(copies, 1, 1) if copies > 1 else own)
        whole = torch.matmul(self.second, half.view(copies, left, right * b))
        return whole.view(-1, b).index_select(0, self.columns)


def _draw(start: int, n: int, n_components: int, rng: torch.Generator) -> _Part:
    copies = -(-n_components // n)
    second, first = (_hadamard(side) for side in _sides(n))
    columns = torch.randperm(copies * n, generator=rng)[:n_components]
    signs = _signs((copies, n), rng).view(-1, 1, len(first))
    return _Part(start, first * signs, second, columns)


def _transformed(width: int, n_components: int) -> int:
    """Length of the part to be transformed next, 0 if none is worth it."""
    n = min(2 ** (width.bit_length() - 1), _LONGEST) if width else 0
    while n >= _SHORTEST:
        if _WORTH * max(n, n_components) * sum(_sides(n)) <= n * n_components:
            return n
        n //= 2
    return 0


def _sides(n: int) -> tuple[int, int]:
    """Two powers of 2 whose product is n."""
    side = 2 ** ((n.bit_length() - 1) // 2)
    return side, n // side


def _hadamard(n: int) -> Tensor:
    """Sylvester's matrix of n, a power of 2, orthogonal rows of signs."""
    matrix, twice = torch.ones(1, 1), torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    while len(matrix) < n:
        matrix = torch.kron(twice, matrix)
    return matrix


def _signs(shape: tuple[int, int], rng: torch.Generator) -> Tensor:
    return 2.0 * torch.randint(2, shape, generator=rng) - 1.0
