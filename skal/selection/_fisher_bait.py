"""BAIT for classifiers, where a row informs about several directions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from skal._numerics.products import blocks
from skal.selection._greedy import Greedy, LookAhead, Picks, check_n

__all__ = ["Information", "InformationRows", "fisher_bait"]


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

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """m, i, K and o."""
        (m, i), (_, k, o) = self.inputs.shape, self.outputs.shape
        return m, i, k, o

    def take(self, rows: Tensor) -> Information:
        """Return the information of the rows of these numbers."""
        return Information(*(x[rows] for x in self))

    def blocks(self, width: int) -> Iterator[tuple[slice, Information]]:
        """Yield rows in order, in blocks whose temporaries are small.

        Parameters
        ----------
        width : int
            Elements of the largest temporary, per row.
        """
        for part in blocks(len(self.inputs), width):
            yield part, Information(*(x[part] for x in self))


class InformationRows(Protocol):
    """Where the information of rows comes from: `Information`, or what reads it."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """m, i, K and o, as of `Information`."""

    def take(self, rows: Tensor) -> Information:
        """Return the information of the rows of these numbers."""

    def blocks(self, width: int) -> Iterator[tuple[slice, Information]]:
        """Yield all rows in order, as `Information.blocks`."""


def fisher_bait(
    rows: Sequence[InformationRows],
    n: int,
    prior: float = 1.0,
    labeled: Sequence[InformationRows] | None = None,
    condition_on_labels: bool = True,
    backward: bool = False,
) -> Picks:
    r"""Minimize the trace of the inverse information times that of all rows [1]_.

    Parameters
    ----------
    rows : sequence of Information, each of m rows
        One for each net; or objects with its methods `take` and `blocks` and its
        `shape`, which read the m rows again on every call.
    n : int
        From 0 to m.
    prior : float, default=1.0
        Precision :math:`\lambda` of the prior on the parameters.
    labeled : sequence of Information, optional
        Labeled rows, one for each net, which count among all rows.
    condition_on_labels : bool, default=True
        Whether the information of the labeled rows is known from the beginning.
    backward : bool, default=False
        Whether to pick twice as many rows, and then drop those whose removal increases
        the trace least.

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
    D² at the beginning.  If any rows are not stored as `Information`, each pass reads
    them again.  Up to 32 picks are then forecast among a few rows, and computed in one
    pass and again in the next.  Memory: 2 m · K² + 4 D² elements for each net beside
    the rows, and up to 32 m for the forecasts, never the m · K · D of the vectors.
    Computed in float64.  Ties are broken in a fixed random order.

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
    m = rows[0].shape[0]
    check_n(n, m)
    others = [None] * len(rows) if labeled is None else labeled
    n_forward = min(m, 2 * n) if backward else n
    stored = all(isinstance(own, Information) for own in rows)
    nets = [
        _Net.start(own, prior, other, condition_on_labels)
        for own, other in zip(rows, others, strict=True)
    ]
    gains = _Gains(nets) if stored else _GainsAhead(nets, n_forward)
    indices, scores = gains.pick(n_forward)
    if not backward or n == 0:
        return Picks(indices, scores)
    losses = _Losses([net.after(indices) for net in nets])
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


class _GainsAhead(LookAhead):
    """The same by fewer passes over the rows."""

    def __init__(self, nets: list[_Net], n: int) -> None:
        super().__init__(n)
        self.nets = nets
        self.value = _sum([net.gain() for net in nets])
        self.ahead: list[tuple[tuple[_Move, ...], Tensor]] = []

    def look_ahead(self, rows: Tensor, n: int) -> Tensor:
        parts = [net.part(rows) for net in self.nets]
        few = _Gains(parts)
        few.numbers = rows
        picks = few.pick(n, update_last=True)
        values = self.value.new_zeros(n, len(self.value))
        for net, part in zip(self.nets, parts, strict=True):
            net.add_gains(part.moves, values)
        moves = zip(*(part.moves for part in parts), strict=True)
        self.ahead = list(zip(moves, values, strict=True))
        return rows[picks.indices]

    def take(self) -> None:
        moves, self.value = self.ahead.pop(0)
        for net, move in zip(self.nets, moves, strict=True):
            net.take(move)


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


class _Move(NamedTuple):
    """What a pick changes, for one net."""

    step: Tensor  # (D, K), by whose square M⁻¹ falls
    onto: Tensor  # M⁻¹ F step
    weight: Tensor  # step' F step
    sign: int  # 1 if information is added, -1 if it is taken away


class _Net:
    """Information on the parameters of a net, and what its rows would add."""

    def __init__(
        self,
        rows: InformationRows,
        fisher: Tensor,
        inverse: Tensor,
        known: Tensor,
        spread: Tensor,
    ) -> None:
        self.rows, self.fisher, self.inverse = rows, fisher, inverse
        # Both matrices of each row, (m, K, K).
        self.known, self.spread = known, spread
        self.moves: list[_Move] = []  # what `move` did
        self.pending: list[_Move] = []  # what the matrices do not know yet

    @classmethod
    def start(
        cls,
        rows: InformationRows,
        prior: float,
        labeled: InformationRows | None,
        condition_on_labels: bool,
    ) -> _Net:
        """Return the net before the first pick."""
        fisher = _information(rows)
        precision = prior * torch.eye(len(fisher)).to(fisher)
        if labeled is not None and labeled.shape[0]:
            seen = _information(labeled)
            fisher += seen
            precision = precision + seen if condition_on_labels else precision
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(precision))
        return cls(rows, fisher, inverse, *_matrices(rows, inverse, fisher))

    def gain(self) -> Tensor:
        """Return what each row would take from the trace, ``(m,)``."""
        return _gain(self.known, self.spread)

    def loss(self) -> Tensor:
        """Return what the trace would grow by without each row, ``(m,)``."""
        values, vectors = _eigen(self.known, -1)
        spread = vectors.mT @ self.spread @ vectors
        return (spread.diagonal(dim1=1, dim2=2) / values).sum(dim=1)

    def move(self, i: int, sign: int) -> None:
        """Add the information of row `i` (sign 1), or take it away (sign -1)."""
        inputs, outputs = _as_double(self.rows.take(torch.tensor([i])))
        vectors = torch.einsum("ko,i->oik", outputs[0], inputs[0]).flatten(0, 1)
        moved = self.inverse @ vectors  # M⁻¹ V
        values, axes = _eigen(vectors.T @ moved, sign)
        step = moved @ (axes / values.sqrt())
        turned = self.fisher @ step
        move = _Move(step, self.inverse @ turned, step.T @ turned, sign)
        for part, block in _blocks(self.rows, 2 * len(values)):
            for _ in _moved(block, [move], self.known[part], self.spread[part]):
                pass
        self.inverse.addmm_(step, step.T, alpha=-sign)
        self.moves.append(move)

    def part(self, indices: Tensor) -> _Net:
        """Return the same for some of the rows, to pick from by themselves."""
        rows = _as_double(self.rows.take(indices))
        known, spread = self.known[indices], self.spread[indices]
        for _ in _moved(rows, self.pending, known, spread):
            pass
        return _Net(rows, self.fisher, self.inverse.clone(), known, spread)

    def after(self, picks: Tensor) -> _Net:
        """Return the same for all picks; the last one is not taken yet."""
        part = self.part(picks)
        part.move(len(picks) - 1, 1)
        part.known, part.spread = _matrices(part.rows, part.inverse, part.fisher)
        return part

    def add_gains(self, moves: list[_Move], values: Tensor) -> None:
        """Add what each row would take from the trace after each move, ``(t, m)``."""
        n_vectors = 2 * self.known.shape[1] * (len(self.pending) + len(moves))
        for part, block in _blocks(self.rows, n_vectors):
            known, spread = self.known[part], self.spread[part]
            for _ in _moved(block, self.pending, known, spread):
                pass
            known, spread = known.clone(), spread.clone()
            for k, _ in enumerate(_moved(block, moves, known, spread)):
                values[k, part] += _gain(known, spread)
        self.pending = []

    def take(self, move: _Move) -> None:
        """Bring the information up to date with a pick."""
        self.inverse.addmm_(move.step, move.step.T, alpha=-move.sign)
        self.pending.append(move)


def _moved(
    rows: Information, moves: list[_Move], known: Tensor, spread: Tensor
) -> Iterator[None]:
    """Change both matrices of rows in place by one move after the other."""
    if not moves:
        return
    vectors = [torch.cat([move.step, move.onto], dim=1) for move in moves]
    products = _times(rows, torch.cat(vectors, dim=1)).chunk(len(moves), -1)
    for move, product in zip(moves, products, strict=True):
        along, across = product.chunk(2, -1)
        known -= move.sign * (along @ along.mT)
        across = along @ (move.sign * across - along @ (move.weight / 2)).mT
        spread -= across + across.mT
        yield


def _gain(known: Tensor, spread: Tensor) -> Tensor:
    """Return what each row would take from the trace, ``(m,)``."""
    one = torch.eye(known.shape[1]).to(known)
    gains = known.new_empty(len(known))
    for part in blocks(len(gains), one.numel()):
        solved = torch.linalg.solve(one + known[part], spread[part])
        gains[part] = _trace(solved)
    return gains.clamp_(min=0)


def _eigen(known: Tensor, sign: int) -> tuple[Tensor, Tensor]:
    """Eigenvalues, kept above 0, and eigenvectors of ``1 + sign * known``."""
    one = torch.eye(known.shape[-1]).to(known)
    values, vectors = torch.linalg.eigh(one + sign * (known + known.mT) / 2)
    return values.clamp(min=torch.finfo(values.dtype).eps), vectors


def _blocks(
    rows: InformationRows, n_vectors: int
) -> Iterator[tuple[slice, Information]]:
    """Cut rows into blocks by the size of their products with some vectors."""
    _, i, k, o = rows.shape
    n_products = k * n_vectors if i == 1 else o * n_vectors
    for part, block in rows.blocks(max(n_products, k * o, i)):
        yield part, _as_double(block)


def _as_double(rows: Information) -> Information:
    return Information(*(x.double() for x in rows))


def _times(rows: Information, vectors: Tensor) -> Tensor:
    """Inner products of the vectors of rows with t others, ``(b, K, t)``."""
    b, i, k, o = rows.shape
    t = vectors.shape[1]
    if i == 1:
        return ((rows.outputs * rows.inputs[:, :, None]).flatten(0, 1) @ vectors).view(
            b, k, t
        )
    by_input = vectors.view(o, i, t).transpose(0, 1).reshape(i, o * t)
    return rows.outputs @ (rows.inputs @ by_input).view(b, o, t)


def _matrices(
    rows: InformationRows, inverse: Tensor, fisher: Tensor
) -> tuple[Tensor, Tensor]:
    """``V' M⁻¹ V`` and ``V' M⁻¹ F M⁻¹ V`` of each row, ``(m, K, K)``, in one pass."""
    m, i, k, o = rows.shape
    known, spread = inverse.new_empty((2, m, k, k))
    onto = inverse @ fisher @ inverse
    for part, block in _blocks(rows, k if i == 1 else max(o, i)):
        known[part] = _quadratic(block, inverse)
        spread[part] = _quadratic(block, onto)
    return known, spread


def _quadratic(rows: Information, matrix: Tensor) -> Tensor:
    """``V' matrix V`` of each row of a block, ``(b, K, K)``."""
    (b, i, k, o), (z, g) = rows.shape, rows
    if i == 1:
        g = g * z[:, :, None]
        moved = (g.flatten(0, 1) @ matrix).view(b, k, o)
    else:
        by_output = [
            (z @ block).view(b, o, i) @ z[:, :, None] for block in matrix.split(i)
        ]
        moved = g @ torch.cat(by_output, dim=2).mT
    result = moved @ g.mT
    return (result + result.mT) / 2


def _information(rows: InformationRows) -> Tensor:
    """Sum of the information of rows, ``(D, D)``, float64."""
    _, i, _, o = rows.shape
    total: Tensor | None = None
    for _, (z, g) in _blocks(rows, max(o, i)):
        if total is None:
            total = z.new_zeros((o * i,) * 2)
        if i == 1:
            flat = (g * z[:, :, None]).flatten(0, 1)
            total.addmm_(flat.T, flat)
            continue
        weight = g.mT @ g
        for k, block in enumerate(total.split(i)):
            block.addmm_(z.T, (weight[:, k, :, None] * z[:, None, :]).flatten(1))
    return torch.zeros((o * i,) * 2).double() if total is None else total


def _trace(matrices: Tensor) -> Tensor:
    return matrices.diagonal(dim1=-2, dim2=-1).sum(dim=-1)


def _sum(terms: list[Tensor]) -> Tensor:
    return torch.stack(terms).sum(dim=0) if len(terms) > 1 else terms[0]
