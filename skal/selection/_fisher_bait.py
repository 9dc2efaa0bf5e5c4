"""BAIT for classifiers, where a row informs about several directions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from skal._numerics.blocks import blocks
from skal.selection._greedy import Greedy, Picks, check_n

__all__ = ["Information", "fisher_bait"]


class Information(NamedTuple):
    """Fisher information of rows, each a sum of outer products of K vectors.

    Vector k of row x is ``outputs[x, k] ⊗ inputs[x]``, with D = o × i elements.  A
    vector that is not an outer product is stored in `outputs`, with `inputs` of 1.

    Attributes
    ----------
    inputs : Tensor of shape (m, i)
    outputs : Tensor of shape (m, K, o)
    """

    inputs: Tensor
    outputs: Tensor


def fisher_bait(
    rows: Sequence[Information],
    n: int,
    prior: float = 1.0,
    labeled: Sequence[Information] | None = None,
    condition_on_labels: bool = True,
    backward: bool = False,
) -> Picks:
    r"""Minimize the trace of the inverse information times that of all rows [1]_.

    Parameters
    ----------
    rows : sequence of Information, each of m rows
        One for each net.
    n : int
        From 0 to m.
    prior : float
        Precision :math:`\lambda` of the prior on the parameters.
    labeled : sequence of Information, optional
        Labeled rows, one for each net, which count among all rows.
    condition_on_labels : bool
        Whether the information of the labeled rows is known from the beginning.
    backward : bool
        Pick twice as many rows, and drop those that are missed least.

    Returns
    -------
    picks : Picks
        Scores are how much each pick took from the trace, float64.

    Raises
    ------
    ValueError
        If `n` is out of range.

    Notes
    -----
    Let the K vectors of a row be the columns of :math:`V_x`, and :math:`I_x = V_x
    V_x^\top`.  With :math:`M = \lambda I + \sum I_s` over picks and known labels, and
    :math:`F = \sum I_x` over pool and labeled rows, the next pick takes most from
    :math:`\mathrm{tr}(M^{-1} F)`:

    .. math::
        \arg\max_x \mathrm{tr} \left[ (1 + V_x^\top M^{-1} V_x)^{-1}
        V_x^\top M^{-1} F M^{-1} V_x \right] .

    The traces of several nets are summed.  Each pick changes both K × K matrices of a
    row by products with 2 K vectors: m · K · (i · o + K · o) multiply-adds, after m ·
    D² at the beginning.  Keeps m · (i + K · o + 2 K²) + 4 D² elements for a net, and
    never the m · K · D of the vectors.  In float64.  Ties go in pool order.

    References
    ----------
    .. [1] Ash, Goel, Krishnamurthy and Kakade, "Gone fishing: neural active learning
       with Fisher embeddings", NeurIPS 2021. https://arxiv.org/abs/2106.09675

    Examples
    --------
    >>> import torch
    >>> from skal.selection import Information, fisher_bait
    >>> inputs = torch.tensor([[2.0, 0.0], [0.0, 1.5], [0.0, 1.4], [0.0, 1.4]])
    >>> rows = Information(inputs, torch.ones(4, 1, 1))
    >>> fisher_bait([rows], 2, prior=0.01).indices
    tensor([1, 0])
    """
    m = len(rows[0].inputs)
    check_n(n, m)
    others = [None] * len(rows) if labeled is None else labeled
    nets = [
        _Net(own, prior, other, condition_on_labels)
        for own, other in zip(rows, others, strict=True)
    ]
    n_forward = min(m, 2 * n) if backward else n
    indices, scores = _Gains(nets).pick(n_forward, update_last=backward)
    if not backward:
        return Picks(indices, scores)
    losses = _Losses([net.part(indices) for net in nets])
    kept = torch.ones_like(indices, dtype=torch.bool)
    kept[losses.pick(n_forward - n).indices] = False
    return Picks(indices[kept], scores[kept])


class _Gains(Greedy):
    """What each row would take from the trace, summed over nets."""

    is_rounded = True

    def __init__(self, nets: list[_Net]) -> None:
        self.nets = nets
        self.value = _sum([net.gain() for net in nets])

    def update(self, i: int) -> None:
        for net in self.nets:
            net.move(i, 1)
        self.value = _sum([net.gain() for net in self.nets])


class _Losses(Greedy):
    """What the trace would grow by without each row, negative."""

    is_rounded = True

    def __init__(self, nets: list[_Net]) -> None:
        self.nets = nets
        self.value = -_sum([net.loss() for net in nets])

    def update(self, i: int) -> None:
        for net in self.nets:
            net.move(i, -1)
        self.value = -_sum([net.loss() for net in self.nets])


class _Net:
    """Information on the parameters of a net, and what its rows would add."""

    def __init__(
        self,
        rows: Information,
        prior: float,
        labeled: Information | None,
        condition_on_labels: bool,
    ) -> None:
        self.rows = rows
        self.fisher = _information(rows)
        precision = prior * torch.eye(len(self.fisher)).to(self.fisher)
        if labeled is not None:
            seen = _information(labeled)
            self.fisher += seen
            precision = precision + seen if condition_on_labels else precision
        self.inverse = torch.cholesky_inverse(torch.linalg.cholesky(precision))
        self._look()

    def _look(self) -> None:
        """Compute both matrices of each row, ``(m, K, K)``."""
        self.known = _quadratic(self.rows, self.inverse)  # V' M⁻¹ V
        spread = self.inverse @ self.fisher @ self.inverse
        self.spread = _quadratic(self.rows, spread)  # V' M⁻¹ F M⁻¹ V

    def part(self, indices: Tensor) -> _Net:
        """Return the same for some of the rows."""
        part = object.__new__(_Net)
        part.rows = Information(*(x[indices] for x in self.rows))
        part.fisher, part.inverse = self.fisher, self.inverse
        part._look()
        return part

    def gain(self) -> Tensor:
        """Return what each row would take from the trace, ``(m,)``."""
        one = torch.eye(self.known.shape[1]).to(self.known)
        gains = self.known.new_empty(len(self.known))
        for part in blocks(len(gains), one.numel()):
            solved = torch.linalg.solve(one + self.known[part], self.spread[part])
            gains[part] = _trace(solved)
        return gains.clamp_(min=0)

    def loss(self) -> Tensor:
        """Return what the trace would grow by without each row, ``(m,)``."""
        values, vectors = _eigen(self.known, -1)
        spread = vectors.mT @ self.spread @ vectors
        return (spread.diagonal(dim1=1, dim2=2) / values).sum(dim=1)

    def move(self, i: int, sign: int) -> None:
        """Add the information of row `i` (sign 1), or take it away (sign -1)."""
        vectors = torch.einsum("ko,i->oik", self.rows.outputs[i], self.rows.inputs[i])
        moved = self.inverse @ vectors.flatten(0, 1).double()  # M⁻¹ V
        values, axes = _eigen(vectors.flatten(0, 1).double().T @ moved, sign)
        step = moved @ (axes / values.sqrt())  # M⁻¹ changes by its square
        turned = self.fisher @ step
        onto = self.inverse @ turned
        weight = step.T @ turned
        for part, block in _blocks(self.rows, 2 * len(values)):
            along, across = _times(block, torch.cat([step, onto], dim=1)).chunk(2, -1)
            self.known[part] -= sign * (along @ along.mT)
            across = along @ (sign * across - along @ (weight / 2)).mT
            self.spread[part] -= across + across.mT
        self.inverse.addmm_(step, step.T, alpha=-sign)


def _eigen(known: Tensor, sign: int) -> tuple[Tensor, Tensor]:
    """Eigenvalues, kept above 0, and eigenvectors of ``1 + sign * known``."""
    one = torch.eye(known.shape[-1]).to(known)
    values, vectors = torch.linalg.eigh(one + sign * (known + known.mT) / 2)
    return values.clamp(min=torch.finfo(values.dtype).eps), vectors


def _blocks(rows: Information, n_vectors: int) -> Iterator[tuple[slice, Information]]:
    """Cut rows into blocks by the size of their products with some vectors."""
    (m, n_inputs), (_, k, n_outputs) = rows.inputs.shape, rows.outputs.shape
    for part in blocks(m, max(n_outputs * n_vectors, k * n_outputs, n_inputs)):
        yield part, Information(*(x[part].double() for x in rows))


def _times(rows: Information, vectors: Tensor) -> Tensor:
    """Inner products of the vectors of rows with t others, ``(b, K, t)``."""
    (b, i), o, t = rows.inputs.shape, rows.outputs.shape[2], vectors.shape[1]
    by_input = vectors.view(o, i, t).transpose(0, 1).reshape(i, o * t)
    return rows.outputs @ (rows.inputs @ by_input).view(b, o, t)


def _quadratic(rows: Information, matrix: Tensor) -> Tensor:
    """``V' matrix V`` of each row, ``(m, K, K)``."""
    i, (m, n_vectors, o) = rows.inputs.shape[1], rows.outputs.shape
    result = matrix.new_empty((m, n_vectors, n_vectors))
    for part, (z, g) in _blocks(rows, n_vectors if i == 1 else max(o, i)):
        if i == 1:
            g = g * z[:, :, None]
            moved = g @ matrix
        else:
            by_output = [
                (z @ block).view(len(z), o, i) @ z[:, :, None]
                for block in matrix.split(i)
            ]
            moved = g @ torch.cat(by_output, dim=2).mT
        result[part] = moved @ g.mT
    return (result + result.mT) / 2


def _information(rows: Information) -> Tensor:
    """Sum of the information of rows, ``(D, D)``, float64."""
    i, o = rows.inputs.shape[1], rows.outputs.shape[2]
    total = torch.zeros((o * i,) * 2, dtype=torch.float64, device=rows.inputs.device)
    for _, (z, g) in _blocks(rows, max(o, i)):
        if i == 1:
            flat = (g * z[:, :, None]).flatten(0, 1)
            total.addmm_(flat.T, flat)
            continue
        weight = g.mT @ g
        for k, block in enumerate(total.split(i)):
            block.addmm_(z.T, (weight[:, k, :, None] * z[:, None, :]).flatten(1))
    return total


def _trace(matrices: Tensor) -> Tensor:
    return matrices.diagonal(dim1=-2, dim2=-1).sum(dim=-1)


def _sum(terms: list[Tensor]) -> Tensor:
    return torch.stack(terms).sum(dim=0) if len(terms) > 1 else terms[0]
