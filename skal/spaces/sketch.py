"""Random projections of gradients, from their factors."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from skal.spaces.gradient import Factors

__all__ = ["Projection", "Sketch"]

#: Shortest and longest parts of a vector that a Hadamard matrix transforms.
_SHORTEST, _LONGEST = 2**7, 2**12
#: A multiply-add of a transform costs as much as this many of a plain product.
_WORTH = 4


class Sketch:
    r"""Random projection of factored gradients to a few components [1]_.

    Parameters
    ----------
    n_components : int
        Length p of the sketches.
    rng : torch.Generator
        On the CPU.  Drawn from at the first call, so that all rows get the same
        projection.

    Raises
    ------
    ValueError
        By the first call, if the projections need more than half the memory.

    Notes
    -----
    With random matrices U and V for each layer, the sketch is :math:`\sum_l (a_l U_l)
    \odot (g_l V_l) / \sqrt{p}` [1]_.  Inner products of sketches are those of the
    gradients on average, with a relative error of order :math:`1/\sqrt{p}`.  Factors
    of at least 128 elements are projected by Hadamard matrices with random signs and a
    random choice of columns [2]_, which cost a tenth of Gaussian matrices and have no
    larger error; shorter factors by Gaussian matrices, and single elements by signs,
    which add no error.

    References
    ----------
    .. [1] Holzmüller, Zaverkin, Kästner and Steinwart, "A framework and benchmark for
       deep batch active learning for regression", JMLR 2023.
       https://arxiv.org/abs/2203.09410
    .. [2] Ahle, Kapralov, Knudsen, Pagh, Velingker, Woodruff and Zandieh, "Oblivious
       sketching of high-degree polynomial kernels", SODA 2020.
       https://arxiv.org/abs/1909.01410

    Examples
    --------
    >>> import torch
    >>> from skal.spaces import Factors, Sketch
    >>> sketch = Sketch(6, torch.Generator().manual_seed(0))
    >>> sketch([Factors(torch.ones(2, 3), torch.ones(2, 1))]).shape
    torch.Size([2, 6])
    """

    def __init__(self, n_components: int, rng: torch.Generator) -> None:
        self.n_components = n_components
        self.rng = rng
        self._projections: list[tuple[Projection, Projection]] | None = None

    def __call__(self, layers: Sequence[Factors]) -> Tensor:
        """Return the sketches of rows, ``(b, p)``, stored column by column.

        K rows of `outputs` for each row of `inputs`, one after the other, give K
        sketches, ``(b * K, p)``.
        """
        if self._projections is None:
            self._projections = self._draw(layers)
        result = None
        for (a, g), (project_a, project_g) in zip(
            layers, self._projections, strict=True
        ):
            product = project_g(g)
            several = len(g) // max(1, len(a))
            apart = product.T.unflatten(1, (len(a), several))
            apart.mul_(project_a(a).T[:, :, None])
            result = product if result is None else result.add_(product)
        if result is None:
            raise ValueError("layers must hold the factors of at least one layer.")
        return result.mul_(self.n_components**-0.5)

    def _draw(self, layers: Sequence[Factors]) -> list[tuple[Projection, Projection]]:
        p = self.n_components
        widths, needed = [], 0
        for layer in layers:
            for factor in layer:
                widths.append(factor.shape[1])
                needed += 4 * Projection.size(factor.shape[1], p)
        if needed > _memory_bytes() / 2:
            raise ValueError(
                f"A sketch of {p} components takes {needed / 2**30:.1f} GiB of random "
                f"matrices for factors of the widths {widths[:9]}, more than memory "
                "allows. Lower n_components, or use the last layer alone "
                '(space="last_layer").'
            )
        projections = []
        for a, g in layers:
            project_a = Projection(a.shape[1], p, self.rng).to(a)
            project_g = Projection(g.shape[1], p, self.rng).to(g)
            projections.append((project_a, project_g))
        return projections


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
    128, are multiplied by p columns of D H, drawn without repetition, where H is a
    Hadamard matrix and D holds random signs, or of several such matrices side by side
    if p > n [1]_.  The rest of x is multiplied by a Gaussian matrix, or by signs if it
    is a single element.

    A part takes about :math:`2 \sqrt n \max(n, p)` multiply-adds a row, and keeps half
    as many elements; a Gaussian matrix takes and keeps n p, and is used where that is
    less.

    References
    ----------
    .. [1] Tropp, "Improved analysis of the subsampled randomized Hadamard transform",
       Advances in Adaptive Data Analysis 2011. https://arxiv.org/abs/1011.1595

    Examples
    --------
    >>> import torch
    >>> from skal.spaces.sketch import Projection
    >>> project = Projection(512, 512, torch.Generator().manual_seed(0))
    >>> float(project(torch.ones(1, 512)).square().sum()) / 512  # exact: all of H
    512.0
    """

    def __init__(self, width: int, n_components: int, rng: torch.Generator) -> None:
        self.n_components = n_components
        self.parts: list[_Part] = []
        self.start = 0
        for left, right in _transforms(width, n_components):
            copies = -(-n_components // (left * right))
            columns = torch.randperm(copies * left * right, generator=rng)
            signs = _signs((copies, left * right), rng).view(-1, 1, right)
            first, second = _hadamard(right) * signs, _hadamard(left)
            part = _Part(self.start, first, second, columns[:n_components])
            self.parts.append(part)
            self.start += left * right
        rest = (width - self.start, n_components)
        self.matrix: Tensor | None = None
        if rest[0] > 1:
            self.matrix = torch.randn(rest, generator=rng, dtype=torch.float32)
        elif rest[0] == 1:
            self.matrix = _signs(rest, rng)

    @staticmethod
    def size(width: int, n_components: int) -> int:
        """Return the number of elements kept."""
        kept = 0
        for left, right in _transforms(width, n_components):
            copies = -(-n_components // (left * right))
            kept += copies * left * right**2 + n_components
            width -= left * right
        return kept + width * n_components

    def to(self, like: Tensor) -> Projection:
        """Move everything to the device and dtype of a tensor; return self."""
        for k, (start, first, second, columns) in enumerate(self.parts):
            self.parts[k] = _Part(
                start, first.to(like), second.to(like), columns.to(like.device)
            )
        if self.matrix is not None:
            self.matrix = self.matrix.to(like)
        return self

    def __call__(self, rows: Tensor) -> Tensor:
        """Project rows ``(b, w)`` to ``(b, p)``, stored column by column."""
        result = None
        for start, first, second, columns in self.parts:
            b, left, right = len(rows), len(second), len(first[0])
            own = rows[:, start : start + left * right].T.view(left, right, b)
            copies = len(first) // left
            own = own.repeat(copies, 1, 1) if copies > 1 else own
            half = torch.bmm(first, own).view(copies, left, right * b)
            whole = torch.matmul(second, half).view(-1, b)
            chosen = whole.index_select(0, columns)
            result = chosen if result is None else result.add_(chosen)
        if self.matrix is not None:
            rest = rows[:, self.start :].T
            if result is None:
                return (self.matrix.T @ rest).T
            result.addmm_(self.matrix.T, rest)
        if result is None:
            return rows.new_zeros(len(rows), self.n_components)
        return result.T


class _Part(NamedTuple):
    """Transform of a part of each row, the Kronecker product of two matrices."""

    start: int
    first: Tensor  # (copies * l, r, r), with the signs
    second: Tensor  # (l, l)
    columns: Tensor  # (p,)


def _transforms(width: int, n_components: int) -> Iterator[tuple[int, int]]:
    """Cut off parts to transform while that is cheaper than a plain product.

    Yields
    ------
    left, right : int
        Powers of 2, about equal, whose product is the length of the part.
    """
    n = _LONGEST
    while n >= _SHORTEST:
        left = 2 ** ((n.bit_length() - 1) // 2)
        right = n // left
        cost = _WORTH * max(n, n_components) * (left + right)
        if n <= width and cost <= n * n_components:
            yield left, right
            width -= n
        else:
            n //= 2


def _hadamard(n: int) -> Tensor:
    """Sylvester's Hadamard matrix of size n, a power of 2."""
    matrix, twice = torch.ones(1, 1), torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    while len(matrix) < n:
        matrix = torch.kron(twice, matrix)
    return matrix


def _signs(shape: tuple[int, int], rng: torch.Generator) -> Tensor:
    return 2.0 * torch.randint(2, shape, generator=rng) - 1.0


def _memory_bytes() -> float:
    """Return the memory of the machine, 16 GiB if unknown."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return 2.0**34
