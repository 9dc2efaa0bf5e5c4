"""Random projections of gradients, from their factors."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor

from skal.factors import Factors

__all__ = ["Sketch"]


class Sketch:
    r"""Random projection of factored gradients to few numbers [1]_.

    Parameters
    ----------
    n_numbers : int
        Length p of the sketches.
    rng : torch.Generator
        On the CPU; drawn from at the first call, so that all rows get the same
        projection.

    Notes
    -----
    With Gaussian matrices U and V for each layer the sketch is :math:`\sum_l (U_l a_l)
    \odot (V_l g_l) / \sqrt{p}`; inner products of sketches are those of the gradients
    on average, with a relative error of order :math:`1/\sqrt{p}`.  A factor of a single
    number takes a random sign in place of a Gaussian, which adds no error.

    References
    ----------
    .. [1] Holzmüller, Zaverkin, Kästner and Steinwart, "A framework and benchmark for
       deep batch active learning for regression", JMLR 2023.
       https://arxiv.org/abs/2203.09410

    Examples
    --------
    >>> import torch
    >>> from skal.factors import Factors
    >>> from skal.kernels import Sketch
    >>> sketch = Sketch(6, torch.Generator().manual_seed(0))
    >>> sketch([Factors(torch.ones(2, 3), torch.ones(2, 1))]).shape
    torch.Size([2, 6])
    """

    def __init__(self, n_numbers: int, rng: torch.Generator) -> None:
        self.n_numbers = n_numbers
        self.rng = rng
        self._matrices: list[Factors] | None = None

    def __call__(self, layers: Sequence[Factors]) -> Tensor:
        """Sketch rows, ``(b, p)``."""
        if self._matrices is None:
            self._matrices = self._draw(layers)
        scale = self.n_numbers**-0.5
        result = None
        for (a, g), (U, V) in zip(layers, self._matrices, strict=True):
            product = (a @ U).mul_(g @ V)
            result = product if result is None else result.add_(product)
        if result is None:
            raise ValueError("There must be the factors of one layer at least.")
        return result.mul_(scale)

    def _draw(self, layers: Sequence[Factors]) -> list[Factors]:
        widths = [x.shape[1] for layer in layers for x in layer]
        needed = 4 * self.n_numbers * sum(widths)
        if needed > _memory_bytes() / 2:
            raise ValueError(
                f"A sketch of {self.n_numbers} numbers takes matrices of "
                f"{needed / 2**30:.1f} GiB for factors of the widths {widths[:9]}, "
                "more than memory allows. Lower the size of the sketch, or take the "
                'layer alone (kernel="ll").'
            )
        return [Factors(*(self._matrix(x) for x in layer)) for layer in layers]

    def _matrix(self, factor: Tensor) -> Tensor:
        shape = (factor.shape[1], self.n_numbers)
        if factor.shape[1] == 1:
            matrix = 2.0 * torch.randint(2, shape, generator=self.rng) - 1.0
        else:
            matrix = torch.randn(shape, generator=self.rng)
        return matrix.to(factor)


def _memory_bytes() -> float:
    """Memory of the machine; what cannot be told is taken for 16 GiB."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return 2.0**34
