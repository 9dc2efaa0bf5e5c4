"""Random projections of gradients, from their factors."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor

from skal.spaces.gradient import Factors
from skal.spaces.projection import Projection

__all__ = ["Sketch"]


class Sketch:
    r"""Random projection of factored gradients to few numbers [1]_.

    Parameters
    ----------
    n_components : int
        Length p of the sketches.
    rng : torch.Generator
        On the CPU; drawn from at the first call, so that all rows get the same
        projection.

    Notes
    -----
    With random matrices U and V for each layer the sketch is :math:`\sum_l (a_l U_l)
    \odot (g_l V_l) / \sqrt{p}` [1]_; inner products of sketches are those of the
    gradients on average, with a relative error of order :math:`1/\sqrt{p}`.  Factors
    of 128 numbers and more are projected by Hadamard matrices with random signs and a
    random choice of columns [2]_, which cost a tenth of Gaussian ones and whose error
    is no larger; shorter ones by Gaussians, and a single number by signs, which adds
    no error.

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
    >>> from skal.spaces.gradient import Factors
    >>> from skal.spaces import Sketch
    >>> sketch = Sketch(6, torch.Generator().manual_seed(0))
    >>> sketch([Factors(torch.ones(2, 3), torch.ones(2, 1))]).shape
    torch.Size([2, 6])
    """

    def __init__(self, n_components: int, rng: torch.Generator) -> None:
        self.n_components = n_components
        self.rng = rng
        self._projections: list[tuple[Projection, Projection]] | None = None

    def __call__(self, layers: Sequence[Factors]) -> Tensor:
        """Sketch rows, ``(b, p)``, in memory column by column."""
        if self._projections is None:
            self._projections = self._draw(layers)
        result = None
        for (a, g), (project_a, project_g) in zip(
            layers, self._projections, strict=True
        ):
            product = project_a(a).mul_(project_g(g))
            result = product if result is None else result.add_(product)
        if result is None:
            raise ValueError("There must be the factors of one layer at least.")
        return result.mul_(self.n_components**-0.5)

    def _draw(self, layers: Sequence[Factors]) -> list[tuple[Projection, Projection]]:
        p = self.n_components
        widths = [x.shape[1] for layer in layers for x in layer]
        needed = 4 * sum(Projection.size(width, p) for width in widths)
        if needed > _memory_bytes() / 2:
            raise ValueError(
                f"A sketch of {p} numbers takes matrices of {needed / 2**30:.1f} GiB "
                f"for factors of the widths {widths[:9]}, more than memory allows. "
                'Lower n_components, or take the layer alone (space="last_layer").'
            )
        return [
            (
                Projection(a.shape[1], p, self.rng).to(a),
                Projection(g.shape[1], p, self.rng).to(g),
            )
            for a, g in layers
        ]


def _memory_bytes() -> float:
    """Memory of the machine; what cannot be told is taken for 16 GiB."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return 2.0**34
