"""How far a label would move a model: norms of factored gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = [
    "expected_model_change",
    "gradient_gram",
    "gradient_lengths",
    "softmax_gradient_length",
]

#: Gradients of rows with respect to a layer: its inputs ``(m, i)``, and the gradients
#: with respect to its outputs ``(m, K * o)``, direction by direction.
Layer = tuple[Tensor, Tensor]


def gradient_lengths(layers: Sequence[Layer], n_directions: int = 1) -> Tensor:
    r"""Euclidean length of each gradient of each row, over all layers.

    Parameters
    ----------
    layers : sequence of (inputs, outputs)
        `skal.spaces.Factors`: the gradients with respect to a layer are ``outputs ⊗
        inputs``, with inputs ``(m, i)`` and outputs ``(m, K * o)``.
    n_directions : int, default=1
        Number K of gradients per row.

    Returns
    -------
    lengths : Tensor of shape (m, K), float64
        :math:`\sqrt{\sum_l \lVert a_l \rVert^2 \lVert g_{lk} \rVert^2}`.

    Raises
    ------
    ValueError
        If there is no layer, or the outputs do not split into K gradients.

    Notes
    -----
    One pass over the m × Σ(i + K·o) elements of the factors; no gradient is multiplied
    out.

    Examples
    --------
    >>> import torch
    >>> from skal.measures import gradient_lengths
    >>> a, g = torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 0.0, 0.0, 2.0]])
    >>> gradient_lengths([(a, g)], n_directions=2).tolist()
    [[5.0, 10.0]]
    """
    sq_lengths = [
        _norm(inputs)[:, None].square() * _norm(by_direction).square()
        for inputs, by_direction in _by_direction(layers, n_directions)
    ]
    return torch.stack(sq_lengths).sum(dim=0).sqrt()


def gradient_gram(layers: Sequence[Layer], n_directions: int = 1) -> Tensor:
    r"""Inner products of the K gradients of each row, over all layers.

    Parameters
    ----------
    layers, n_directions
        As in `gradient_lengths`.

    Returns
    -------
    gram : Tensor of shape (m, K, K), float64
        :math:`\sum_l \lVert a_l \rVert^2 \langle g_{lj}, g_{lk} \rangle`, which is
        :math:`J J^\top` with the Jacobian J of a row if the gradients are those of its
        outputs.

    Raises
    ------
    ValueError
        If there is no layer, or the outputs do not split into K gradients.

    Examples
    --------
    >>> import torch
    >>> from skal.measures import gradient_gram
    >>> a, g = torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 0.0, 1.0, 2.0]])
    >>> gradient_gram([(a, g)], n_directions=2).tolist()
    [[[25.0, 25.0], [25.0, 125.0]]]
    """
    grams = []
    for inputs, by_direction in _by_direction(layers, n_directions):
        g = by_direction.double()
        grams.append(_norm(inputs).square()[:, None, None] * (g @ g.mT))
    return torch.stack(grams).sum(dim=0)


def expected_model_change(residuals: Tensor, gram: Tensor) -> Tensor:
    r"""Mean length of the squared loss's gradient over the labels that models predict.

    Parameters
    ----------
    residuals : Tensor of shape (K, m, T)
        Prediction of T targets, minus the prediction of each of K models.
    gram : Tensor of shape (m, T, T)
        Inner products of the gradients of the predictions of a row, by `gradient_gram`.

    Returns
    -------
    scores : Tensor of shape (m,), float64
        :math:`\frac1K \sum_k \lVert J^\top r_k \rVert`, with :math:`\lVert J^\top r
        \rVert^2 = r^\top J J^\top r`.

    Examples
    --------
    >>> import torch
    >>> from skal.measures import expected_model_change
    >>> residuals = torch.tensor([[[1.0]], [[-3.0]]])
    >>> expected_model_change(residuals, torch.tensor([[[4.0]]])).tolist()
    [4.0]
    """
    residuals = residuals.double()
    moved = torch.einsum("kmt,mts->kms", residuals, gram.double())
    return (moved * residuals).sum(dim=2).clamp(min=0).sqrt().mean(dim=0)


def softmax_gradient_length(probs: Tensor) -> Tensor:
    r"""Mean length of the cross-entropy gradient in the logits, over the labels.

    Parameters
    ----------
    probs : Tensor of shape (m, C)
        Softmax of the logits.

    Returns
    -------
    scores : Tensor of shape (m,), float64
        :math:`\sum_y p_y \lVert p - e_y \rVert`, the expectation over the label.

    Examples
    --------
    >>> import torch
    >>> from skal.measures import softmax_gradient_length
    >>> probs = torch.tensor([[0.5, 0.5], [1.0, 0.0]])
    >>> softmax_gradient_length(probs).tolist()
    [0.7071067811865476, 0.0]
    """
    probs = probs.double()
    top = probs.argmax(dim=1, keepdim=True)
    others = probs.scatter(1, top, 0.0)
    others_sq = others.square().sum(dim=1, keepdim=True)
    # 1 - p of the top label is lost to rounding if the others are small.
    sq_length = others_sq + probs.gather(1, top).square() - 2 * probs + 1
    sq_length.scatter_(1, top, others_sq + others.sum(dim=1, keepdim=True).square())
    return (probs * sq_length.clamp_(min=0).sqrt()).sum(dim=1)


def _by_direction(layers: Sequence[Layer], n_directions: int) -> list[Layer]:
    """Return inputs ``(m, i)`` and outputs ``(m, K, o)`` of each layer."""
    if not layers:
        raise ValueError("layers must hold the factors of at least one layer.")
    for _, outputs in layers:
        if n_directions < 1 or outputs.shape[1] % n_directions:
            raise ValueError(
                f"{outputs.shape[1]} columns do not hold {n_directions} gradients."
            )
    return [(a, g.reshape(len(g), n_directions, -1)) for a, g in layers]


def _norm(x: Tensor) -> Tensor:
    # In float64, because small float32 elements have squares of 0.
    return torch.linalg.vector_norm(x, dim=-1, dtype=torch.float64)
