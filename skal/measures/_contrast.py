"""Distance of the prediction of a row from those of its neighbors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from skal._numerics.products import blocks

__all__ = ["contrast"]


def contrast(probs: Tensor, other_probs: Tensor, neighbors: Tensor) -> Tensor:
    r"""Mean Kullback-Leibler divergence of the neighbors from the row, in nats.

    Parameters
    ----------
    probs : Tensor of shape (m, C)
        Class probabilities of the rows.
    other_probs : Tensor of shape (L, C)
        Class probabilities of the rows among which the neighbors are.
    neighbors : Tensor of shape (m, k), int64
        Numbers of the neighbors among these rows.

    Returns
    -------
    scores : Tensor of shape (m,), float64
        :math:`\frac1k \sum_j \mathrm{KL}(p_j \,\|\, p) = \frac1k \sum_j \sum_c p_{jc}
        (\log p_{jc} - \log p_c)`, non-negative.  0 log 0 is 0.  Classes of probability
        0 in the row count with the smallest positive probability, so that scores are
        finite.

    Notes
    -----
    Takes m·k·C operations, in blocks.  Neighbors are summed before classes; scores
    within the rounding of these sums are 0.

    Examples
    --------
    >>> import torch
    >>> from skal.measures import contrast
    >>> sure, split = [1.0, 0.0], [0.5, 0.5]
    >>> neighbors = torch.tensor([[0, 0], [0, 1]])
    >>> others = torch.tensor([sure, split])
    >>> contrast(torch.tensor([split, split]), others, neighbors).tolist()
    [0.6931471805599453, 0.34657359027997264]
    """
    probs, other_probs = probs.double(), other_probs.double()
    logs, k = _log(probs), neighbors.shape[1]
    own = (other_probs * _log(other_probs)).sum(dim=1).take(neighbors).sum(dim=1)
    cross = torch.empty_like(own)
    for part in blocks(len(probs), k * probs.shape[1], in_cache=True):
        expected = F.embedding(neighbors[part], other_probs).sum(dim=1)
        cross[part] = expected.mul_(logs[part]).sum(dim=1)
    rounding = (k + probs.shape[1]) * torch.finfo(own.dtype).eps * cross.abs()
    scores = own - cross
    return scores.masked_fill_(scores <= rounding, 0.0).div_(k)


def _log(probs: Tensor) -> Tensor:
    return probs.clamp(min=torch.finfo(probs.dtype).tiny).log()
